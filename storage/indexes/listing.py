"""A page of a listing, with common prefixes rolled up, at the cost of what it returns.

Everything is a half-open range [low, high) of UTF-8 bytes, which SQLite compares as memcmp does. Two
facts of UTF-8 make ends of ranges exact: the successor of a string is the string and a zero byte, and
the byte 0xFF is larger than all that can follow a prefix.

Without a delimiter a page is one range scan. With one, the first rows are scanned in the same way, and tell how
much is rolled up: where it is little, so are the others; where it is much, the rest is a skip scan: one seek for each
item, past everything behind a common prefix, all in one statement. Measured for 1000 items: 1.5 ms when nothing is
rolled up, 1 to 4 ms in the skip scan, whatever lies behind a prefix.
Names are cut as bytes, not text: SQLite's text functions stop at a zero character.

Semantics are Swift's: a marker inside of a common prefix does not hide the prefix, a marker that equals
it does.
"""

import sqlite3
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from storage.indexes.errors import Damaged
from storage.indexes.rows import unpack_all
from storage.messages import IndexList

PROBE_ROWS = 64  # that tell how much is rolled up
_ROWS_OF_SEEK = 3  # that a scan reads in the time of a seek
_ABOVE = b"\xff"  # in no UTF-8 text
_ZERO = b"\x00"

_PAGE = """
SELECT CAST(group_concat(row, '') AS BLOB) FROM (
    SELECT row FROM rows
    WHERE deleted = 0 AND name >= CAST(:low AS TEXT) AND name < CAST(:high AS TEXT)
    ORDER BY name {order} LIMIT :limit
)
"""

# walk: an item, represented by the first row of it that the scan meets; cut: where in the
# name the delimiter stands, counted from 1 behind the prefix of :skip bytes; 0: a plain row.
# Each step names one bound per side: of two, SQLite may seek to the wrong one and walk from there.
_SKIP_SCAN = """
WITH RECURSIVE walk (name, cut, row) AS (
    SELECT name, instr(substr(CAST(name AS BLOB), :skip + 1), :delimiter), row FROM (
        SELECT name, row FROM rows
        WHERE deleted = 0 AND name >= CAST(:low AS TEXT) AND name < CAST(:high AS TEXT)
        ORDER BY name {order} LIMIT 1
    )
    UNION ALL
    SELECT rows.name, instr(substr(CAST(rows.name AS BLOB), :skip + 1), :delimiter), rows.row
    FROM walk CROSS JOIN rows
    WHERE rows.deleted = 0 AND rows.name = (
        SELECT name FROM rows
        WHERE deleted = 0 AND {other_end} AND name {beyond} CASE walk.cut
                WHEN 0 THEN walk.name
                ELSE CAST(substr(CAST(walk.name AS BLOB), 1, :skip + walk.cut - 1 + :width){above} AS TEXT)
            END
        ORDER BY name {order} LIMIT 1
    )
    LIMIT :limit
)
SELECT
    CAST(group_concat(CASE cut WHEN 0 THEN row ELSE '' END, '') AS BLOB),
    group_concat(
        CASE cut
            WHEN 0 THEN ''
            ELSE hex(substr(CAST(name AS BLOB), 1, :skip + cut - 1 + :width))
        END, ','
    )
FROM walk
"""

_FORWARD, _BACKWARD = False, True
_PAGES = {_FORWARD: _PAGE.format(order="ASC"), _BACKWARD: _PAGE.format(order="DESC")}
_SKIP_SCANS = {
    _FORWARD: _SKIP_SCAN.format(
        order="ASC", beyond=">", above=" || x'FF'", other_end="name < CAST(:high AS TEXT)"
    ),
    _BACKWARD: _SKIP_SCAN.format(order="DESC", beyond="<", above="", other_end="name >= CAST(:low AS TEXT)"),
}


