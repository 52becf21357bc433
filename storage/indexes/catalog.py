"""Which databases a device has, their digests, and from where on the log must be replayed.

A SQLite file of its own, `catalog.db`. It is written by checkpoints only, in one transaction that is then
synced, so it names exactly the databases whose files are known to be whole. Digests that changed since
are kept in memory over it: `inventory` reads both.

What it names is believed: a database that it does not name is deleted at start, and records before its position are not
replayed. So each digest and the position have a checksum behind them; a catalog that does not match is made anew
from the databases themselves (`Shelf.open`).
"""

import sqlite3
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from storage.indexes import schema
from storage.indexes.digest import DIGEST_SIZE
from storage.indexes.errors import Damaged
from storage.log.checksum import crc32c
from storage.log.interface import START, Position

_TABLES = """
CREATE TABLE IF NOT EXISTS databases (
    kind INTEGER NOT NULL,
    key BLOB NOT NULL,
    digest BLOB NOT NULL,
    unreported INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS journal (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    position INTEGER NOT NULL
);
"""
_DELETIONS = """
CREATE TABLE deletions (
    kind INTEGER NOT NULL,
    key BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE INDEX deletions_by_time ON deletions (at, kind, key);
INSERT INTO deletions SELECT kind, key, 0 FROM databases;
"""
VERSION = 2  # since there are checksums
_CHECKSUM_SIZE = 4
_POSITION = struct.Struct(">Q")
_END = b"\xff" * 17  # behind every key


class Deletion(NamedTuple):
    """A database that remembers something that was deleted."""

    at: int  # microseconds: when the first of that was
    kind: int
    key: bytes


NO_DELETION = Deletion(-1, 0, b"")


