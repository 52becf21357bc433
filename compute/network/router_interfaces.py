"""Which subnets a router joins: its ports in them.

By a subnet, the router gets a port with the subnet's gateway address; by a port, it gets that one, and loses it again
when the interface is removed, as in Neutron. Only IPv4 is routed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from compute.network import allocation, gateways, own_ports
from compute.network.attributes import PORT, ROUTER, SUBNET
from compute.network.errors import (
    BadRequest,
    PortInUse,
    RouterInterfaceInUseByFloatingIP,
    RouterInterfaceNotFound,
    RouterInterfaceNotFoundForSubnet,
    SubnetMismatchForPort,
)
from compute.network.schema import allocations, floating_ips, ports, router_ports
from compute.network.work import AnyRow, Work


@dataclass(frozen=True, slots=True)
class Interface:
    """A port of a router, and the subnets in which it has addresses."""

    port_id: str
    network_id: str
    subnet_ids: tuple[str, ...]


def add_subnet(work: Work, router: AnyRow, subnet_id: str) -> Interface:
    """Have a router be the gateway of a subnet. Raise what says why it cannot."""
    subnet = work.find(SUBNET, subnet_id)
    if subnet.gateway_ip is None:
        raise BadRequest(why="Bad router request: Subnet for router interface must have a gateway IP.")
    _require_routable([subnet])
    gateways.require_apart(work, router, [subnet])
    asked = [{"subnet_id": subnet.id, "ip_address": subnet.gateway_ip}]
    owner = own_ports.ROUTER_INTERFACE
    port_id = own_ports.make_with_addresses(work, subnet.network_id, owner, router.id, asked, router.project_id)
    return _joined(work, router, work.find(PORT, port_id))


def add_port(work: Work, router: AnyRow, port_id: str) -> Interface:
    """Have a port be one of a router's. Raise what says why it cannot."""
    port = work.find(PORT, port_id)
    if port.device_id:
        raise PortInUse(id=port.id, network=port.network_id, device=port.device_id)
    held = allocation.of_ports(work.connection, [port.id])[port.id]
    if not held:
        raise BadRequest(why="Bad router request: Router port must have at least one fixed IP.")
    added = [work.find(SUBNET, each["subnet_id"]) for each in held]
    if sum(subnet.ip_version == 4 for subnet in added) > 1:
        raise BadRequest(why="Bad router request: Cannot have multiple IPv4 subnets on router port.")
    _require_routable(added)
    gateways.require_apart(work, router, added)
    owned = {"device_id": router.id, "device_owner": own_ports.ROUTER_INTERFACE}
    work.revise(PORT, port.id, owned)
    return _joined(work, router, port)


def remove(work: Work, router: AnyRow, port_id: str | None, subnet_id: str | None) -> Interface:
    """Take an interface away, by its port, its subnet, or both. Raise what says why it cannot be."""
    found = interfaces(work.connection, router.id)
    if port_id is not None:
        matching = [each for each in found if each.port_id == port_id]
        if not matching:
            raise RouterInterfaceNotFound(router_id=router.id, port_id=port_id)
        if subnet_id is not None and subnet_id not in matching[0].subnet_ids:
            raise SubnetMismatchForPort(port_id=port_id, subnet_id=subnet_id)
    else:
        matching = [each for each in found if subnet_id in each.subnet_ids]
        if not matching:
            raise RouterInterfaceNotFoundForSubnet(router_id=router.id, subnet_id=subnet_id)
    interface = matching[0]
    for each in interface.subnet_ids:
        if _is_needed(work.connection, router.id, each):
            raise RouterInterfaceInUseByFloatingIP(router_id=router.id, subnet_id=each)
    work.connection.execute(delete(router_ports).where(router_ports.c.port_id == interface.port_id))
    work.remove(PORT, interface.port_id)
    work.revise(ROUTER, router.id)
    return interface


def interfaces(connection: Connection, router_id: str) -> list[Interface]:
    """Return the interfaces of a router."""
    joined = ports.join(router_ports, router_ports.c.port_id == ports.c.id)
    query = select(ports.c.id, ports.c.network_id).select_from(joined).where(router_ports.c.router_id == router_id)
    rows = connection.execute(query.order_by(ports.c.id)).all()
    held = allocation.of_ports(connection, [row.id for row in rows])
    return [Interface(row.id, row.network_id, tuple(each["subnet_id"] for each in held[row.id])) for row in rows]


def _joined(work: Work, router: AnyRow, port: AnyRow) -> Interface:
    work.connection.execute(insert(router_ports).values(port_id=port.id, router_id=router.id))
    work.revise(ROUTER, router.id)
    held = allocation.of_ports(work.connection, [port.id])[port.id]
    return Interface(port.id, port.network_id, tuple(each["subnet_id"] for each in held))


def _require_routable(added: Sequence[AnyRow]) -> None:
    if not any(subnet.ip_version == 4 for subnet in added):
        raise BadRequest(why="Bad router request: IPv6 is not routed here: a subnet of IPv4 is needed.")


def _is_needed(connection: Connection, router_id: str, subnet_id: str) -> bool:
    """Tell whether floating addresses lead through a router into a subnet."""
    of_port = allocations.c.port_id == floating_ips.c.port_id
    same = allocations.c.ip_address == floating_ips.c.fixed_ip_address
    query = select(floating_ips.c.id).select_from(floating_ips.join(allocations, of_port & same))
    query = query.where(floating_ips.c.router_id == router_id, allocations.c.subnet_id == subnet_id)
    return connection.scalar(query.limit(1)) is not None
