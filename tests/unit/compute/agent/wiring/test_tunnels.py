"""Tunnels to other hosts: what devices and entries there shall be."""

from dataclasses import replace

from compute.agent.wiring import filters, links, tunnels
from compute.agent.wiring.links import Command, Link, Seen
from compute.agent.wiring.names import Names
from compute.agent.wiring.tunnels import ALL, SeenTunnel
from compute.agent.wiring.wanted import Endpoint, Network
from tests.unit.compute.agent.wiring.wanted import NETWORK_ID, OTHER_ID, network, port, wanted

NAMES, HERE = Names("hf1234"), Endpoint("192.0.2.1", 4789)
NEAR, FAR = Endpoint("192.0.2.1", 4790), Endpoint("2001:db8::3", 4789)
TUNNEL, BRIDGE = NAMES.tunnel(NETWORK_ID), NAMES.bridge(NETWORK_ID)
FIRST, SECOND = "fa:16:3e:00:07:01", "fa:16:3e:00:07:02"


def tunnelled(*peers: tuple[Endpoint, str]) -> Network:
    told = [
        {"address": there.address, "port": there.port, "cards": [{"mac": mac, "addresses": ["10.0.0.77"]}]}
        for there, mac in peers
    ]
    return wanted([network(dhcp=None, tunnel={"vni": 7, "peers": told})], [port(0)]).networks[NETWORK_ID]


NETWORK = tunnelled((NEAR, FIRST), (FAR, SECOND))
ENTRIES = frozenset(((ALL, NEAR), (FIRST, NEAR), (ALL, FAR), (SECOND, FAR)))
WHOLE = Seen({BRIDGE: Link(1450, True), TUNNEL: Link(1450, True, BRIDGE)}, {}, {TUNNEL: SeenTunnel(7, HERE, ENTRIES)})


def commands(seen: Seen) -> list[Command]:
    return list(links.commands(NAMES, NETWORK, seen, HERE))


def lines(seen: Seen, whole: Network = NETWORK) -> list[str]:
    return list(tunnels.changes(NAMES, whole, seen.tunnels, HERE))


def test_a_network_with_ports_elsewhere_has_a_tunnel_that_knows_where_they_are() -> None:
    made = ("link", "add", TUNNEL, "mtu", "1450", "type", "vxlan", "id", "7", "local", "192.0.2.1")
    assert commands(Seen())[-2:] == [
        (*made, "dstport", "4789", "nolearning"),
        ("link", "set", TUNNEL, "master", BRIDGE, "up"),
    ]
    assert lines(Seen()) == [
        f"fdb append {ALL} dev {TUNNEL} dst 192.0.2.1 port 4790 self permanent",
        f"fdb append {ALL} dev {TUNNEL} dst 2001:db8::3 port 4789 self permanent",
        f"fdb append {FIRST} dev {TUNNEL} dst 192.0.2.1 port 4790 self permanent",
        f"fdb append {SECOND} dev {TUNNEL} dst 2001:db8::3 port 4789 self permanent",
    ]


def test_nothing_is_done_when_all_is_there() -> None:
    assert (commands(WHOLE), lines(WHOLE)) == ([], [])
    assert list(links.leftovers(NAMES, {NETWORK_ID: NETWORK}, WHOLE)) == []


def test_a_tunnel_with_another_number_or_address_is_made_anew_and_knows_nothing() -> None:
    for wrong in (SeenTunnel(8, HERE, ENTRIES), SeenTunnel(7, NEAR, ENTRIES)):
        seen = replace(WHOLE, tunnels={TUNNEL: wrong})
        assert [command[:3] for command in commands(seen)] == [
            ("link", "del", TUNNEL),
            ("link", "add", TUNNEL),
            ("link", "set", TUNNEL),
        ]
        assert lines(seen) == lines(Seen())


def test_a_card_that_moved_is_sought_at_its_new_host_alone() -> None:
    whole = tunnelled((NEAR, FIRST), (NEAR, SECOND))
    assert lines(WHOLE, whole) == [
        f"fdb del {ALL} dev {TUNNEL} dst 2001:db8::3 port 4789 self permanent",
        f"fdb del {SECOND} dev {TUNNEL} dst 2001:db8::3 port 4789 self permanent",
        f"fdb append {SECOND} dev {TUNNEL} dst 192.0.2.1 port 4790 self permanent",
    ]


def test_a_network_that_is_here_alone_has_none() -> None:
    alone = replace(NETWORK, tunnel=None)
    assert TUNNEL not in str(list(links.commands(NAMES, alone, Seen(), HERE)))
    assert lines(WHOLE, alone) == []
    assert list(links.leftovers(NAMES, {NETWORK_ID: alone}, WHOLE)) == [("link", "del", TUNNEL)]


def test_tunnels_lead_to_cards_alone() -> None:
    """Not to the host, nor to its DHCP; and nothing that another agent marked is believed."""
    text = filters.ruleset(NAMES, wanted())
    assert 'iifname "hf1234x*" drop' in text
    assert 'iifname "hf1234x*" oifname "hf1234v*" drop' in text
    assert 'iifname "hf1234v*" oifname "hf1234x*" drop' in text
    assert 'iifname "hf1234x*" meta mark set meta mark and 0xbfffffff' in text


def test_a_host_that_still_has_a_port_that_has_moved_here_is_not_listened_to() -> None:
    told = [network(tunnel={"vni": 7, "peers": []}), network(OTHER_ID)]
    text = filters.ruleset(NAMES, wanted(told, [port(0), port(1, OTHER_ID)]))
    assert f'iifname . ether saddr {{ "{TUNNEL}" . fa:16:3e:00:01:00 }} drop' in text
    assert "ether saddr" not in filters.ruleset(NAMES, wanted([network()], [port(0, secure=False)]))