@dataclass(frozen=True, slots=True)
class Range:
    """Names `low` <= name < `high`, as bytes."""

    low: bytes
    high: bytes

    def beyond(self, item: Any, reverse: bool) -> "Range":
        """Return what is left of the range after `item`: a row, or a common prefix."""
        common = isinstance(item, str)
        name = (item if common else item[0]).encode()
        if reverse:
            return Range(self.low, name)
        return Range(name + (_ABOVE if common else _ZERO), self.high)


def range_of(query: IndexList) -> Range:
    """Return the names that `query` is about."""
    after, before = query.marker, query.end_marker
    if query.reverse:
        after, before = before, after
    prefix = query.prefix.encode()
    low = max(prefix, after.encode() + _ZERO) if after else prefix
    high = prefix + _ABOVE
    if before:
        high = min(high, before.encode())
    if query.low:
        low = max(low, query.low.encode())
    return Range(low, min(high, query.high.encode()) if query.high else high)


def list_items(connection: sqlite3.Connection, query: IndexList) -> tuple[list[Any], bool]:
    """Return at most `query.limit` items, and whether there are more."""
    if query.limit <= 0:
        return [], False
    wanted = query.limit + 1  # one more tells whether there is more
    names = range_of(query)
    if query.delimiter:
        items = _rolled_up(connection, names, query, wanted)
    else:
        items = _page(connection, names, query.reverse, wanted)
    return items[: query.limit], len(items) > query.limit


def _rolled_up(connection: sqlite3.Connection, names: Range, query: IndexList, wanted: int) -> list[Any]:
    """Return `wanted` items or some more, or all there are."""
    items: list[Any] = []
    limit = min(wanted, PROBE_ROWS)
    while True:
        rows = _page(connection, names, query.reverse, limit)
        found, last = roll_up(rows, query)
        items += found
        if len(rows) < limit or len(items) >= wanted:
            return items
        names = names.beyond(last, query.reverse)
        if len(rows) > _ROWS_OF_SEEK * len(found):
            # the item before may have been left out of `items`, so one more is asked for
            return items + _skip_scan(connection, names, query, wanted - len(items) + 1, hidden_prefix(query))
        limit = wanted - len(items)


def hidden_prefix(query: IndexList) -> str:
    """Return the common prefix that the marker has already passed."""
    return query.end_marker if query.reverse else query.marker


def roll_up(rows: list[Any], query: IndexList) -> tuple[list[Any], Any]:
    """Return the items that `rows` amount to, and the last one even if it is hidden."""
    hidden, delimiter = hidden_prefix(query), query.delimiter
    start, width = len(query.prefix), len(delimiter)
    items: list[Any] = []
    last: Any = None
    for row in rows:
        name = row[0]
        cut = name.find(delimiter, start)
        if cut < 0:
            last = row
        else:
            common = name[: cut + width]
            if common == last:
                continue
            last = common
            if common == hidden:
                continue
        items.append(last)
    return items, last


def _page(connection: sqlite3.Connection, names: Range, reverse: bool, limit: int) -> list[Any]:
    parameters = {"low": names.low, "high": names.high, "limit": limit}
    (data,) = connection.execute(_PAGES[reverse], parameters).fetchone()
    found = unpack_all(data)
    for before, after in pairwise(found):
        if (before[0] < after[0]) is reverse:  # the columns of one of them are damaged: they have no checksum
            raise Damaged("rows are out of order")
    return found


def _skip_scan(
    connection: sqlite3.Connection, names: Range, query: IndexList, limit: int, hidden: str
) -> list[Any]:
    delimiter = query.delimiter.encode()
    data, prefixes = connection.execute(
        _SKIP_SCANS[query.reverse],
        {
            "low": names.low,
            "high": names.high,
            "limit": limit,
            "skip": len(query.prefix.encode()),
            "delimiter": delimiter,
            "width": len(delimiter),
        },
    ).fetchone()
    if prefixes is None:
        return []
    rows = iter(unpack_all(data))
    items = (bytes.fromhex(prefix).decode() if prefix else next(rows) for prefix in prefixes.split(","))
    return [item for item in items if item != hidden]
