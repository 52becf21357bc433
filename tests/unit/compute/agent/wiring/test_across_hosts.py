"""A network on two hosts: two namespaces, joined by a wire, each with an agent's wiring; guests are namespaces, too."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compute.agent.wiring import host
from compute.agent.wiring.tunnels import FIRST_PORT
from compute.stored import Refused
from tests.unit.compute.agent.wiring.spaces import LACKING, Guest, Host, until
from tests.unit.compute.agent.wiring.wanted import EGRESS, GROUP_ID, document, network, port, rule

pytestmark = pytest.mark.skipif(bool(LACKING), reason="; ".join(LACKING))

ANY, PING = rule("ingress"), rule("ingress", protocol=1, first=8)
PROBES = 2
SERVERS = ("fa:16:3e:00:00:02", "fa:16:3e:00:00:03")


class World:
    """Two hosts with a wire between them, and a guest on each."""

    def __init__(self, directory: Path) -> None:
        self.hosts: list[Host] = []
        self.guests: list[Guest] = []
        self.ports = [port(0), port(1)]
        try:
            for number in (0, 1):
                self.hosts.append(Host(directory / str(number), f"192.0.2.{number + 1}"))
            self._wire()
            self.want(EGRESS, PING)
            self.guests = [Guest(each, about) for each, about in zip(self.hosts, self.ports, strict=True)]
        except BaseException:
            self.close()
            raise

    def _wire(self) -> None:
        first, second = self.hosts
        end = ("peer", "name", "wire", "netns", second.space)
        host.ip(("-n", first.space, "link", "add", "wire", "type", "veth", *end))
        for each in self.hosts:
            host.ip(("-n", each.space, "address", "add", f"{each.address}/24", "dev", "wire"))
            host.ip(("-n", each.space, "link", "set", "wire", "up"))

    def want(self, *rules: dict[str, Any]) -> None:
        """Have rules be in force on both hosts, each of which has one of the ports."""
        for own, other in ((0, 1), (1, 0)):
            cards = [{name: self.ports[other][name] for name in ("mac", "addresses")}]
            peers = [{"address": self.hosts[other].address, "port": FIRST_PORT, "cards": cards}]
            self.bring(own, [self.ports[own]], rules, {"vni": 4711, "peers": peers})

    def bring(self, number: int, ports: list[Any], rules: Any, tunnel: Any) -> None:
        """Have a host have some ports, and a tunnel or none."""
        members = {GROUP_ID: [address for each in self.ports for address in each["addresses"]]}
        dhcp = {"mac": SERVERS[number], "addresses": ["10.0.0.2/24"]}  # one MAC in truth: here they are told apart
        whole = document([network(tunnel=tunnel, dhcp=dhcp)], ports, rules, members)
        assert self.hosts[number].bring(whole) == []

    def close(self) -> None:
        for each in (*self.guests, *self.hosts):
            each.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    try:
        host.ip(("netns", "add", "probe-across"))
        host.ip(("netns", "del", "probe-across"))
        host.ip(("link", "add", "probe-across", "type", "vxlan", "id", "1", "dstport", "4789"))
        host.ip(("link", "del", "probe-across"))
    except Refused as error:
        pytest.skip(f"no namespaces or tunnels here: {error}")
    found = World(tmp_path)
    yield found
    found.close()


def test_a_network_goes_on_at_another_host_and_follows_a_port_that_moves(world: World) -> None:
    first, second = world.guests
    here, there = (each["addresses"][0] for each in world.ports)

    until(lambda: first.reaches(there))
    until(lambda: second.reaches(here, "-s", str(1450 - 28)))  # 28: headers of IP and ICMP
    nobody = "00:00:00:00:00:00"
    assert world.hosts[0].entries() == {(nobody, "192.0.2.2"), (second.mac, "192.0.2.2")}

    # security groups hold, by prefix and by group, and what was let pass is answered
    world.want(EGRESS)
    assert not first.reaches(there)
    world.want(EGRESS, rule("ingress", group=GROUP_ID))
    until(lambda: first.reaches(there))
    world.want(EGRESS, rule("ingress", prefix=f"{there}/32"))
    assert not first.reaches(there)
    until(lambda: second.reaches(here))

    # nobody sends from another's address
    world.want(EGRESS, ANY)
    first.add("10.0.0.66")
    second.run("arp", "-s", "10.0.0.66", first.mac)
    assert not first.reaches(there, "-I", "10.0.0.66")
    until(lambda: first.reaches(there))

    # each host answers its own guests: of DHCP's addresses, which all hosts have, the nearest alone is seen
    until(lambda: SERVERS[0] in first.answers(PROBES, "10.0.0.2"))
    assert SERVERS[1] not in first.answers(PROBES, "10.0.0.2")
    until(lambda: SERVERS[1] in second.answers(PROBES, "10.0.0.2"))
    assert SERVERS[0] not in second.answers(PROBES, "10.0.0.2")

    # what somebody changed comes back
    tunnel = world.hosts[0].tunnel
    host.run(("bridge", "-n", world.hosts[0].space, "fdb", "del", second.mac, "dev", tunnel, "dst", "192.0.2.2"))
    world.want(EGRESS, ANY)
    assert (second.mac, "192.0.2.2") in world.hosts[0].entries()

    # the other host is lost, and its port comes here; what it still has of that, when it is back, disturbs nobody
    host.ip(("-n", world.hosts[1].space, "link", "set", "wire", "down"))
    until(lambda: not first.reaches(there))
    left = [{"mac": "fa:16:3e:00:01:99", "addresses": ["10.0.0.99"]}]
    peers = [{"address": "192.0.2.2", "port": FIRST_PORT, "cards": left}]
    world.bring(0, world.ports, (EGRESS, ANY), {"vni": 4711, "peers": peers})
    moved = Guest(world.hosts[0], world.ports[1])
    world.guests.append(moved)
    until(lambda: first.reaches(there))
    host.ip(("-n", world.hosts[1].space, "link", "set", "wire", "up"))
    assert first.answers(PROBES, there).count(moved.mac) <= PROBES
    world.bring(0, world.ports, (EGRESS, ANY), None)
    assert not world.hosts[0].tunnel
    until(lambda: first.reaches(there))
