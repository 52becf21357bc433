"""Which processes are alive, so that the work of dead ones is finished or undone.

A process has an id of its own, and says about every SEEN_S seconds that it is there. In one place (a data directory on
a host) there is one process at a time, which its lock sees to: when one begins, those before it are dead for certain.
Elsewhere, in a database that hosts share, one is believed to be dead that was not seen for DEAD_S. The first half of an
id is made of the place, so that it tells one from the other.
"""

import hashlib
import uuid
from collections.abc import Iterable

from sqlalchemy import Connection, delete, insert, select, update

from compute.images.schema import workers

SEEN_S = 20.0
DEAD_S = 120.0  # a process may be slow, and clocks may differ


_HALF = 16  # hexadecimal digits


def new_id(place: str) -> str:
    """Return the id of a process that begins in `place`."""
    return hashlib.sha256(place.encode()).hexdigest()[:_HALF] + uuid.uuid4().hex[:_HALF]


def in_same_place(worker_id: str, other: str) -> bool:
    """Tell whether two processes are, or were, in the same place: so they were not there at the same time."""
    return worker_id[:_HALF] == other[:_HALF]


def begin(connection: Connection, worker_id: str, place: str, now_us: int) -> None:
    """Announce a process; forget those that were in its place."""
    connection.execute(delete(workers).where(workers.c.place == place))
    connection.execute(insert(workers).values(id=worker_id, place=place, seen_at_us=now_us))


def see(connection: Connection, worker_id: str, place: str, now_us: int) -> None:
    """Say that a process is alive; one that was forgotten comes back, and finds its work undone."""
    done = connection.execute(update(workers).where(workers.c.id == worker_id).values(seen_at_us=now_us))
    if not done.rowcount:
        connection.execute(insert(workers).values(id=worker_id, place=place, seen_at_us=now_us))


def forget_unseen(connection: Connection, worker_id: str, now_us: int) -> set[str]:
    """Forget processes that are believed to be dead, and return which; never `worker_id`, whose caller is alive."""
    before_us = now_us - int(DEAD_S * 1_000_000)
    unseen = workers.c.seen_at_us < before_us
    found = set(connection.scalars(select(workers.c.id).where(unseen, workers.c.id != worker_id)))
    connection.execute(delete(workers).where(workers.c.id.in_(found)))
    return found


def without(connection: Connection, worker_ids: Iterable[str]) -> list[str]:
    """Return which of these ids no living process has."""
    wanted = set(worker_ids)
    return sorted(wanted - set(connection.scalars(select(workers.c.id).where(workers.c.id.in_(wanted)))))
