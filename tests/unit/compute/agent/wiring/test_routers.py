"""Routers and ways out: what devices, entries and rules there shall be."""

from dataclasses import replace
from pathlib import Path

from compute.agent.wiring import dhcp, filters, links, routers, way_out
from compute.agent.wiring.links import Inside, Link, Seen
from compute.agent.wiring.names import WAY_OUT, Names
from compute.agent.wiring.routers import SeenRouter, SeenRouters
from compute.agent.wiring.wanted import Endpoint, Wanted
from compute.agent.wiring.way_out import Surroundings
from tests.unit.compute.agent.wiring.wanted import (
    NETWORK_ID,
    OTHER_ID,
    ROUTER_ID,
    interface,
    network,
    port,
    router,
    wanted,
)

NAMES = Names("hf1234")
GATEWAY = {"address": "10.20.4.1", "snat": True}
FLOATING = [["10.20.4.7", "10.0.0.10"]]
JOINED = [interface(0, NETWORK_ID, "10.0.0.1/24"), interface(1, OTHER_ID, "10.1.0.1/24")]
INNER, OUTER = NAMES.inner(JOINED[0]["id"]), NAMES.interface(JOINED[0]["id"])
SPACE = NAMES.router(ROUTER_ID)


def whole(**values: object) -> Wanted:
    """Return two networks that are joined, one of which goes on elsewhere."""
    peer = {"address": "192.0.2.2", "port": 4789, "cards": [{"mac": "fa:16:3e:00:07:01", "addresses": ["10.1.0.77"]}]}
    networks = [network(), network(OTHER_ID, dhcp=None, tunnel={"vni": 7, "peers": [peer]})]
    about = {"gateway": GATEWAY, "floating": FLOATING, **values}
    return wanted(networks, [port(0)], routers=[router(JOINED, **about)])


def commands(those: Wanted, seen: SeenRouters) -> list[links.Command]:
    return list(routers.commands(NAMES, those.routers[ROUTER_ID], those, seen, "169.254.64.9"))


def seen_of(those: Wanted) -> SeenRouters:
    """Return a host where all is there."""
    devices, there = {"lo": Inside("", 65_536, True, frozenset())}, {}
    for each in JOINED:
        devices[NAMES.inner(each["id"])] = Inside(each["mac"], 1450, True, frozenset(each["addresses"]))
        there[NAMES.interface(each["id"])] = Link(1450, True, NAMES.bridge(each["network_id"]))
    devices[WAY_OUT] = Inside("", 1500, True, frozenset(("169.254.64.9/32",)))
    there[NAMES.way_out(ROUTER_ID)] = Link(1500, True)
    neighbours = routers.neighbours(NAMES, those.routers[ROUTER_ID], those)
    kept = frozenset((NAMES.interface(each["id"]), each["mac"]) for each in JOINED)
    return SeenRouters(there, {SPACE: SeenRouter(devices, "10.20.4.1", neighbours, "rules")}, kept)


def test_nothing_is_done_when_all_is_there() -> None:
    those = whole()
    seen = seen_of(those)
    assert commands(those, seen) == []
    assert list(routers.kept(NAMES, those.routers[ROUTER_ID], those, seen)) == []
    assert list(routers.leftovers(NAMES, those, seen)) == []


def test_a_router_has_the_same_interfaces_everywhere_and_bridges_keep_them() -> None:
    those = whole()
    made = [" ".join(each) for each in commands(those, SeenRouters())]
    assert made[0] == f"netns add {SPACE}"
    end = f"type veth peer name {INNER} address fa:16:3e:00:0e:00 mtu 1450 netns {SPACE}"
    assert f"link add {OUTER} mtu 1450 {end}" in made
    assert f"link set {OUTER} master {NAMES.bridge(NETWORK_ID)}" in made
    assert made[-1] == f"-n {SPACE} route replace default via 10.20.4.1 dev gateway onlink"
    lines = list(routers.kept(NAMES, those.routers[ROUTER_ID], those, SeenRouters()))
    assert lines[0] == f"fdb replace fa:16:3e:00:0e:00 dev {OUTER} master static sticky"


def test_a_router_knows_its_neighbours_wherever_they_are() -> None:
    those = whole()
    found = routers.neighbours(NAMES, those.routers[ROUTER_ID], those)
    assert found == {
        (INNER, "10.0.0.10", "fa:16:3e:00:01:00"),
        (NAMES.inner(JOINED[1]["id"]), "10.1.0.77", "fa:16:3e:00:07:01"),
    }
    gone, moved = (INNER, "10.0.0.66", "fa:16:3e:00:01:66"), (INNER, "10.0.0.10", "fa:16:3e:00:01:99")
    assert list(
        routers.neighbour_changes(found, frozenset((gone, moved)) | (found - {(*moved[:2], "fa:16:3e:00:01:00")}))
    ) == [
        f"neigh del 10.0.0.66 dev {INNER}",
        f"neigh replace 10.0.0.10 lladdr fa:16:3e:00:01:00 dev {INNER} nud permanent",
    ]


