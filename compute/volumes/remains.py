"""What users have deleted, and clones read through: of the gateway's volumes, some snapshots, or all.

It is out of everybody's sight, counts for no quota, and goes when it can: `reconciler` makes its clones independent,
and then deletes it.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from compute.volumes.schema import remains

WHOLE = ""  # in place of a snapshot's name: the volume with all it has


@dataclass(frozen=True, slots=True)
class Remain:
    """One of them."""

    volume: str
    snapshot: str
    created_at_us: int


def waiting(connection: Connection) -> list[Remain]:
    """Return them all, the oldest first; snapshots before volumes."""
    query = select(remains).order_by(remains.c.created_at_us, remains.c.snapshot.desc())
    return [Remain(**row._mapping) for row in connection.execute(query)]


def add(connection: Connection, volume: str, snapshot: str, now_us: int) -> None:
    """Note that something is to go. Doing it again does nothing."""
    key = (remains.c.volume == volume, remains.c.snapshot == snapshot)
    if connection.scalar(select(remains.c.volume).where(*key)) is None:
        connection.execute(insert(remains).values(volume=volume, snapshot=snapshot, created_at_us=now_us))


def gone(connection: Connection, volume: str, snapshot: str) -> None:
    """Forget what has gone; with a volume, its snapshots."""
    query = delete(remains).where(remains.c.volume == volume)
    connection.execute(query if snapshot == WHOLE else query.where(remains.c.snapshot == snapshot))
