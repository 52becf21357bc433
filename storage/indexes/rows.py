"""Rows of a database by name and by sequence: many in one step of SQLite.

Each step of a statement gives the interpreter's lock away, and the loop's thread may keep it for a
while: so statements take and give many rows at once, as packed bytes (see `schema`).

Behind each packed row is its checksum, which is verified whenever it is read: nobody is shown a flipped bit. It costs
0.6 ms a page of 1001 rows.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import msgpack

from cluster.clock import Timestamp
from storage.indexes.errors import Damaged
from storage.log.checksum import crc32c
from storage.messages import Row

Stored = tuple[bool, str, bytes, int, bytes]  # deleted, name, timestamp, sequence, packed row

_packer = msgpack.Packer(autoreset=True)  # a new one for every row would cost as much as the packing
_UINT32 = b"\xce"  # how msgpack begins a number of four bytes
_ROW = msgpack.packb([None] * len(Row._fields))[:1]  # and a row

_WIDTHS = (64, 8, 1)  # rows per statement; few widths, so that all statements stay compiled


def pack(row: Row) -> bytes:
    """Encode `row` for its column."""
    return sealed(_packer.pack(row))


def sealed(packed: bytes) -> bytes:
    """Return `packed` with its checksum behind it, as one more msgpack object."""
    return packed + _UINT32 + crc32c(packed).to_bytes(4, "big")


def unpack_all(data: bytes | None) -> list[Any]:
    """Decode concatenated rows, as arrays. Damaged."""
    if not data:
        return []
    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    try:
        return _verified(unpacker, data)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise Damaged(f"a row cannot be decoded: {error!r}") from None


def _verified(unpacker: Any, data: bytes) -> list[Any]:
    view, end = memoryview(data), len(data)
    unpack, tell = unpacker.unpack, unpacker.tell
    found: list[Any] = []
    start = 0
    while start < end:
        row, middle = unpack(), tell()
        if middle < end and data[middle] == _UINT32[0]:
            if crc32c(view[start:middle]) != unpack() or type(row) is not list:
                raise Damaged("a row does not match its checksum")
            middle = tell()
        elif not _is_of_version_1(row, data[start], data[middle : middle + 1]):
            raise Damaged("a row has no checksum")
        found.append(row)
        start = middle
    return found


def _is_of_version_1(row: Any, head: int, following: bytes) -> bool:
    """Tell whether a row without a checksum never had one, rather than has swallowed it because of a flipped bit."""
    return head == _ROW[0] and following in (b"", _ROW) and (row[-1] is None or type(row[-1]) is dict)


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

_ANY_BETWEEN = """
SELECT EXISTS (SELECT 1 FROM rows WHERE deleted = 0 AND name BETWEEN ? AND ?)
    OR EXISTS (SELECT 1 FROM rows WHERE deleted = 1 AND name BETWEEN ? AND ?)
