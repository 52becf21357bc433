"""Bridges, cables and namespaces: which commands of `ip` make those there are into those there shall be. Pure.

    bridge of a network <- taps of its ports, which libvirt makes
                        <- one end of a pair of cables; the other is in the network's namespace, where dnsmasq and the
                           metadata server are
                        <- where other hosts have ports of the network, a tunnel to them (`tunnels`)

A bridge stays while taps are in it, also when the network service does not know it any more: its cards are filtered.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from compute.agent.wiring.filters import METADATA
from compute.agent.wiring.names import INSIDE, Names
from compute.agent.wiring.tunnels import SeenTunnel, is_right
from compute.agent.wiring.wanted import Endpoint, Network, Tunnel

Command = tuple[str, ...]  # ip's arguments
METADATA_ADDRESS = f"{METADATA}/32"


@dataclass(frozen=True, slots=True)
class Inside:
    """What there is in a namespace."""

    mac: str
    mtu: int
    is_up: bool
    addresses: frozenset[str]  # with their prefix lengths
    way_out: str = ""  # next hop to the world


@dataclass(frozen=True, slots=True)
class Link:
    """A device of the host."""

    mtu: int
    is_up: bool
    master: str = ""  # the bridge that it is in


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is of an agent."""

    links: Mapping[str, Link] = field(default_factory=dict)
    namespaces: Mapping[str, Inside | None] = field(default_factory=dict)  # None: there is no end of cables in it
    tunnels: Mapping[str, SeenTunnel] = field(default_factory=dict)


def commands(names: Names, network: Network, seen: Seen, endpoint: Endpoint) -> Iterator[Command]:
    """Yield what makes a network be as it shall be; `endpoint`: this host's own."""
    bridge, mtu = names.bridge(network.id), str(network.mtu)
    link = seen.links.get(bridge)
    if link is None:
        kind = ("type", "bridge", "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0")
        yield ("link", "add", bridge, "mtu", mtu, *kind, "nf_call_iptables", "1", "nf_call_ip6tables", "1")
    elif link.mtu != network.mtu:
        yield ("link", "set", bridge, "mtu", mtu)
    if link is None or not link.is_up:
        yield ("link", "set", bridge, "up")
    if network.dhcp_mac:
        yield from _served(names, network, seen)
    else:
        yield from _unserved(names, network.id, seen)
    if network.tunnel is not None:
        yield from _tunnelled(names, network, network.tunnel, seen, endpoint)


def _tunnelled(names: Names, network: Network, tunnel: Tunnel, seen: Seen, endpoint: Endpoint) -> Iterator[Command]:
    device, bridge, mtu = names.tunnel(network.id), names.bridge(network.id), str(network.mtu)
    link = seen.links.get(device)
    if link is not None and not is_right(tunnel, endpoint, seen.tunnels.get(device)):
        yield ("link", "del", device)
        link = None
    if link is None:
        kind = ("type", "vxlan", "id", str(tunnel.vni), "local", endpoint.address, "dstport", str(endpoint.port))
        yield ("link", "add", device, "mtu", mtu, *kind, "nolearning")
    elif link.mtu != network.mtu:
        yield ("link", "set", device, "mtu", mtu)
    if link is None or link.master != bridge or not link.is_up:
        yield ("link", "set", device, "master", bridge, "up")


def _served(names: Names, network: Network, seen: Seen) -> Iterator[Command]:
    cable, space, mtu = names.cable(network.id), names.namespace(network.id), str(network.mtu)
    bridge = names.bridge(network.id)
    inside = seen.namespaces.get(space)
    within = ("-n", space)
    if space not in seen.namespaces:
        yield ("netns", "add", space)
        yield (*within, "link", "set", "lo", "up")
    link = seen.links.get(cable)
    if link is None or inside is None or inside.mac != network.dhcp_mac:
        if link is not None:
            yield ("link", "del", cable)
        end = ("peer", "name", INSIDE, "address", network.dhcp_mac, "mtu", mtu, "netns", space)
        yield ("link", "add", cable, "mtu", mtu, "type", "veth", *end)
        link, inside = None, Inside(network.dhcp_mac, network.mtu, False, frozenset())
    if link is not None and link.mtu != network.mtu:
        yield ("link", "set", cable, "mtu", mtu)
    if inside.mtu != network.mtu:
        yield (*within, "link", "set", INSIDE, "mtu", mtu)
    if link is None or link.master != bridge or not link.is_up:
        yield ("link", "set", cable, "master", bridge, "up")
    if not inside.is_up:
        yield (*within, "link", "set", INSIDE, "up")
    wanted = {METADATA_ADDRESS, *network.dhcp_addresses}
    for address in sorted(inside.addresses - wanted):
        yield (*within, "address", "del", address, "dev", INSIDE)
    for address in sorted(wanted - inside.addresses):
        extra = ("nodad",) if ":" in address else ()  # every host has it
        yield (*within, "address", "add", address, "dev", INSIDE, *extra)
    if network.way_out and network.way_out != inside.way_out:
        yield (*within, "route", "replace", "default", "via", network.way_out, "dev", INSIDE)
    elif inside.way_out and not network.way_out:
        yield (*within, "route", "del", "default")


def leftovers(names: Names, wanted: Mapping[str, Network], seen: Seen) -> Iterator[Command]:
    """Yield what takes away what no network has any more."""
    spaces = {names.namespace(each) for each in wanted}
    cables = {names.cable(each) for each in wanted}
    tunnels = {names.tunnel(each.id) for each in wanted.values() if each.tunnel is not None}
    bridges = {names.bridge(each) for each in wanted}
    for name in sorted(seen.links):
        if name.startswith((f"{names.mark}v", f"{names.mark}x")) and name not in cables | tunnels:
            yield ("link", "del", name)
    for space in sorted(seen.namespaces):
        if space not in spaces:
            yield ("netns", "del", space)
    used = {link.master for name, link in seen.links.items() if name.startswith(f"{names.mark}t")}
    for name in sorted(seen.links):
        if name.startswith(f"{names.mark}b") and name not in bridges and name not in used:
            yield ("link", "del", name)


def _unserved(names: Names, network_id: str, seen: Seen) -> Iterator[Command]:
    if names.cable(network_id) in seen.links:
        yield ("link", "del", names.cable(network_id))
    if names.namespace(network_id) in seen.namespaces:
        yield ("netns", "del", names.namespace(network_id))
