"""What nftables is told; what it does with that is in test_bridge."""

from typing import Any

import pytest

from compute.agent.wiring import filters
from compute.agent.wiring.names import DEVICE_LIMIT, Names
from tests.unit.compute.agent.wiring.wanted import (
    EGRESS,
    GROUP_ID,
    NETWORK_ID,
    OTHER_ID,
    PORT_IDS,
    network,
    port,
    rule,
    wanted,
)

NAMES = Names("hf1234")
CHAIN = "g_" + GROUP_ID.replace("-", "")


def chain(text: str, name: str) -> list[str]:
    """Return the lines of a chain."""
    lines = text.splitlines()
    start = lines.index(f"  chain {name} {{") + 1
    return [line.strip() for line in lines[start : lines.index("  }", start)]]


def of(*rules: dict[str, object], **values: Any) -> str:
    return filters.ruleset(NAMES, wanted([network()], [port(0, **values)], rules, {GROUP_ID: ["10.0.0.7", "fd00::7"]}))


def test_names_fit_devices_and_tell_agents_apart() -> None:
    assert len(NAMES.tap(PORT_IDS[0])) == DEVICE_LIMIT
    assert len({Names.of(directory, agent).mark for directory in ("/a", "/b") for agent in (0, 1)}) == 4


def test_a_tap_that_no_port_has_passes_nothing() -> None:
    text = filters.ruleset(NAMES, wanted())
    for name in ("senders", "out", "in"):
        assert chain(text, name)[-1] == "drop"
    assert chain(text, "prerouting")[-1] == 'iifname "hf1234t*" goto senders'
    assert chain(text, "input")[1] == 'iifname "hf1234t*" drop'


def test_a_replacement_is_one_transaction_that_begins_with_nothing() -> None:
    lines = of(EGRESS).splitlines()
    assert lines[:3] == ["table bridge hf1234 { }", "delete table bridge hf1234", "table bridge hf1234 {"]
    assert filters.removal(NAMES).count("delete table") == 2


@pytest.mark.parametrize(
    ("about", "line"),
    [
        ({}, "meta protocol ip accept"),
        ({"ethertype": "IPv6"}, "meta protocol ip6 accept"),
        ({"protocol": 6, "first": 80, "last": 80}, "meta protocol ip meta l4proto 6 th dport 80 accept"),
        ({"protocol": 17, "first": 1, "last": 9}, "meta protocol ip meta l4proto 17 th dport 1-9 accept"),
        ({"protocol": 6}, "meta protocol ip meta l4proto 6 accept"),
        ({"protocol": 1, "first": 8}, "meta protocol ip meta l4proto 1 icmp type 8 accept"),
        ({"protocol": 1, "first": 3, "last": 4}, "meta protocol ip meta l4proto 1 icmp type 3 icmp code 4 accept"),
        ({"protocol": 58, "first": 0, "ethertype": "IPv6"}, "meta protocol ip6 meta l4proto 58 icmpv6 type 0 accept"),
        ({"prefix": "10.1.0.0/16"}, "meta protocol ip ip saddr 10.1.0.0/16 accept"),
        ({"prefix": "0.0.0.0/0"}, "meta protocol ip accept"),
        ({"group": GROUP_ID}, f"meta protocol ip ip saddr @m4_{GROUP_ID.replace('-', '')} accept"),
    ],
)
def test_a_rule_is_a_line(about: dict[str, object], line: str) -> None:
    text = of(rule("ingress", **about))
    assert chain(text, f"{CHAIN}_in") == [line]
    assert chain(text, f"{CHAIN}_out") == []
    out = line.replace("saddr", "daddr").replace("accept", "goto in")
    assert chain(of(rule("egress", **about)), f"{CHAIN}_out") == [out]


def test_members_of_groups_that_rules_name_are_sets_of_both_families() -> None:
    text = of(rule("ingress", group=GROUP_ID))
    assert "elements = { 10.0.0.7 }" in text
    assert "elements = { fd00::7 }" in text
    assert "set m4_" not in of(rule("ingress"))


def test_a_card_sends_from_its_own_addresses_alone() -> None:
    lines = chain(of(addresses=["10.0.0.10", "fd00::10"]), f"s_{NAMES.tap(PORT_IDS[0])}")
    mine = "ether saddr fa:16:3e:00:01:00"
    assert f"{mine} ip saddr {{ 10.0.0.10 }} accept" in lines
    assert f"{mine} arp saddr ether fa:16:3e:00:01:00 arp saddr ip {{ 10.0.0.10 }} accept" in lines
    assert any("ip6 saddr { fd00::10, fe80::f816:3eff:fe00:100 }" in line for line in lines)
    assert lines[-1] == "drop"
    assert all(line.startswith((mine, "meta protocol", "drop")) for line in lines)


def test_address_pairs_widen_that() -> None:
    pairs = [["fa:16:3e:00:01:00", "10.0.0.0/28"], ["fa:16:3e:00:09:09", "10.9.0.1"]]
    lines = chain(of(pairs=pairs), f"s_{NAMES.tap(PORT_IDS[0])}")
    assert "ether saddr fa:16:3e:00:01:00 ip saddr { 10.0.0.0/28 } accept" in lines  # the address is within
    assert "ether saddr fa:16:3e:00:09:09 ip saddr { 10.9.0.1 } accept" in lines


def test_a_port_without_security_is_not_filtered_and_one_that_is_down_passes_nothing() -> None:
    tap = NAMES.tap(PORT_IDS[0])
    text = of(EGRESS, secure=False)
    assert f'iifname vmap {{ "{tap}" : accept }}' in text
    assert f'oifname vmap {{ "{tap}" : accept }}' in text
    assert f"chain s_{tap}" not in text
    assert tap not in of(EGRESS, up=False)


def test_networks_are_zones_that_stay() -> None:
    first = filters.zones([NETWORK_ID])
    both = filters.zones([OTHER_ID, NETWORK_ID])
    assert both[NETWORK_ID] == first[NETWORK_ID]
    assert len(set(both.values())) == 2
    assert all(0 < zone < 65_536 for zone in filters.zones(map(str, range(2000))).values())
    assert len(set(filters.zones(map(str, range(2000))).values())) == 2000
