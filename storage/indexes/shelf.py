"""All index databases of a device: what its one database thread does. Blocking; nothing here is shared
with other threads but `reports`, `failures` and `sync_ahead`.

A change that SQLite does not take (disk full, EIO, damage) stays in memory, and is joined to the next one
for its database: so a later read of it merges it, or fails too, and never answers without it.
"""

import contextlib
import os
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from cluster.clock import ZERO, Timestamp, microseconds_of
from cluster.telemetry.log import get_logger
from cluster.wire import RemoteError
from storage.indexes import record, schema
from storage.indexes.aside import Aside
from storage.indexes.catalog import Catalog, Deletion
from storage.indexes.change import Change
from storage.indexes.check import Check
from storage.indexes.database import Database, create_for, open_existing
from storage.indexes.errors import Damaged, bad_request, translated
from storage.indexes.header import Header
from storage.indexes.reclaim import is_old, without_old
from storage.indexes.reports import Reports
from storage.indexes.unsettled import Unsettled
from storage.log.interface import START, Position, Record
from storage.messages import DatabaseKind, Refusal
from storage.ranges.pointers import RANGES
from storage.ranges.state import accepted_of

_SUFFIX = ".db"
_FRESH = ".fresh"  # of a file that will take the place of another
_CATALOG = "catalog.db"
_SAMPLED = 16  # directories that are looked at to estimate the size of all
_REPLAY_ROWS = 20_000  # gathered in memory before they are merged

ResultT = TypeVar("ResultT")

log = get_logger("storage.indexes")


