"""Which addresses a port gets: those it asks for, or the lowest that are free.

The key of the table is why no address is given twice: where somebody else has just taken it, the transaction is begun
anew (`ON CONFLICT DO NOTHING` fails so on PostgreSQL, where it meets a row that it cannot see).

What is not asked for comes as in Neutron: one address of a subnet of IPv4 and one of IPv6, and one of each subnet where
cards give themselves their address (SLAAC).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from compute.network import addresses
from compute.network.errors import (
    InvalidInput,
    InvalidIpForNetwork,
    InvalidIpForSubnet,
    IpAddressAlreadyAllocated,
    IpAddressGenerationFailure,
)
from compute.network.schema import allocations, subnets
from compute.network.work import AnyRow, Work
from compute.records import IDS_PER_QUERY

_SELF_MADE = ("slaac", "dhcpv6-stateless")


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose addresses they are."""

    network_id: str
    port_id: str
    mac: str
    device_owner: str = ""


def is_self_made(subnet: AnyRow) -> bool:
    """Tell whether cards give themselves their addresses in a subnet."""
    return subnet.ipv6_address_mode in _SELF_MADE


def of_ports(connection: Connection, port_ids: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    """Return the addresses of each port, as the API has them."""
    found: dict[str, list[dict[str, str]]] = {each: [] for each in port_ids}
    for start in range(0, len(port_ids), IDS_PER_QUERY):
        query = select(allocations).where(allocations.c.port_id.in_(port_ids[start : start + IDS_PER_QUERY]))
        for row in connection.execute(query.order_by(allocations.c.place)):
            found[row.port_id].append({"subnet_id": row.subnet_id, "ip_address": row.ip_address})
    return found


def give(work: Work, owner: Owner, asked: Sequence[Mapping[str, str]] | None) -> None:
    """Have a port have the addresses it asks for; None: those it gets by itself. Raise what says why it cannot."""
    own = _subnets_of(work.connection, owner.network_id)
    if len(asked or ()) > work.settings.fixed_ips_most:
        raise InvalidInput(error_message=f"Exceeded maximum amount of fixed ips per port: {len(asked or ())}")
    if asked is None:
        _give_by_itself(work, owner, [each for each in own if serves(each, owner.device_owner)])
        return
    named = [each for each in asked if "ip_address" in each]  # first, so that nobody else gets them meanwhile
    for wish in [*named, *(each for each in asked if each not in named)]:
        _give_one(work, owner, own, wish)
    given = {each.subnet_id for each in _held(work.connection, owner.port_id)}
    for subnet in own if asked else ():
        if is_self_made(subnet) and subnet.id not in given:
            _take(work, owner, subnet, addresses.by_mac(subnet.cidr, owner.mac))


def change(work: Work, owner: Owner, asked: Sequence[Mapping[str, str]]) -> None:
    """Have a port have these addresses: those it has already stay, others go. Raise what says why it cannot."""
    own = _subnets_of(work.connection, owner.network_id)
    self_made = {each.id for each in own if is_self_made(each)}
    left, added = list(_held(work.connection, owner.port_id)), []
    for wish in sorted(asked, key=lambda wish: "ip_address" not in wish):
        match = next((row for row in left if _fits(row, wish)), None)
        if match is None:
            added.append(wish)
        else:
            left.remove(match)
    doomed = [row.ip_address for row in left if not asked or row.subnet_id not in self_made]
    mine = allocations.c.port_id == owner.port_id
    work.connection.execute(delete(allocations).where(mine, allocations.c.ip_address.in_(doomed)))
    for place, row in enumerate(_held(work.connection, owner.port_id)):
        work.connection.execute(
            update(allocations).where(mine, allocations.c.ip_address == row.ip_address).values(place=place)
        )
    for wish in added:
        _give_one(work, owner, own, wish)


def serves(subnet: AnyRow, device_owner: str) -> bool:
    """Tell whether a subnet is for ports of such an owner."""
    return not subnet.service_types or any(device_owner.startswith(each) for each in subnet.service_types)


def _give_by_itself(work: Work, owner: Owner, own: Sequence[AnyRow]) -> None:
    for version in (4, 6):
        by_pool = [each for each in own if each.ip_version == version and not is_self_made(each)]
        if by_pool and not any(_take_free(work, owner, subnet) for subnet in by_pool):
            raise IpAddressGenerationFailure(network=owner.network_id)
    for subnet in own:
        if is_self_made(subnet):
            _take(work, owner, subnet, addresses.by_mac(subnet.cidr, owner.mac))


def _give_one(work: Work, owner: Owner, own: Sequence[AnyRow], wish: Mapping[str, str]) -> None:
    address, subnet_id = wish.get("ip_address"), wish.get("subnet_id")
    if address is None and subnet_id is None:
        raise InvalidInput(error_message="IP allocation requires subnet_id or ip_address")
    subnet = next((each for each in own if each.id == subnet_id), None)
    if subnet_id is not None and subnet is None:
        raise InvalidInput(
            error_message=f"Failed to create port on network {owner.network_id}, because fixed_ips included invalid "
            f"subnet {subnet_id}"
        )
    if subnet is None and address is not None:
        subnet = next((each for each in own if addresses.is_usable(address, each.cidr)), None)
        if subnet is None:
            raise InvalidIpForNetwork(ip=address)
    assert subnet is not None
    if address is None:
        if is_self_made(subnet):
            _take(work, owner, subnet, addresses.by_mac(subnet.cidr, owner.mac))
        elif not _take_free(work, owner, subnet):
            raise IpAddressGenerationFailure(network=owner.network_id)
        return
    if not addresses.is_usable(address, subnet.cidr):
        raise InvalidIpForSubnet(ip=address)
    if is_self_made(subnet) and address != addresses.by_mac(subnet.cidr, owner.mac):
        raise InvalidInput(
            error_message=f"IPv6 address {address} can not be directly assigned to a port on subnet {subnet.id} since "
            "the subnet is configured for automatic addresses"
        )
    _take(work, owner, subnet, address)


def _take_free(work: Work, owner: Owner, subnet: AnyRow) -> bool:
    """Take the lowest free address of a subnet; tell whether there was one."""
    query = select(allocations.c.ip_address).where(allocations.c.subnet_id == subnet.id)
    taken = work.connection.scalars(query).all()
    address = addresses.free(subnet.allocation_pools, taken, subnet.ip_version)
    if address is None:
        return False
    _take(work, owner, subnet, address)
    return True


def _take(work: Work, owner: Owner, subnet: AnyRow, address: str) -> None:
    dialect = sqlite if work.connection.dialect.name == "sqlite" else postgresql
    place = len(_held(work.connection, owner.port_id))
    wanted = dialect.insert(allocations).values(
        network_id=owner.network_id,
        ip_address=address,
        subnet_id=subnet.id,
        port_id=owner.port_id,
        place=place,
    )
    made = wanted.on_conflict_do_nothing().returning(allocations.c.port_id)  # not every driver counts rows
    if work.connection.scalar(made) is None:
        raise IpAddressAlreadyAllocated(ip=address, subnet=subnet.id)


def _fits(row: AnyRow, wish: Mapping[str, str]) -> bool:
    if "ip_address" in wish:
        return bool(row.ip_address == wish["ip_address"])
    return bool(row.subnet_id == wish.get("subnet_id"))


def _held(connection: Connection, port_id: str) -> Sequence[AnyRow]:
    query = select(allocations).where(allocations.c.port_id == port_id)
    return connection.execute(query.order_by(allocations.c.place)).all()


def _subnets_of(connection: Connection, network_id: str) -> Sequence[AnyRow]:
    query = select(subnets).where(subnets.c.network_id == network_id)
    return connection.execute(query.order_by(subnets.c.created_at_us, subnets.c.id)).all()
