"""What a host shall have, as the network service tells it (`compute.network.hosts`): values. Pure.

Texts of it become files and rules that root's tools read, so each is looked at here once more: what is no id, address
or name of the form that it must have is not taken.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_DOMAIN = re.compile(r"[A-Za-z0-9.-]{1,255}")
_OPTION = re.compile(r"[A-Za-z0-9_-]{1,64}")
BEYOND = "169.254.128.1"  # who is beyond a way out, where the external network says nothing of it
_MODES = ("", "slaac", "dhcpv6-stateful", "dhcpv6-stateless")


@dataclass(frozen=True, slots=True)
class Subnet:
    """Addresses of a network that are given out by DHCP."""

    id: str
    ip_version: int
    cidr: str
    gateway_ip: str | None
    nameservers: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()  # destination, next hop
    mode: str = ""  # of IPv6: slaac, dhcpv6-stateful, dhcpv6-stateless


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a host is sent guests' packets by the others: UDP."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Peer:
    """Another host with ports of a network."""

    endpoint: Endpoint
    cards: tuple[tuple[str, tuple[str, ...]], ...]  # MAC, and its addresses


@dataclass(frozen=True, slots=True)
class Tunnel:
    """How a network goes on at other hosts."""

    vni: int  # VXLAN network identifier
    peers: tuple[Peer, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """A network with ports on this host."""

    id: str
    mtu: int
    domain: str
    dhcp_mac: str = ""  # empty: there is no DHCP
    dhcp_addresses: tuple[str, ...] = ()  # with their prefix lengths
    subnets: tuple[Subnet, ...] = ()
    tunnel: Tunnel | None = None  # None: all of it is here
    way_out: str = ""  # address of the router by which the world is reached; empty: it is not


@dataclass(frozen=True, slots=True)
class Interface:
    """What a router has in a network."""

    id: str  # of its port
    network_id: str
    mac: str
    addresses: tuple[str, ...]  # with their prefix lengths; of IPv4


@dataclass(frozen=True, slots=True)
class Gateway:
    """A router's way out."""

    beyond: str  # address of the host, as the router sees it
    has_snat: bool  # also guests without a floating address have it


@dataclass(frozen=True, slots=True)
class Router:
    """What joins networks: the same on each host that has ports of one of them."""

    id: str
    interfaces: tuple[Interface, ...] = ()
    gateway: Gateway | None = None
    floating: tuple[tuple[str, str], ...] = ()  # address, and the fixed one of a port of this host


@dataclass(frozen=True, slots=True)
class Port:
    """A card on this host."""

    id: str
    network_id: str
    mac: str
    addresses: tuple[str, ...] = ()
    is_up: bool = True
    is_secure: bool = True  # it sends only from its own addresses, and groups filter it
    groups: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()  # MAC and address or prefix that it may send from, too
    options: tuple[tuple[int, str, str], ...] = ()  # IP version, name or number, value


@dataclass(frozen=True, slots=True)
class Rule:
    """What a security group lets in (or out)."""

    is_ingress: bool
    ip_version: int
    protocol: int | None = None
    first: int | None = None  # port, or type of ICMP
    last: int | None = None  # port, or code of ICMP
    prefix: str | None = None  # of who is at the other end
    group: str | None = None  # whose member that is


@dataclass(frozen=True, slots=True)
class Wanted:
    """All of it."""

    networks: Mapping[str, Network] = field(default_factory=dict)
    ports: Mapping[str, Port] = field(default_factory=dict)
    groups: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # addresses, by group
    routers: Mapping[str, Router] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()  # addresses of all of the cluster

    def ports_of(self, network_id: str) -> list[Port]:
        """Return the ports of a network, in the order of their ids."""
        return sorted((each for each in self.ports.values() if each.network_id == network_id), key=lambda each: each.id)


def wanted_of(document: Mapping[str, Any]) -> Wanted:
    """Return what a document says. Raise ValueError."""
    try:
        routers = [_router(each) for each in document.get("routers", ())]  # an older version's kept answer has none
        networks = [_with_way_out(_network(each), routers) for each in document["networks"]]
        return Wanted(
            {each.id: each for each in networks},
            {each["id"]: _port(each) for each in document["ports"]},
            {_like(_ID, group): tuple(map(_rule, rules)) for group, rules in document["groups"].items()},
            {_like(_ID, group): _prefixes(addresses) for group, addresses in document["members"].items()},
            {each.id: each for each in routers},
            _addresses(document.get("hosts", ())),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"what the network service says is not understood: {error!r}") from None


