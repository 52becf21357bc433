"""Coordination of a cluster on one host: one SQLite file, opened by every process.

Write-ahead log, so that readers never wait; each change is one short transaction, synced before it
returns. A deleted key keeps its row without data: versions go on, and watches see the deletion.
A watch polls `PRAGMA data_version`, which reads a counter in shared memory and no table.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

from cluster.coordination import lease as leases
from cluster.coordination.errors import Conflict, Unavailable
from cluster.coordination.interface import (
    ABSENT,
    DATA_LIMIT,
    KEY_LIMIT,
    Change,
    Entry,
    Value,
    WatchCallback,
)
from cluster.coordination.lease import Lease
from cluster.telemetry.log import get_logger

POLL_S = 0.25
_SCHEMA_VERSION = 1
_BUSY_TIMEOUT_S = 2.0  # a change takes some milliseconds; this is for a disk that is hard at work
_OPEN_TIMEOUT_S = 5.0
_OPEN_RETRY_S = 0.02

_SCHEMA = """
CREATE TABLE entry (
    key TEXT PRIMARY KEY,
    version INTEGER NOT NULL UNIQUE,  -- of the change, counted over all keys
    data BLOB  -- NULL: deleted
) WITHOUT ROWID;
CREATE TABLE lease (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,  -- empty: released
    epoch INTEGER NOT NULL,
    ttl_s REAL NOT NULL,
    expires_s REAL NOT NULL
) WITHOUT ROWID;
"""

_log = get_logger("coordination")


def uptime_s() -> float:
    """Return the time since this host started: the same for all its processes, whatever its wall clock does.

    After a restart it begins anew. Leases from before it then either lie too far ahead to count, or end within their
    time to live.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class EmbeddedCoordination:
    """`interface.Coordination` in the file `path`, made when it is not there. For use by one thread."""

    def __init__(self, path: str | os.PathLike[str], now_s: Callable[[], float] = uptime_s) -> None:
        self._path = os.fspath(path)
        self._now_s = now_s
        self._connection = _open(self._path)
        self._poller = _Poller(self._connection)

    def __repr__(self) -> str:
        return f"EmbeddedCoordination({self._path!r})"

    def get(self, key: str) -> Value | None:
        """See `interface.Coordination`."""
        with _translated(self._path):
            version, data = _read(self._connection, key)
        return None if data is None else Value(version, data)

    def put(self, key: str, data: bytes, expect: int | None = None) -> int:
        """See `interface.Coordination`."""
        _refuse_oversized(key, data)
        with self._change():
            _expect(self._connection, key, expect)
            return _write(self._connection, key, data)

    def delete(self, key: str, expect: int | None = None) -> bool:
        """See `interface.Coordination`."""
        with self._change():
            version = _expect(self._connection, key, expect)
            if version != ABSENT:
                _write(self._connection, key, None)
            return version != ABSENT

    def range(self, prefix: str, after: int = 0) -> list[Entry]:
        """See `interface.Coordination`."""
        with _translated(self._path):
            if after:
                changes = sorted(_changes(self._connection, prefix, after))
                return [Entry(key, version, data) for key, version, data in changes if data is not None]
            rows = self._connection.execute(
                "SELECT key, version, data FROM entry"
                " WHERE data IS NOT NULL AND key >= ? AND key < CAST(? AS TEXT) ORDER BY key",
                (prefix, _end_of(prefix)),
            )
            return [Entry(*row) for row in rows]

    def watch(self, prefix: str, callback: WatchCallback) -> "EmbeddedWatch":
        """See `interface.Coordination`."""
        with _translated(self._path):
            return self._poller.add(prefix, callback)

    def acquire(self, name: str, holder: str, ttl_s: float) -> Lease:
        """See `interface.Coordination`."""
        with self._change():
            current = _read_lease(self._connection, name)
            return _write_lease(
                self._connection, leases.acquired(current, name, holder, ttl_s, self._now_s())
            )

    def renew(self, lease: Lease, ttl_s: float) -> Lease:
        """See `interface.Coordination`."""
        with self._change():
            current = _read_lease(self._connection, lease.name)
            return _write_lease(self._connection, leases.renewed(current, lease, ttl_s, self._now_s()))

    def release(self, lease: Lease) -> None:
        """See `interface.Coordination`."""
        with self._change():
            remainder = leases.released(_read_lease(self._connection, lease.name), lease)
            if remainder is not None:
                _write_lease(self._connection, remainder)

    def close(self) -> None:
        """See `interface.Coordination`."""
        self._poller.stop()
        self._connection.close()

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Make one durable transaction of the block, or nothing when it raises."""
        with _translated(self._path), _transaction(self._connection):
            yield
        self._poller.changed_here = True  # `data_version` counts what other connections do, only


class EmbeddedWatch:
    """A prefix, whom to call, and the version up to which it has been told."""

    __slots__ = ("_poller", "callback", "prefix", "told")

    def __init__(self, poller: "_Poller", prefix: str, callback: WatchCallback, told: int) -> None:
        self._poller = poller
        self.prefix, self.callback, self.told = prefix, callback, told

    def __repr__(self) -> str:
        return f"EmbeddedWatch({self.prefix!r}, told={self.told})"

    def cancel(self) -> None:
        """See `interface.Watch`."""
        self._poller.remove(self)


class _Poller:
    """Looks for changes while there are watches. One timer for all of them; silent when nothing happens."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.changed_here = False
        self._connection = connection
        self._watches: list[EmbeddedWatch] = []
        self._timer: asyncio.TimerHandle | None = None
        self._data_version = -1
        self._failing = False

    def add(self, prefix: str, callback: WatchCallback) -> EmbeddedWatch:
        loop = asyncio.get_running_loop()
        watch = EmbeddedWatch(self, prefix, callback, _last_version(self._connection))
        self._watches.append(watch)
        if self._timer is None:
            self._timer = loop.call_later(POLL_S, self._poll, loop)
        return watch

    def remove(self, watch: EmbeddedWatch) -> None:
        if watch in self._watches:
            self._watches.remove(watch)
        if not self._watches:
            self.stop()

    def stop(self) -> None:
        self._watches.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _poll(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(POLL_S, self._poll, loop)
        try:
            if self._has_changed():
                for watch in list(self._watches):
                    self._tell(watch)
            self._failing = False
        except sqlite3.Error as error:
            self._data_version = -1  # look again next time, whatever it says
            if not self._failing:
                _log.warning("watch_failed", error=error, retry_s=POLL_S)
            self._failing = True

    def _has_changed(self) -> bool:
        (data_version,) = self._connection.execute("PRAGMA data_version").fetchone()
        changed: bool = self.changed_here or data_version != self._data_version
        self.changed_here, self._data_version = False, data_version
        return changed

    def _tell(self, watch: EmbeddedWatch) -> None:
        changes = _changes(self._connection, watch.prefix, watch.told)
        if not changes or watch not in self._watches:
            return
        watch.told = changes[-1].version
        try:
            watch.callback(changes)
        except Exception as error:  # the other watches go on
            _log.error("watch_callback_failed", prefix=watch.prefix, error=error)


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable(f"{path}: {error}") from error


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _open(path: str) -> sqlite3.Connection:
    """Open the database, with the schema in it. Raise Unavailable."""
    deadline = time.monotonic() + _OPEN_TIMEOUT_S
    while True:
        try:
            _make(path)
            return _prepared(sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None))
        except OSError as error:
            raise Unavailable(f"cannot open {path}: {error.strerror}") from error
        except sqlite3.Error as error:
            # switching to the write-ahead log does not wait for another process that does the same
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise Unavailable(f"cannot open {path}: {error}") from error
        time.sleep(_OPEN_RETRY_S)


