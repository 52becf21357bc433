"""How guests leave a host, and are reached by floating addresses: the host's own routes and rules. Pure.

    router's namespace, gateway 169.254.64.x ---- hf1a2bg…, the external network's gateway address, host --- the world

The host routes, and puts its own address in front of all that leaves it: nothing is asked of the network it is in. To
each floating address of a guest here it has a route; so they are reached from this host, and from wherever somebody
has told the way to it.

Guests leave for the world, which is what the host's default route leads to. They do not reach

- the host itself: all that comes from ways out, and is not an answer, is dropped, but for questions to name servers of
  the host's own;
- private and link-local addresses, and all networks that the host has routes to, unless the operator allows it: there
  are the cluster's daemons, and whatever trusts this host's address; likewise the other hosts, wherever they are;
- tunnels of any host: these believe what comes from a host's address.

They may have an address of their router's, or floating ones, and no others. What comes from elsewhere is let pass to
floating addresses alone; security groups judge it then.

Where the host forwards nothing of its own (`net.ipv4.ip_forward` is 0) it is made to forward only between ways out and
the devices to the world; what comes from these for anybody else is dropped, as it was before.
"""

import ipaddress
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from compute.agent.wiring.names import Names
from compute.agent.wiring.tunnels import FIRST_PORT
from compute.agent.wiring.wanted import Router, Wanted

_FIRST, _COUNT = int(ipaddress.IPv4Address("169.254.64.0")), 1 << 14  # of a block that only such links have
_LEAVES = 0x20000000  # bit of a packet's mark
_OTHERS = "hf*"  # devices of all agents of this machine
TUNNEL_PORTS = f"{FIRST_PORT}-{FIRST_PORT + 15}"  # of all agents that a host may have
PRIVATE = ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")

Route = tuple[str, str, str, str]  # device, destination, next hop (empty: the device's other end), own address


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the host has beside."""

    devices: tuple[str, ...] = ()  # to the world
    near: tuple[str, ...] = ()  # prefixes that it has routes to, of others than us
    resolvers: tuple[str, ...] = ()  # name servers that guests may ask
    forwards: bool = False  # all that comes, for reasons of its own
    allowed: tuple[str, ...] = ()  # prefixes that guests may reach although they are near, or private


def link_addresses(names: Names, router_ids: Iterable[str]) -> dict[str, str]:
    """Return each router's address on its way out: the same as long as no other one comes that would have it, too."""
    found: dict[str, int] = {}
    for router_id in sorted(router_ids):
        number = zlib.crc32(f"{names.mark} {router_id}".encode()) % _COUNT
        while number in found.values():
            number = (number + 1) % _COUNT
        found[router_id] = number
    return {router_id: str(ipaddress.IPv4Address(_FIRST + number)) for router_id, number in found.items()}


def leading_out(wanted: Wanted) -> list[Router]:
    """Return the routers that have a way out, in the order of their ids."""
    return [router for _id, router in sorted(wanted.routers.items()) if router.gateway is not None]


def routes(names: Names, wanted: Wanted) -> frozenset[Route]:
    """Return the host's routes to routers, and by them to floating addresses."""
    own, found = link_addresses(names, wanted.routers), set[Route]()
    for router in leading_out(wanted):
        assert router.gateway is not None
        device, beyond = names.way_out(router.id), router.gateway.beyond
        found.add((device, own[router.id], "", beyond))
        found |= {(device, floating, own[router.id], beyond) for floating, _fixed in router.floating}
    return frozenset(found)


def ruleset(names: Names, wanted: Wanted, around: Surroundings) -> str:
    """Return what replaces all rules about ways out, at once."""
    routers = leading_out(wanted)
    body = _chains(names, wanted, routers, around) if routers else ()
    return "\n".join((*_gone(names), f"table ip {names.mark} {{", *body, "}", ""))


def removal(names: Names) -> str:
    """Return what takes these rules away."""
    return "\n".join((*_gone(names), ""))


def _gone(names: Names) -> tuple[str, str]:
    return f"table ip {names.mark} {{ }}", f"delete table ip {names.mark}"  # the first: it may not be there


def _chains(names: Names, wanted: Wanted, routers: Sequence[Router], around: Surroundings) -> Iterator[str]:
    own, ways = link_addresses(names, wanted.routers), names.ways_out
    floating = [address for router in routers for address, _fixed in router.floating]
    senders = [
        f'"{names.way_out(router.id)}" . {address}'
        for router in routers
        for address in (own[router.id], *(floating for floating, _fixed in router.floating))
    ]
    yield from _chain(
        "prerouting",
        "type filter hook prerouting priority -150; policy accept;",
        f'iifname != "{ways}" accept',
        f"iifname . ip saddr != {{ {', '.join(senders)} }} drop",
        f"meta mark set meta mark or {_LEAVES:#x}",
    )
    hosts = [address for address in wanted.hosts if ":" not in address]
    asked = f"ip daddr {{ {', '.join(around.resolvers)} }} meta l4proto {{ 6, 17 }} th dport 53 accept"
    questions = [asked] if around.resolvers else []
    yield from _chain(
        "input",
        "type filter hook input priority 0; policy accept;",
        f'iifname != "{ways}" accept',
        "ct state established,related accept",
        *questions,
        "drop",
    )
    yield from _chain(
        "forward",
        "type filter hook forward priority 0; policy accept;",
        f'iifname "{ways}" goto leaving',
        f'oifname "{ways}" goto coming',
        *(
            f'iifname "{device}" oifname != "{device}" oifname != "{_OTHERS}" drop'
            for device in (() if around.forwards else around.devices)
        ),
    )
    yield from _chain(
        "leaving",
        "ct state established,related accept",
        f'oifname "{ways}" goto coming',
        f'oifname "{_OTHERS}" accept',  # another agent of this machine, which looks at it itself
        *questions,
        f"udp dport {TUNNEL_PORTS} drop",
        *(f"ip daddr {{ {_set(around.allowed)} }} accept" for _once in around.allowed[:1]),
        f"ip daddr {{ {_set((*PRIVATE, *around.near, *hosts))} }} drop",
        "accept",
    )
    yield from _chain(
        "coming",
        "ct state established,related accept",
        *(f"ip daddr {{ {', '.join(floating)} }} accept" for _once in floating[:1]),
        "drop",
    )
    yield from _chain(
        "postrouting",
        "type nat hook postrouting priority 100; policy accept;",
        f"meta mark and {_LEAVES:#x} == 0 accept",
        *(f'oifname "{ways}" ip saddr {{ {", ".join(floating)} }} accept' for _once in floating[:1]),
        "masquerade",
    )


def _chain(name: str, *lines: str) -> Iterator[str]:
    yield f"  chain {name} {{"
    yield from (f"    {line}" for line in lines)
    yield "  }"


def _set(prefixes: Iterable[str]) -> str:
    """Return prefixes, of which none may be in another."""
    return ", ".join(map(str, ipaddress.collapse_addresses(map(ipaddress.IPv4Network, prefixes))))
