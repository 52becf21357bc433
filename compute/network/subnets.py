"""Subnets: their rows, and what may be done to them. With DHCP come addresses of the service's own port."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, select

from compute.network import addresses, allocation, dhcp_ports, networks, quotas
from compute.network.addresses import Pool
from compute.network.attributes import NETWORK, SUBNET
from compute.network.errors import (
    DNSNameServersExhausted,
    GatewayConflictWithAllocationPools,
    GatewayIpInUse,
    HostRoutesExhausted,
    HTTPBadRequest,
    InvalidInput,
    SubnetInUse,
)
from compute.network.schema import allocations, ports, router_ports, subnets
from compute.network.schema import networks as networks_table
from compute.network.settings import Settings
from compute.network.work import AnyRow, Work, standard_of, tags_of

_NOT_KEPT = ("subnetpool_id", "prefixlen")


def create(work: Work, attributes: Mapping[str, Any]) -> str:
    """Make a subnet, and return its id. Raise what says why it cannot be."""
    if attributes.get("subnetpool_id") is not None or attributes.get("prefixlen") is not None:
        raise HTTPBadRequest(why="Invalid input for subnetpool_id. Reason: there are no subnet pools here.")
    network = work.find(NETWORK, attributes["network_id"])
    quotas.require(work, attributes["project_id"], SUBNET.name)
    cidr, version = attributes["cidr"], attributes["ip_version"]
    if addresses.network_of(cidr).version != version:
        raise InvalidInput(error_message=f"cidr {cidr} is not of IP version {version}")
    _require_modes(attributes)
    for other in work.connection.execute(select(subnets).where(subnets.c.network_id == network.id)):
        if addresses.overlap(cidr, other.cidr):
            raise InvalidInput(
                error_message=f"Requested subnet with cidr: {cidr} for network: {network.id} "
                "overlaps with another subnet"
            )
    gateway = attributes["gateway_ip"] if "gateway_ip" in attributes else addresses.first_of(cidr)
    _require_gateway(gateway, cidr)
    pools = attributes.get("allocation_pools") or addresses.default_pools(cidr, gateway)
    addresses.require_pools(pools, cidr, gateway)
    _require_lists(work.settings, attributes, version)
    made = {name: value for name, value in attributes.items() if name not in _NOT_KEPT}
    made |= {name: list(made[name]) for name in ("dns_nameservers", "host_routes", "service_types")}
    subnet_id = work.add(SUBNET, {**made, "gateway_ip": gateway, "allocation_pools": list(pools)})
    work.revise(NETWORK, network.id)
    _serve_cards(work, work.find(SUBNET, subnet_id))
    dhcp_ports.bring(work, network)
    return subnet_id


def update(work: Work, row: AnyRow, attributes: Mapping[str, Any]) -> None:
    """Change a subnet. Raise what says why it cannot be."""
    gateway = attributes.get("gateway_ip", row.gateway_ip)
    pools: Sequence[Pool] = attributes.get("allocation_pools", row.allocation_pools)
    _require_gateway(gateway, row.cidr)
    if "allocation_pools" in attributes:
        addresses.require_pools(pools, row.cidr, gateway)
    elif gateway is not None and addresses.in_pools(gateway, pools):
        raise GatewayConflictWithAllocationPools(ip_address=gateway, pool=row.cidr)
    if gateway != row.gateway_ip and gateway is not None and _is_taken(work.connection, row, gateway):
        raise InvalidInput(error_message=f"Gateway ip {gateway} is in use by a port")
    if gateway != row.gateway_ip:
        _require_unrouted(work.connection, row)
    _require_lists(work.settings, attributes, row.ip_version)
    work.revise(SUBNET, row.id, attributes)
    work.revise(NETWORK, row.network_id)
    dhcp_ports.bring(work, work.find(NETWORK, row.network_id))


def remove(work: Work, row: AnyRow) -> None:
    """Delete a subnet; cards that gave themselves an address in it lose it. Raise SubnetInUse."""
    own = select(ports.c.id).where(ports.c.device_owner == networks.DHCP_OWNER)
    held = allocations.c.subnet_id == row.id
    if not allocation.is_self_made(row):
        used = select(allocations.c.port_id).where(held, allocations.c.port_id.not_in(own)).limit(1)
        if work.connection.scalar(used) is not None:
            raise SubnetInUse(id=row.id)
    work.connection.execute(delete(allocations).where(held))
    work.remove(SUBNET, row.id)
    work.revise(NETWORK, row.network_id)
    dhcp_ports.bring(work, work.find(NETWORK, row.network_id))


def seen_by(project_id: str | None) -> "ColumnElement[bool]":
    """Return the condition of subnets that a project sees."""
    is_for_all = networks_table.c.shared | networks_table.c.external
    of_seen = exists().where(networks_table.c.id == subnets.c.network_id, is_for_all)
    return (subnets.c.project_id == project_id) | of_seen


def documents(connection: Connection, _settings: Settings, rows: Sequence[AnyRow]) -> list[dict[str, Any]]:
    """Return subnets as documents, with all that they have."""
    marked = tags_of(connection, [row.id for row in rows])
    return [_document(row, marked[row.id]) for row in rows]


def _document(row: AnyRow, marks: list[str]) -> dict[str, Any]:
    return {
        **standard_of(row),
        "name": row.name,
        "network_id": row.network_id,
        "ip_version": row.ip_version,
        "cidr": row.cidr,
        "subnetpool_id": None,
        "gateway_ip": row.gateway_ip,
        "allocation_pools": row.allocation_pools,
        "dns_nameservers": row.dns_nameservers,
        "host_routes": row.host_routes,
        "enable_dhcp": row.enable_dhcp,
        "ipv6_ra_mode": row.ipv6_ra_mode,
        "ipv6_address_mode": row.ipv6_address_mode,
        "service_types": row.service_types,
        "tags": marks,
    }


def _require_gateway(gateway: str | None, cidr: str) -> None:
    if gateway is not None and not addresses.is_usable(gateway, cidr):
        raise InvalidInput(error_message=f"Gateway is not valid on subnet: {gateway} is no address of {cidr}")


def _require_modes(attributes: Mapping[str, Any]) -> None:
    """Raise unless modes of IPv6 go together."""
    modes = attributes["ipv6_ra_mode"], attributes["ipv6_address_mode"]
    if modes == (None, None):
        return
    if attributes["ip_version"] == 4:
        raise InvalidInput(error_message="ipv6_ra_mode or ipv6_address_mode cannot be set when ip_version is not 6")
    if not attributes["enable_dhcp"]:
        raise InvalidInput(
            error_message="ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False"
        )
    if None not in modes and modes[0] != modes[1]:
        raise InvalidInput(
            error_message=f"ipv6_ra_mode set to '{modes[0]}' with ipv6_address_mode set to '{modes[1]}' is not valid. "
            "If both attributes are set, they must be the same value"
        )
    if modes[1] in ("slaac", "dhcpv6-stateless") and addresses.network_of(attributes["cidr"]).prefixlen != 64:
        raise InvalidInput(
            error_message=f"Invalid CIDR {attributes['cidr']} for IPv6 address mode. OpenStack uses the EUI-64 address "
            "format, which requires the prefix to be /64"
        )


def _require_lists(settings: Settings, attributes: Mapping[str, Any], version: int) -> None:
    if len(attributes.get("dns_nameservers", ())) > settings.nameservers_most:
        raise DNSNameServersExhausted(subnet="subnet", limit=settings.nameservers_most)
    if len(attributes.get("host_routes", ())) > settings.routes_most:
        raise HostRoutesExhausted(subnet="subnet", limit=settings.routes_most)
    for each in attributes.get("host_routes", ()):
        if {addresses.network_of(each["destination"]).version, addresses.version_of(each["nexthop"])} != {version}:
            raise InvalidInput(error_message=f"host route {each} is not of IP version {version}")
    for each in attributes.get("dns_nameservers", ()):
        if addresses.version_of(each) != version:
            raise InvalidInput(error_message=f"name server {each} is not of IP version {version}")


def _is_taken(connection: Connection, row: AnyRow, address: str) -> bool:
    query = select(allocations.c.port_id).where(
        allocations.c.network_id == row.network_id, allocations.c.ip_address == address
    )
    return connection.scalar(query) is not None


def _require_unrouted(connection: Connection, row: AnyRow) -> None:
    """Raise GatewayIpInUse where a router has a subnet's gateway."""
    joined = allocations.join(router_ports, router_ports.c.port_id == allocations.c.port_id)
    query = select(allocations.c.port_id).select_from(joined)
    is_gateway = (allocations.c.subnet_id == row.id) & (allocations.c.ip_address == row.gateway_ip)
    if port_id := connection.scalar(query.where(is_gateway)):
        raise GatewayIpInUse(ip_address=row.gateway_ip, port_id=port_id)


def _serve_cards(work: Work, subnet: AnyRow) -> None:
    """Have the cards that are there already have addresses in a subnet where they give themselves one."""
    if not allocation.is_self_made(subnet):
        return
    query = select(ports).where(ports.c.network_id == subnet.network_id, ports.c.device_owner != networks.DHCP_OWNER)
    for port in work.connection.execute(query).all():
        owner = allocation.Owner(port.network_id, port.id, port.mac_address, port.device_owner)
        allocation.give(work, owner, [{"subnet_id": subnet.id}])
