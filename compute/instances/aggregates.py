"""Aggregates: hosts that have something in common. One with `availability_zone` in its metadata is a zone of its hosts.

Invariant: a host is in one zone at most.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, delete, func, insert, select, update

from cluster.controlplane.database import refusing_duplicates
from compute.instances.errors import Conflict, Invalid, NotFound
from compute.instances.schema.aggregates import aggregate_hosts, aggregates
from compute.records import columns_of, new_id, record_of

ZONE = "availability_zone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """One aggregate."""

    number: int  # by which the API knows it
    id: str
    name: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    created_at_us: int = 0
    updated_at_us: int | None = None

    @property
    def zone(self) -> str | None:
        """Return the zone that its hosts are in; None: it is none."""
        return self.metadata.get(ZONE)


def every(connection: Connection) -> list[Aggregate]:
    """Return them all, by number."""
    hosts: dict[int, list[str]] = {}
    for row in connection.execute(select(aggregate_hosts).order_by(aggregate_hosts.c.host)):
        hosts.setdefault(row.aggregate, []).append(row.host)
    rows = connection.execute(select(aggregates).order_by(aggregates.c.number))
    return [_with_hosts(record_of(Aggregate, row), hosts.get(row.number, ())) for row in rows]


def get(connection: Connection, number: int) -> Aggregate:
    """Return an aggregate. Raise NotFound."""
    row = connection.execute(select(aggregates).where(aggregates.c.number == number)).one_or_none()
    if row is None:
        raise NotFound("Aggregate", str(number))
    query = select(aggregate_hosts.c.host).where(aggregate_hosts.c.aggregate == number)
    return _with_hosts(record_of(Aggregate, row), connection.scalars(query.order_by(aggregate_hosts.c.host)).all())


def of_host(connection: Connection, host: str) -> list[Aggregate]:
    """Return the aggregates that a host is in."""
    return [each for each in every(connection) if host in each.hosts]


def zones(connection: Connection, hosts: Iterable[str], default: str) -> dict[str, str]:
    """Return the zones of hosts, by their names; `default`: of those that no aggregate gives one."""
    known = {host: each.zone for each in every(connection) for host in each.hosts if each.zone}
    return {host: known.get(host) or default for host in hosts}


def create(connection: Connection, name: str, zone: str | None, now_us: int) -> Aggregate:
    """Make an aggregate. Raise Conflict when its name is taken."""
    _require_free(connection, name)
    number = int(connection.scalar(select(func.coalesce(func.max(aggregates.c.number), 0))) or 0) + 1
    metadata = {ZONE: zone} if zone else {}
    wanted = Aggregate(number=number, id=new_id(), name=name, metadata=metadata, created_at_us=now_us)
    with refusing_duplicates(_taken(name)):
        connection.execute(insert(aggregates).values(columns_of(aggregates, wanted)))
    return wanted


def rename(connection: Connection, found: Aggregate, name: str, now_us: int) -> Aggregate:
    """Give an aggregate another name. Raise Conflict when it is taken."""
    if name != found.name:
        _require_free(connection, name)
    query = update(aggregates).where(aggregates.c.number == found.number)
    connection.execute(query.values(name=name, updated_at_us=now_us))
    return get(connection, found.number)


def tell(connection: Connection, found: Aggregate, words: Mapping[str, str | None], now_us: int) -> Aggregate:
    """Set metadata; what is None goes. Raise Invalid when a host would be in two zones, or in one without a name."""
    if ZONE in words:
        if not words[ZONE]:
            raise Invalid(
                f"Cannot perform action 'update_meta' on aggregate {found.number}. Reason: Aggregate {found.name} does "
                "not support empty named availability zone."
            )
        _require_one_zone(connection, found, found.hosts, words[ZONE], "update")
    left = {key: value for key, value in {**found.metadata, **words}.items() if value is not None}
    query = update(aggregates).where(aggregates.c.number == found.number)
    connection.execute(query.values(metadata=left, updated_at_us=now_us))
    return get(connection, found.number)


def remove(connection: Connection, found: Aggregate) -> None:
    """Forget an aggregate. Raise Invalid while it has hosts."""
    if found.hosts:
        raise Invalid(
            f"Cannot perform action 'delete' on aggregate {found.number}. Reason: Host aggregate is not empty."
        )
    connection.execute(delete(aggregates).where(aggregates.c.number == found.number))


def add_host(connection: Connection, found: Aggregate, host: str, now_us: int) -> Aggregate:
    """Put a host into an aggregate. Raise Conflict when it is there, or would be in two zones."""
    if host in found.hosts:
        raise Conflict(f"Aggregate {found.number} already has host {host}.")
    try:
        _require_one_zone(connection, found, (host,), found.zone, "add_host_to_aggregate")
    except Invalid as error:
        raise Conflict(str(error)) from None
    connection.execute(insert(aggregate_hosts).values(aggregate=found.number, host=host))
    return _touched(connection, found, now_us)


def remove_host(connection: Connection, found: Aggregate, host: str, now_us: int) -> Aggregate:
    """Take a host out of an aggregate. Raise NotFound when it is not there."""
    if host not in found.hosts:
        raise NotFound(f"Cannot remove host in aggregate {found.number}: host", host)
    connection.execute(
        delete(aggregate_hosts).where(aggregate_hosts.c.aggregate == found.number, aggregate_hosts.c.host == host)
    )
    return _touched(connection, found, now_us)


def forget_host(connection: Connection, host: str) -> None:
    """Take a host out of all aggregates."""
    connection.execute(delete(aggregate_hosts).where(aggregate_hosts.c.host == host))


def _touched(connection: Connection, found: Aggregate, now_us: int) -> Aggregate:
    connection.execute(update(aggregates).where(aggregates.c.number == found.number).values(updated_at_us=now_us))
    return get(connection, found.number)


def _with_hosts(found: Aggregate, hosts: Iterable[str]) -> Aggregate:
    return replace(found, hosts=tuple(hosts))


def _require_one_zone(
    connection: Connection, found: Aggregate, hosts: Iterable[str], zone: str | None, action: str
) -> None:
    if not zone:
        return
    others = {
        each.zone
        for each in every(connection)
        if each.number != found.number and each.zone not in (None, zone) and not set(hosts).isdisjoint(each.hosts)
    }
    if others:
        raise Invalid(
            f"Cannot perform action '{action}' on aggregate {found.number}. Reason: One or more hosts already in "
            f"availability zone(s) {sorted(map(str, others))}."
        )


def _require_free(connection: Connection, name: str) -> None:
    if connection.scalar(select(aggregates.c.number).where(aggregates.c.name == name)) is not None:
        raise _taken(name)


def _taken(name: str) -> Conflict:
    return Conflict(f"Aggregate {name} already exists.")