def _make(path: str) -> None:
    """Make the file, so that it is never readable by others; SQLite gives its other files the same mode.

    One that is there is not opened: to close it would drop the locks of all connections of this process
    (POSIX), and others would take away the write-ahead log that these still read.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        with _transaction(connection):
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                _create(connection)
            elif version != _SCHEMA_VERSION:
                raise Unavailable(f"coordination has schema {version}, this release knows {_SCHEMA_VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection) -> None:
    for statement in filter(str.strip, _SCHEMA.split(";")):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")


def _refuse_oversized(key: str, data: bytes) -> None:
    if not key or "\0" in key or len(key.encode()) > KEY_LIMIT:
        raise ValueError(f"a key has 1 to {KEY_LIMIT} bytes and no NUL")
    if len(data) > DATA_LIMIT:
        raise ValueError(f"{len(data)} bytes for {key}, more than {DATA_LIMIT}")


def _read(connection: sqlite3.Connection, key: str) -> tuple[int, bytes | None]:
    row = connection.execute("SELECT version, data FROM entry WHERE key = ?", (key,)).fetchone()
    return row if row is not None else (ABSENT, None)


def _expect(connection: sqlite3.Connection, key: str, expect: int | None) -> int:
    """Return the version of `key`. Raise Conflict when it is not the expected one."""
    version, data = _read(connection, key)
    actual = version if data is not None else ABSENT
    if expect is not None and expect != actual:
        raise Conflict(key, expect, actual)
    return actual


def _write(connection: sqlite3.Connection, key: str, data: bytes | None) -> int:
    version = _last_version(connection) + 1
    connection.execute("REPLACE INTO entry (key, version, data) VALUES (?, ?, ?)", (key, version, data))
    return version


def _last_version(connection: sqlite3.Connection) -> int:
    with closing(connection.execute("SELECT max(version) FROM entry")) as cursor:
        (version,) = cursor.fetchone()
    return version or 0


def _changes(connection: sqlite3.Connection, prefix: str, after: int) -> list[Change]:
    """Return the changes under `prefix` after that version, in their order."""
    # the + keeps SQLite from walking the whole prefix: few versions are newer, many keys may match
    rows = connection.execute(
        "SELECT key, version, data FROM entry WHERE version > ? AND +key >= ? AND +key < CAST(? AS TEXT)"
        " ORDER BY version",
        (after, prefix, _end_of(prefix)),
    )
    return [Change(*row) for row in rows]


def _end_of(prefix: str) -> bytes:
    """Return what sorts after all keys that begin with `prefix`: no UTF-8 has a byte 0xff."""
    return prefix.encode() + b"\xff"


def _read_lease(connection: sqlite3.Connection, name: str) -> Lease | None:
    row = connection.execute(
        "SELECT name, holder, epoch, ttl_s, expires_s FROM lease WHERE name = ?", (name,)
    ).fetchone()
    return None if row is None else Lease(*row)


def _write_lease(connection: sqlite3.Connection, lease: Lease) -> Lease:
    connection.execute(
        "REPLACE INTO lease (name, holder, epoch, ttl_s, expires_s) VALUES (?, ?, ?, ?, ?)",
        (lease.name, lease.holder, lease.epoch, lease.ttl_s, lease.expires_s),
    )
    return lease