class Shelf:
    """The databases under `directory`, of which at most `handle_count` are open."""

    def __init__(
        self,
        directory: Path,
        handle_count: int,
        entropy: Callable[[int], bytes] = os.urandom,
        split_rows: int = 0,
    ) -> None:
        self._directory = directory
        self._entropy = entropy
        self._handle_count = handle_count
        self._catalog: Catalog | None = None
        self._open: OrderedDict[bytes, Database] = OrderedDict()  # least recently used first
        self._unmerged: dict[bytes, Change] = {}
        self._dirty: dict[bytes, int] = {}  # key -> kind: merged into since the last checkpoint
        self._unsynced_directories: set[Path] = set()
        self.aside = Aside(directory)
        self.reports = Reports()
        self.unsettled = Unsettled(split_rows)
        self.roots: set[bytes] = set()  # of split containers, as far as they are known
        self.ranges: set[bytes] = set()  # range databases, the same
        self._purging: dict[bytes, None] = {}  # moved databases that have rows still
        self._distrusting = False  # nobody vouches for any file: all are filled from peers
        self._deletions: dict[tuple[int, bytes], int | None] = {}  # (kind, key) -> for the catalog
        self.accepting: dict[bytes, frozenset[str]] = {}  # key -> range ids that its rows may be moved to, undecided
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
            self.aside.open()
            try:
                self._catalog = Catalog(self._directory / _CATALOG)
                self._catalog.verify()
            except schema.UnknownVersion:
                raise
            except sqlite3.DatabaseError as error:
                self._make_catalog_anew(databases, str(error))
                return START
            self._delete_unknown(databases, self._catalog.keys())
            return self._catalog.position()

    def _make_catalog_anew(self, databases: Path, reason: str) -> None:
        """Do without a catalog that is damaged.

        Nobody vouches for any file then: all databases are made anew from peers, but begin with what they have; and all
        that the log has is replayed.
        """
        if self._catalog is not None:
            self._catalog.close()
        self._distrusting = True
        path = self._directory / _CATALOG
        log.error("catalog_damaged", directory=str(self._directory), reason=reason)
        for directory in databases.iterdir():
            for file in directory.glob("*" + _SUFFIX):
                with contextlib.suppress(ValueError):
                    self.aside.suspect(bytes.fromhex(file.stem))
        for suffix in ("", "-wal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        self._catalog = Catalog(path)
        for key in list(self.aside.waiting):
            self._adopt(key)

    def _adopt(self, key: bytes) -> None:
        """Take in a file that nobody vouches for, if it can be read."""
        with contextlib.suppress(RemoteError):
            header = self.query(key, None, lambda database: database.header)
            if header is not None:
                self._dirty[key] = header.kind
                self.aside.know(key, header.kind)
                self._catalog_open().note(header.kind, key, header.digest())

    def _delete_unknown(self, databases: Path, known: set[bytes]) -> None:
        names = {key.hex() for key in known}
        for directory in databases.iterdir():
            for path in directory.iterdir():
                if path.name.partition(".")[0] not in names:
                    path.unlink()

    def replay(self, records: Iterable[Record], floor: Timestamp = ZERO) -> int:
        """Merge what the log holds; return how many records that were. `floor`: storage.indexes.reclaim."""
        gathered: dict[bytes, Change] = {}
        count = row_count = 0
        for count, found in enumerate(records, 1):  # noqa: B007
            change = record.unpack(found.metadata)
            row_count += len(change.rows)
            known = gathered.setdefault(change.key, change)
            if known is not change:
                known.join(change)
            if row_count >= _REPLAY_ROWS:
                self._replay(gathered, floor)
                gathered, row_count = {}, 0
        self._replay(gathered, floor)
        for key in self._catalog_open().unreported():
            with contextlib.suppress(RemoteError):
                self.query(key, None, self._report)
        return count

    def _replay(self, changes: dict[bytes, Change], floor: Timestamp) -> None:
        for change in changes.values():
            if self._distrusting and any(is_old(row, floor) for row in change.rows.values()):
                self.aside.suspect(change.key)
                self.aside.know(change.key, change.kind)
                change = without_old(change, floor)
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
            self._set_aside_if_damaged(key, error)
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
        try:
            with translated():
                database = self._database(key)
                return None if database is None else question(database)
        except RemoteError as error:
            self._set_aside_if_damaged(key, error)
            raise

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
        if header.kind != DatabaseKind.CONTAINER or header.key in self.aside.waiting:
            return
        accepted = accepted_of(header.metadata)
        if accepted is None:
            self.accepting.pop(header.key, None)
        else:
            self.accepting[header.key] = frozenset(pointer.range_id for pointer in accepted.pointers)
        is_range, moved = header.account == RANGES, header.moved is not None
        if header.exists and not (is_range and moved):
            self.reports.put(header.key, (header.account, header.report()))
        else:
            self.reports.drop(header.key)
        self.unsettled.look_at(header)
        if is_range or moved:
            (self.ranges if is_range else self.roots).add(header.key)
        if moved and database.purging:
            self._purging[header.key] = None

    def purge(self) -> bool:
        """Drop the rows of one database that are elsewhere; tell whether there are more such databases.

        Its file is made anew without them, which costs the same however many they are.
        """
        with translated():
            for key in list(self._purging):
                database = self._database(key)
                if database is not None and database.purging:
                    self._make_empty(key, database)
                self._purging.pop(key, None)
                return bool(self._purging)
        return False

    def _make_empty(self, key: bytes, database: Database) -> None:
        """Put a file with nothing but the header in the place of a database's. A crash leaves one of the two, whole."""
        path = self._path(key)
        fresh = path.with_suffix(_FRESH)
        for suffix in ("", "-wal"):
            fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
        database.write_empty(fresh)
        _sync(fresh, os.O_RDONLY)
        self._open.pop(key)
        database.close()
        path.with_name(path.name + "-wal").unlink(missing_ok=True)
        _sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)  # a WAL that came back would be taken for the new file's
        os.replace(fresh, path)
        _sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)

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
        try:
            with translated():
                database = self._database(key)
                assert database is not None or key in self.aside.waiting, "a dirty database has a file"
                if database is not None:
                    first = database.first_deletion()
                    kind = database.header.kind
                    self._deletions[kind, key] = None if first is None else microseconds_of(first)
                    database.checkpoint()
        except RemoteError as error:
            self._set_aside_if_damaged(key, error)
            raise

    def end_checkpoint(self, done: dict[bytes, int], position: Position) -> None:
        """Record that the files of `done` are whole, and that records before `position` are in them."""
        with translated():
            for directory in sorted(self._unsynced_directories, reverse=True):
                _sync(directory, os.O_RDONLY | os.O_DIRECTORY)
            self._unsynced_directories.clear()
            whole = ((kind, key) for key, kind in done.items())
            attended = self.reports.keys() | set(self.unsettled.take()) | self._purging.keys() | self.accepting.keys()
            self._catalog_open().commit(whole, attended, position, self._deletions)
            self._deletions = {}

    # ── what was deleted long ago (storage.indexes.reclaim) ─────────────────────

    def deletions(self, before_us: int, after: Deletion, limit: int) -> list[Deletion]:
        """Return databases that remember a deletion of before that."""
        with translated():
            return self._catalog_open().deletions(before_us, after, limit)

    def forget_tombstones(self, key: bytes, names: Sequence[str], floor: Timestamp) -> int:
        """Delete tombstones of a database from its table; return how many went."""
        count = self.query(key, None, lambda database: database.forget_tombstones(names, floor)) or 0
        if count:
            header = self._open[key].header
            self._dirty[key] = header.kind
            self._catalog_open().note(header.kind, key, header.digest())
        return count

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
        self._forget_about(key)
        path = self._path(key)
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    # ── damage ──────────────────────────────────────────────────────────────────

    def _set_aside_if_damaged(self, key: bytes, error: RemoteError) -> None:
        if error.code == Refusal.CORRUPT:
            with translated():
                self._set_aside(key, str(error.detail))

    def _set_aside(self, key: bytes, reason: str) -> None:
        """Put a damaged database where it does no harm. What is known of it in memory and in the log stays."""
        kind = self._dirty.pop(key, 0)
        database = self._open.pop(key, None)
        if database is not None:
            kind = database.header.kind
            with contextlib.suppress(sqlite3.Error):
                database.close()
        catalog = self._catalog_open()
        kind = kind or self.aside.waiting.get(key, 0) or catalog.kind_of(key)
        self.aside.put(key, kind, self._path(key), reason)
        catalog.forget([(kind, key)])
        self._forget_about(key)

    def check(self, key: bytes, check: Check) -> tuple[int, bool]:
        """Read on in a database; set it aside when it is damaged. Return the bytes, and whether all was read."""
        if check.after is None and key in self._open and key not in self._dirty:
            self._open.pop(key).close()  # what is read next comes from the file
        with contextlib.suppress(RemoteError):
            found = self.query(key, None, check.step)
            return (0, True) if found is None else found
        return 0, True

    def stored_bytes(self) -> int:
        """Return about how many bytes the databases have, from some of their directories. Any thread may ask."""
        directories = list((self._directory / "databases").iterdir())
        looked_at = directories[:_SAMPLED]
        total = 0
        for directory in looked_at:
            for path in directory.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    total += path.stat().st_size
        return total * len(directories) // max(1, len(looked_at))

    def check_catalog(self) -> None:
        """Read the whole catalog. RemoteError CORRUPT: only a new start helps."""
        with translated():
            self._catalog_open().verify()

    def made_anew(self, key: bytes) -> None:
        """Take a database that was made anew, and is durable, for whole."""
        self.aside.remove(key)
        self.query(key, None, self._report)

    def _forget_about(self, key: bytes) -> None:
        """Forget what was noted of a database that is not there any more."""
        self.reports.drop(key)
        self.unsettled.drop(key)
        self.roots.discard(key)
        self.ranges.discard(key)
        self._purging.pop(key, None)
        self.accepting.pop(key, None)
        for pair in [pair for pair in self._deletions if pair[1] == key]:
            del self._deletions[pair]
        self.failures.pop(key, None)

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
            if database.header.key != key:
                database.close()
                raise Damaged("the database of another name")
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
