"""Routers and ways out, brought about: `routers` and `way_out` decide, the host's tools do it.

A host that cannot do something of it (a kernel without NAT, a system that is read-only) goes on with its networks: what
is wrong is told by router.
"""

import json
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cluster.telemetry.log import get_logger
from compute.agent.wiring import host, routers, way_out
from compute.agent.wiring.links import Command, Inside
from compute.agent.wiring.names import WAY_OUT, Names
from compute.agent.wiring.routers import SeenRouter, SeenRouters
from compute.agent.wiring.wanted import Router, Wanted
from compute.agent.wiring.way_out import Route, Surroundings
from compute.stored import BackendError, Refused

_NAMESPACES = Path("/run/netns")
_IPV4 = Path("/proc/sys/net/ipv4/conf")
_LINKS = Path("/sys/class/net")
_WAY_OUT = re.compile("hf[0-9a-f]{4}g")  # of any agent

_log = get_logger("wiring")


class Routing:
    """The routers of an agent."""

    def __init__(self, names: Names, allowed: Sequence[str] = ()) -> None:
        """`allowed`: prefixes that guests may reach although they are near, or private."""
        self._names, self._allowed = names, tuple(allowed)
        self._rules: dict[str, tuple[str, str]] = {}  # by namespace, "" the host's: as loaded, as nftables has them

    def __repr__(self) -> str:
        return f"Routing({self._names.mark})"

    def bring(self, wanted: Wanted) -> dict[str, str]:
        """Have routers be as they are wanted; return what is wrong, by router."""
        seen, troubles = seen_routers(self._names), dict[str, str]()
        if not wanted.routers and not seen.routers and not seen.links and not self._rules:
            return {}
        links = way_out.link_addresses(self._names, wanted.routers)
        for router in wanted.routers.values():
            try:
                self._bring_router(router, wanted, seen, links[router.id])
            except BackendError as error:
                troubles[router.id] = str(error)
        try:
            _run(self._names, routers.leftovers(self._names, wanted, seen))
            self._bring_ways_out(wanted)
        except BackendError as error:
            troubles |= {router.id: str(error) for router in way_out.leading_out(wanted)}
        spaces = {self._names.router(each) for each in wanted.routers}
        self._rules = {space: rules for space, rules in self._rules.items() if space in spaces or not space}
        return troubles

    def _bring_router(self, router: Router, wanted: Wanted, seen: SeenRouters, link_address: str) -> None:
        space = self._names.router(router.id)
        there = seen.routers.get(space)
        rules = routers.ruleset(router, link_address)
        if there is None:  # before anything comes by it
            host.ip(("netns", "add", space))
            there = SeenRouter()
            seen = SeenRouters(seen.links, {**seen.routers, space: there}, seen.kept)
        if (rules, there.rules) != self._rules.get(space) or not there.rules:
            inside = ("ip", "netns", "exec", space, "nft")
            host.run((*inside, "-f", "-"), rules)
            self._rules[space] = rules, host.run((*inside, "list", "table", "ip", routers.TABLE))
        commands = list(routers.commands(self._names, router, wanted, seen, link_address))
        if commands:
            _run(self._names, commands)
            for interface in routers.present(router, wanted):
                host.without_ipv6(self._names.interface(interface.id))
            seen = seen_routers(self._names)  # what was made anew knows nothing
            there = seen.routers[space]
        host.change_entries(list(routers.kept(self._names, router, wanted, seen)))
        changes = routers.neighbour_changes(routers.neighbours(self._names, router, wanted), there.neighbours)
        if lines := list(changes):
            host.run(("ip", "-n", space, "-batch", "-"), "\n".join((*lines, "")))

    def _bring_ways_out(self, wanted: Wanted) -> None:
        """Have the host route. It has no address on a way out before there are rules for it."""
        leading = way_out.leading_out(wanted)
        around = surroundings(self._names, self._allowed)
        text = way_out.ruleset(self._names, wanted, around) if leading else ""
        listed = host_rules(self._names)
        if not leading:
            if listed:
                host.load(way_out.removal(self._names))
                _stop_forwarding()
            self._rules.pop("", None)
            return
        if (text, listed) != self._rules.get("") or not listed:
            host.load(text)
            self._rules[""] = text, host_rules(self._names)
        for router in leading:
            device = self._names.way_out(router.id)
            host.without_ipv6(device)
            assert router.gateway is not None
            _bring_address(device, f"{router.gateway.beyond}/32")
            _forward(device)
        if not around.forwards:
            for device in around.devices:
                _forward(device)
        _bring_routes(self._names, way_out.routes(self._names, wanted))


def remove_all(names: Names) -> None:
    """Take away all routers that an agent has made on the host."""
    _run(names, routers.leftovers(names, Wanted(), seen_routers(names)))
    host.load(way_out.removal(names))
    _stop_forwarding()