"""
_BY_NAME = """
SELECT CAST(group_concat(row, '') AS BLOB) FROM (
    SELECT row FROM rows WHERE (deleted, name) > (?, ?) ORDER BY deleted, name, version LIMIT ?
)
"""


def find(connection: sqlite3.Connection, names: Sequence[str]) -> dict[str, Row]:
    """Return the rows of `names` that are there, tombstones included."""
    found: dict[str, Row] = {}
    for run in _runs(names):
        if len(run) > 1 and not _any_between(connection, min(run), max(run)):
            continue
        (data,) = connection.execute(_FIND[len(run)], run).fetchone()
        for values in unpack_all(data):
            found[values[0]] = Row(*values)
    return found


def _any_between(connection: sqlite3.Connection, first: str, last: str) -> bool:
    """Tell whether there is a row from one name to another: hardly ever where many are brought over in order."""
    found: tuple[int] = connection.execute(_ANY_BETWEEN, (first, last, first, last)).fetchone()
    return bool(found[0])


def put(connection: sqlite3.Connection, stored: Sequence[Stored]) -> None:
    """Write rows over what has their names and the same `deleted`."""
    for run in _runs(stored):
        connection.execute(_PUT[len(run)], [value for values in run for value in values])


def remove(connection: sqlite3.Connection, deleted: bool, names: Sequence[str]) -> None:
    """Take away live rows, or tombstones."""
    for run in _runs(names):
        connection.execute(_REMOVE[len(run)], (deleted, *run))


_OLD_TOMBSTONES = """
SELECT timestamp, name FROM rows INDEXED BY tombstones_by_age
WHERE deleted = 1 AND timestamp < ? AND (timestamp, name) > (?, ?) ORDER BY timestamp, name LIMIT ?
"""
_OLDEST_TOMBSTONE = """
SELECT timestamp FROM rows INDEXED BY tombstones_by_age WHERE deleted = 1 ORDER BY timestamp LIMIT 1
"""
_LAST_OF_RUN = "SELECT max(sequence) FROM rows WHERE sequence < ?"
_FIRST_AFTER = "SELECT min(sequence) FROM rows WHERE sequence > ?"
_PICK = "SELECT name, deleted FROM rows WHERE sequence >= ? ORDER BY sequence LIMIT 1"


def runs_of_sequences(connection: sqlite3.Connection, gap: int) -> list[tuple[int, int]]:
    """Return (first, last) of the stretches of sequences that lie between multiples of `gap`. Each costs two seeks."""
    runs: list[tuple[int, int]] = []
    last = -1
    while True:
        (first,) = connection.execute(_FIRST_AFTER, (last,)).fetchone()
        if first is None:
            return runs
        (last,) = connection.execute(_LAST_OF_RUN, ((first // gap + 1) * gap,)).fetchone()
        runs.append((first, last))


def sample(connection: sqlite3.Connection, count: int, gap: int) -> list[str]:
    """Return the names of about `count` live rows, evenly spread over their last changes, in order."""
    runs = runs_of_sequences(connection, gap)
    total = sum(last - first + 1 for first, last in runs)
    names: set[str] = set()
    for first, last in runs:
        length = last - first + 1
        picks = max(1, count * length // max(1, total))
        for pick in range(picks):
            name, deleted = connection.execute(_PICK, (first + pick * length // picks,)).fetchone()
            if not deleted:
                names.add(name)
    return sorted(names)


def old_tombstones(
    connection: sqlite3.Connection, before: Timestamp, after: tuple[Timestamp, str], limit: int
) -> list[tuple[Timestamp, str]]:
    """Return (timestamp, name) of tombstones that are older than `before`, oldest first, behind `after`."""
    return connection.execute(_OLD_TOMBSTONES, (before, *after, limit)).fetchall()


def oldest_tombstone(connection: sqlite3.Connection) -> Timestamp | None:
    """Return when the first of the tombstones was made."""
    found = connection.execute(_OLDEST_TOMBSTONE).fetchone()
    return None if found is None else Timestamp(found[0])


def any_there(connection: sqlite3.Connection) -> bool:
    """Tell whether there is any row."""
    return connection.execute("SELECT 1 FROM rows LIMIT 1").fetchone() is not None


def drop_all(connection: sqlite3.Connection) -> None:
    """Delete all rows."""
    connection.execute("DELETE FROM rows")


def changed_after(
    connection: sqlite3.Connection, sequence: int, limit: int
) -> tuple[list[Any], int | None, int]:
    """Return up to `limit` rows that changed after `sequence`, in order, and the last one's sequence."""
    data, last, count = connection.execute(_CHANGED, (sequence, limit)).fetchone()
    return unpack_all(data), last, count


def by_name(connection: sqlite3.Connection, deleted: bool, name: str, limit: int) -> list[Any]:
    """Return up to `limit` rows behind a name, in order, live ones first."""
    (data,) = connection.execute(_BY_NAME, (deleted, name, limit)).fetchone()
    return unpack_all(data)