def test_what_is_wrong_is_mended_and_what_is_too_much_goes() -> None:
    those = whole()
    seen = seen_of(those)
    there = seen.routers[SPACE]
    strange = {**there.devices, "i0123": there.devices[INNER]}
    with_more = replace(seen, routers={SPACE: replace(there, devices=strange)})
    assert commands(those, with_more) == [("-n", SPACE, "link", "del", "i0123")]
    without = whole(gateway=None)
    assert commands(without, seen) == [("-n", SPACE, "link", "del", "gateway")]
    assert list(routers.leftovers(NAMES, without, seen)) == [("link", "del", NAMES.way_out(ROUTER_ID))]
    nothing = [command[:2] for command in routers.leftovers(NAMES, Wanted(), seen)]
    assert nothing == [("link", "del")] * 3 + [("netns", "del")]
    other = replace(there, devices={**there.devices, INNER: replace(there.devices[INNER], mac="fa:16:3e:00:00:99")})
    assert commands(those, replace(seen, routers={SPACE: other}))[0] == ("link", "del", OUTER)


def test_each_router_translates_what_leaves_and_its_floating_addresses() -> None:
    router_ = whole().routers[ROUTER_ID]
    text = routers.ruleset(router_, "169.254.64.9")
    assert "dnat to ip daddr map { 10.20.4.7 : 10.0.0.10 }" in text
    assert text.index('oifname "gateway" snat to ip saddr map { 10.0.0.10 : 10.20.4.7 }') < text.index(
        'oifname "gateway" snat to 169.254.64.9'
    )
    bare = whole(gateway={**GATEWAY, "snat": False}).routers[ROUTER_ID]
    assert "snat to 169.254.64.9" not in routers.ruleset(bare, "169.254.64.9")
    closed = routers.ruleset(whole(gateway=None).routers[ROUTER_ID], "169.254.64.9")
    assert "snat" not in closed
    assert "dnat to" not in closed


def test_addresses_of_ways_out_differ_and_stay() -> None:
    first = way_out.link_addresses(NAMES, [ROUTER_ID])
    many = way_out.link_addresses(NAMES, [ROUTER_ID, *map(str, range(3000))])
    assert len(set(many.values())) == 3001
    assert way_out.link_addresses(Names("hf9999"), [ROUTER_ID]) != first
    assert all(address.startswith("169.254.") and address != filters.METADATA for address in many.values())


def test_the_host_has_routes_to_floating_addresses_alone() -> None:
    those, device = whole(), NAMES.way_out(ROUTER_ID)
    own = way_out.link_addresses(NAMES, [ROUTER_ID])[ROUTER_ID]
    assert way_out.routes(NAMES, those) == {
        (device, own, "", "10.20.4.1"),
        (device, "10.20.4.7", own, "10.20.4.1"),
    }
    assert way_out.routes(NAMES, whole(gateway=None)) == frozenset()


def test_the_hosts_rules_follow_what_is_around() -> None:
    those, around = whole(), Surroundings(("eth0",), ("192.0.2.0/24", "10.3.0.0/16"), ("192.0.2.53",))
    text = way_out.ruleset(NAMES, those, around)
    assert "100.64.0.0/10" in text
    assert "192.0.2.0/24" in text
    assert "10.3.0.0/16" not in text  # it is in 10.0.0.0/8
    assert "203.0.113.8/32" in way_out.ruleset(NAMES, replace(those, hosts=("203.0.113.8", "fd00::8")), around)
    assert "udp dport 4789-4804 drop" in text
    assert text.count("ip daddr { 192.0.2.53 } meta l4proto { 6, 17 } th dport 53 accept") == 2
    assert 'iifname "eth0" oifname != "eth0" oifname != "hf*" drop' in text
    assert '"eth0"' not in way_out.ruleset(NAMES, those, replace(around, forwards=True))
    allowed = way_out.ruleset(NAMES, those, replace(around, allowed=("192.168.7.0/24",)))
    assert allowed.index("ip daddr { 192.168.7.0/24 } accept") < allowed.index("192.168.0.0/16")


def test_names_of_the_world_are_asked_for_where_there_is_a_way_out() -> None:
    """By the router, which the namespace of DHCP has as its way out, too."""
    those = whole()
    found = those.networks[NETWORK_ID]
    assert (found.way_out, those.networks[OTHER_ID].way_out) == ("10.0.0.1", "")
    asked = dhcp.files(found, [], Path("/run/x"), ["192.0.2.53"]).config
    assert "server=192.0.2.53" in asked
    made = list(links.commands(NAMES, found, Seen(), Endpoint("192.0.2.1", 4789)))
    assert made[-1][2:] == ("route", "replace", "default", "via", "10.0.0.1", "dev", "dhcp")
    closed = whole(gateway=None).networks[NETWORK_ID]
    assert "server=" not in dhcp.files(closed, [], Path("/run/x"), ["192.0.2.53"]).config


def test_routers_are_not_heard_from_host_to_host() -> None:
    text = filters.ruleset(NAMES, whole())
    assert 'iifname "hf1234x*" oifname "hf1234i*" drop' in text
    assert 'iifname "hf1234i*" oifname "hf1234x*" ether type arp drop' in text
