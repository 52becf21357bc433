"""An image as a value, read from its rows."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, select

from compute.images.schema import images, properties, tags
from compute.images.statuses import Status, Visibility


@dataclass(frozen=True, slots=True)
class Image:
    """An image, without its data."""

    id: str
    owner: str | None
    created_at_us: int
    updated_at_us: int
    name: str | None = None
    status: Status = Status.QUEUED
    visibility: Visibility = Visibility.SHARED
    disk_format: str | None = None
    container_format: str | None = None
    min_disk: int = 0  # GiB
    min_ram: int = 0  # MiB
    protected: bool = False
    hidden: bool = False
    size: int | None = None  # bytes
    virtual_size: int | None = None
    checksum: str | None = None
    hash_algo: str | None = None
    hash_value: str | None = None
    content_key: str | None = None
    failed_import: bool = False
    properties: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


def new_id() -> str:
    """Return an id that nothing has yet, as Glance writes them."""
    return str(uuid.uuid4())


def columns_of(image: Image) -> dict[str, Any]:
    """Return what the row of `image` consists of."""
    values = {column.name: getattr(image, column.name) for column in images.c if column.name != "deleted_at_us"}
    return {**values, "status": image.status.value, "visibility": image.visibility.value}


def with_attributes(connection: Connection, rows: Sequence[Row[Any]]) -> list[Image]:
    """Return the images of `rows`, which are whole rows of the table, in the same order."""
    ids = [row.id for row in rows]
    texts: dict[str, dict[str, str]] = {}
    words: dict[str, list[str]] = {}
    for each in connection.execute(select(properties).where(properties.c.image_id.in_(ids)).order_by("name")):
        texts.setdefault(each.image_id, {})[each.name] = each.value
    for each in connection.execute(select(tags).where(tags.c.image_id.in_(ids)).order_by("name")):
        words.setdefault(each.image_id, []).append(each.name)
    return [_image(row, texts.get(row.id, {}), tuple(words.get(row.id, ()))) for row in rows]


def _image(row: Row[Any], texts: Mapping[str, str], words: tuple[str, ...]) -> Image:
    values = {name: value for name, value in row._mapping.items() if name != "deleted_at_us"}
    values |= {"status": Status(row.status), "visibility": Visibility(row.visibility)}
    return Image(**values, properties=texts, tags=words)
