"""What dnsmasq is told: it gives cards the addresses that they have, and no others. Pure: files come out.

One dnsmasq serves one network, within its namespace. Beside the address it tells of the gateway, name servers, routes
(option 121, which also leads to the metadata), the MTU, and what a port asks for in particular. In IPv6 it announces
the prefix (RA), never itself as a router, and gives addresses by DHCPv6 where the subnet is so. Names of the world it
asks the host's resolvers for, by the network's router, where that is a way out.
`hosts` and `options` and `names` are read anew on SIGHUP; when `config` changes, it must begin anew.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from compute.agent.wiring.filters import METADATA
from compute.agent.wiring.names import INSIDE
from compute.agent.wiring.wanted import Network, Port, Subnet

LEASE_S = 86_400
ROUTER_LIFETIME_S, ADVERTISED_S = 0, 60
_SELF_MADE = ("slaac", "dhcpv6-stateless")


@dataclass(frozen=True, slots=True)
class Files:
    """The texts of dnsmasq's files."""

    config: str
    hosts: str
    options: str
    names: str


def files(network: Network, ports: Sequence[Port], directory: Path, resolvers: Sequence[str] = ()) -> Files:
    """Return what serves the ports of a network; `directory`: where the files are; `resolvers`: of other names."""
    return Files(
        config=_text(_config(network, ports, directory, resolvers)),
        hosts=_text(_hosts(network, ports)),
        options=_text(_options(network, ports)),
        names=_text(_names(network, ports)),
    )


def option_argument(version: int, name: str, value: str, tag: str = "") -> str:
    """Return an option as dnsmasq takes it; with a tag, for those who have it."""
    prefix = "option6" if version == 6 else "option"
    kind = f"{prefix}:{name}" if version == 6 or not name.isdigit() else name
    return f"{f'tag:{tag},' if tag else ''}{kind},{value}"


def host_name(address: str) -> str:
    """Return the name of whoever has an address."""
    return "host-" + address.replace(".", "-").replace(":", "-")


def _config(network: Network, ports: Sequence[Port], directory: Path, resolvers: Sequence[str]) -> Iterator[str]:
    yield from (f"interface={INSIDE}", "bind-interfaces", "except-interface=lo")
    yield from ("no-hosts", "no-resolv", "no-ping", "leasefile-ro", "dhcp-authoritative", "quiet-dhcp", "quiet-dhcp6")
    yield f"domain={network.domain}"
    yield f"local=/{network.domain}/"
    if network.way_out:
        yield from (f"server={each}" for each in resolvers)
    yield f"pid-file={directory / 'pid'}"
    yield f"dhcp-hostsfile={directory / 'hosts'}"
    yield f"dhcp-optsfile={directory / 'options'}"
    yield f"addn-hosts={directory / 'names'}"
    yield f"dhcp-lease-max={max(1000, 2 * len(ports))}"
    served = [subnet for subnet in network.subnets if _server(network, subnet)]
    for subnet in served:
        yield f"dhcp-range=set:{_tag(subnet)},{_range(subnet)},{LEASE_S}s"
    if any(subnet.ip_version == 6 and subnet.mode for subnet in served):
        yield "enable-ra"
        yield f"ra-param={INSIDE},{ADVERTISED_S},{ROUTER_LIFETIME_S}"


def _range(subnet: Subnet) -> str:
    network = ipaddress.ip_network(subnet.cidr)
    if subnet.ip_version == 4:
        return f"{network.network_address},static,{network.netmask}"
    kind = {"slaac": "ra-only", "dhcpv6-stateless": "ra-stateless"}.get(subnet.mode, "static")
    return f"{network.network_address},{kind},{network.prefixlen}"


def _hosts(network: Network, ports: Sequence[Port]) -> Iterator[str]:
    for port in ports:
        given = [address for address in port.addresses if _is_given(network, address)]
        old = next((each for each in given if ":" not in each), None)
        new = next((each for each in given if ":" in each), None)
        said = [each for each in (old, f"[{new}]" if new else None) if each]
        if said:
            yield ",".join((port.mac, f"set:{_port_tag(port)}", host_name(old or new or ""), *said))
        elif port.addresses:  # it gives itself its address, and asks only for what else there is to know
            yield ",".join((port.mac, f"set:{_port_tag(port)}"))


def _options(network: Network, ports: Sequence[Port]) -> Iterator[str]:
    for subnet in network.subnets:
        server = _server(network, subnet)
        if server is not None:
            yield from _subnet_options(network, subnet, server)
    for port in ports:
        for version, name, value in port.options:
            yield option_argument(version, name, value, _port_tag(port))


def _subnet_options(network: Network, subnet: Subnet, server: str) -> Iterator[str]:
    tag = _tag(subnet)
    if subnet.ip_version == 6:
        servers = ",".join(f"[{each}]" for each in subnet.nameservers or (server,))
        yield option_argument(6, "dns-server", servers, tag)
        return
    yield option_argument(4, "dns-server", ",".join(subnet.nameservers or (server,)), tag)
    yield option_argument(4, "mtu", str(network.mtu), tag)
    routes = [(f"{METADATA}/32", server), *subnet.routes]
    if subnet.gateway_ip is None:
        yield f"tag:{tag},option:router"  # else dnsmasq tells of itself
    else:
        yield option_argument(4, "router", subnet.gateway_ip, tag)
        routes.append(("0.0.0.0/0", subnet.gateway_ip))  # who understands these routes does not look at the router
    yield option_argument(4, "classless-static-route", ",".join(part for route in routes for part in route), tag)


def _names(network: Network, ports: Sequence[Port]) -> Iterator[str]:
    peers = network.tunnel.peers if network.tunnel is not None else ()
    elsewhere = (addresses for peer in peers for _mac, addresses in peer.cards)
    for addresses in (*(port.addresses for port in ports), *elsewhere):
        for address in addresses:
            name = host_name(address)
            yield f"{address} {name}.{network.domain} {name}"


def _server(network: Network, subnet: Subnet) -> str | None:
    """Return the address that the server has in a subnet; None: it has none there."""
    within = ipaddress.ip_network(subnet.cidr)
    own = (ipaddress.ip_interface(each).ip for each in network.dhcp_addresses)
    return next((str(each) for each in own if each in within), None)


def _is_given(network: Network, address: str) -> bool:
    """Tell whether a card gets an address by asking for it."""
    found = ipaddress.ip_address(address)
    return any(
        found in ipaddress.ip_network(subnet.cidr) and subnet.mode not in _SELF_MADE for subnet in network.subnets
    )


def _tag(subnet: Subnet) -> str:
    return "s" + subnet.id.replace("-", "")


def _port_tag(port: Port) -> str:
    return "p" + port.id.replace("-", "")


def _text(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
