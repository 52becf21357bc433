"""Reads a whole database to see whether it is what was written, some rows at a time. Blocking; the database thread's.

Every row is read by name and by sequence, so all pages of both trees are; each must match its checksum, stand in its
columns as it says itself, and all together must add up to what the header says, unless rows were merged meanwhile.
"""

from dataclasses import dataclass
from typing import Any

from storage.indexes import digest
from storage.indexes.database import Database
from storage.indexes.errors import Damaged
from storage.indexes.rows import unpack_all
from storage.messages import Row

ROWS = 1000  # of one step: other databases wait meanwhile
SMALL_BYTES = 1 << 20  # of a file that SQLite itself can check in one step, too

_BY_NAME = """
SELECT deleted, name, timestamp, sequence, row FROM rows
WHERE (deleted, name) > (?, ?) ORDER BY deleted, name LIMIT ?
"""
_FIRST = "SELECT deleted, name, timestamp, sequence, row FROM rows ORDER BY deleted, name LIMIT ?"
_BY_SEQUENCE = "SELECT sequence FROM rows INDEXED BY rows_by_sequence WHERE sequence > ? ORDER BY sequence LIMIT ?"


@dataclass(slots=True)
class Check:
    """One pass over one database."""

    sequence: int = -1  # of the header when the pass began
    header_digest: int = 0  # its digest of the rows then: it changes without the sequence when tombstones are forgotten
    after: tuple[int, str] | None = None  # deleted and name of the last row that was read
    by_sequence: int | None = None  # the last sequence that was read; None: still reading by name
    row_count: int = 0
    sequence_count: int = 0
    rows_digest: int = 0

    def step(self, database: Database) -> tuple[int, bool]:
        """Read some rows; return how many bytes that was, and whether all was read. Damaged, sqlite3.Error."""
        if self.after is None and self.by_sequence is None:
            self.sequence, self.header_digest = database.header.sequence, database.header.rows_digest
            _check_small(database)
        if self.by_sequence is None:
            return self._by_name(database), False
        return self._by_sequence(database)

    def _by_name(self, database: Database) -> int:
        connection = database.connection
        if self.after is None:
            found = connection.execute(_FIRST, (ROWS,)).fetchall()
        else:
            found = connection.execute(_BY_NAME, (*self.after, ROWS)).fetchall()
        for columns in found:
            self._look_at(columns)
        if found:
            self.after = found[-1][:2]
        if len(found) < ROWS:
            self.by_sequence = -1
        return sum(len(columns[4]) + len(columns[1]) for columns in found)

    def _look_at(self, columns: tuple[Any, ...]) -> None:
        deleted, name, timestamp, _sequence, packed = columns
        values = unpack_all(packed)
        if len(values) != 1:
            raise Damaged("a row that is none, or several")
        row = Row(*values[0])
        newest = max(row.timestamp, row.stats_timestamp or row.timestamp)
        if (row.name, row.deleted, newest) != (name, bool(deleted), timestamp):
            raise Damaged("a row stands at another's place")
        self.row_count += 1
        self.rows_digest = digest.add(self.rows_digest, row)

    def _by_sequence(self, database: Database) -> tuple[int, bool]:
        found = database.connection.execute(_BY_SEQUENCE, (self.by_sequence, ROWS)).fetchall()
        self.sequence_count += len(found)
        if found:
            self.by_sequence = found[-1][0]
        done = len(found) < ROWS
        if done:
            self._compare(database)
        return len(found) * 16, done

    def _compare(self, database: Database) -> None:
        header = database.header
        if (header.sequence, header.rows_digest) != (self.sequence, self.header_digest) or header.moved is not None:
            return  # rows came or went meanwhile; or what is left of them counts for nothing
        if header.rows_digest != self.rows_digest:
            raise Damaged("its rows do not add up to its digest")
        if self.row_count != self.sequence_count:
            raise Damaged(f"{self.row_count} rows by name, {self.sequence_count} by sequence")


def _check_small(database: Database) -> None:
    """Have SQLite look at all pages, the unused ones too, when they are few."""
    connection = database.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    if pages * page_bytes <= SMALL_BYTES:
        found = [line for (line,) in connection.execute("PRAGMA quick_check(1)") if line != "ok"]
        if found:
            raise Damaged(found[0])
