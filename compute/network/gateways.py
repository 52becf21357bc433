"""A router's way out: its port in an external network, and whether guests without a floating address have it, too."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from compute.network import addresses, allocation, own_ports
from compute.network.attributes import NETWORK, PORT, ROUTER
from compute.network.errors import BadRequest, RouterExternalGatewayInUseByFloatingIp
from compute.network.schema import allocations, floating_ips, ports, router_ports, routers, subnets
from compute.network.work import AnyRow, Work
from compute.records import IDS_PER_QUERY


def bring(work: Work, router: AnyRow, info: Mapping[str, Any] | None) -> None:
    """Have a router have this way out; None: none. Raise what says why it cannot."""
    old = _port_of(work.connection, router)
    if old is not None and (info is None or info["network_id"] != old.network_id):
        query = select(floating_ips.c.id).where(floating_ips.c.router_id == router.id).limit(1)
        if work.connection.scalar(query) is not None:
            raise RouterExternalGatewayInUseByFloatingIp(router_id=router.id, net_id=old.network_id)
        clear(work, router)
        old = None
    if info is None:
        return
    network = work.find(NETWORK, info["network_id"])
    if not network.external:
        raise BadRequest(why=f"Bad router request: Network {network.id} is not an external network.")
    asked = info.get("external_fixed_ips")
    outer = work.connection.execute(select(subnets).where(subnets.c.network_id == network.id)).all()
    for each in asked or ():
        if any(each.get("ip_address") == subnet.gateway_ip for subnet in outer if subnet.gateway_ip):
            raise BadRequest(why=f"Bad router request: External IP {each['ip_address']} is the same as the gateway IP.")
    values: dict[str, Any] = {"enable_snat": info.get("enable_snat", True)}
    if old is None:
        require_apart(work, router, outer)
        values["gateway_port_id"] = own_ports.make_with_addresses(
            work, network.id, own_ports.ROUTER_GATEWAY, router.id, asked
        )
    elif asked:
        owner = allocation.Owner(network.id, old.id, old.mac_address, own_ports.ROUTER_GATEWAY)
        allocation.change(work, owner, asked)
    work.revise(ROUTER, router.id, values)


def clear(work: Work, router: AnyRow) -> None:
    """Take a router's way out away."""
    port = _port_of(work.connection, router)
    if port is not None:
        work.revise(ROUTER, router.id, {"gateway_port_id": None})
        work.remove(PORT, port.id)


def infos(connection: Connection, rows: Sequence[AnyRow]) -> dict[str, dict[str, Any]]:
    """Return the way out of each router that has one, as the API has it."""
    by_port = {row.gateway_port_id: row for row in rows if row.gateway_port_id is not None}
    ids, found = list(by_port), dict[str, dict[str, Any]]()
    held = allocation.of_ports(connection, ids)
    for start in range(0, len(ids), IDS_PER_QUERY):
        query = select(ports.c.id, ports.c.network_id).where(ports.c.id.in_(ids[start : start + IDS_PER_QUERY]))
        for port_id, network_id in connection.execute(query):
            row = by_port[port_id]
            found[row.id] = {
                "network_id": network_id,
                "enable_snat": row.enable_snat,
                "external_fixed_ips": held[port_id],
            }
    return found


def require_apart(work: Work, router: AnyRow, added: Sequence[AnyRow]) -> None:
    """Raise BadRequest where a router has subnets already, or ones with the same addresses."""
    inner = select(subnets).join(allocations, allocations.c.subnet_id == subnets.c.id)
    inner = inner.join(router_ports, router_ports.c.port_id == allocations.c.port_id)
    known = list(work.connection.execute(inner.where(router_ports.c.router_id == router.id)))
    port = _port_of(work.connection, router)
    if port is not None:
        known += work.connection.execute(select(subnets).where(subnets.c.network_id == port.network_id))
    for subnet in added:
        for other in known:
            if other.id == subnet.id:
                raise BadRequest(why=f"Bad router request: Router already has a port on subnet {subnet.id}.")
            if addresses.overlap(subnet.cidr, other.cidr):
                raise BadRequest(
                    why=f"Bad router request: Cidr {subnet.cidr} of subnet {subnet.id} overlaps with cidr "
                    f"{other.cidr} of subnet {other.id}."
                )


def _port_of(connection: Connection, router: AnyRow) -> AnyRow | None:
    held = select(routers.c.gateway_port_id).where(routers.c.id == router.id).scalar_subquery()
    return connection.execute(select(ports).where(ports.c.id == held)).one_or_none()
