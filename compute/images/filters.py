"""Which images a listing's query asks for: `?name=in:a,b&size_min=5&created_at=gte:2026-01-01T00:00:00Z&os_distro=x`.

Source: the Images API's reference, "List images". What is no attribute of images is the name of a property. A value in
double quotes may have commas in it.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Integer, and_, exists, select

from compute.errors import BadRequest
from compute.images.schema import images, properties, tags
from compute.images.statuses import MemberStatus, Visibility
from compute.images.visibility import ALL

_EXACT = frozenset((
    "id", "name", "owner", "status", "disk_format", "container_format", "min_disk", "min_ram", "size", "checksum",
    "protected",
))
_LISTS = frozenset(("id", "name", "status", "disk_format", "container_format"))  # take in:
_MOMENTS = {"created_at": images.c.created_at_us, "updated_at": images.c.updated_at_us}
_NOT_FILTERS = frozenset(
    ("limit", "marker", "sort", "sort_key", "sort_dir", "member_status", "visibility", "os_hidden")
)
_SECOND_US = 1_000_000
_COMPARE: Mapping[str, Callable[[Any, int], "ColumnElement[bool]"]] = {  # of moments, which are shown by the second
    "gt": lambda column, second_us: column >= second_us + _SECOND_US,
    "gte": lambda column, second_us: column >= second_us,
    "lt": lambda column, second_us: column < second_us,
    "lte": lambda column, second_us: column < second_us + _SECOND_US,
    "eq": lambda column, second_us: and_(column >= second_us, column < second_us + _SECOND_US),
    "neq": lambda column, second_us: (column < second_us) | (column >= second_us + _SECOND_US),
}


def conditions(query: Mapping[str, Sequence[str]]) -> list["ColumnElement[bool]"]:
    """Return what rows must fulfil, but for visibility. Raise BadRequest."""
    hidden = _boolean("os_hidden", query["os_hidden"][-1]) if "os_hidden" in query else False
    return [images.c.hidden.is_(hidden), *_conditions(query)]


def wanted_visibility(query: Mapping[str, Sequence[str]]) -> str | None:
    """Return the visibility that is asked for; None: the usual ones. Raise BadRequest."""
    if "visibility" not in query:
        return None
    wanted = query["visibility"][-1]
    if wanted != ALL and wanted not in [each.value for each in Visibility]:
        raise BadRequest(f"Invalid visibility value: {wanted}")
    return wanted


def wanted_member_status(query: Mapping[str, Sequence[str]]) -> str:
    """Return which images shared with the project are asked for. Raise BadRequest."""
    wanted = query.get("member_status", [MemberStatus.ACCEPTED.value])[-1]
    if wanted != ALL and wanted not in [each.value for each in MemberStatus]:
        raise BadRequest(f"Invalid status: {wanted}")
    return wanted


def _conditions(query: Mapping[str, Sequence[str]]) -> Iterator["ColumnElement[bool]"]:
    for name, values in query.items():
        if name in _NOT_FILTERS:
            continue
        if name == "tag":
            for each in values:
                yield exists().where(tags.c.image_id == images.c.id, tags.c.name == each)
        elif name in ("size_min", "size_max"):
            size = _number(name, values[-1])
            yield images.c.size >= size if name == "size_min" else images.c.size <= size
        elif name in _MOMENTS:
            yield from (_moment(name, value) for value in values)
        elif name in _EXACT:
            yield _exact(name, values[-1])
        else:
            yield _property(name, values[-1])


def _exact(name: str, value: str) -> "ColumnElement[bool]":
    column = images.c[name]
    if name in _LISTS and value.startswith("in:"):
        return column.in_(_listed(value.removeprefix("in:")))
    if isinstance(column.type, Boolean):
        return column.is_(_boolean(name, value))
    if isinstance(column.type, Integer):
        return column == _number(name, value)
    return column == value


def _property(name: str, value: str) -> "ColumnElement[bool]":
    found = select(properties.c.image_id).where(properties.c.name == name, properties.c.value == value)
    return images.c.id.in_(found)


def _moment(name: str, value: str) -> "ColumnElement[bool]":
    operator, colon, text = value.partition(":")
    if operator not in _COMPARE:  # a moment alone has colons, too
        operator, text = ("eq", value) if not colon or operator[:1].isdigit() else (operator, text)
    if operator not in _COMPARE:
        raise BadRequest(f"Unable to filter by a range of {name} with the operator {operator}.")
    return _COMPARE[operator](_MOMENTS[name], _second_us(name, text))


def _second_us(name: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"Invalid time format for {name}: {text}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * _SECOND_US


def _listed(text: str) -> list[str]:
    """Return what a list with commas and quotes has. Raise BadRequest."""
    try:
        (found,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError):
        raise BadRequest(f"Invalid filter value {text}. The quote is not closed.") from None
    return found


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadRequest(f"{name} must be a number from 0 on, not {text}.")
    return int(text)


def _boolean(name: str, text: str) -> bool:
    found = {"true": True, "false": False}.get(text.lower())
    if found is None:
        raise BadRequest(f"Invalid value {text} for {name}: true or false is expected.")
    return found
