"""Which images are also snapshots of volumes, or shall be: what is recorded of that. `golden` does it.

    wanted -> converting -> ready          any -> unwanted -> (no row)
                         -> failed -> wanted   when somebody asks again

The row of a deleted image stays until its volume is gone, which may be long: clones read through it.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, select, update

from compute.images.schema import goldens

WANTED, CONVERTING, READY, FAILED, UNWANTED = "wanted", "converting", "ready", "failed", "unwanted"
ATTEMPTS = 5  # at a conversion that fails for reasons that may pass, or that processes die of
RETRY_US = 5 * 1_000_000  # before the second; before the third twice as long, and so on
_DUE_US = goldens.c.changed_at_us + goldens.c.attempts * RETRY_US  # of one that is wanted


@dataclass(frozen=True, slots=True)
class Golden:
    """What is known of an image as a volume."""

    image_id: str
    state: str
    worker_id: str | None
    size: int | None  # of the volume, bytes
    message: str  # why it failed
    attempts: int
    changed_at_us: int


def get(connection: Connection, image_id: str) -> Golden | None:
    """Return what is known of an image as a volume; None: nobody asked."""
    row = connection.execute(select(goldens).where(goldens.c.image_id == image_id)).one_or_none()
    return None if row is None else _golden(row)


def want(connection: Connection, image_id: str, now_us: int) -> None:
    """Have a volume made of an image."""
    connection.execute(
        insert(goldens).values(
            image_id=image_id, state=WANTED, size=None, message="", attempts=0, changed_at_us=now_us
        )
    )


def want_again(connection: Connection, golden: Golden, now_us: int) -> None:
    """Have it tried again; of one that failed, as if nothing had been."""
    attempts = 0 if golden.state == FAILED else golden.attempts
    state = UNWANTED if golden.state == UNWANTED else WANTED
    _set(connection, golden.image_id, now_us, state=state, worker_id=None, attempts=attempts, message="")


def claim(connection: Connection, worker_id: str, now_us: int) -> Golden | None:
    """Take up the conversion that has waited longest; None: none is due."""
    query = select(goldens).where(_is_due(now_us)).order_by(goldens.c.changed_at_us).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    _set(connection, row.image_id, now_us, state=CONVERTING, worker_id=worker_id, attempts=row.attempts + 1)
    return get(connection, row.image_id)


def any_due(connection: Connection, now_us: int) -> bool:
    """Tell whether there is a conversion to be taken up."""
    return connection.scalar(select(goldens.c.image_id).where(_is_due(now_us)).limit(1)) is not None


def next_due_us(connection: Connection) -> int | None:
    """Return when there is a conversion to be taken up, as things are; None: there is none."""
    due_us: int | None = connection.scalar(select(func.min(_DUE_US)).where(goldens.c.state == WANTED))
    return due_us


def is_claimed(connection: Connection, image_id: str, worker_id: str) -> bool:
    """Tell whether the conversion is still the worker's, and wanted."""
    golden = get(connection, image_id)
    return golden is not None and (golden.state, golden.worker_id) == (CONVERTING, worker_id)


def finish(connection: Connection, image_id: str, worker_id: str, size: int, now_us: int) -> bool:
    """Note that the volume is there; tell whether it is wanted."""
    if not is_claimed(connection, image_id, worker_id):
        return False
    _set(connection, image_id, now_us, state=READY, size=size, worker_id=None)
    return True


def fail(connection: Connection, image_id: str, worker_id: str, message: str, now_us: int) -> bool:
    """Note that there will be no volume, and why; tell whether that was still to be said."""
    if not is_claimed(connection, image_id, worker_id):
        return False
    _set(connection, image_id, now_us, state=FAILED, message=message, worker_id=None)
    return True


def release(connection: Connection, image_id: str, worker_id: str, now_us: int) -> None:
    """Note that a worker makes no volume of an image any more, whatever became of it."""
    query = update(goldens).where(goldens.c.image_id == image_id, goldens.c.worker_id == worker_id)
    connection.execute(query.values(worker_id=None, changed_at_us=now_us))


def forsake(connection: Connection, image_id: str, now_us: int) -> None:
    """Have the volume of an image removed, if there is one, as soon as nobody is making it."""
    _set(connection, image_id, now_us, state=UNWANTED)


def unwanted(connection: Connection) -> list[str]:
    """Return the images whose volumes are to be removed, those first that were looked at least recently."""
    query = select(goldens.c.image_id).where(goldens.c.state == UNWANTED, goldens.c.worker_id.is_(None))
    return list(connection.scalars(query.order_by(goldens.c.changed_at_us).limit(100)))


def postpone(connection: Connection, image_id: str, now_us: int) -> None:
    """Note that a volume could not be removed yet."""
    _set(connection, image_id, now_us)


def forget(connection: Connection, image_id: str) -> None:
    """Give up the row of a volume that is gone."""
    connection.execute(delete(goldens).where(goldens.c.image_id == image_id, goldens.c.state == UNWANTED))


def under_way(connection: Connection) -> list[Golden]:
    """Return those that somebody is making a volume of."""
    return [_golden(row) for row in connection.execute(select(goldens).where(goldens.c.worker_id.is_not(None)))]


def _is_due(now_us: int) -> "ColumnElement[bool]":
    return and_(goldens.c.state == WANTED, now_us >= _DUE_US)


def _set(connection: Connection, image_id: str, now_us: int, **values: Any) -> None:
    query = update(goldens).where(goldens.c.image_id == image_id)
    connection.execute(query.values(changed_at_us=now_us, **values))


def _golden(row: Row[Any]) -> Golden:
    return Golden(**row._mapping)
