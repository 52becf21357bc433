"""What a device does so that old tombstones of rows, and databases deleted long ago, can be given up. docs/reclaim.md.

Where a tombstone is gone nothing tells an old row any more that it comes too late. So there is a *floor*, a timestamp
far in the past that only rises, and below it no name begins: a live row that is older is taken only over a live row of
that name. Likewise no container begins: one that was made below the floor, and of which nothing is here, is believed in
only when another replica has it; and metadata from below the floor that is said under an older put timestamp than the
container's is of an earlier life, and refused. Rows that only repeat what is here change nothing, and are not recorded:
the log must not bring them back (crash points below). Tombstones may begin: they do no harm.

Not bound by the floor: what is pulled from a replica, for each is asked before anything goes; and rows that are moved
into a range database from another one (storage.ranges), until that is *closed* (RECLAIMED in its metadata), or where it
was made below the floor and has been missed.

The floor is the file `reclaim-floor`, written durably before anything relies on it. None, or one that cannot be read,
counts as zero until housekeeping raises it, soon after a start.

To forget tombstones is no record of the log: they are deleted from the table, behind a checkpoint. After a crash
replay begins there, or later, and what it brings is: tombstones, which are forgotten again some day; and no live row
of those names, for what was let in since the floor was raised is none. So too when the table's last commits are lost.
When the catalog is damaged, and everything is replayed that the log has, rows below the floor are left out: all
databases are filled from others then.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.clock import TIMESTAMP_SIZE, ZERO, Timestamp, microseconds_of
from cluster.threads import Waiters
from cluster.wire import RemoteError
from storage.indexes.change import Change, join_rows, newest_of
from storage.indexes.errors import translated
from storage.indexes.header import Header
from storage.messages import DatabaseKind, Holding, Refusal, Row
from storage.ranges.pointers import RANGES
from storage.ranges.state import accepted_of, moved_of

_FILE = "reclaim-floor"


class FloorFile:
    """Of one device. Blocking."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _FILE

    def read(self) -> Timestamp:
        """Return the floor."""
        try:
            found = self._path.read_bytes()
        except FileNotFoundError:
            return ZERO
        return Timestamp(found) if len(found) == TIMESTAMP_SIZE else ZERO

    def write(self, floor: Timestamp) -> None:
        """Make the floor durable."""
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(floor)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        handle = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class Floor:
    """Below it nothing begins on this device. Whoever has raised it knows that it is durable."""

    def __init__(self, directory: Path, thread: Waiters, wall: Callable[[], int]) -> None:
        self._file = FloorFile(directory)
        self._thread = thread
        self._wall_us = wall
        self._raising = asyncio.Lock()
        self.value = ZERO
        self._durable = ZERO

    def read(self) -> None:
        """Take up what is durable. Blocking."""
        self.value = self._durable = self._file.read()

    async def raise_to(self, floor: Timestamp) -> None:
        """Let nothing begin below `floor`, from now on and for ever. Raise BUSY for one in the future."""
        if microseconds_of(floor) > self._wall_us():
            raise RemoteError(Refusal.BUSY, "a floor in the future: clocks differ")
        self.value = max(self.value, floor)  # at once: what is let in from now on is not counted on
        async with self._raising:
            if self.value > self._durable:
                wanted = self.value
                with translated():
                    await self._thread.run(self._file.write, wanted)
                self._durable = wanted


@dataclass(frozen=True, slots=True)
class Due:
    """What of a database was deleted long ago."""

    header: Header
    tombstones: list[tuple[Timestamp, str]]  # oldest first; none: it is the database itself, or nothing any more


def is_old(row: Row, floor: Timestamp) -> bool:
    """Tell whether a row may only go over a live one."""
    return not row.deleted and row.timestamp < floor


def without_repeated(change: Change, known: Mapping[str, Row], floor: Timestamp) -> Change:
    """Return `change` without old rows that change nothing. Raise PROMISED for one that would begin a name."""
    rows: dict[str, Row] = {}
    for name, row in change.rows.items():
        if is_old(row, floor):
            there = known.get(name)
            if there is not None and join_rows(there, row) is there:
                continue
            if there is None or there.deleted:
                raise RemoteError(Refusal.PROMISED, floor)
        rows[name] = row
    change.rows = rows
    return change


def without_old(change: Change, floor: Timestamp) -> Change:
    """Return `change` without rows that are to come from elsewhere."""
    change.rows = {name: row for name, row in change.rows.items() if not is_old(row, floor)}
    return change


def holdings_of_rows(header: Header | None, known: Mapping[str, Row], names: Iterable[str], floor: Timestamp) -> bytes:
    """Return what a database has of names whose tombstones are to go: a Holding each."""
    if header is None:
        return bytes(Holding.NOTHING for _ in names)
    if not header.exists or header.moved is not None or accepted_of(header.metadata) is not None:
        return bytes(Holding.OTHER for _ in names)
    return bytes(_holding(known.get(name), floor) for name in names)


def _holding(row: Row | None, floor: Timestamp) -> Holding:
    if row is None:
        return Holding.NOTHING
    return Holding.TOMBSTONE if is_forgettable(row, floor) else Holding.OTHER


def is_forgettable(row: Row, floor: Timestamp) -> bool:
    """Tell whether a row is a tombstone that holds down only what is below the floor."""
    return row.deleted and newest_of(row) < floor


def holding_of_database(header: Header | None, floor: Timestamp) -> Holding:
    """Return what there is of a container that was deleted long ago, or whose rows have been elsewhere for long."""
    if header is None:
        return Holding.NOTHING
    stamps = [header.put_timestamp, header.delete_timestamp, header.newest]
    stamps += [timestamp for _value, timestamp in header.metadata.values()]
    if header.kind != DatabaseKind.CONTAINER or max(stamps) >= floor or accepted_of(header.metadata) is not None:
        return Holding.OTHER
    if header.exists:
        return Holding.TOMBSTONE if header.account == RANGES and header.moved is not None else Holding.OTHER
    return Holding.TOMBSTONE if header.empty else Holding.OTHER


def points_at(root: Header | None, range_id: str) -> bool:
    """Tell whether a root leads to a range database, or may come to do so."""
    if root is None or not root.exists:
        return False
    moved, accepted = moved_of(root.metadata), accepted_of(root.metadata)
    pointers = [] if moved is None else moved[1]
    return accepted is not None or any(pointer.range_id == range_id for pointer in pointers)


def gone_since(header: Header) -> Timestamp | None:
    """Return when a database itself was deleted, or its rows were moved away; None: neither."""
    if header.kind != DatabaseKind.CONTAINER:
        return None
    if not header.exists:
        return header.delete_timestamp if header.delete_timestamp != ZERO else None
    if header.moved is not None:
        return header.moved[0] if header.account == RANGES else None
    return None
