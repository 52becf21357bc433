"""Floating addresses: of an external network, each leading to one fixed address of a port, or to none for now.

The address is a port's of the service's own in the external network, so that nobody else has it. It leads through the
router that joins the port's subnet with that network.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from cluster.controlplane.database import refusing_duplicates
from compute.network import allocation, own_ports, quotas
from compute.network.addresses import version_of
from compute.network.attributes import FLOATING_IP, NETWORK, PORT, SUBNET
from compute.network.errors import (
    BadRequest,
    ExternalGatewayForFloatingIPNotFound,
    ExternalIpAddressExhausted,
    FloatingIPPortAlreadyAssociated,
)
from compute.network.networks import ACTIVE, DOWN
from compute.network.schema import allocations, floating_ips, ports, router_ports, routers, subnets
from compute.network.settings import Settings
from compute.network.work import AnyRow, Work, standard_of, tags_of

_NOWHERE: Mapping[str, Any] = {"port_id": None, "fixed_ip_address": None, "router_id": None, "status": DOWN}
_SHOWN = ("floating_network_id", "floating_ip_address", "port_id", "fixed_ip_address", "router_id", "status")


@dataclass(frozen=True, slots=True)
class _Target:
    """Where an address shall lead."""

    port: AnyRow
    fixed: str
    subnet_id: str


def create(work: Work, attributes: Mapping[str, Any]) -> str:
    """Make a floating address, and return its id. Raise what says why it cannot be."""
    quotas.require(work, attributes["project_id"], FLOATING_IP.name)
    network = work.find(NETWORK, attributes["floating_network_id"])
    if not network.external:
        raise _refused(f"Network {network.id} is not a valid external network.")
    query = select(subnets.c.id).where(subnets.c.network_id == network.id, subnets.c.ip_version == 4)
    own = work.connection.scalars(query.order_by(subnets.c.created_at_us, subnets.c.id)).all()
    if not own:
        raise _refused(f"Network {network.id} does not contain any IPv4 subnet.")
    asked = _asked(attributes)
    port_id = own_ports.make_with_addresses(work, network.id, own_ports.FLOATING, "", asked)
    held = allocation.of_ports(work.connection, [port_id])[port_id]
    given = [each["ip_address"] for each in held if each["subnet_id"] in own]
    if not given:
        raise ExternalIpAddressExhausted(net_id=network.id)
    identifier = work.add(
        FLOATING_IP,
        {
            "project_id": attributes["project_id"],
            "description": attributes["description"],
            "floating_network_id": network.id,
            "floating_ip_address": given[0],
            "floating_port_id": port_id,
            **_NOWHERE,
        },
    )
    work.revise(PORT, port_id, {"device_id": identifier})
    _lead(work, work.find(FLOATING_IP, identifier), attributes)
    return identifier


def update(work: Work, row: AnyRow, attributes: Mapping[str, Any]) -> None:
    """Change a floating address, or where it leads. Raise what says why it cannot be."""
    if "port_id" in attributes or "fixed_ip_address" in attributes:
        _lead(work, row, {"port_id": row.port_id, **attributes})
    words = {name: attributes[name] for name in ("description",) if name in attributes}
    work.revise(FLOATING_IP, row.id, words)


def remove(work: Work, row: AnyRow) -> None:
    """Delete a floating address."""
    work.remove(FLOATING_IP, row.id)
    work.remove(PORT, row.floating_port_id)


def leave(work: Work, port_id: str, kept: Collection[str] = ()) -> None:
    """Have the addresses that lead to a port lead nowhere, but for those to addresses that it keeps."""
    query = select(floating_ips).where(floating_ips.c.port_id == port_id)
    for row in work.connection.execute(query).all():
        if row.fixed_ip_address not in kept:
            work.revise(FLOATING_IP, row.id, _NOWHERE)


def seen_by(project_id: str | None) -> "ColumnElement[bool]":
    """Return the condition of floating addresses that a project sees."""
    return floating_ips.c.project_id == project_id


def documents(connection: Connection, _settings: Settings, rows: Sequence[AnyRow]) -> list[dict[str, Any]]:
    """Return floating addresses as documents."""
    marked = tags_of(connection, [row.id for row in rows])
    return [
        {**standard_of(row), **{name: getattr(row, name) for name in _SHOWN}, "tags": marked[row.id]} for row in rows
    ]


def _asked(attributes: Mapping[str, Any]) -> list[dict[str, str]] | None:
    names = {"floating_ip_address": "ip_address", "subnet_id": "subnet_id"}
    wish = {name: attributes[sent] for sent, name in names.items() if attributes[sent] is not None}
    return [wish] if wish else None


def _lead(work: Work, row: AnyRow, attributes: Mapping[str, Any]) -> None:
    """Have an address lead to a port, or nowhere."""
    if attributes.get("port_id") is None:
        if attributes.get("fixed_ip_address") is not None:
            raise _refused("fixed_ip_address cannot be specified without a port_id.")
        work.revise(FLOATING_IP, row.id, _NOWHERE)
        return
    port = work.find(PORT, attributes["port_id"])
    if port.project_id != row.project_id:
        raise _refused(
            f"Port {port.id} is associated with a different tenant than Floating IP {row.id} and therefore cannot be "
            "bound."
        )
    target = _target(work, port, attributes.get("fixed_ip_address"))
    router_id = _router_to(work, row.floating_network_id, target)
    taken = FloatingIPPortAlreadyAssociated(
        floating_ip_address=row.floating_ip_address,
        fip_id=row.id,
        port_id=port.id,
        fixed_ip=target.fixed,
        net_id=row.floating_network_id,
    )
    same = (floating_ips.c.port_id == port.id) & (floating_ips.c.fixed_ip_address == target.fixed)
    if work.connection.scalar(select(floating_ips.c.id).where(same, floating_ips.c.id != row.id)) is not None:
        raise taken
    values = {"port_id": port.id, "fixed_ip_address": target.fixed, "router_id": router_id, "status": ACTIVE}
    with refusing_duplicates(taken):
        work.revise(FLOATING_IP, row.id, values)


def _target(work: Work, port: AnyRow, wanted: str | None) -> _Target:
    """Return the fixed address of a port that is meant. Raise BadRequest."""
    held = allocation.of_ports(work.connection, [port.id])[port.id]
    old = [each for each in held if version_of(each["ip_address"]) == 4]
    if wanted is not None:
        found = [each for each in held if each["ip_address"] == wanted]
        if not found:
            raise _refused(f"Port {port.id} does not have fixed ip {wanted}.")
        if found[0] not in old:
            raise _refused(f"Cannot process floating IP association with {wanted}, since that is not an IPv4 address.")
        old = found
    if not old:
        raise _refused(f"Cannot add floating IP to port {port.id} that has no fixed IPv4 addresses.")
    if len(old) > 1:
        raise _refused(
            f"Port {port.id} has multiple fixed IPv4 addresses.  Must provide a specific IPv4 address when assigning a "
            "floating IP."
        )
    subnet = work.find(SUBNET, old[0]["subnet_id"])
    if subnet.gateway_ip is None:
        raise _refused(f"Cannot add floating IP to port on subnet {subnet.id} which has no gateway_ip.")
    return _Target(port, old[0]["ip_address"], subnet.id)


def _router_to(work: Work, network_id: str, target: _Target) -> str:
    """Return the router between a subnet and an external network: that which is the subnet's gateway, or the first."""
    outer = ports.alias()
    joined = (
        router_ports.join(allocations, allocations.c.port_id == router_ports.c.port_id)
        .join(routers, routers.c.id == router_ports.c.router_id)
        .join(outer, outer.c.id == routers.c.gateway_port_id)
        .join(subnets, subnets.c.id == allocations.c.subnet_id)
    )
    is_gateway = allocations.c.ip_address == subnets.c.gateway_ip
    query = select(routers.c.id, is_gateway.label("is_gateway")).select_from(joined).order_by(routers.c.id)
    query = query.where(allocations.c.subnet_id == target.subnet_id, outer.c.network_id == network_id)
    found = work.connection.execute(query).all()
    if not found:
        raise ExternalGatewayForFloatingIPNotFound(
            external_network_id=network_id, subnet_id=target.subnet_id, port_id=target.port.id
        )
    return str(next((each.id for each in found if each.is_gateway), found[0].id))


def _refused(why: str) -> BadRequest:
    return BadRequest(why=f"Bad floatingip request: {why}")
