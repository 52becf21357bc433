"""Network cards of servers: ports of the network service.

A row is `wanted` until its host has the card, and `unwanted` from when it is to go until the port is released. What the
network service told of a port last is kept, so that listings ask nobody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from compute.agent.guest import Nic
from compute.instances.interfaces import Port
from compute.instances.schema.devices import interfaces
from compute.records import IDS_PER_QUERY, columns_of, record_of

WANTED, ATTACHED, UNWANTED = "wanted", "attached", "unwanted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One card of a server."""

    id: str
    server_id: str
    place: int
    created_at_us: int
    state: str = WANTED
    port_id: str | None = None  # None: it is to be made
    network_id: str | None = None
    fixed_ip: str | None = None
    tag: str | None = None
    kept: bool = False  # it was there before, and stays when the server goes
    security_groups: Sequence[str] = ()
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def port(self) -> Port | None:
        """Return the port as the network service told of it last; None: it was not made yet."""
        if not self.info:
            return None
        known = {**self.info, "fixed_ips": tuple(tuple(each) for each in self.info["fixed_ips"])}
        known["security_groups"], known["floating"] = tuple(known["security_groups"]), tuple(known["floating"])
        return Port(**known)

    @property
    def nic(self) -> Nic | None:
        """Return it as its host is told of it."""
        port = self.port
        return None if port is None else nic_of(port)


def nic_of(port: Port) -> Nic:
    """Return a port as a host is told of it."""
    return Nic(
        mac=port.mac,
        port_id=port.id,
        network_id=port.network_id,
        addresses=tuple(address for address, _subnet in port.fixed_ips),
        mtu=port.mtu,
    )


def info_of(port: Port) -> dict[str, Any]:
    """Return a port as it is kept."""
    return asdict(port)


def of_server(connection: Connection, server_id: str) -> list[Card]:
    """Return the cards of a server, in their order."""
    return of_servers(connection, [server_id])[server_id]


def of_servers(connection: Connection, server_ids: Sequence[str]) -> dict[str, list[Card]]:
    """Return the cards of servers."""
    found: dict[str, list[Card]] = {each: [] for each in server_ids}
    for start in range(0, len(server_ids), IDS_PER_QUERY):
        some = server_ids[start : start + IDS_PER_QUERY]
        query = select(interfaces).where(interfaces.c.server_id.in_(some)).order_by(interfaces.c.place)
        for row in connection.execute(query):
            found[row.server_id].append(record_of(Card, row))
    return found


def find(connection: Connection, card_id: str) -> Card | None:
    """Return a card; None: there is none."""
    row = connection.execute(select(interfaces).where(interfaces.c.id == card_id)).one_or_none()
    return None if row is None else record_of(Card, row)


def of_port(connection: Connection, port_id: str) -> Card | None:
    """Return the card that a port is; None: it is none."""
    row = connection.execute(select(interfaces).where(interfaces.c.port_id == port_id)).one_or_none()
    return None if row is None else record_of(Card, row)


def every(connection: Connection) -> list[Card]:
    """Return the cards of all servers."""
    return [record_of(Card, row) for row in connection.execute(select(interfaces))]


def add(connection: Connection, card: Card) -> Card:
    """Store a new card."""
    connection.execute(insert(interfaces).values(columns_of(interfaces, card)))
    return card


def change(connection: Connection, card_id: str, **columns: Any) -> None:
    """Change columns of a card."""
    connection.execute(update(interfaces).where(interfaces.c.id == card_id).values(**columns))


def remove(connection: Connection, card_id: str) -> None:
    """Forget a card."""
    connection.execute(delete(interfaces).where(interfaces.c.id == card_id))


def has_changes(connection: Connection, server_id: str) -> bool:
    """Tell whether a card of a server is to come, or to go."""
    query = select(interfaces.c.id).where(interfaces.c.server_id == server_id, interfaces.c.state != ATTACHED)
    return connection.scalar(query.limit(1)) is not None