def seen_routers(names: Names) -> SeenRouters:
    """Return what there is of an agent's routers."""
    spaces = os.listdir(_NAMESPACES) if _NAMESPACES.is_dir() else []
    starts = tuple(each.removesuffix("*") for each in (names.interfaces, names.ways_out))
    links = {name: link for name, link in host.links(names).items() if name.startswith(starts)}
    entries = _asked(("bridge", "-j", "fdb", "show")) if links else []
    kept = {
        (each["ifname"], each["mac"])
        for each in entries
        if each.get("ifname") in links and "sticky" in each.get("flags", ())
    }
    own = {space: _seen_router(space) for space in spaces if space.startswith(names.routers)}
    return SeenRouters(links, own, frozenset(kept))


def surroundings(names: Names, allowed: tuple[str, ...] = ()) -> Surroundings:
    """Return what the host has beside ways out."""
    known = _asked(("ip", "-j", "-4", "route", "show"))
    world = sorted({each["dev"] for each in known if each["dst"] == "default" and "dev" in each})
    others = [each for each in known if each["dst"] != "default" and not str(each.get("dev", "")).startswith("hf")]
    near = sorted({each["dst"] if "/" in each["dst"] else f"{each['dst']}/32" for each in others})
    if allowed:  # answers come by these devices, too
        world = sorted({*world, *(each["dev"] for each in others if "dev" in each)})
    forwards = (_IPV4 / "all" / "forwarding").read_text().strip() == "1"
    return Surroundings(tuple(world), tuple(near), host.resolvers(), forwards, allowed)


def host_rules(names: Names) -> str:
    """Return the host's rules about ways out, as nftables has them; empty: there are none."""
    with suppress(Refused):
        return host.run(("nft", "list", "table", "ip", names.mark))
    return ""


def _run(names: Names, commands: Iterable[Command]) -> None:
    """Run commands of `ip`. Devices go by themselves, a little after a namespace: what is to be deleted may be gone."""
    for command in commands:
        try:
            host.ip(command)
        except Refused:
            if command[:2] != ("link", "del") or command[2] in host.links(names):
                raise


def _seen_router(space: str) -> SeenRouter:
    within = ("ip", "-j", "-n", space)
    try:
        devices = {each["ifname"]: _inside(each) for each in _asked((*within, "address", "show"))}
        default = _asked((*within, "-4", "route", "show", "default"))
        permanent = _asked((*within, "-4", "neigh", "show", "nud", "permanent"))
    except Refused:
        return SeenRouter()
    rules = ""
    with suppress(Refused):
        rules = host.run(("ip", "netns", "exec", space, "nft", "list", "table", "ip", routers.TABLE))
    neighbours = frozenset((each["dev"], each["dst"], each["lladdr"]) for each in permanent if "lladdr" in each)
    next_hop = next((each["gateway"] for each in default if each.get("dev") == WAY_OUT and "gateway" in each), "")
    return SeenRouter(devices, next_hop, neighbours, rules)


def _inside(link: dict[str, Any]) -> Inside:
    old = (each for each in link.get("addr_info", ()) if each.get("family") == "inet")
    addresses = frozenset(f"{each['local']}/{each['prefixlen']}" for each in old)
    return Inside(link.get("address", ""), link["mtu"], "UP" in link["flags"], addresses)


def _bring_address(device: str, address: str) -> None:
    (link,) = _asked(("ip", "-j", "address", "show", "dev", device))
    there = _inside(link).addresses
    for each in sorted(there - {address}):
        host.ip(("address", "del", each, "dev", device))
    if address not in there:
        host.ip(("address", "add", address, "dev", device))


def _bring_routes(names: Names, wanted: frozenset[Route]) -> None:
    known = _asked(("ip", "-j", "-4", "route", "show"))
    start = names.ways_out.removesuffix("*")
    seen = {
        (each["dev"], each["dst"], each.get("gateway", ""), each.get("prefsrc", ""))
        for each in known
        if str(each.get("dev", "")).startswith(start)
    }
    for device, destination, _next_hop, _own in sorted(seen - wanted):
        host.ip(("route", "del", destination, "dev", device))
    for device, destination, next_hop, own in sorted(wanted - seen, key=lambda route: bool(route[2])):
        through = ("via", next_hop) if next_hop else ("scope", "link")
        host.ip(("route", "add", destination, *through, "dev", device, "src", own))


def _forward(device: str) -> None:
    """Have what comes by a device be forwarded. Raise Refused."""
    path = _IPV4 / device / "forwarding"
    try:
        if path.read_text().strip() != "1":
            path.write_text("1")
            _log.info("forwarding", device=device)
    except OSError as error:
        raise Refused(f"{path}: {error}") from error


def _stop_forwarding() -> None:
    """Have the host forward nothing, if it did so for ways out alone, and no agent of this machine has one."""
    if (_IPV4 / "all" / "forwarding").read_text().strip() == "1" or any(map(_WAY_OUT.match, os.listdir(_LINKS))):
        return
    with suppress(OSError):  # it could not be made to, either
        for link in _asked(("ip", "-j", "-4", "route", "show", "default")):
            (_IPV4 / link["dev"] / "forwarding").write_text("0")


def _asked(command: Sequence[str]) -> Iterable[dict[str, Any]]:
    """Return what a tool tells as JSON."""
    found: list[dict[str, Any]] = json.loads(host.run(command) or "[]")
    return [each for each in found if each]
