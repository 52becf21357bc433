"""Servers that went, or were to go, to another host or another flavor: Nova's migrations."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from compute.instances.schema.servers import migrations
from compute.records import columns_of, new_id, record_of

MIGRATION, RESIZE, EVACUATION = "migration", "resize", "evacuation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One move."""

    id: str
    number: int
    server_id: str
    project_id: str
    user_id: str
    kind: str
    created_at_us: int
    status: str = "pre-migrating"
    source: str | None = None
    target: str | None = None
    old_flavor_id: str | None = None
    new_flavor_id: str | None = None
    updated_at_us: int | None = None


def note(connection: Connection, now_us: int, **about: Any) -> Move:
    """Note that a server is to be moved."""
    number = int(connection.scalar(select(func.coalesce(func.max(migrations.c.number), 0))) or 0) + 1
    made = Move(id=new_id(), number=number, created_at_us=now_us, **about)
    connection.execute(insert(migrations).values(columns_of(migrations, made)))
    return made


def last(connection: Connection, server_id: str) -> Move | None:
    """Return the newest move of a server; None: it was never moved."""
    query = select(migrations).where(migrations.c.server_id == server_id)
    row = connection.execute(query.order_by(migrations.c.number.desc()).limit(1)).one_or_none()
    return None if row is None else record_of(Move, row)


def reach(connection: Connection, server_id: str, now_us: int, **columns: Any) -> None:
    """Note how far the newest move of a server is."""
    found = last(connection, server_id)
    if found is not None:
        query = update(migrations).where(migrations.c.id == found.id)
        connection.execute(query.values(**columns, updated_at_us=now_us))


def every(connection: Connection) -> list[Move]:
    """Return all moves, the newest first."""
    query = select(migrations).order_by(migrations.c.number.desc())
    return [record_of(Move, row) for row in connection.execute(query)]
