"""Rows of a database by name and by sequence: many in one step of SQLite.

Each step of a statement gives the interpreter's lock away, and the loop's thread may keep it for a
while: so statements take and give many rows at once, as packed bytes (see `schema`).
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import msgpack

from storage.messages import Row

Stored = tuple[bool, str, bytes, int, bytes]  # deleted, name, timestamp, sequence, packed row

_WIDTHS = (64, 8, 1)  # rows per statement; few widths, so that all statements stay compiled


def pack(row: Row) -> bytes:
    """Encode `row` for its column."""
    packed: bytes = msgpack.packb(row)
    return packed


def unpack_all(data: bytes | None) -> list[Any]:
    """Decode concatenated rows, as arrays."""
    if not data:
        return []
    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    return list(unpacker)


def _repeated(item: str, width: int) -> str:
    return ", ".join([item] * width)


def _runs(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Cut `items` into runs whose lengths are in _WIDTHS."""
    start = 0
    for width in _WIDTHS:
        while len(items) - start >= width:
            yield items[start : start + width]
            start += width


_FIND = {
    width: f"""
    SELECT CAST(group_concat(row, '') AS BLOB) FROM rows
    WHERE deleted IN (0, 1) AND version = '' AND name IN ({_repeated("?", width)})
    """  # noqa: S608
    for width in _WIDTHS
}
_PUT = {
    width: f"""
    INSERT OR REPLACE INTO rows (deleted, name, timestamp, sequence, row)
    VALUES {_repeated("(?, ?, ?, ?, ?)", width)}
    """  # noqa: S608
    for width in _WIDTHS
}
_REMOVE = {
    width: f"DELETE FROM rows WHERE deleted = ? AND version = '' AND name IN ({_repeated('?', width)})"  # noqa: S608
    for width in _WIDTHS
}
_CHANGED = """
SELECT CAST(group_concat(row, '') AS BLOB), max(sequence), count(*) FROM (
    SELECT row, sequence FROM rows WHERE sequence > ? ORDER BY sequence LIMIT ?
)
"""


def find(connection: sqlite3.Connection, names: Sequence[str]) -> dict[str, Row]:
    """Return the rows of `names` that are there, tombstones included."""
    found: dict[str, Row] = {}
    for run in _runs(names):
        (data,) = connection.execute(_FIND[len(run)], run).fetchone()
        for values in unpack_all(data):
            found[values[0]] = Row(*values)
    return found


def put(connection: sqlite3.Connection, stored: Sequence[Stored]) -> None:
    """Write rows over what has their names and the same `deleted`."""
    for run in _runs(stored):
        connection.execute(_PUT[len(run)], [value for values in run for value in values])


def remove(connection: sqlite3.Connection, deleted: bool, names: Sequence[str]) -> None:
    """Take away live rows, or tombstones."""
    for run in _runs(names):
        connection.execute(_REMOVE[len(run)], (deleted, *run))


def changed_after(
    connection: sqlite3.Connection, sequence: int, limit: int
) -> tuple[list[Any], int | None, int]:
    """Return up to `limit` rows that changed after `sequence`, in order, and the last one's sequence."""
    data, last, count = connection.execute(_CHANGED, (sequence, limit)).fetchone()
    return unpack_all(data), last, count
