"""Networks: their rows, and what may be done to them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, or_, select

from cluster.controlplane.database import refusing_duplicates
from compute.network import quotas, tunnels
from compute.network.attributes import FLOATING_IP, NETWORK, PORT, SUBNET
from compute.network.errors import (
    ExternalNetworkInUse,
    InvalidInput,
    InvalidSharedSetting,
    NetworkInUse,
    TunnelIdInUse,
)
from compute.network.schema import allocations, floating_ips, networks, ports, routers, subnets
from compute.network.settings import Settings
from compute.network.work import AnyRow, Work, standard_of, tags_of

VXLAN = "vxlan"  # guests reach each other, wherever they are
LOCAL = "local"  # those of one host do
DHCP_OWNER = "network:dhcp"  # of ports of the service's own
ACTIVE, DOWN = "ACTIVE", "DOWN"
_PROVIDER = ("network_type", "physical_network", "segmentation_id")
_SMALLEST_MTU = 68  # RFC 791


def create(work: Work, attributes: Mapping[str, Any]) -> str:
    """Make a network, and return its id. Raise OverQuota, InvalidInput, TunnelIdInUse."""
    quotas.require(work, attributes["project_id"], NETWORK.name)
    values = _values(work.settings, attributes)
    provided = _provided(work, values)
    with refusing_duplicates(TunnelIdInUse(tunnel_id=provided["segmentation_id"])):
        return work.add(NETWORK, {**values, **provided})


def update(work: Work, row: AnyRow, attributes: Mapping[str, Any]) -> None:
    """Change a network. Raise InvalidSharedSetting, ExternalNetworkInUse, InvalidInput."""
    if row.shared and attributes.get("shared") is False:
        strange = select(func.count()).where(
            ports.c.network_id == row.id, ports.c.project_id != row.project_id, ports.c.device_owner != DHCP_OWNER
        )
        if work.connection.scalar(strange):
            raise InvalidSharedSetting(network=row.id)
    if row.external and attributes.get("router:external") is False and _is_way_out(work.connection, row.id):
        raise ExternalNetworkInUse(net_id=row.id)
    work.revise(NETWORK, row.id, _values(work.settings, attributes))


def remove(work: Work, row: AnyRow) -> None:
    """Delete a network with its subnets, and floating addresses that lead nowhere. Raise NetworkInUse."""
    unused = (floating_ips.c.floating_network_id == row.id) & floating_ips.c.port_id.is_(None)
    for floating in work.connection.execute(select(floating_ips).where(unused)).all():
        work.remove(FLOATING_IP, floating.id)
        work.remove(PORT, floating.floating_port_id)
    used = select(ports.c.id).where(ports.c.network_id == row.id, ports.c.device_owner != DHCP_OWNER)
    if found := work.connection.scalars(used.order_by(ports.c.id).limit(10)).all():
        raise NetworkInUse(id=row.id, ports=", ".join(found))
    work.connection.execute(delete(allocations).where(allocations.c.network_id == row.id))
    for noun in (PORT, SUBNET):
        owned = select(noun.table.c.id).where(noun.table.c.network_id == row.id)
        for identifier in work.connection.scalars(owned).all():
            work.remove(noun, identifier)
    work.remove(NETWORK, row.id)


def seen_by(project_id: str | None) -> "ColumnElement[bool]":
    """Return the condition of networks that a project sees."""
    return or_(networks.c.project_id == project_id, networks.c.shared, networks.c.external)


def documents(connection: Connection, settings: Settings, rows: Sequence[AnyRow]) -> list[dict[str, Any]]:
    """Return networks as documents, with all that they have."""
    ids = [row.id for row in rows]
    owned: dict[str, list[str]] = {each: [] for each in ids}
    query = select(subnets.c.network_id, subnets.c.id).order_by(subnets.c.created_at_us, subnets.c.id)
    if len(ids) < 100:  # else all are read: there are not many more than networks
        query = query.where(subnets.c.network_id.in_(ids))
    for network_id, subnet_id in connection.execute(query):
        if network_id in owned:
            owned[network_id].append(subnet_id)
    marked = tags_of(connection, ids)
    return [_document(settings, row, owned[row.id], marked[row.id]) for row in rows]


def _document(settings: Settings, row: AnyRow, subnet_ids: list[str], marks: list[str]) -> dict[str, Any]:
    return {
        **standard_of(row),
        "name": row.name,
        "admin_state_up": row.admin_state_up,
        "status": ACTIVE,
        "subnets": subnet_ids,
        "shared": row.shared,
        "router:external": row.external,
        "is_default": row.is_default,
        "availability_zones": [settings.availability_zone],
        "availability_zone_hints": [],
        "port_security_enabled": row.port_security_enabled,
        "mtu": row.mtu,
        "dns_domain": row.dns_domain,
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
        "l2_adjacency": True,
        **{f"provider:{name}": getattr(row, name) for name in _PROVIDER},
        "tags": marks,
    }


def _is_way_out(connection: Connection, network_id: str) -> bool:
    """Tell whether routers or floating addresses have something of a network."""
    of_routers = routers.join(ports, ports.c.id == routers.c.gateway_port_id)
    gateways = select(routers.c.id).select_from(of_routers).where(ports.c.network_id == network_id)
    floating = select(floating_ips.c.id).where(floating_ips.c.floating_network_id == network_id)
    return any(connection.scalar(query.limit(1)) is not None for query in (gateways, floating))


def _provided(work: Work, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a new network is made on hosts' wires, where it was said, or was not."""
    kind, vni = values.get("network_type") or VXLAN, values.get("segmentation_id")
    if kind not in (VXLAN, LOCAL):
        raise InvalidInput(error_message=f"Network type {kind} is not supported; {VXLAN} and {LOCAL} are")
    if values.get("physical_network") is not None:
        raise InvalidInput(error_message=f"networks of type {kind} have no physical network")
    if kind == LOCAL and vni is not None:
        raise InvalidInput(error_message=f"networks of type {LOCAL} have no segmentation id")
    if vni is not None:
        tunnels.require_free(work, vni)
    elif kind == VXLAN:
        vni = tunnels.new_vni(work)
    return {"network_type": kind, "physical_network": None, "segmentation_id": vni}


def _values(settings: Settings, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns of attributes."""
    found = {NETWORK.columns.get(name, name): value for name, value in attributes.items()}
    zones = found.pop("availability_zone_hints", ())
    if set(zones) - {settings.availability_zone}:
        raise InvalidInput(error_message=f"AvailabilityZone {', '.join(zones)} could not be found")
    if "mtu" in found:
        found["mtu"] = found["mtu"] or settings.mtu
        if not _SMALLEST_MTU <= found["mtu"] <= settings.mtu:
            raise InvalidInput(error_message=f"Requested MTU is out of range: at most {settings.mtu} bytes fit")
    return found
