"""Contents: the objects that images consist of, and what is known of each. Here is what keeps objects from leaking.

    writing -> whole -> unwanted -> (no row)        a writer that fails, or dies:  writing -> unwanted -> (no row)

A row is committed before its object is begun, and goes only when the object is known to be gone. So every object in the
store has a row, whatever was killed when. Only its writer changes the row of a content that is being written; when that
one is dead, whoever reaps does (`workers`). What a dead one asked of the store may still be under way, and one that is
only believed to be dead may still ask: then the object is removed again and again for a while, and its row stays as
long. A key is never used twice, and a whole content never changes.
"""

import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from compute.errors import Gone
from compute.images.schema import contents

DATA, STAGED = "data", "staged"
WRITING, WHOLE, UNWANTED = "writing", "whole", "unwanted"
UNDER_WAY_US = 600 * 1_000_000  # for which what was asked of the store may take effect, though nobody waits for it
DOUBT_US = 3600 * 1_000_000  # for which a writer that is only believed to be dead may still write


@dataclass(frozen=True, slots=True)
class Digest:
    """What was found out about bytes while they passed."""

    size: int
    checksum: str  # MD5, hexadecimal
    hash_value: str  # SHA-512, hexadecimal
    virtual_size: int | None = None  # of the disk that is in them; None: none is known to be
    refusal: str | None = None  # why they are not taken as what they were declared to be


@dataclass(frozen=True, slots=True)
class Content:
    """One object."""

    key: str
    image_id: str
    purpose: str
    state: str
    worker_id: str  # who writes it, or has
    digest: Digest


def new_key(image_id: str) -> str:
    """Return a key that no object has had."""
    return f"{image_id}/{uuid.uuid4().hex}"


def begin(
    connection: Connection, key: str, project_id: str | None, purpose: str, worker_id: str, now_us: int
) -> None:
    """Announce an object that the worker is going to write."""
    connection.execute(
        insert(contents).values(
            key=key,
            image_id=key.partition("/")[0],
            project_id=project_id,
            purpose=purpose,
            state=WRITING,
            worker_id=worker_id,
            removed_until_us=0,
            size=0,
            created_at_us=now_us,
        )
    )


def complete(connection: Connection, key: str, worker_id: str, digest: Digest) -> None:
    """Note that an object is whole. Raise Gone when the worker was taken for dead meanwhile."""
    done = connection.execute(
        update(contents)
        .where(contents.c.key == key, contents.c.state == WRITING, contents.c.worker_id == worker_id)
        .values(
            state=WHOLE,
            size=digest.size,
            checksum=digest.checksum,
            hash_value=digest.hash_value,
            virtual_size=digest.virtual_size,
            refusal=digest.refusal,
        )
    )
    if not done.rowcount:
        raise Gone("The data took too long to arrive, and was given up.")


def get(connection: Connection, key: str) -> Content | None:
    """Return a content."""
    row = connection.execute(select(contents).where(contents.c.key == key)).one_or_none()
    return None if row is None else _content(row)


def adopt(connection: Connection, key: str) -> None:
    """Make data of what was staged."""
    connection.execute(update(contents).where(contents.c.key == key, contents.c.state == WHOLE).values(purpose=DATA))


def give_up(connection: Connection, key: str, removed_until_us: int = 0) -> bool:
    """Have an object removed that is not whole yet: its writer failed, or is dead. Tell whether that is so."""
    done = connection.execute(
        update(contents)
        .where(contents.c.key == key, contents.c.state.in_((WRITING, UNWANTED)))
        .values(state=UNWANTED, removed_until_us=removed_until_us)
    )
    return bool(done.rowcount)


def forsake(connection: Connection, key: str) -> None:
    """Have an object removed that is whole."""
    connection.execute(
        update(contents).where(contents.c.key == key, contents.c.state == WHOLE).values(state=UNWANTED)
    )


def forsake_image(connection: Connection, image_id: str) -> None:
    """Have the whole objects of an image removed. Those that are written are forsaken when their writers are done."""
    connection.execute(
        update(contents).where(contents.c.image_id == image_id, contents.c.state == WHOLE).values(state=UNWANTED)
    )


def unwanted(connection: Connection, limit: int = 100, after: str = "") -> list[tuple[str, int]]:
    """Return keys of objects to be removed, by key, and until when they may come back."""
    query = select(contents.c.key, contents.c.removed_until_us).where(
        contents.c.state == UNWANTED, contents.c.key > after
    )
    return [(row.key, row.removed_until_us) for row in connection.execute(query.order_by(contents.c.key).limit(limit))]


def forget(connection: Connection, key: str) -> None:
    """Give up the row of an object that is known to be gone."""
    connection.execute(delete(contents).where(contents.c.key == key, contents.c.state == UNWANTED))


def written_by(connection: Connection, worker_ids: list[str]) -> list[Content]:
    """Return what these workers had not finished."""
    query = select(contents).where(contents.c.state == WRITING, contents.c.worker_id.in_(worker_ids))
    return [_content(row) for row in connection.execute(query)]


def writers(connection: Connection) -> set[str]:
    """Return who has contents that are not finished."""
    query = select(contents.c.worker_id).where(contents.c.state == WRITING).distinct()
    return set(connection.scalars(query))


def total(connection: Connection, project_id: str, purpose: str) -> int:
    """Return how many bytes a project has; what is still being written is not known."""
    query = select(func.coalesce(func.sum(contents.c.size), 0)).where(
        contents.c.project_id == project_id, contents.c.purpose == purpose, contents.c.state == WHOLE
    )
    return int(connection.scalar(query) or 0)


def _content(row: Row[Any]) -> Content:
    digest = Digest(row.size, row.checksum or "", row.hash_value or "", row.virtual_size, row.refusal)
    return Content(row.key, row.image_id, row.purpose, row.state, row.worker_id, digest)
