"""What hosts are told of routers. A router is on each host that has ports of one of its networks.

There it has all its interfaces, with the same MACs and addresses as on the others: what guests send to other networks
is routed where it is sent, and goes on by the tunnel of the network that it is for. So a host has all networks of its
routers, also those of which it has no port. Floating addresses lead out, and in, where the port is.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from compute.network import allocation
from compute.network.addresses import version_of
from compute.network.schema import allocations, floating_ips, ports, router_ports, routers, subnets
from compute.network.work import AnyRow


def reached_from(connection: Connection, network_ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the ids of the routers of networks, and of all networks of these."""
    joined = router_ports.join(ports, ports.c.id == router_ports.c.port_id)
    joined = joined.join(routers, routers.c.id == router_ports.c.router_id)
    query = select(router_ports.c.router_id, ports.c.network_id).select_from(joined).where(routers.c.admin_state_up)
    pairs = connection.execute(query).all()
    own = {router_id for router_id, network_id in pairs if network_id in set(network_ids)}
    reached = {network_id for router_id, network_id in pairs if router_id in own}
    return sorted(own), sorted(reached)


def documents(connection: Connection, router_ids: Sequence[str], host: str) -> list[dict[str, Any]]:
    """Return what a host is told of routers."""
    return [_document(connection, router_id, host) for router_id in router_ids]


def _document(connection: Connection, router_id: str, host: str) -> dict[str, Any]:
    router = connection.execute(select(routers).where(routers.c.id == router_id)).one()
    joined = ports.join(router_ports, router_ports.c.port_id == ports.c.id)
    query = select(ports).select_from(joined).where(router_ports.c.router_id == router_id, ports.c.admin_state_up)
    own = connection.execute(query.order_by(ports.c.id)).all()
    held = allocation.of_ports(connection, [port.id for port in own])
    used = {each["subnet_id"] for each_port in held.values() for each in each_port}
    lengths = {
        row.id: row.cidr.partition("/")[2]
        for row in connection.execute(select(subnets).where(subnets.c.id.in_(sorted(used))))
    }
    return {
        "id": router.id,
        "interfaces": [
            {
                "id": port.id,
                "network_id": port.network_id,
                "mac": port.mac_address,
                "addresses": [
                    f"{each['ip_address']}/{lengths[each['subnet_id']]}"
                    for each in held[port.id]
                    if version_of(each["ip_address"]) == 4
                ],
            }
            for port in own
        ],
        "gateway": _gateway(connection, router),
        "floating": _floating(connection, router.id, host),
    }


def _gateway(connection: Connection, router: AnyRow) -> dict[str, Any] | None:
    """Return the address of who is beyond a router's way out, and whether guests without a floating address have it."""
    if router.gateway_port_id is None:
        return None
    joined = allocations.join(subnets, subnets.c.id == allocations.c.subnet_id)
    query = select(subnets.c.gateway_ip).select_from(joined).order_by(allocations.c.place)
    query = query.where(allocations.c.port_id == router.gateway_port_id, subnets.c.ip_version == 4)
    return {"address": connection.scalars(query).first(), "snat": router.enable_snat}


def _floating(connection: Connection, router_id: str, host: str) -> list[list[str]]:
    joined = floating_ips.join(ports, ports.c.id == floating_ips.c.port_id)
    query = select(floating_ips.c.floating_ip_address, floating_ips.c.fixed_ip_address).select_from(joined)
    query = query.where(floating_ips.c.router_id == router_id, ports.c.host_id == host)
    return sorted([floating, fixed] for floating, fixed in connection.execute(query))
