"""From what there is to what there shall be: which commands, and none when all is there."""

from dataclasses import replace

from compute.agent.wiring import links
from compute.agent.wiring.links import METADATA_ADDRESS, Command, Inside, Link, Seen
from compute.agent.wiring.names import Names
from compute.agent.wiring.wanted import Endpoint
from tests.unit.compute.agent.wiring.wanted import NETWORK_ID, OTHER_ID, PORT_IDS, network, wanted

NAMES, HERE = Names("hf1234"), Endpoint("192.0.2.1", 4789)
NETWORK = wanted([network()]).networks[NETWORK_ID]
BRIDGE, CABLE, SPACE = NAMES.bridge(NETWORK_ID), NAMES.cable(NETWORK_ID), NAMES.namespace(NETWORK_ID)
INSIDE = Inside(NETWORK.dhcp_mac, 1450, True, frozenset((METADATA_ADDRESS, "10.0.0.2/24")))
WHOLE = Seen({BRIDGE: Link(1450, True), CABLE: Link(1450, True, BRIDGE)}, {SPACE: INSIDE})


def commands(seen: Seen) -> list[Command]:
    return list(links.commands(NAMES, NETWORK, seen, HERE))


def test_all_is_made_in_an_order_that_works() -> None:
    found = commands(Seen())
    assert [command[:3] for command in found] == [
        ("link", "add", BRIDGE),
        ("link", "set", BRIDGE),
        ("netns", "add", SPACE),
        ("-n", SPACE, "link"),
        ("link", "add", CABLE),
        ("link", "set", CABLE),
        ("-n", SPACE, "link"),
        ("-n", SPACE, "address"),
        ("-n", SPACE, "address"),
    ]
    assert "nf_call_iptables" in found[0]  # else no connection is known, and nothing is answered


def test_nothing_is_done_when_all_is_there() -> None:
    assert commands(WHOLE) == []


def test_what_is_missing_or_wrong_is_mended_alone() -> None:
    def with_links(**changed: Link) -> Seen:
        return replace(WHOLE, links={**WHOLE.links, **changed})

    def with_inside(**changed: object) -> Seen:
        return replace(WHOLE, namespaces={SPACE: replace(INSIDE, **changed)})  # type: ignore[arg-type]

    assert commands(with_links(**{BRIDGE: Link(1450, False)})) == [("link", "set", BRIDGE, "up")]
    assert commands(with_links(**{BRIDGE: Link(1500, True)})) == [("link", "set", BRIDGE, "mtu", "1450")]
    assert commands(with_links(**{CABLE: Link(1450, True)})) == [("link", "set", CABLE, "master", BRIDGE, "up")]
    inside = ("-n", SPACE, "address")
    foreign = with_inside(addresses=frozenset((METADATA_ADDRESS, "10.0.0.9/24")))
    assert commands(foreign) == [
        (*inside, "del", "10.0.0.9/24", "dev", "dhcp"),
        (*inside, "add", "10.0.0.2/24", "dev", "dhcp"),
    ]
    other = [command[:3] for command in commands(with_inside(mac="fa:16:3e:00:00:99"))]
    assert other[:2] == [("link", "del", CABLE), ("link", "add", CABLE)]
    gone = [command[:3] for command in commands(replace(WHOLE, namespaces={}))]
    assert gone[:4] == [("netns", "add", SPACE), ("-n", SPACE, "link"), ("link", "del", CABLE), ("link", "add", CABLE)]


def test_a_network_without_dhcp_has_a_bridge_alone() -> None:
    bare = replace(NETWORK, dhcp_mac="", dhcp_addresses=())
    assert [each[1] for each in links.commands(NAMES, bare, Seen(), HERE)] == ["add", "set"]
    assert list(links.commands(NAMES, bare, WHOLE, HERE)) == [("link", "del", CABLE), ("netns", "del", SPACE)]


def test_what_no_network_has_goes_but_for_bridges_with_cards() -> None:
    assert list(links.leftovers(NAMES, {NETWORK_ID: NETWORK}, WHOLE)) == []
    gone = [("link", "del", CABLE), ("netns", "del", SPACE), ("link", "del", BRIDGE)]
    assert list(links.leftovers(NAMES, {}, WHOLE)) == gone
    used = replace(WHOLE, links={**WHOLE.links, NAMES.tap(PORT_IDS[0]): Link(1450, True, BRIDGE)})
    assert list(links.leftovers(NAMES, {}, used)) == gone[:2]
    assert NAMES.bridge(OTHER_ID) not in str(gone)
