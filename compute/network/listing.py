"""Listings: which rows a client asks for, in which order, from where on.

    name=a&name=b                     equal to one of these
    tags=a,b  tags-any=a,b            all of them; one of them; with not- before it, not so
    changed_since=2026-01-01T00:00:00
    limit, marker, page_reverse       a page; the marker is the id of the row before it
    sort_key, sort_dir                as often as there are keys

A page is found by the values of its marker, not by counting: rows that come and go meanwhile move no others.
Source: Neutron API reference, "Filtering", "Sorting", "Pagination".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Connection, Integer, and_, exists, false, func, or_, select

from compute.network.attributes import Noun
from compute.network.checks import boolean, whole
from compute.network.errors import HTTPBadRequest, InvalidInput
from compute.network.schema import tags
from compute.network.work import AnyRow

Filter = Callable[[Sequence[str]], "ColumnElement[bool]"]
Conditions = Sequence["ColumnElement[bool]"]

_PAGING = frozenset(("limit", "marker", "page_reverse", "sort_key", "sort_dir", "fields", "verbose"))
_SIZE = 18  # digits of numbers that databases take


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asks for."""

    chosen: Conditions
    sort: Sequence[tuple[str, bool]]  # column, descending
    limit: int | None
    marker: str | None
    reverse: bool


def wish_of(noun: Noun, query: Mapping[str, Sequence[str]], special: Mapping[str, Filter]) -> Wish:
    """Return what a query asks for. Raise HTTPBadRequest, InvalidInput."""
    chosen, unknown = [], []
    for name, values in query.items():
        if name in special:
            chosen.append(special[name](values))
        elif name in ("tags", "tags-any", "not-tags", "not-tags-any") and noun.tagged:
            chosen.append(_tagged(noun, name, values))
        elif name == "changed_since":
            chosen.append(noun.table.c.updated_at_us >= _moment(values[-1]))
        elif _column(noun, name) is not None:
            chosen.append(_equal(noun.table.c[str(_column(noun, name))], values))
        elif name not in _PAGING:
            unknown.append(name)
    if unknown:
        raise HTTPBadRequest(why=f"{sorted(unknown)} is invalid attribute for filtering")
    return Wish(
        chosen=chosen,
        sort=_sort(noun, query),
        limit=_limit(query),
        marker=(query.get("marker") or [""])[-1] or None,
        reverse=(query.get("page_reverse") or [""])[-1].lower() in ("true", "1"),
    )


def fetch(connection: Connection, noun: Noun, wish: Wish, seen: Conditions) -> Sequence[AnyRow]:
    """Return a page of the rows that a client wishes for, of those that it sees. Raise the noun's NotFound (marker)."""
    table = noun.table
    order = [*((_sortable(table.c[name]), descending) for name, descending in wish.sort), (table.c.id, False)]
    if wish.reverse:
        order = [(column, not descending) for column, descending in order]
    query = select(table).where(*seen, *wish.chosen)
    if wish.marker is not None and wish.limit is not None:
        query = query.where(_after(connection, noun, wish.marker, order, seen))
    query = query.order_by(*(column.desc() if descending else column.asc() for column, descending in order))
    rows = connection.execute(query if wish.limit is None else query.limit(wish.limit)).all()
    return rows[::-1] if wish.reverse else rows


def _column(noun: Noun, name: str) -> str | None:
    if name == "tenant_id":
        name = "project_id"
    return noun.column_of(name) if name in noun.attributes else None


def _equal(column: Any, values: Sequence[str]) -> "ColumnElement[bool]":
    found: list[Any] = []
    for value in values:
        try:
            if isinstance(column.type, Boolean):
                found.append(boolean(value))
            elif isinstance(column.type, Integer):
                found.append(whole(value))
            else:
                found.append(value)
        except ValueError as error:
            raise InvalidInput(error_message=f"'{column.name}': {error}") from None
    if not isinstance(column.type, Boolean | Integer) and "" in found and column.nullable:
        return or_(column.is_(None), column.in_(found))
    result: ColumnElement[bool] = column.in_(found)
    return result


def _tagged(noun: Noun, name: str, values: Sequence[str]) -> "ColumnElement[bool]":
    wanted = [tag for value in values for tag in value.split(",")]
    has = [exists().where(tags.c.resource_id == noun.table.c.id, tags.c.tag == tag) for tag in wanted]
    found = or_(*has) if name.endswith("any") else and_(*has)
    return ~found if name.startswith("not-") else found


def _moment(text: str) -> int:
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise InvalidInput(error_message="'changed_since' is no time as in ISO 8601") from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def _sort(noun: Noun, query: Mapping[str, Sequence[str]]) -> list[tuple[str, bool]]:
    keys, ways = query.get("sort_key", ()), query.get("sort_dir", ())
    if ways and len(keys) != len(ways):
        raise HTTPBadRequest(why="The number of sort_keys and sort_dirs must be same")
    found = []
    for index, key in enumerate(keys):
        column, way = _column(noun, key), ways[index] if ways else "asc"
        if key in ("created_at", "updated_at"):
            column = f"{key}_us"
        if column is None or noun.table.c[column].type.python_type in (dict, list):
            raise HTTPBadRequest(why=f"{[key]} is invalid attribute for sort_keys")
        if way not in ("asc", "desc"):
            raise HTTPBadRequest(why=f"{[way]} is invalid value for sort_dirs, valid value is 'asc' and 'desc'")
        found.append((column, way == "desc"))
    return found


def _limit(query: Mapping[str, Sequence[str]]) -> int | None:
    text = (query.get("limit") or [""])[-1]
    if text in ("", "0", "infinite"):
        return None
    if not (text.isascii() and text.isdigit() and len(text) < _SIZE):
        raise HTTPBadRequest(why=f"Limit must be an integer 0 or greater and not '{text}'")
    return int(text)


def _sortable(column: Any) -> Any:
    """Return a column without NULL, which is in no order with anything."""
    if not column.nullable:
        return column
    return func.coalesce(column, 0 if isinstance(column.type, Boolean | Integer) else "")


def _after(
    connection: Connection, noun: Noun, marker: str, order: Sequence[tuple[Any, bool]], seen: Conditions
) -> "ColumnElement[bool]":
    """Return what the rows after the marker's fulfil: in the first column that differs they come later."""
    query = select(*(column.label(f"key_{index}") for index, (column, _descending) in enumerate(order)))
    values = connection.execute(query.where(noun.table.c.id == marker, *seen)).one_or_none()
    if values is None:
        raise noun.missing(id=marker)
    ways: list[ColumnElement[bool]] = []
    for index, (column, descending) in enumerate(order):
        same = [earlier == values[place] for place, (earlier, _way) in enumerate(order[:index])]
        ways.append(and_(*same, column < values[index] if descending else column > values[index]))
    return or_(false(), *ways)
