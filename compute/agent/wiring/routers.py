"""Routers on a host: which commands make those there are into those there shall be, and what they translate. Pure.

A router is a namespace on each host that has ports of one of its networks. In the bridge of each of its networks it
has an interface, with the same MAC and addresses on all these hosts. So a guest's packets for another network are
routed on its own host, and go on by the tunnel of the network that they are for; none passes by a third host, and none
depends on another one being up.

- Nobody hears of a router from another host: tunnels do not lead to interfaces (`filters`), and each bridge keeps the
  router's MAC at its own interface (`sticky`), although packets with that MAC as sender come by tunnels, too.
- Answers to a router's ARP would come to the router of the host where the asked one is. So routers do not ask: the
  network service knows where each address is, and it is written down (permanent neighbours).
- The way out is a pair of cables to the host itself, on each host (`way_out`): connections are known where they begin.
  There a router has an address of its own, as which guests leave that have no floating address. A floating address is
  translated on the host of its guest alone.
- What is routed between two hosts is seen in one direction by the router of one, and in the other by that of the other.
  So nothing that goes from network to network is translated, or judged by its connection: filters do that, at taps.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from compute.agent.wiring.links import Command, Inside, Link
from compute.agent.wiring.names import WAY_OUT, Names
from compute.agent.wiring.wanted import Interface, Network, Router, Wanted

Neighbour = tuple[str, str, str]  # device, address, MAC
TABLE = "router"  # nftables', in a router's namespace
_INNER = "i*"
_FROM_INSIDE = 0x1  # bit of a packet's mark
_PREPARE = (
    "cd /proc/sys/net && echo 1 > ipv4/ip_forward && echo 0 > ipv4/conf/all/send_redirects && "
    "{ [ ! -d ipv6 ] || echo 1 > ipv6/conf/default/disable_ipv6; }"
)
_WAY_OUT_MTU = 1500


@dataclass(frozen=True, slots=True)
class SeenRouter:
    """What there is in a router's namespace."""

    devices: Mapping[str, Inside] = field(default_factory=dict)
    way_out: str = ""  # next hop to the world
    neighbours: frozenset[Neighbour] = frozenset()
    rules: str = ""  # as nftables has them; empty: there are none


@dataclass(frozen=True, slots=True)
class SeenRouters:
    """What there is of all routers of an agent, and of their cables on the host's side."""

    links: Mapping[str, Link] = field(default_factory=dict)
    routers: Mapping[str, SeenRouter] = field(default_factory=dict)  # by namespace
    kept: frozenset[tuple[str, str]] = frozenset()  # device in a bridge, and the MAC that is kept there


def commands(names: Names, router: Router, wanted: Wanted, seen: SeenRouters, link_address: str) -> Iterator[Command]:
    """Yield what makes a router be as it shall be, up to its neighbours; `link_address`: its own on its way out."""
    space = names.router(router.id)
    within = ("-n", space)
    there = seen.routers.get(space)
    if there is None:
        yield ("netns", "add", space)
        there = SeenRouter()
    if "lo" not in there.devices or not there.devices["lo"].is_up:
        yield ("netns", "exec", space, "sh", "-c", _PREPARE)
        yield (*within, "link", "set", "lo", "up")  # by which it is known that the former was done
    for interface in present(router, wanted):
        network = wanted.networks[interface.network_id]
        yield from _interface(names, space, interface, network, seen, there)
    inner = {names.inner(each.id) for each in present(router, wanted)}
    for device in sorted(there.devices):
        if device.startswith(_INNER.removesuffix("*")) and device not in inner:
            yield (*within, "link", "del", device)
    if router.gateway is None:
        if WAY_OUT in there.devices:
            yield (*within, "link", "del", WAY_OUT)
        return
    outer, mac = names.way_out(router.id), None
    yield from _cable(outer, WAY_OUT, space, mac, _WAY_OUT_MTU, seen, there)
    inside = _inside(outer, WAY_OUT, mac, seen, there)
    yield from _addresses(within, WAY_OUT, inside, {f"{link_address}/32"})
    if inside is None or there.way_out != router.gateway.beyond:
        yield (*within, "route", "replace", "default", "via", router.gateway.beyond, "dev", WAY_OUT, "onlink")


def present(router: Router, wanted: Wanted) -> list[Interface]:
    """Return the interfaces of a router in networks that are here."""
    return [each for each in router.interfaces if each.network_id in wanted.networks and each.addresses]


def kept(names: Names, router: Router, wanted: Wanted, seen: SeenRouters) -> Iterator[str]:
    """Yield the lines of a batch of `bridge`, after which bridges keep the router's MACs at its interfaces."""
    for interface in present(router, wanted):
        device = names.interface(interface.id)
        if (device, interface.mac) not in seen.kept:
            yield f"fdb replace {interface.mac} dev {device} master static sticky"


def neighbours(names: Names, router: Router, wanted: Wanted) -> frozenset[Neighbour]:
    """Return where the router finds whom."""
    found = set()
    for interface in present(router, wanted):
        device, network = names.inner(interface.id), wanted.networks[interface.network_id]
        cards = [(port.mac, port.addresses) for port in wanted.ports_of(network.id)]
        cards += [card for peer in (network.tunnel.peers if network.tunnel else ()) for card in peer.cards]
        found |= {(device, address, mac) for mac, own in cards for address in own if ":" not in address}
    return frozenset(found)


def neighbour_changes(wanted: frozenset[Neighbour], seen: frozenset[Neighbour]) -> Iterator[str]:
    """Yield the lines of a batch of `ip`, after which a router knows its neighbours."""
    places = {each[:2] for each in wanted}
    for device, address, _mac in sorted(seen):
        if (device, address) not in places:
            yield f"neigh del {address} dev {device}"
    for device, address, mac in sorted(wanted - seen):
        yield f"neigh replace {address} lladdr {mac} dev {device} nud permanent"


