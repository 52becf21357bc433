"""All index databases of a device: what its one database thread does. Blocking; nothing here is shared
with other threads but `reports`, `failures` and `sync_ahead`.

A change that SQLite does not take (disk full, EIO, damage) stays in memory, and is joined to the next one
for its database: so a later read of it merges it, or fails too, and never answers without it.
"""

import contextlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from cluster.wire import RemoteError
from storage.indexes import record
from storage.indexes.catalog import Catalog
from storage.indexes.change import Change
from storage.indexes.database import Database, create_for, open_existing
from storage.indexes.errors import bad_request, translated
from storage.indexes.header import Header
from storage.indexes.reports import Reports
from storage.log.interface import Position, Record
from storage.messages import DatabaseKind, Refusal

_SUFFIX = ".db"
_REPLAY_ROWS = 20_000  # gathered in memory before they are merged

ResultT = TypeVar("ResultT")


class Shelf:
    """The databases under `directory`, of which at most `handle_count` are open."""

    def __init__(
        self, directory: Path, handle_count: int, entropy: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._directory = directory
        self._entropy = entropy
        self._handle_count = handle_count
        self._catalog: Catalog | None = None
        self._open: OrderedDict[bytes, Database] = OrderedDict()  # least recently used first
        self._unmerged: dict[bytes, Change] = {}
        self._dirty: dict[bytes, int] = {}  # key -> kind: merged into since the last checkpoint
        self._unsynced_directories: set[Path] = set()
        self.reports = Reports()
        self.failures: dict[bytes, RemoteError] = {}  # key -> why what is unmerged could not be merged

    def __repr__(self) -> str:
        return f"Shelf({self._directory}, {len(self._open)} open, {len(self._dirty)} dirty)"

    # ── recovery ────────────────────────────────────────────────────────────────

    def open(self) -> Position:
        """Open the catalog, delete files that it does not vouch for, return where to replay from."""
        with translated():
            databases = self._directory / "databases"
            databases.mkdir(parents=True, exist_ok=True)
            self._unsynced_directories |= {databases, self._directory}
            self._catalog = Catalog(self._directory / "catalog.db")
            self._delete_unknown(databases, self._catalog.keys())
            return self._catalog.position()

    def _delete_unknown(self, databases: Path, known: set[bytes]) -> None:
        names = {key.hex() for key in known}
        for directory in databases.iterdir():
            for path in directory.iterdir():
                if path.name.partition(".")[0] not in names:
                    path.unlink()

    def replay(self, records: Iterable[Record]) -> int:
        """Merge what the log holds; return how many records that were."""
        gathered: dict[bytes, Change] = {}
        count = row_count = 0
        for count, found in enumerate(records, 1):  # noqa: B007
            change = record.unpack(found.metadata)
            row_count += len(change.rows)
            known = gathered.setdefault(change.key, change)
            if known is not change:
                known.join(change)
            if row_count >= _REPLAY_ROWS:
                self._replay(gathered)
                gathered, row_count = {}, 0
        self._replay(gathered)
        for key in self._catalog_open().unreported():
            with contextlib.suppress(RemoteError):
                self.query(key, None, self._report)
        return count

    def _replay(self, changes: dict[bytes, Change]) -> None:
        for change in changes.values():
            with contextlib.suppress(RemoteError):  # kept in `failures`
                self.merge(change, after_crash=True)

    # ── merging and reading ─────────────────────────────────────────────────────

    def merge(self, change: Change, after_crash: bool = False) -> None:
        """Join `change`, and what could not be merged before, into its database."""
        key = change.key
        unmerged = self._unmerged.pop(key, None)
        if unmerged is not None:
            unmerged.join(change)
            change = unmerged
        try:
            with translated():
                database = self._database(key) or self._create(change)
                if database.header.kind != change.kind:
                    raise bad_request(f"database {key.hex()} is of kind {database.header.kind}")
                changed = database.merge(change, after_crash)
        except Exception as error:  # whatever it is, what is durable in the log must not be lost here
            self._unmerged[key] = change
            if not isinstance(error, RemoteError):
                error = RemoteError(Refusal.DEVICE_FAILED, repr(error))
            self.failures[key] = error
            raise error from None
        self.failures.pop(key, None)
        self._dirty[key] = change.kind
        self._catalog_open().note(change.kind, key, database.header.digest())
        if changed or after_crash:
            self._report(database)

    def merge_all(self, changes: Iterable[Change]) -> None:
        """Merge `changes`, and try again what failed. What fails now is in `failures`."""
        for change in changes:
            with contextlib.suppress(RemoteError):
                self.merge(change)
        for key in list(self._unmerged):
            with contextlib.suppress(RemoteError):
                self.merge(self._unmerged.pop(key))

    def query(
        self, key: bytes, change: Change | None, question: Callable[[Database], ResultT]
    ) -> ResultT | None:
        """Merge `change`, then ask the database; None when there is none."""
        if change is not None:
            self.merge(change)
        elif key in self._unmerged:
            self.merge(self._unmerged.pop(key))
        with translated():
            database = self._database(key)
            return None if database is None else question(database)

    def header(self, key: bytes) -> Header | None:
        """Return what the database knows of itself."""
        return self.query(key, None, lambda database: database.header)

    def inventory(
        self, changes: Iterable[Change], kind: int, start: bytes, end: bytes | None, limit: int
    ) -> list[tuple[bytes, bytes]]:
        """Merge `changes`, then return (key, digest) in order of keys."""
        self.merge_all(changes)
        with translated():
            return self._catalog_open().inventory(kind, start, end, limit)

    def _report(self, database: Database) -> None:
        header = database.header
        if header.kind != DatabaseKind.CONTAINER:
            return
        if header.exists:
            self.reports.put(header.key, (header.account, header.report()))
        else:
            self.reports.drop(header.key)

    # ── checkpoints ─────────────────────────────────────────────────────────────

    def begin_checkpoint(self, changes: Iterable[Change]) -> dict[bytes, int]:
        """Merge everything; return the databases (key -> kind) to go through `checkpoint`."""
        self.merge_all(changes)
        for error in self.failures.values():
            raise error
        dirty, self._dirty = self._dirty, {}
        return dirty

    def abandon_checkpoint(self, dirty: dict[bytes, int]) -> None:
        """Take back what `begin_checkpoint` gave: not all of it was done."""
        self._dirty = {**dirty, **self._dirty}

    def sync_ahead(self, key: bytes) -> None:
        """Write out the WAL of a database. Any thread may do this: it spares the database thread a wait."""
        with translated(), contextlib.suppress(FileNotFoundError):
            _sync(self._path(key).with_suffix(_SUFFIX + "-wal"), os.O_RDONLY)

    def checkpoint(self, key: bytes) -> None:
        """Make what was merged into one database durable in its file."""
        with translated():
            database = self._database(key)
            assert database is not None, "a dirty database has a file"
            database.checkpoint()

    def end_checkpoint(self, done: dict[bytes, int], position: Position) -> None:
        """Record that the files of `done` are whole, and that records before `position` are in them."""
        with translated():
            for directory in sorted(self._unsynced_directories, reverse=True):
                _sync(directory, os.O_RDONLY | os.O_DIRECTORY)
            self._unsynced_directories.clear()
            whole = ((kind, key) for key, kind in done.items())
            self._catalog_open().commit(whole, self.reports.keys(), position)

    # ── databases that have moved away ──────────────────────────────────────────

    def forget(self, digests: Mapping[bytes, bytes]) -> list[bytes]:
        """Delete the databases (key -> digest) that are still the same; return their keys.

        Nothing of them may be needed from the log any more. The catalog forgets them first, durably:
        a file that is left by a crash is not in it, and is deleted at the next start.
        """
        with translated():
            kinds = {key: self._kind_of(key, digest) for key, digest in digests.items()}
            found = {key: kind for key, kind in kinds.items() if kind is not None}
            self._catalog_open().forget([(kind, key) for key, kind in found.items()])
            for key in found:
                self._delete(key)
            return list(found)

    def _kind_of(self, key: bytes, digest: bytes) -> int | None:
        """Return the kind of a database if it is at `digest`, and nothing of it waits to be merged or synced."""
        database = self._database(key)
        if database is None or key in self._dirty or key in self._unmerged:
            return None
        return database.header.kind if database.header.digest() == digest else None

    def _delete(self, key: bytes) -> None:
        self._open.pop(key).close()
        self.reports.drop(key)
        self.failures.pop(key, None)
        path = self._path(key)
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    def close(self) -> None:
        """Close all files."""
        with translated():
            while self._open:
                self._open.popitem()[1].close()
            if self._catalog is not None:
                self._catalog.close()
                self._catalog = None

    # ── files ───────────────────────────────────────────────────────────────────

    def _path(self, key: bytes) -> Path:
        name = key.hex()
        return self._directory / "databases" / name[:2] / (name + _SUFFIX)

    def _database(self, key: bytes) -> Database | None:
        database = self._open.get(key)
        if database is None:
            path = self._path(key)
            if not path.exists():
                return None
            database = open_existing(path)
            self._shelve(key, database)
        else:
            self._open.move_to_end(key)
        return database

    def _create(self, change: Change) -> Database:
        path = self._path(change.key)
        path.parent.mkdir(exist_ok=True)
        self._unsynced_directories |= {path.parent, path.parent.parent}
        database = create_for(path, change, self._entropy)
        self._shelve(change.key, database)
        return database

    def _shelve(self, key: bytes, database: Database) -> None:
        """Keep `database` open, and close another: a clean one if possible, because closing checkpoints."""
        self._open[key] = database
        if len(self._open) > self._handle_count:
            others = (other for other in self._open if other != key)
            clean = (other for other in self._open if other != key and other not in self._dirty)
            self._open.pop(next(clean, None) or next(others)).close()

    def _catalog_open(self) -> Catalog:
        assert self._catalog is not None, "the shelf is used before `open`"
        return self._catalog


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
