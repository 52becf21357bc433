"""Routers as they are: between networks on one host and across two, out to a world, and in by floating addresses.

guest 0 (10.0.0.10), guest 2 (10.1.0.12)  host 0 ---- host 1  guest 1 (10.1.0.11)
                                             |
                                          the world: 203.0.113.9, and what is private beyond: 192.168.77.1
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compute.agent.wiring import host
from compute.agent.wiring.tunnels import FIRST_PORT
from compute.stored import Refused
from tests.unit.compute.agent.wiring.spaces import LACKING, Guest, Host, until
from tests.unit.compute.agent.wiring.wanted import (
    EGRESS,
    NETWORK_ID,
    OTHER_ID,
    ROUTER_ID,
    document,
    interface,
    network,
    port,
    router,
    rule,
)

pytestmark = pytest.mark.skipif(bool(LACKING), reason="; ".join(LACKING))

PING = rule("ingress", protocol=1, first=8)
GATEWAYS = {NETWORK_ID: "10.0.0.1", OTHER_ID: "10.1.0.1"}
OUT, FLOATING = {"address": "10.20.4.1", "snat": True}, "10.20.4.7"
WORLD, BEYOND, UPLINK, NEAR = "203.0.113.9", "192.168.77.1", "198.51.100.2", "198.51.100.1"


class World:
    """Two hosts, three guests, and a world."""

    def __init__(self, directory: Path) -> None:
        self.hosts: list[Host] = []
        self.guests: list[Guest] = []
        self.ports = [port(0), port(1, OTHER_ID, addresses=["10.1.0.11"]), port(2, OTHER_ID, addresses=["10.1.0.12"])]
        self.places = [0, 1, 0]  # of the ports: numbers of hosts
        self.space = ""
        try:
            for number in (0, 1):
                self.hosts.append(Host(directory / str(number), f"192.0.2.{number + 1}"))
            self._wire()
            self.want()
            for about, place in zip(self.ports, self.places, strict=True):
                guest = Guest(self.hosts[place], about)
                self.guests.append(guest)
                host.ip(("-n", guest.space, "route", "add", "default", "via", GATEWAYS[about["network_id"]]))
        except BaseException:
            self.close()
            raise

    def _wire(self) -> None:
        first, second = self.hosts
        host.ip(
            ("-n", first.space, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", second.space)
        )
        for each in self.hosts:
            host.ip(("-n", each.space, "address", "add", f"{each.address}/24", "dev", "wire"))
            host.ip(("-n", each.space, "link", "set", "wire", "up"))
        self.space = f"world-{first.names.mark}"
        host.ip(("netns", "add", self.space))
        end = ("peer", "name", "uplink", "netns", first.space)
        host.ip(("-n", self.space, "link", "add", "below", "type", "veth", *end))
        for device, *addresses in (("below", f"{NEAR}/24"), ("lo", f"{WORLD}/32", f"{BEYOND}/32")):
            for address in addresses:
                host.ip(("-n", self.space, "address", "add", address, "dev", device))
            host.ip(("-n", self.space, "link", "set", device, "up"))
        host.ip(("-n", first.space, "address", "add", f"{UPLINK}/24", "dev", "uplink"))
        host.ip(("-n", first.space, "link", "set", "uplink", "up"))
        host.ip(("-n", first.space, "route", "add", "default", "via", NEAR))
        host.ip(("-n", self.space, "route", "add", f"{FLOATING}/32", "via", UPLINK))

    def want(self, *rules: Any, gateway: Any = OUT, floating: Any = (), routers: bool = True) -> None:
        """Have hosts be so, as the network service would tell them; every network is there for its router."""
        for number, there in enumerate(self.hosts):
            networks = [self._network(network_id, number) for network_id in GATEWAYS]
            interfaces = [interface(place, each, f"{GATEWAYS[each]}/24") for place, each in enumerate(GATEWAYS)]
            own = [about for about, place in zip(self.ports, self.places, strict=True) if place == number]
            led = [[FLOATING, fixed] for fixed in floating if any(fixed in each["addresses"] for each in own)]
            joined = [router(interfaces, gateway=gateway, floating=led)] if routers else []
            assert there.bring(document(networks, own, rules or (EGRESS, PING), None, joined)) == []

    def _network(self, network_id: str, number: int) -> dict[str, Any]:
        other = 1 - number
        cards = [
            {name: about[name] for name in ("mac", "addresses")}
            for about, place in zip(self.ports, self.places, strict=True)
            if place == other and about["network_id"] == network_id
        ]
        peers = [{"address": self.hosts[other].address, "port": FIRST_PORT, "cards": cards}] if cards else []
        return network(network_id, dhcp=None, subnets=[], tunnel={"vni": int(network_id[0]), "peers": peers})

    def reaches(self, address: str) -> bool:
        """Tell whether the world gets an answer to a ping."""
        ping = ("ip", "netns", "exec", self.space, "busybox", "ping", "-c", "1", "-W", "1", address)
        try:
            host.run(ping)
        except Refused:
            return False
        return True

    def close(self) -> None:
        for guest in self.guests:
            guest.close()
        if self.space:
            host.ip(("netns", "del", self.space))
        for each in self.hosts:
            each.close()  # which leaves nothing


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    try:
        host.ip(("netns", "add", "probe-routing"))
        host.ip(("netns", "del", "probe-routing"))
        host.ip(("link", "add", "probe-routing", "type", "vxlan", "id", "1", "dstport", "4789"))
        host.ip(("link", "del", "probe-routing"))
    except Refused as error:
        pytest.skip(f"no namespaces or tunnels here: {error}")
    found = World(tmp_path_factory.mktemp("world"))
    yield found
    found.close()


def test_networks_are_joined_on_one_host_and_across_two(world: World) -> None:
    first, far, near = world.guests
    world.want()
    for guest, address in ((first, "10.1.0.12"), (near, "10.0.0.10"), (first, "10.1.0.11"), (far, "10.0.0.10")):
        until(lambda guest=guest, address=address: guest.reaches(address))  # type: ignore[misc]
    for guest, network_id in ((first, NETWORK_ID), (far, OTHER_ID)):
        until(lambda guest=guest, network_id=network_id: guest.reaches(GATEWAYS[network_id]))  # type: ignore[misc]
    until(lambda: first.reaches("10.1.0.11", "-s", str(1450 - 28)))  # 28: headers of IP and ICMP


def test_security_groups_hold_behind_a_router(world: World) -> None:
    first, far, near = world.guests
    world.want(EGRESS, rule("ingress", prefix="10.0.0.10/32"))  # who is at the other end is seen as it is
    until(lambda: first.reaches("10.1.0.11"))
    until(lambda: first.reaches("10.1.0.12"))
    assert not far.reaches("10.0.0.10")
    world.want(EGRESS)
    assert not near.reaches("10.0.0.10")
    assert not first.reaches("10.1.0.11")


def test_guests_reach_the_world_and_nothing_nearer(world: World) -> None:
    """What the host's own, its neighbours', and private is stays so; answers to the world come by its address."""
    first = world.guests[0]
    world.want()
    until(lambda: first.reaches(WORLD))
    for forbidden in (UPLINK, NEAR, BEYOND, OUT["address"], world.hosts[0].address, world.hosts[1].address):
        assert not first.reaches(str(forbidden)), forbidden
    assert world.hosts[0].reaches(BEYOND)  # it is there
    host.ip(("-n", first.space, "address", "add", "10.9.9.9/32", "dev", "eth0"))
    assert not first.reaches(WORLD, "-I", "10.9.9.9")
    world.want(gateway=None)
    assert not first.reaches(WORLD)
    until(lambda: first.reaches("10.1.0.12"))


def test_a_floating_address_leads_in_and_out(world: World) -> None:
    first, _far, near = world.guests
    world.want(gateway={**OUT, "snat": False}, floating=["10.0.0.10"])
    until(lambda: world.reaches(FLOATING))
    until(lambda: world.hosts[0].reaches(FLOATING))
    until(lambda: near.reaches(FLOATING))  # from within
    until(lambda: first.reaches(FLOATING))
    until(lambda: first.reaches(WORLD))
    assert not near.reaches(WORLD)  # which has none
    world.want(EGRESS, rule("ingress", prefix=f"{NEAR}/32"), floating=["10.0.0.10"])  # the world is seen as it is
    until(lambda: world.reaches(FLOATING))
    assert not world.hosts[0].reaches(FLOATING)
    world.want(floating=["10.1.0.12"])  # it floats
    until(lambda: world.reaches(FLOATING))
    world.want()
    assert not world.reaches(FLOATING)


def test_what_somebody_took_away_comes_back(world: World) -> None:
    there, first = world.hosts[0], world.guests[0]
    world.want(floating=["10.0.0.10"])
    until(lambda: world.reaches(FLOATING))
    space, way = there.names.router(ROUTER_ID), there.names.way_out(ROUTER_ID)
    inner = there.names.interface(interface(0, NETWORK_ID, "")["id"])
    for harm in (
        ("ip", "netns", "del", space),
        ("ip", "-n", there.space, "link", "del", way),
        ("ip", "-n", there.space, "link", "del", inner),
        ("ip", "-n", there.space, "link", "set", inner, "nomaster"),
        ("ip", "-n", there.space, "route", "del", f"{FLOATING}/32"),
        ("ip", "-n", space, "route", "del", "default"),
        ("ip", "-n", space, "neigh", "flush", "nud", "permanent"),
        ("ip", "netns", "exec", space, "nft", "flush", "ruleset"),
        ("ip", "netns", "exec", there.space, "nft", "delete", "table", "ip", there.names.mark),
        ("bridge", "-n", there.space, "fdb", "del", "fa:16:3e:00:0e:00", "dev", inner, "master"),
    ):
        host.run(harm)
        world.want(floating=["10.0.0.10"])
        until(lambda: world.reaches(FLOATING))
        until(lambda: first.reaches(WORLD))
        until(lambda: first.reaches("10.1.0.11"))


def test_the_host_forwards_nothing_else(world: World) -> None:
    """It did not before."""
    world.want()
    until(lambda: world.guests[0].reaches(WORLD))
    host.ip(("-n", world.space, "route", "replace", "192.0.2.2/32", "via", UPLINK))
    host.ip(("-n", world.hosts[1].space, "route", "replace", f"{NEAR}/32", "via", "192.0.2.1"))
    assert not world.reaches("192.0.2.2")
    assert world.hosts[0].reaches("192.0.2.2")


def test_routers_that_nobody_wants_any_more_go(world: World) -> None:
    forwarding = ("ip", "netns", "exec", world.hosts[0].space, "cat", "/proc/sys/net/ipv4/conf/uplink/forwarding")
    world.want()
    assert host.run(forwarding).strip() == "1"
    world.want(routers=False)
    assert host.run(forwarding).strip() == "0"
    for there in world.hosts:
        left = [
            line for line in there.left().splitlines() if "r-" in line or "i" in line.partition(there.names.mark)[2][:1]
        ]
        assert left == []
    assert not world.guests[0].reaches("10.1.0.12")
    world.want()
    until(lambda: world.guests[0].reaches("10.1.0.12"))
