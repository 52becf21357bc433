"""Bridges as they are: namespaces stand in for guests, get addresses by DHCP, reach each other, or do not.

Only root can, where ip, nft, dnsmasq and busybox are.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from compute.agent.guest import Nic
from compute.agent.wiring import bridge, host
from compute.agent.wiring.bridge import Bridges
from compute.agent.wiring.names import Names
from compute.agent.wiring.source import Reporter, Source
from compute.stored import Refused, Unreachable
from tests.unit.compute.agent.wiring.wanted import (
    EGRESS,
    GROUP_ID,
    NETWORK_ID,
    OTHER_ID,
    PORT_IDS,
    MemoryNetworkService,
    network,
    port,
    rule,
    subnet,
)
from tests.unit.compute.crashes import Crash

LACKING = host.lacking() + ([] if shutil.which("busybox") else ["busybox not found"])
pytestmark = pytest.mark.skipif(bool(LACKING), reason="; ".join(LACKING))

LIMIT_S = 30.0
PING = rule("ingress", protocol=1, first=8)
PING6 = rule("ingress", ethertype="IPv6", protocol=58, first=128)
EGRESS6 = rule("egress", ethertype="IPv6")
V6 = subnet("fd00:7::/64", gateway_ip=None, mode="dhcpv6-stateful")
LEASE = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr replace $ip/$mask dev $interface
echo "$ip router=$router routes=$staticroutes mtu=$mtu dns=$dns"
"""


def until(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.05)


class Card:
    """A namespace that stands in for a guest with one card."""

    def __init__(self, wiring: Bridges, names: Names, document: dict[str, Any], directory: Path) -> None:
        self.space = f"guest-{names.mark}-{document['id'][:4]}"
        self.tap, self.mac, self._directory = names.tap(document["id"]), document["mac"], directory
        nic = Nic(mac=self.mac, port_id=document["id"], network_id=document["network_id"])
        plug = wiring.plug("guest", nic)
        assert (plug.tap, plug.mtu) == (self.tap, 1450)
        host.ip(("netns", "add", self.space))
        end = ("peer", "name", "eth0", "address", self.mac, "netns", self.space)
        host.ip(("link", "add", self.tap, "type", "veth", *end))
        host.ip(("link", "set", self.tap, "master", plug.bridge, "up"))
        for device in ("lo", "eth0"):
            host.ip(("-n", self.space, "link", "set", device, "up"))

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        whole = ["ip", "netns", "exec", self.space, *command]
        return subprocess.run(whole, capture_output=True, text=True, check=False, timeout=LIMIT_S)

    def lease(self) -> str:
        """Ask for an address by DHCP, and return what was told."""
        script = self._directory / "lease.sh"
        script.write_text(LEASE)
        script.chmod(0o755)
        options = ("-i", "eth0", "-n", "-q", "-f", "-t", "20", "-T", "1", "-s", str(script), "-O", "121", "-O", "mtu")
        return self.run("busybox", "udhcpc", *options).stdout.strip()

    def reaches(self, address: str, *options: str) -> bool:
        """Tell whether an answer to a ping comes."""
        return self.run("busybox", "ping", "-c", "1", "-W", "1", *options, address).returncode == 0

    def must_reach(self, address: str) -> None:
        """Fail unless an answer comes in the end: neighbours are found by asking, too."""
        until(lambda: self.reaches(address))

    def address(self, verb: str, address: str) -> None:
        host.ip(("-n", self.space, "address", verb, address, "dev", "eth0", *(["nodad"] if ":" in address else [])))