class Catalog:
    """The catalog of one device. Blocking; one thread."""

    def __init__(self, path: Path) -> None:
        self._connection = schema.connect(path)
        self._connection.execute("PRAGMA journal_mode = WAL")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, 1, VERSION):
            raise schema.UnknownVersion(f"catalog of version {version}; this program knows {VERSION}")
        self._connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
        if not self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'deletions'").fetchone():
            self._connection.executescript(f"BEGIN; {_DELETIONS} COMMIT;")
        self._changed: dict[tuple[int, bytes], bytes] = {}  # (kind, key) -> digest, since the last commit

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def verify(self) -> None:
        """Read all of it. Damaged, sqlite3.Error."""
        (line,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if line != "ok":
            raise Damaged(line)
        for values in self._connection.execute("SELECT kind, key, digest, unreported FROM databases"):
            _unsealed(*values)
        self.position()

    def position(self) -> Position:
        """Return from where on records are to be replayed. Damaged."""
        found = self._connection.execute("SELECT position FROM journal").fetchone()
        if found is None:
            return START
        if isinstance(found[0], int):
            return Position(found[0])  # of version 1
        position, checksum = found[0][: _POSITION.size], found[0][_POSITION.size :]
        if crc32c(position).to_bytes(_CHECKSUM_SIZE, "big") != checksum:
            raise Damaged("the position does not match its checksum")
        return Position(_POSITION.unpack(position)[0])

    def keys(self) -> set[bytes]:
        """Return the keys of all databases whose files were whole at the last commit."""
        return {key for (key,) in self._connection.execute("SELECT key FROM databases")}

    def kind_of(self, key: bytes) -> int:
        """Return the kind of a database, 0 when it is not known."""
        found = [kind for kind, other in self._changed if other == key]
        found += [
            kind for (kind,) in self._connection.execute("SELECT kind FROM databases WHERE key = ?", (key,))
        ]
        return found[0] if found else 0

    def unreported(self) -> list[bytes]:
        """Return the containers that had statistics to report at the last commit."""
        return [key for (key,) in self._connection.execute("SELECT key FROM databases WHERE unreported = 1")]

    def note(self, kind: int, key: bytes, digest: bytes) -> None:
        """Remember the digest of a database that was merged into."""
        self._changed[kind, key] = digest

    def inventory(self, kind: int, start: bytes, end: bytes | None, limit: int) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` (key, digest) with `start` <= key < `end`, ordered."""
        end = _END if end is None else end
        stored = self._connection.execute(
            "SELECT kind, key, digest, unreported FROM databases WHERE kind = ? AND key >= ? AND key < ? "
            "ORDER BY key LIMIT ?",
            (kind, start, end, limit),
        )
        found = {values[1]: _unsealed(*values) for values in stored.fetchall()}
        if len(found) == limit:
            end = max(found, default=end)
        for (of_kind, key), digest in self._changed.items():
            if of_kind == kind and (start <= key < end or key in found):
                found[key] = digest
        return sorted(found.items())[:limit]

    def deletions(self, before_us: int, after: "Deletion", limit: int) -> "list[Deletion]":
        """Return databases in which the first thing was deleted before that, behind `after`, first deleted first.

        As of the last commit. A time of 0: it was not looked at yet.
        """
        found = self._connection.execute(
            "SELECT at, kind, key FROM deletions WHERE at < ? AND (at, kind, key) > (?, ?, ?) "
            "ORDER BY at, kind, key LIMIT ?",
            (before_us, *after, limit),
        )
        return [Deletion(*values) for values in found.fetchall()]

    def forget(self, databases: Iterable[tuple[int, bytes]]) -> None:
        """Name these databases, (kind, key), no more, durably: their files are deleted next."""
        forgotten = list(databases)
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            for table in ("databases", "deletions"):
                connection.executemany(f"DELETE FROM {table} WHERE kind = ? AND key = ?", forgotten)  # noqa: S608
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._sync()
        for pair in forgotten:
            self._changed.pop(pair, None)

    def commit(
        self,
        whole: Iterable[tuple[int, bytes]],
        unreported: set[bytes],
        position: Position,
        deletions: Mapping[tuple[int, bytes], int | None] = MappingProxyType({}),
    ) -> None:
        """Record, durably, that the files of `whole` are whole, and that replay begins at `position`.

        `deletions`: when the first thing was deleted that a database remembers, in microseconds; None: nothing was.
        """
        written = [pair for pair in whole if pair in self._changed]
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(
                "INSERT OR REPLACE INTO databases VALUES (?, ?, ?, ?)",
                [_sealed(kind, key, self._changed[kind, key], key in unreported) for kind, key in written],
            )
            connection.executemany(
                "DELETE FROM deletions WHERE kind = ? AND key = ?",
                [pair for pair, at in deletions.items() if at is None],
            )
            connection.executemany(
                "INSERT OR REPLACE INTO deletions VALUES (?, ?, ?)",
                [(*pair, at) for pair, at in deletions.items() if at is not None],
            )
            packed = _POSITION.pack(position)
            sealed = packed + crc32c(packed).to_bytes(_CHECKSUM_SIZE, "big")
            connection.execute("INSERT OR REPLACE INTO journal VALUES (1, ?)", (sealed,))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._sync()
        for pair in written:
            del self._changed[pair]

    def _sync(self) -> None:
        """Make what was committed durable."""
        busy, _frames, _copied = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise sqlite3.OperationalError("catalog.db: checkpoint blocked by another connection")


def _sealed(kind: int, key: bytes, digest: bytes, unreported: bool) -> tuple[int, bytes, bytes, int]:
    """Return the columns of a database, its digest with a checksum of them all behind it."""
    checksum = crc32c(b"%c%c%b%b" % (kind, unreported, key, digest))
    return kind, key, digest + checksum.to_bytes(_CHECKSUM_SIZE, "big"), int(unreported)


def _unsealed(kind: int, key: bytes, sealed: bytes, unreported: int) -> bytes:
    """Return the digest of a database. Damaged."""
    if len(sealed) == DIGEST_SIZE:
        return sealed  # of version 1
    digest = sealed[:-_CHECKSUM_SIZE]
    if _sealed(kind, key, digest, bool(unreported))[2] != sealed:
        raise Damaged("a database does not match its checksum")
    return digest
