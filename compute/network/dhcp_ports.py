"""The port of the service's own that a network has while one of its subnets has DHCP: its addresses, on every host.

It changes in the transaction that changes the subnets, so that there is never one too many. It is nobody's quota; where
its subnet has no address left there is none of it, and hosts serve no DHCP there.
"""

from sqlalchemy import select

from compute.network import addresses, allocation, own_ports
from compute.network.attributes import PORT
from compute.network.networks import DHCP_OWNER
from compute.network.schema import allocations, ports, subnets
from compute.network.work import AnyRow, Work


def bring(work: Work, network: AnyRow) -> None:
    """Have the port of a network be as its subnets need it."""
    query = select(ports).where(ports.c.network_id == network.id, ports.c.device_owner == DHCP_OWNER)
    port = work.connection.execute(query).one_or_none()
    own = select(subnets).where(subnets.c.network_id == network.id)
    served = [each for each in work.connection.execute(own.order_by(subnets.c.id)) if each.enable_dhcp]
    wanted = [{"subnet_id": each.id} for each in served if _has_room(work, each, port)]
    if not wanted:
        if port is not None:
            work.remove(PORT, port.id)
        return
    if port is not None:
        owner = allocation.Owner(network.id, port.id, port.mac_address)
    else:
        owner = own_ports.make(work, network.id, network.project_id, DHCP_OWNER, f"dhcp-{network.id}")
    allocation.change(work, owner, wanted)
    work.revise(PORT, owner.port_id)


def _has_room(work: Work, subnet: AnyRow, port: AnyRow | None) -> bool:
    query = select(allocations.c.ip_address, allocations.c.port_id).where(allocations.c.subnet_id == subnet.id)
    held = work.connection.execute(query).all()
    if port is not None and any(each.port_id == port.id for each in held):
        return True
    taken = [each.ip_address for each in held]
    return allocation.is_self_made(subnet) or (
        addresses.free(subnet.allocation_pools, taken, subnet.ip_version) is not None
    )
