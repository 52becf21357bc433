"""Tables of an index database, and how its file is opened. docs/index-format.md.

A row is kept whole as msgpack in the column `row`; the other columns are what queries need. So a page
of a listing is one concatenation, made in a single step of SQLite without the interpreter's lock.
Measured, 1001 rows: 0.8 ms, against 1.4 ms for fetching ten columns; while another thread computes,
10 ms against 290 ms, because each row fetched is a chance to lose the lock for 5 ms.

Live rows and tombstones are apart in the primary key, so that a listing never walks tombstones.
"""

import sqlite3
from pathlib import Path

from cluster.clock import Timestamp
from storage.indexes.header import COLUMNS, Header, from_columns

APPLICATION_ID = 0x484F4C44  # "HOLD"
VERSION = 2  # since rows and header have checksums
VERSIONS = (1, VERSION)  # that are read; what is written into one of version 1 has checksums, too

_WAL_PAGES = 4096  # 16 MiB: SQLite checkpoints by itself then, so that a WAL never grows far beyond
_CACHE_KIB = 1024  # of pages per open database, at most; the kernel caches the rest
_STATEMENTS = 24  # compiled, per open database
_BUSY_TIMEOUT_S = 5.0  # somebody's sqlite3 shell has the file

_TABLES = """
CREATE TABLE info (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    kind INTEGER NOT NULL,
    key BLOB NOT NULL,
    account TEXT NOT NULL,
    container TEXT NOT NULL,
    incarnation BLOB NOT NULL,
    put_timestamp BLOB NOT NULL,
    delete_timestamp BLOB NOT NULL,
    created_us INTEGER NOT NULL,
    metadata BLOB NOT NULL,
    object_count INTEGER NOT NULL,
    bytes_used INTEGER NOT NULL,
    container_count INTEGER NOT NULL,
    newest BLOB NOT NULL,
    digest BLOB NOT NULL,
    sequence INTEGER NOT NULL
);
CREATE TABLE rows (
    deleted INTEGER NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL DEFAULT '',
    timestamp BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    row BLOB NOT NULL,
    PRIMARY KEY (deleted, name, version)
) WITHOUT ROWID;
CREATE INDEX rows_by_sequence ON rows (sequence);
CREATE INDEX tombstones_by_age ON rows (timestamp, name) WHERE deleted = 1;
CREATE TABLE sync (
    device INTEGER PRIMARY KEY,
    incarnation BLOB NOT NULL,
    sequence INTEGER NOT NULL
);
"""
_INDEX_TOMBSTONES = (  # of a file that was made before there was such an index: costs a look at all rows, once
    "CREATE INDEX IF NOT EXISTS tombstones_by_age ON rows (timestamp, name) WHERE deleted = 1"
)
_WRITE_INFO = (
    f"INSERT OR REPLACE INTO info (id, {', '.join(COLUMNS)}) VALUES (1{', ?' * len(COLUMNS)})"  # noqa: S608
)
_READ_INFO = f"SELECT {', '.join(COLUMNS)} FROM info"  # noqa: S608


class UnknownVersion(sqlite3.DatabaseError):
    """A database of another version than this program knows. It is left alone."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the file at `path`, making it when it is absent.

    The lock is exclusive: nobody else writes, and the WAL needs no shared memory (a file less per
    database).
    """
    connection = sqlite3.connect(
        path,
        isolation_level=None,
        check_same_thread=False,  # recovery may run on another thread than what follows it
        cached_statements=_STATEMENTS,
        timeout=_BUSY_TIMEOUT_S,
    )
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
    return connection


def create(connection: sqlite3.Connection, header: Header) -> None:
    """Make the tables in a new file.

    Nothing is synced: until its first checkpoint the file is worth nothing to recovery.
    """
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {VERSION};")
    write_header(connection, header)
    connection.execute("COMMIT")
    connection.execute("PRAGMA synchronous = NORMAL")


def read_header(connection: sqlite3.Connection) -> Header:
    """Return what the database knows of itself. Raise UnknownVersion for another program's file."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in VERSIONS:
        raise UnknownVersion(f"index database of version {version}; this program knows {VERSION}")
    if version != VERSION:
        connection.execute(f"PRAGMA user_version = {VERSION}")
    return from_columns(connection.execute(_READ_INFO).fetchone())


def write_header(connection: sqlite3.Connection, header: Header) -> None:
    """Store `header`, within the caller's transaction."""
    connection.execute(_WRITE_INFO, header.to_columns())


def read_cursor(connection: sqlite3.Connection, device: int) -> tuple[bytes, int]:
    """Return (incarnation, sequence) up to which the replica on `device` is known here."""
    found = connection.execute("SELECT incarnation, sequence FROM sync WHERE device = ?", (device,)).fetchone()
    return found or (b"", 0)


def write_cursor(connection: sqlite3.Connection, device: int, incarnation: bytes, sequence: int) -> None:
    """Remember up to where the replica on `device` is known here."""
    connection.execute("INSERT OR REPLACE INTO sync VALUES (?, ?, ?)", (device, incarnation, sequence))


def index_tombstones(connection: sqlite3.Connection) -> None:
    """See to it that tombstones are found by their age."""
    connection.execute(_INDEX_TOMBSTONES)


def forget_rows(connection: sqlite3.Connection, until: Timestamp) -> None:
    """Delete the rows of an earlier life."""
    connection.execute("DELETE FROM rows WHERE timestamp <= ?", (until,))