def _network(document: Mapping[str, Any]) -> Network:
    dhcp = document["dhcp"]
    return Network(
        _like(_ID, document["id"]),
        int(document["mtu"]),
        _like(_DOMAIN, document["dns_domain"]),
        _like(_MAC, dhcp["mac"]) if dhcp else "",
        tuple(str(ipaddress.ip_interface(each)) for each in dhcp["addresses"]) if dhcp else (),
        tuple(map(_subnet, document["subnets"])),
        _tunnel(document["tunnel"]) if document.get("tunnel") else None,  # an older version's kept answer has none
    )


def _router(document: Mapping[str, Any]) -> Router:
    gateway = document["gateway"]
    interfaces = (
        Interface(
            _like(_ID, each["id"]),
            _like(_ID, each["network_id"]),
            _like(_MAC, each["mac"]),
            tuple(str(ipaddress.IPv4Interface(address)) for address in each["addresses"]),
        )
        for each in document["interfaces"]
    )
    return Router(
        _like(_ID, document["id"]),
        tuple(interfaces),
        Gateway(str(ipaddress.IPv4Address(gateway["address"] or BEYOND)), bool(gateway["snat"])) if gateway else None,
        tuple((str(ipaddress.IPv4Address(out)), str(ipaddress.IPv4Address(own))) for out, own in document["floating"]),
    )


def _with_way_out(network: Network, routers: Iterable[Router]) -> Network:
    """Return a network that knows by which of its gateways the world is reached, if by any."""
    out = {
        address.partition("/")[0]
        for router in routers
        for interface in router.interfaces
        for address in interface.addresses
        if router.gateway is not None and interface.network_id == network.id
    }
    found = (subnet.gateway_ip for subnet in network.subnets if subnet.gateway_ip in out)
    return replace(network, way_out=next(found, None) or "")


def _tunnel(document: Mapping[str, Any]) -> Tunnel:
    peers = (
        Peer(
            Endpoint(str(ipaddress.ip_address(each["address"])), int(each["port"])),
            tuple((_like(_MAC, card["mac"]), _addresses(card["addresses"])) for card in each["cards"]),
        )
        for each in document["peers"]
    )
    return Tunnel(int(document["vni"]), tuple(peers))


def _subnet(document: Mapping[str, Any]) -> Subnet:
    if document["mode"] not in _MODES:
        raise ValueError(f"what the network service says is not understood: {document['mode']!r}")
    return Subnet(
        _like(_ID, document["id"]),
        int(document["ip_version"]),
        str(ipaddress.ip_network(document["cidr"])),
        None if document["gateway_ip"] is None else str(ipaddress.ip_address(document["gateway_ip"])),
        _addresses(document["dns_nameservers"]),
        tuple(
            (str(ipaddress.ip_network(each["destination"])), str(ipaddress.ip_address(each["nexthop"])))
            for each in document["host_routes"]
        ),
        document["mode"],
    )


def _port(document: Mapping[str, Any]) -> Port:
    return Port(
        _like(_ID, document["id"]),
        _like(_ID, document["network_id"]),
        _like(_MAC, document["mac"]),
        _addresses(document["addresses"]),
        bool(document["up"]),
        bool(document["secure"]),
        tuple(_like(_ID, group) for group in document["groups"]),
        tuple((_like(_MAC, mac), _prefixes([address])[0]) for mac, address in document["pairs"]),
        tuple((int(version), _like(_OPTION, name), _line(value)) for version, name, value in document["options"]),
    )


def _rule(document: Mapping[str, Any]) -> Rule:
    numbers = (document[name] for name in ("protocol", "first", "last"))
    protocol, first, last = (None if each is None else int(each) for each in numbers)
    return Rule(
        document["direction"] == "ingress",
        4 if document["ethertype"] == "IPv4" else 6,
        protocol,
        first,
        last,
        None if document["prefix"] is None else str(ipaddress.ip_network(document["prefix"])),
        None if document["group"] is None else _like(_ID, document["group"]),
    )


def _like(pattern: re.Pattern[str], value: str) -> str:
    if not pattern.fullmatch(value):
        raise ValueError(f"what the network service says is not understood: {value!r}")
    return value


def _line(value: str) -> str:
    if not value.isprintable():
        raise ValueError(f"what the network service says is not understood: {value!r}")
    return value


def _addresses(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_address(each)) for each in values)


def _prefixes(values: Iterable[str]) -> tuple[str, ...]:
    """Return prefixes; single addresses stay such."""
    return tuple(
        str(ipaddress.ip_network(each, strict=False) if "/" in each else ipaddress.ip_address(each)) for each in values
    )