def ruleset(router: Router, link_address: str) -> str:
    """Return what replaces all rules of a router, at once."""
    lines = (
        f"table ip {TABLE} {{ }}",
        f"delete table ip {TABLE}",
        f"table ip {TABLE} {{",
        *_chains(router, link_address),
    )
    return "\n".join((*lines, "}", ""))


def leftovers(names: Names, wanted: Wanted, seen: SeenRouters) -> Iterator[Command]:
    """Yield what takes away what no router has any more."""
    devices = {names.way_out(each.id) for each in wanted.routers.values() if each.gateway is not None}
    for router in wanted.routers.values():
        devices |= {names.interface(each.id) for each in present(router, wanted)}
    patterns = (names.interfaces, names.ways_out)
    for device in sorted(seen.links):
        if device.startswith(tuple(each.removesuffix("*") for each in patterns)) and device not in devices:
            yield ("link", "del", device)
    spaces = {names.router(each) for each in wanted.routers}
    for space in sorted(seen.routers):
        if space not in spaces:
            yield ("netns", "del", space)


def _interface(
    names: Names, space: str, interface: Interface, network: Network, seen: SeenRouters, there: SeenRouter
) -> Iterator[Command]:
    outer, inner, bridge = names.interface(interface.id), names.inner(interface.id), names.bridge(network.id)
    yield from _cable(outer, inner, space, interface.mac, network.mtu, seen, there)
    inside = _inside(outer, inner, interface.mac, seen, there)
    if inside is None or seen.links[outer].master != bridge:
        yield ("link", "set", outer, "master", bridge)
    yield from _addresses(("-n", space), inner, inside, set(interface.addresses))


def _cable(
    outer: str, inner: str, space: str, mac: str | None, mtu: int, seen: SeenRouters, there: SeenRouter
) -> Iterator[Command]:
    """Yield what makes a pair of cables from the host into a namespace, and has both ends be up."""
    inside, size = _inside(outer, inner, mac, seen, there), str(mtu)
    if inside is None:
        if outer in seen.links:
            yield ("link", "del", outer)
        elif inner in there.devices:
            yield ("-n", space, "link", "del", inner)
        end = ("peer", "name", inner, *(("address", mac) if mac else ()), "mtu", size, "netns", space)
        yield ("link", "add", outer, "mtu", size, "type", "veth", *end)
    else:
        if seen.links[outer].mtu != mtu:
            yield ("link", "set", outer, "mtu", size)
        if inside.mtu != mtu:
            yield ("-n", space, "link", "set", inner, "mtu", size)
    if inside is None or not seen.links[outer].is_up:
        yield ("link", "set", outer, "up")
    if inside is None or not inside.is_up:
        yield ("-n", space, "link", "set", inner, "up")


def _inside(outer: str, inner: str, mac: str | None, seen: SeenRouters, there: SeenRouter) -> Inside | None:
    """Return the inner end of cables that need not be made anew; None: they must."""
    inside = there.devices.get(inner)
    if inside is None or outer not in seen.links or (mac is not None and inside.mac != mac):
        return None
    return inside


def _addresses(within: Command, device: str, inside: Inside | None, wanted: set[str]) -> Iterator[Command]:
    there = inside.addresses if inside is not None else frozenset[str]()
    for address in sorted(there - wanted):
        yield (*within, "address", "del", address, "dev", device)
    for address in sorted(wanted - there):
        yield (*within, "address", "add", address, "dev", device)


def _chains(router: Router, link_address: str) -> Iterator[str]:
    out = [each for each in router.floating if router.gateway is not None]
    yield from _chain(
        "prerouting",
        "type nat hook prerouting priority -100; policy accept;",
        f'iifname "{_INNER}" meta mark set {_FROM_INSIDE:#x}',
        *([f"dnat to ip daddr map {{ {_pairs(out)} }}"] if out else []),
    )
    own = [f"snat to ip saddr map {{ {_pairs((fixed, floating) for floating, fixed in out)} }}"] if out else []
    hairpin = f'ct status dnat meta mark {_FROM_INSIDE:#x} oifname "{_INNER}"'  # to a floating address, from within
    yield from _chain(
        "postrouting",
        "type nat hook postrouting priority 100; policy accept;",
        *(f'oifname "{WAY_OUT}" {each}' for each in own),
        *([f'oifname "{WAY_OUT}" snat to {link_address}'] if router.gateway and router.gateway.has_snat else []),
        *(f"{hairpin} {each}" for each in own),
        *([f"{hairpin} snat to {router.gateway.beyond}"] if router.gateway else []),  # else it would not come back here
    )
    yield from _chain(
        "forward",
        "type filter hook forward priority 0; policy accept;",
        f'iifname "{WAY_OUT}" ct state established,related accept',
        f'iifname "{WAY_OUT}" ct status dnat accept',
        f'iifname "{WAY_OUT}" drop',
        "ip daddr 169.254.0.0/16 drop",
    )
    yield from _chain(
        "input",
        "type filter hook input priority 0; policy accept;",
        "ct state established,related accept",
        f'iifname "{_INNER}" icmp type echo-request accept',  # it says that it is there, and nothing else
        "drop",
    )


def _chain(name: str, *lines: str) -> Iterator[str]:
    yield f"  chain {name} {{"
    yield from (f"    {line}" for line in lines)
    yield "  }"


def _pairs(some: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{first} : {second}" for first, second in some)
