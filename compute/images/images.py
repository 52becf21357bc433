"""Images within a transaction: found, made, changed, taken through their states, deleted.

Invariants: the bytes of an image that was once active never change; an image that is deleted is not found, and its id
is not given again while its row is kept; status changes only by the steps of `statuses`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from cluster.controlplane.database import refusing_duplicates
from compute.errors import Conflict
from compute.images import contents, goldens
from compute.images.errors import NoSuchImage, Protected, WrongStatus
from compute.images.records import Image, columns_of, with_attributes
from compute.images.schema import goldens as volumes
from compute.images.schema import images, members, properties, tags
from compute.images.statuses import Status, may_become


def get(connection: Connection, image_id: str) -> Image:
    """Return an image. Raise NoSuchImage."""
    query = select(images).where(images.c.id == image_id, images.c.deleted_at_us.is_(None))
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NoSuchImage(image_id)
    return with_attributes(connection, [row])[0]


def create(connection: Connection, image: Image) -> None:
    """Store a new image. Raise Conflict when its id is taken."""
    with refusing_duplicates(Conflict(f"Image ID {image.id} already exists!")):
        connection.execute(insert(images).values(**columns_of(image)))
    _write_properties(connection, image)
    _write_tags(connection, image)


def replace_attributes(connection: Connection, old: Image, new: Image, now_us: int) -> Image:
    """Store the attributes, properties and tags of `new` in place of those of `old`; not its status or data."""
    new = replace(new, updated_at_us=max(now_us, old.updated_at_us))
    values = columns_of(new)
    settable = {name: values[name] for name in _SETTABLE}
    _update(connection, old, {**settable, "updated_at_us": new.updated_at_us})
    if new.properties != old.properties:
        connection.execute(delete(properties).where(properties.c.image_id == old.id))
        _write_properties(connection, new)
    if new.tags != old.tags:
        connection.execute(delete(tags).where(tags.c.image_id == old.id))
        _write_tags(connection, new)
    return get(connection, old.id)


_SETTABLE = (
    "name", "owner", "visibility", "disk_format", "container_format", "min_disk", "min_ram", "protected", "hidden",
)


def step(connection: Connection, image: Image, status: Status, now_us: int, **values: Any) -> None:
    """Take an image into another state, with what comes with that. Raise WrongStatus."""
    if not may_become(image.status, status):
        raise WrongStatus(image.status, status)
    _update(connection, image, {**values, "status": status.value, "updated_at_us": max(now_us, image.updated_at_us)})


def remove(connection: Connection, image: Image, now_us: int) -> None:
    """Delete an image, and everything that it has. Raise Protected."""
    if image.protected:
        raise Protected(image.id)
    connection.execute(
        update(images).where(images.c.id == image.id).values(
            status=Status.DELETED.value, deleted_at_us=now_us, updated_at_us=now_us, content_key=None
        )
    )
    for table in (properties, tags, members):
        connection.execute(delete(table).where(table.c.image_id == image.id))
    contents.forsake_image(connection, image.id)
    goldens.forsake(connection, image.id, now_us)


def set_content(connection: Connection, image: Image, key: str | None) -> None:
    """Note which content is written for an image."""
    _update(connection, image, {"content_key": key})


def touch(connection: Connection, image: Image, now_us: int) -> None:
    """Note that something about an image has changed."""
    _update(connection, image, {"updated_at_us": max(now_us, image.updated_at_us)})


def sweep(connection: Connection, deleted_before_us: int, limit: int = 1000) -> int:
    """Forget images that were deleted long ago, some of them, but not while there is a volume; return how many."""
    gone = (
        select(images.c.id)
        .where(images.c.deleted_at_us < deleted_before_us, images.c.id.not_in(select(volumes.c.image_id)))
        .limit(limit)
    )
    return connection.execute(delete(images).where(images.c.id.in_(gone.scalar_subquery()))).rowcount


def _update(connection: Connection, image: Image, values: Mapping[str, Any]) -> None:
    connection.execute(update(images).where(images.c.id == image.id).values(**values))


def _write_properties(connection: Connection, image: Image) -> None:
    rows = [{"image_id": image.id, "name": name, "value": value} for name, value in image.properties.items()]
    if rows:
        connection.execute(insert(properties), rows)


def _write_tags(connection: Connection, image: Image) -> None:
    rows = [{"image_id": image.id, "name": name} for name in dict.fromkeys(image.tags)]
    if rows:
        connection.execute(insert(tags), rows)
