"""The order of a listing: `?sort=name:asc,size` or `?sort_key=name&sort_dir=asc`, and where a marker is in it.

Newest first unless asked otherwise; images that are equal in all keys come by creation and id, so that every image has
its place. What has no name or size comes before what has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_

from compute.errors import BadRequest
from compute.images.records import Image
from compute.images.schema import images

KEYS = ("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at")
_LAST = ("created_at", "id")
_COLUMNS = {"created_at": "created_at_us", "updated_at": "updated_at_us"}
_DIRECTIONS = ("asc", "desc")


@dataclass(frozen=True, slots=True)
class Key:
    """One thing that images are ordered by."""

    name: str
    descending: bool

    @property
    def column(self) -> "ColumnElement[Any]":
        """Return what is compared; it is never NULL."""
        column = images.c[_COLUMNS.get(self.name, self.name)]
        return func.coalesce(column, _without(self.name)) if column.nullable else column

    def value_of(self, image: Image) -> Any:
        """Return what an image has for it."""
        value: Any = getattr(image, _COLUMNS.get(self.name, self.name))
        if value is None:
            return _without(self.name)
        return value.value if self.name == "status" else value


def keys_of(query: Mapping[str, Sequence[str]]) -> list[Key]:
    """Return the order that a query asks for. Raise BadRequest."""
    if "sort" in query:
        if "sort_key" in query or "sort_dir" in query:
            raise BadRequest("Old and new sorting syntax cannot be combined")
        wanted = [_split(part) for part in query["sort"][-1].split(",")]
    else:
        names = list(query.get("sort_key", ["created_at"]))
        directions = list(query.get("sort_dir", ["desc"]))
        if len(directions) == 1:
            directions *= len(names)
        if len(directions) != len(names):
            raise BadRequest("Number of sort dirs does not match the number of sort keys")
        wanted = list(zip(names, directions, strict=True))
    keys = [_key(name.strip(), direction.strip()) for name, direction in wanted]
    descending = keys[0].descending
    return keys + [Key(name, descending) for name in _LAST if name not in [key.name for key in keys]]


def ordered(keys: Sequence[Key]) -> list["ColumnElement[Any]"]:
    """Return what rows are ordered by."""
    return [key.column.desc() if key.descending else key.column.asc() for key in keys]


def behind(keys: Sequence[Key], marker: Image) -> "ColumnElement[bool]":
    """Return what the rows after `marker` fulfil."""
    cases = []
    for index, key in enumerate(keys):
        value = key.value_of(marker)
        beyond = key.column < value if key.descending else key.column > value
        cases.append(and_(*(before.column == before.value_of(marker) for before in keys[:index]), beyond))
    return or_(*cases)


def _split(part: str) -> tuple[str, str]:
    name, colon, direction = part.partition(":")
    return name, direction if colon else "desc"


def _key(name: str, direction: str) -> Key:
    if name not in KEYS:
        raise BadRequest(f"Invalid sort key: {name}. It must be one of the following: {', '.join(sorted(KEYS))}.")
    if direction not in _DIRECTIONS:
        raise BadRequest(f"Invalid sort direction: {direction}")
    return Key(name, direction == "desc")


def _without(name: str) -> Any:
    return -1 if name == "size" else ""