class World:
    """A host with a network of two cards."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.service = MemoryNetworkService()
        self.names = Names.of(str(directory), 0)
        self.networks = [network(addresses=["10.0.0.2/24", "fd00:7::2/64"], subnets=[subnet(), V6])]
        self.ports = [port(number, addresses=[f"10.0.0.{10 + number}", f"fd00:7::{number + 1}0"]) for number in (0, 1)]
        self.want(EGRESS, EGRESS6, PING)
        self.wiring = self.new_wiring()
        self.cards = [Card(self.wiring, self.names, each, directory) for each in self.ports]

    def new_wiring(self) -> Bridges:
        """Return the wiring of a process that has just begun."""
        source = Source(self.service, self.directory / "kept.json")
        return Bridges(self.names, source, Reporter(self.service, {}), Path("/run") / f"holdfast-{self.names.mark}")

    def want(self, *rules: dict[str, Any]) -> None:
        members = {GROUP_ID: [address for each in self.ports for address in each["addresses"]]}
        self.service.set(self.networks, self.ports, rules, members)

    def follow(self, *rules: dict[str, Any]) -> None:
        """Have other rules be in force."""
        self.want(*rules)
        self.wiring._follow()
        assert self.wiring.warnings == []

    def close(self) -> None:
        for card in getattr(self, "cards", ()):
            host.ip(("netns", "del", card.space))
            until(lambda card=card: card.tap not in host.links(self.names))  # type: ignore[misc]
        self.wiring.remove_all()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    try:
        host.ip(("netns", "add", f"probe-{os.getpid()}"))
        host.ip(("netns", "del", f"probe-{os.getpid()}"))
    except Refused as error:
        pytest.skip(f"no namespaces here: {error}")
    found = World(tmp_path_factory.mktemp("world"))
    yield found
    found.close()
    assert host.links(found.names) == {}
    assert host.seen(found.names).namespaces == {}
    assert host.loaded(found.names) == ""


def test_cards_get_their_addresses_by_dhcp_and_reach_the_metadata(world: World) -> None:
    for card, each in zip(world.cards, world.ports, strict=True):
        told = card.lease()
        assert told.startswith(f"{each['addresses'][0]} router=10.0.0.1"), told
        assert "routes=169.254.169.254/32 10.0.0.2" in told
        assert "mtu=1450 dns=10.0.0.2" in told
    (space,) = world.wiring.namespaces().values()
    assert "169.254.169.254/32" in host.ip(("-n", space, "address"))
    world.cards[0].must_reach("10.0.0.2")
    found = world.cards[0].run("busybox", "nslookup", "-type=a", "host-10-0-0-11.novalocal", "10.0.0.2")
    assert "10.0.0.11" in found.stdout


def test_rules_block_and_allow(world: World) -> None:
    """A connection that was let pass is answered: by conntrack."""
    first, second = world.cards
    first.must_reach("10.0.0.11")
    world.follow(EGRESS)
    assert not first.reaches("10.0.0.11")
    world.follow(EGRESS, rule("ingress", group=GROUP_ID))
    first.must_reach("10.0.0.11")
    world.follow(EGRESS, rule("ingress", prefix="10.0.0.11/32"))
    assert not first.reaches("10.0.0.11")
    second.must_reach("10.0.0.10")
    world.follow(PING)  # nothing lets out
    assert not first.reaches("10.0.0.11")
    world.follow(EGRESS, PING)
    first.must_reach("10.0.0.11")


def test_ports_of_tcp_are_told_apart(world: World) -> None:
    first, second = world.cards
    world.follow(EGRESS, PING, rule("ingress", protocol=6, first=8080, last=8081))
    listeners = [
        subprocess.Popen(
            ["ip", "netns", "exec", second.space, "busybox", "nc", "-ll", "-p", each, "-e", "/bin/echo", "hi"]
        )
        for each in ("8080", "8082")
    ]
    try:
        until(lambda: first.run("busybox", "nc", "-w", "1", "10.0.0.11", "8080").stdout == "hi\n")
        until(lambda: second.run("busybox", "nc", "-w", "1", "10.0.0.11", "8082").stdout == "hi\n")  # it listens
        assert first.run("busybox", "nc", "-w", "1", "10.0.0.11", "8082").stdout == ""
    finally:
        for each in listeners:
            each.kill()
            each.wait()


def test_ipv6_passes_as_rules_say(world: World) -> None:
    first, second = world.cards
    world.follow(EGRESS, EGRESS6, PING, PING6)
    first.address("add", "fd00:7::10/64")
    second.address("add", "fd00:7::20/64")
    first.must_reach("fd00:7::20")
    world.follow(EGRESS, EGRESS6, PING)
    assert not first.reaches("fd00:7::20")
    world.follow(EGRESS, EGRESS6, PING, PING6)
    first.address("add", "fd00:7::66/64")
    assert not first.reaches("fd00:7::20", "-I", "fd00:7::66")
    first.address("del", "fd00:7::66/64")


def test_cards_give_themselves_addresses_where_they_shall(world: World) -> None:
    """By router advertisements of dnsmasq, which is no router."""
    first, document = world.cards[0], world.ports[0]
    own = "fd00:8::f816:3eff:fe00:100"
    networks, addresses = world.networks, document["addresses"]
    slaac = subnet("fd00:8::/64", gateway_ip=None, mode="slaac")
    served = ["10.0.0.2/24", "fd00:7::2/64", "fd00:8::2/64"]
    world.networks = [network(addresses=served, subnets=[subnet(), V6, slaac])]
    document["addresses"] = [*addresses, own]
    world.follow(EGRESS, EGRESS6, PING, PING6)
    host.ip(("-n", first.space, "link", "set", "eth0", "down"))  # it asks again when it comes up
    host.ip(("-n", first.space, "link", "set", "eth0", "up"))
    until(lambda: own in host.ip(("-n", first.space, "address", "show", "dev", "eth0")))
    first.must_reach("fd00:8::2")
    assert "default" not in host.ip(("-n", first.space, "-6", "route"))
    world.networks, document["addresses"] = networks, addresses
    first.lease()  # what it had went when it was down


def test_what_is_sent_from_anothers_address_is_dropped(world: World) -> None:
    first = world.cards[0]
    world.follow(EGRESS, rule("ingress"))
    first.must_reach("10.0.0.11")
    first.address("add", "10.0.0.66/24")
    assert not first.reaches("10.0.0.11", "-I", "10.0.0.66")
    first.address("del", "10.0.0.66/24")
    first.must_reach("10.0.0.11")
    host.ip(("-n", first.space, "link", "set", "eth0", "address", "fa:16:3e:00:66:66"))
    assert not first.reaches("10.0.0.11")
    assert first.run("busybox", "arping", "-c", "1", "-w", "1", "-I", "eth0", "10.0.0.11").returncode != 0
    host.ip(("-n", first.space, "link", "set", "eth0", "address", first.mac))
    first.must_reach("10.0.0.11")


def test_what_somebody_took_away_comes_back(world: World) -> None:
    names, first = world.names, world.cards[0]
    world.follow(EGRESS, PING)
    host.run(("nft", "delete", "table", "bridge", names.mark))
    host.run(("nft", "flush", "table", "inet", names.mark))
    host.ip(("link", "del", names.cable(NETWORK_ID)))
    world.wiring.bring()
    assert host.loaded(names) == world.wiring._listing != ""
    first.must_reach("10.0.0.2")
    assert first.lease().startswith("10.0.0.10 ")
    (directory,) = (Path("/run") / f"holdfast-{names.mark}").iterdir()
    host.stop_dhcp(directory, keep_files=True)
    world.wiring.bring()
    assert first.lease().startswith("10.0.0.10 ")
    listing = host.loaded(names)
    world.wiring.bring()
    assert host.loaded(names) == listing


def test_another_process_goes_on_without_the_service_and_disturbs_nobody(world: World) -> None:
    world.follow(EGRESS, PING)
    seen, loaded = host.seen(world.names), host.loaded(world.names)
    world.service.is_away = True
    world.wiring = world.new_wiring()
    world.wiring.bring()
    assert (host.seen(world.names), host.loaded(world.names)) == (seen, loaded)
    world.cards[0].must_reach("10.0.0.11")
    document = world.ports[0]
    nic = Nic(mac=document["mac"], port_id=document["id"], network_id=NETWORK_ID)
    assert world.wiring.plug("guest", nic).tap == world.cards[0].tap  # it is known
    world.service.is_away = False


def test_cards_that_are_there_are_told_of(world: World) -> None:
    world.follow(EGRESS, PING)
    world.wiring._report()
    assert world.service.told[-1][0] == PORT_IDS[:2]
    host.ip(("link", "set", world.cards[1].tap, "nomaster"))
    world.wiring._report()
    assert world.service.told[-1][0] == PORT_IDS[:1]
    host.ip(("link", "set", world.cards[1].tap, "master", world.names.bridge(NETWORK_ID)))


def test_a_port_that_is_gone_passes_nothing_and_networks_go_with_their_ports(world: World) -> None:
    names, first = world.names, world.cards[0]
    world.service.set([*world.networks, network(OTHER_ID)], [*world.ports, port(2, OTHER_ID)], [EGRESS, PING])
    world.wiring._follow()
    assert names.bridge(OTHER_ID) in host.links(names)
    assert set(world.wiring.namespaces()) == {NETWORK_ID, OTHER_ID}
    world.service.set()
    world.wiring._follow()
    assert world.wiring.namespaces() == {}
    left = set(host.links(names))
    assert left == {names.bridge(NETWORK_ID), *(card.tap for card in world.cards)}  # cards keep their bridge
    assert not first.reaches("10.0.0.11")
    world.follow(EGRESS, PING)
    first.must_reach("10.0.0.11")


def test_a_process_that_is_killed_at_any_step_is_followed_by_one_that_completes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = MemoryNetworkService()
    service.set([network()], [port(0)], [EGRESS])
    names, run, left = Names.of(str(tmp_path), 0), host.run, [0]

    def killed_in_time(command: Any, text: str = "") -> str:
        left[0] -= 1
        if left[0] == 0:
            raise Crash
        return run(command, text)

    def process() -> Bridges:
        source = Source(service, tmp_path / "kept.json")
        return Bridges(names, source, Reporter(service, {}), Path("/run") / f"holdfast-{names.mark}")

    monkeypatch.setattr(host, "run", killed_in_time)
    whole = None
    for step in range(40):
        left[0] = step
        try:
            process()._follow()
        except Crash:
            process().bring()
        is_whole, left[0] = left[0] > 0, 0
        seen, listing = host.seen(names), host.loaded(names)
        whole = whole or (seen.namespaces, set(seen.links), listing)
        assert (seen.namespaces, set(seen.links), listing) == whole
        process().remove_all()
        (tmp_path / "kept.json").unlink()
        if is_whole:
            return
    pytest.fail("it has more steps than are tried")


def test_a_port_that_the_service_does_not_know_is_not_plugged(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "_PLUG_S", 0.0)
    nic = Nic(mac="fa:16:3e:00:00:99", port_id=OTHER_ID, network_id=NETWORK_ID)
    with pytest.raises(Unreachable, match="does not know port"):
        world.wiring.plug("guest", nic)
