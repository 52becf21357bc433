"""Listings: which rows a client asks for, in which order, from where on.

    limit, marker, offset             a page; the marker is the id of the row before it
    sort=name:asc,size:desc           or sort_key and sort_dir
    name=x, status=available          equal; of several values, one of them (`status=a,b` where Cinder takes it)
    name~=x                           contains (from 3.34 on)
    created_at=gt:2026-01-01,lt:…     compared (from 3.60 on)

A page is found by the values of its marker, not by counting: rows that come and go meanwhile move no others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Connection, Row, Select, Table, and_, func, or_, select

from compute.volumes.errors import Invalid, NotFound
from compute.volumes.moments import parse

Conditions = Sequence["ColumnElement[bool]"]

_COMPARISONS = ("eq", "neq", "gt", "gte", "lt", "lte")
_TRUE = frozenset(("1", "t", "true", "on", "y", "yes"))
_FALSE = frozenset(("0", "f", "false", "off", "n", "no"))
_DESCENDING, _ASCENDING = "desc", "asc"


@dataclass(frozen=True, slots=True)
class Listed:
    """What can be listed: how its rows may be chosen and ordered."""

    what: str  # in refusals
    table: Table
    filters: Mapping[str, str]  # column, by the name that clients use
    sort_keys: Mapping[str, str]
    moments: frozenset[str] = frozenset(("created_at", "updated_at"))
    like: frozenset[str] = frozenset()  # of the filters, those that take `~`


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asks for."""

    filters: Mapping[str, str] = field(default_factory=dict)  # of those that are columns
    sort: Sequence[tuple[str, bool]] = (("created_at", True),)  # key, descending
    limit: int | None = None
    marker: str | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, and whether there may be more after them: Cinder points to a next page after every full one."""

    rows: Sequence["Row[Any]"]
    more: bool


def wish_of(query: Mapping[str, str], filters: Mapping[str, str]) -> Wish:
    """Return what a query asks for; `filters` are what it has beside. Raise Invalid."""
    return Wish(
        filters=filters,
        sort=_sort(query),
        limit=_number(query, "limit"),
        marker=query.get("marker") or None,
        offset=_number(query, "offset") or 0,
    )


def fetch(
    connection: Connection,
    listed: Listed,
    wish: Wish,
    seen: Conditions,
    chosen: Conditions,
    most: int,
) -> Page:
    """Return a page of the rows that fulfil `chosen` and the filters, of those that the caller may see at all (`seen`).

    Raise Invalid; NotFound, when the marker is no row that the caller may see.
    """
    if wish.limit == 0:
        return Page((), False)
    limit = min(wish.limit or most, most)
    order = [*_columns(listed, wish.sort), (listed.table.c.id, wish.sort[-1][1])]
    query = _chosen(listed, wish, (*seen, *chosen))
    if wish.marker is not None:
        query = query.where(_after(connection, listed, wish.marker, order, seen))
    query = query.order_by(*(column.desc() if descending else column.asc() for column, descending in order))
    rows = connection.execute(query.limit(limit).offset(wish.offset)).all()
    return Page(rows, len(rows) == limit)


def count(connection: Connection, listed: Listed, wish: Wish, conditions: Conditions) -> int:
    """Return how many rows there are on all pages together."""
    found = connection.scalar(select(func.count()).select_from(_chosen(listed, wish, conditions).subquery()))
    return int(found or 0)


def truth(text: str, name: str) -> bool:
    """Return what a word means. Raise Invalid."""
    lowered = text.strip().lower()
    if lowered in _TRUE or lowered in _FALSE:
        return lowered in _TRUE
    raise Invalid(f"Invalid value '{text}' for {name}: it is neither true nor false.")


def _chosen(listed: Listed, wish: Wish, conditions: Conditions) -> "Select[Any]":
    query = select(listed.table)
    for condition in (*conditions, *(_condition(listed, name, text) for name, text in wish.filters.items())):
        query = query.where(condition)
    return query


def _condition(listed: Listed, name: str, text: str) -> "ColumnElement[bool]":
    if name.endswith("~"):
        column = listed.table.c[listed.filters[name[:-1]]]
        return column.icontains(text, autoescape=True)
    column = listed.table.c[listed.filters[name]]
    if name in listed.moments:
        return and_(*(_compared(column, part) for part in text.split(",")))
    if isinstance(column.type, Boolean):
        return column == truth(text, name)
    if column.type.python_type is int:
        if not (text.isascii() and text.isdigit()):
            return column.is_(None) & column.is_not(None)  # no row has it
        return column == int(text[:18])
    values = text.split(",")
    return column == text if len(values) == 1 else or_(column == text, column.in_(values))


def _compared(column: "ColumnElement[Any]", text: str) -> "ColumnElement[bool]":
    how, colon, moment = text.partition(":")
    if not colon or how not in _COMPARISONS:
        how, moment = "eq", text
    try:
        moment_us = parse(moment)
    except ValueError:
        raise Invalid(f"Invalid filter value: {text} is no time.") from None
    return {
        "eq": column == moment_us,
        "neq": column != moment_us,
        "gt": column > moment_us,
        "gte": column >= moment_us,
        "lt": column < moment_us,
        "lte": column <= moment_us,
    }[how]


def _after(
    connection: Connection, listed: Listed, marker: str, order: Sequence[tuple[Any, bool]], seen: Conditions
) -> "ColumnElement[bool]":
    """Return what the rows after the marker's fulfil: in the first column that differs they come later."""
    query = select(*(column.label(f"key_{index}") for index, (column, _descending) in enumerate(order)))
    values = connection.execute(query.where(listed.table.c.id == marker, *seen)).one_or_none()
    if values is None:
        raise NotFound(f"{listed.what} (marker)", marker)
    ways = []
    for index, (column, descending) in enumerate(order):
        same = [earlier == values[place] for place, (earlier, _way) in enumerate(order[:index])]
        ways.append(and_(*same, column < values[index] if descending else column > values[index]))
    return or_(*ways)


def _columns(listed: Listed, sort: Sequence[tuple[str, bool]]) -> "list[tuple[Any, bool]]":
    found = []
    for key, descending in sort:
        if key not in listed.sort_keys:
            raise Invalid(f"Invalid input received: sort key {key!r} is none of {sorted(listed.sort_keys)}.")
        column: Any = listed.table.c[listed.sort_keys[key]]
        if column.nullable:  # NULL is in no order with anything
            empty = 0 if column.type.python_type is int or column.type.python_type is bool else ""
            column = func.coalesce(column, empty)
        found.append((column, descending))
    return found


def _sort(query: Mapping[str, str]) -> list[tuple[str, bool]]:
    if query.get("sort"):
        if query.get("sort_key") or query.get("sort_dir"):
            raise Invalid("Bad sort parameters: sort cannot be used together with sort_key and sort_dir.")
        pairs = [each.strip().partition(":") for each in query["sort"].split(",") if each.strip()]
        found = [(key.strip(), way.strip() or _DESCENDING) for key, _colon, way in pairs]
    else:
        found = [(query.get("sort_key") or "created_at", query.get("sort_dir") or _DESCENDING)]
    for _key, way in found:
        if way not in (_DESCENDING, _ASCENDING):
            raise Invalid(f"Invalid input received: sort direction {way!r} is neither asc nor desc.")
    return [(key, way == _DESCENDING) for key, way in found] or [("created_at", True)]


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Invalid(f"Invalid input received: {name} {text!r} is not a number from 0 on.")
    return int(text)
