"""One container or account database: a SQLite file, and its header in memory. Blocking; one thread.

Invariants: header and tables change in one transaction, or not at all; no row in the table is older
than the delete timestamp; every change of a row takes the next sequence, but that it is forgotten.
"""

import copy
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from cluster.clock import Timestamp
from cluster.wire import RemoteError
from storage.indexes import digest, listing, rows, schema
from storage.indexes.change import Change, join_rows, newest_of, surviving
from storage.indexes.header import Header
from storage.indexes.recent import Recent
from storage.indexes.reclaim import gone_since, is_forgettable
from storage.messages import ROWS_LIMIT, Changes, IndexChanges, IndexList, Info, Listing, Refusal, Row
from storage.ranges.state import refusal_of

SEQUENCE_GAP = 1 << 32  # more changes than happen between two checkpoints
_INCARNATION_SIZE = 16
_MERGE_ROWS = 64  # per turn of find, join and put: bounds how long the interpreter's lock is held
_COUNT_ROWS = 1000  # per page when everything is counted again


class Settled(NamedTuple):
    """What a database has of before some second. Which rows, the digest says."""

    digest: bytes  # of these rows
    sequence: int  # up to it there are no others


class Database:
    """An open database. `merge` is the only thing that changes rows."""

    def __init__(self, path: Path, connection: sqlite3.Connection, header: Header) -> None:
        self.path = path
        self._connection = connection
        self.header = header
        self._recent = Recent(header.newest)
        self._came: list[tuple[int, Timestamp, int]] = []  # hash, timestamp, sequence: by the present transaction
        self._went: list[tuple[int, Timestamp]] = []

    def __repr__(self) -> str:
        header = self.header
        return f"Database({header.account}/{header.container}, {header.object_count} objects, {self.path.name})"

    @property
    def connection(self) -> sqlite3.Connection:
        """The open file, to be read."""
        return self._connection

    def close(self) -> None:
        """Close the file. SQLite checkpoints it first."""
        self._connection.close()

    def merge(self, change: Change, after_crash: bool = False) -> bool:
        """Join `change` into the database, and tell whether that made a difference.

        `after_crash`: commits may have been lost, whose sequences peers know.
        """
        header = copy.copy(self.header)
        header.metadata = dict(header.metadata)
        before = header.sequence
        self._came, self._went = [], []
        with self._transaction():
            header.join(change)
            if after_crash:
                header.sequence += SEQUENCE_GAP
            start = header.sequence
            if header.delete_timestamp > self.header.delete_timestamp:
                self._forget_rows(header)
            if header.moved is not None:
                header.clear_rows()  # what is left in the table goes with the file (`write_empty`)
            incoming = _incoming(change, header)
            for index in range(0, len(incoming), _MERGE_ROWS):
                self._merge_rows(header, incoming[index : index + _MERGE_ROWS])
            if header.sequence == start:
                header.sequence = before
            changed = header != self.header
            if changed:
                schema.write_header(self._connection, header)
        self._note_recent(anew=header.delete_timestamp > self.header.delete_timestamp)
        self.header = header
        return changed

    def _note_recent(self, anew: bool) -> None:
        """Take note of what the transaction has changed, which is committed; `anew`: of more than was written down."""
        if anew:
            self._recent = Recent(self.header.newest)
        for value, timestamp in self._went:
            self._recent.subtract(value, timestamp)
        for value, timestamp, sequence in self._came:
            self._recent.add(value, timestamp, sequence)

    def _merge_rows(self, header: Header, incoming: list[Row]) -> None:
        known = rows.find(self._connection, [row.name for row in incoming])
        replaced: list[tuple[Row | None, Row]] = []
        for new in incoming:
            old = known.get(new.name)
            row = new if old is None else join_rows(old, new)
            if row is not old:
                replaced.append((old, row))
        self._store(header, replaced)

    def _store(self, header: Header, replaced: list[tuple[Row | None, Row]]) -> None:
        """Put rows in the place of what was known of their names."""
        flipped: dict[bool, list[str]] = {False: [], True: []}
        stored: list[rows.Stored] = []
        for old, row in replaced:
            timestamp = newest_of(row)
            if old is not None:
                self._went.append((header.subtract(old), newest_of(old)))
                if old.deleted != row.deleted:
                    flipped[old.deleted].append(row.name)
            header.sequence += 1
            self._came.append((header.add(row), timestamp, header.sequence))
            stored.append((row.deleted, row.name, timestamp, header.sequence, rows.pack(row)))
        for deleted, names in flipped.items():
            rows.remove(self._connection, deleted, names)
        rows.put(self._connection, stored)

    def _forget_rows(self, header: Header) -> None:
        """Delete the rows of the life that ended at the delete timestamp, and count what is left."""
        if self.header.moved is not None:
            rows.drop_all(self._connection)  # they count for nothing, whatever their timestamps
        schema.forget_rows(self._connection, header.delete_timestamp)
        header.clear_rows()
        for row in self.all_rows():
            header.add(row)
        diminished = [row for row in self.all_rows() if surviving(row, header.delete_timestamp) != row]
        for row in diminished:
            left = surviving(row, header.delete_timestamp)
            assert left is not None, "rows without anything newer have just been deleted"
            self._store(header, [(row, left)])

    def all_rows(self) -> Iterator[Row]:
        """Yield every row, tombstones included, in the order of their last change."""
        sequence: int | None = -1
        while sequence is not None:
            page, sequence, _count = rows.changed_after(self._connection, sequence, _COUNT_ROWS)
            yield from (Row(*values) for values in page)

    def info(self) -> Info:
        """Return the state of the database."""
        return self.header.info()

    def page(self, query: IndexList) -> Listing:
        """Return a page of live rows."""
        if not self.header.exists:
            return Listing(self.info(), [], False)
        refused = refusal_of(self.header.metadata)
        if refused is not None:
            raise RemoteError(Refusal.SPLIT, refused)
        limited = query._replace(limit=min(query.limit, ROWS_LIMIT))
        items, truncated = listing.list_items(self._connection, limited)
        return Listing(self.info(), items, truncated)

    def changes(self, query: IndexChanges) -> Changes:
        """Return a page of the rows that changed after the sequence asked for, or of all in the order of names."""
        header, limit = self.header, max(1, min(query.limit, ROWS_LIMIT))
        if header.moved is not None:
            return Changes(self.info(), header.incarnation, header.sequence, False, [])
        if query.after is not None:
            page = rows.by_name(self._connection, *query.after, limit)
            return Changes(self.info(), header.incarnation, header.sequence, len(page) == limit, page)
        known = query.incarnation == header.incarnation and query.sequence <= header.sequence
        page, last, count = rows.changed_after(self._connection, query.sequence if known else 0, limit)
        more = count == limit and last != header.sequence
        sequence = last if more and last is not None else header.sequence
        settled = [self.settled(second) for second in query.seconds] if more else []
        return Changes(self.info(), header.incarnation, sequence, more, page, settled)

    def settled(self, second: int) -> Settled | None:
        """Return what is here of before a second; None when that is not known any more."""
        found = self._recent.since(second)
        if found is None:
            return None
        value, first = found
        older = digest.to_bytes(digest.without(self.header.rows_digest, value))
        return Settled(older, self.header.sequence if first is None else first - 1)

    def difference(self, change: Change) -> Change | None:
        """Return the part of `change` that would make a difference here; None when nothing would."""
        header = copy.copy(self.header)
        header.metadata = dict(header.metadata)
        header.join(change)
        incoming = _incoming(change, header)
        known = rows.find(self._connection, [row.name for row in incoming])
        newer = {
            row.name: row
            for row in incoming
            if (old := known.get(row.name)) is None or join_rows(old, row) is not old
        }
        if not newer and header == self.header:
            return None
        return Change(
            change.kind,
            change.key,
            change.account,
            change.container,
            change.put_timestamp,
            change.delete_timestamp,
            change.created_us,
            change.metadata,
            newer,
        )

    def known(self, names: Sequence[str]) -> dict[str, Row]:
        """Return the rows of `names` that are there and count, tombstones included."""
        return {} if self.header.moved is not None else rows.find(self._connection, names)

    # tombstones (storage.indexes.reclaim)

    def old_tombstones(
        self, before: Timestamp, after: tuple[Timestamp, str], limit: int
    ) -> list[tuple[Timestamp, str]]:
        """Return (timestamp, name) of tombstones of before that, oldest first, behind `after`."""
        if not self.header.exists or self.header.moved is not None:
            return []
        schema.index_tombstones(self._connection)
        return rows.old_tombstones(self._connection, before, after, limit)

    def first_deletion(self) -> Timestamp | None:
        """Return when the first thing was deleted that is remembered here: a row, or the database itself."""
        if not self.header.exists or self.header.moved is not None:
            return gone_since(self.header)
        schema.index_tombstones(self._connection)
        return rows.oldest_tombstone(self._connection)

    def forget_tombstones(self, names: Sequence[str], floor: Timestamp) -> int:
        """Hold those of `names` no more that are tombstones of before `floor`; return how many went.

        Peers that have pulled them keep them: each is told itself.
        """
        header = copy.copy(self.header)
        gone = [row for row in self.known(names).values() if is_forgettable(row, floor)]
        if not gone:
            return 0
        self._came, self._went = [], [(header.subtract(row), newest_of(row)) for row in gone]
        with self._transaction():
            rows.remove(self._connection, True, [row.name for row in gone])
            schema.write_header(self._connection, header)
        self._note_recent(anew=False)
        self.header = header
        return len(gone)

    def sample(self, count: int) -> list[str]:
        """Return the names of about `count` live rows, picked at random, in order."""
        return rows.sample(self._connection, count, SEQUENCE_GAP)

    @property
    def purging(self) -> bool:
        """Tell whether there are rows that count for nothing, because they are elsewhere."""
        return self.header.moved is not None and rows.any_there(self._connection)

    def write_empty(self, path: Path) -> None:
        """Write a database like this one, whose rows are elsewhere, without what is left of them; it is not synced."""
        assert self.header.moved is not None, "rows that count"
        connection = schema.connect(path)
        try:
            schema.create(connection, self.header)
        finally:
            connection.close()

    def cursor(self, device: int) -> tuple[bytes, int]:
        """Return up to where the replica on `device` has been pulled."""
        return schema.read_cursor(self._connection, device)

    def remember(self, device: int, incarnation: bytes, sequence: int) -> None:
        """Store up to where the replica on `device` has been pulled."""
        schema.write_cursor(self._connection, device, incarnation, sequence)

    def checkpoint(self) -> None:
        """Make all commits durable, within the database file."""
        busy, _frames, _copied = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise sqlite3.OperationalError(f"{self.path.name}: checkpoint blocked by another connection")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def _incoming(change: Change, header: Header) -> list[Row]:
    """Return the rows of `change` that count in the present life of the database: none, when they are elsewhere."""
    if header.moved is not None:
        return []
    found = (surviving(row, header.delete_timestamp) for row in change.rows.values())
    # in order, so that neighbours are found and put into the same page: a tenth of the time in a large database
    return sorted((row for row in found if row is not None), key=attrgetter("name"))


def open_existing(path: Path) -> Database:
    """Open the database at `path`."""
    connection = schema.connect(path)
    try:
        header = schema.read_header(connection)
    except BaseException:
        connection.close()
        raise
    return Database(path, connection, header)


def create_for(path: Path, change: Change, entropy: Callable[[int], bytes] = os.urandom) -> Database:
    """Make a database at `path` for `change` to be merged into."""
    header = Header(change.kind, change.key, change.account, change.container, entropy(_INCARNATION_SIZE))
    connection = schema.connect(path)
    try:
        schema.create(connection, header)
    except BaseException:
        connection.close()
        raise
    return Database(path, connection, header)
