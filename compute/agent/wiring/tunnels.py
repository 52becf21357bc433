"""How networks reach from host to host: VXLAN (RFC 7348), with a list of who is where. Pure.

Each network that has ports on several hosts is one device on each, in its bridge. Nothing is learned from what comes
in, and no group of multicast is needed: where each MAC is, the network service knows. What is for a known MAC goes to
its host alone; broadcast, and what no port is known for (allowed pairs, ports without port security), to each of the
hosts that have ports of the network, once.

DHCP and the metadata never pass: each host serves its own guests, from the same addresses (`filters`). Agents of one
machine have ports of their own, so that they reach each other like hosts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from compute.agent.wiring.names import Names
from compute.agent.wiring.wanted import Endpoint, Network, Tunnel

FIRST_PORT = 4789  # RFC 7348, section 5
ALL = "00:00:00:00:00:00"  # the entries for all that no other one is for

Entry = tuple[str, Endpoint]  # MAC, and the host where it is


@dataclass(frozen=True, slots=True)
class SeenTunnel:
    """A tunnel as it is."""

    vni: int
    endpoint: Endpoint
    entries: frozenset[Entry]


def is_right(tunnel: Tunnel, endpoint: Endpoint, seen: SeenTunnel | None) -> bool:
    """Tell whether a device need not be made anew."""
    return seen is not None and (seen.vni, seen.endpoint) == (tunnel.vni, endpoint)


def entries(tunnel: Tunnel) -> frozenset[Entry]:
    """Return what a device shall know."""
    known = ((mac, peer.endpoint) for peer in tunnel.peers for mac in (ALL, *(mac for mac, _addresses in peer.cards)))
    return frozenset(known)


def changes(names: Names, network: Network, seen: Mapping[str, SeenTunnel], endpoint: Endpoint) -> Iterator[str]:
    """Yield the lines of a batch of `bridge`, after which a network's device knows what it shall."""
    if network.tunnel is None:
        return
    device = names.tunnel(network.id)
    there = seen.get(device)
    found = there.entries if there is not None and is_right(network.tunnel, endpoint, there) else frozenset[Entry]()
    wanted = entries(network.tunnel)
    yield from (_line("del", device, entry) for entry in _sorted(found - wanted))  # one MAC may be at one host alone
    yield from (_line("append", device, entry) for entry in _sorted(wanted - found))


def _sorted(some: frozenset[Entry]) -> list[Entry]:
    return sorted(some, key=lambda entry: (entry[0], entry[1].address, entry[1].port))


def _line(verb: str, device: str, entry: Entry) -> str:
    mac, there = entry
    return f"fdb {verb} {mac} dev {device} dst {there.address} port {there.port} self permanent"
