"""Reads of versions: at once when the page cache has the record, else through a thread.

Answers are either the value itself or something to await; which one depends on nothing but the
page cache. What does not match its checksum is refused as CORRUPT and reported; so is a record that is whole, and not
the one that the index names: a write that went to the wrong place.
"""

import asyncio
from collections.abc import Awaitable, Callable

from cluster.threads import Waiters
from cluster.wire import RemoteError
from storage.blobs import record
from storage.blobs.entry import Entry
from storage.blobs.files import FileStore
from storage.blobs.index import BlobIndex
from storage.blobs.quarantine import Place, Quarantined
from storage.blobs.reader import Damaged, FileReader
from storage.disk import Buffer, Disk
from storage.log.interface import Log, Record, RecordDamaged
from storage.messages import BlobFlag, BlobGet, Refusal, Version

_MANIFEST = int(BlobFlag.MANIFEST)

GetAnswer = tuple[Version | None, Buffer | FileReader]


class Reads:
    """Answers stat, head and get."""

    def __init__(
        self,
        disk: Disk,
        source: Log,
        index: BlobIndex,
        files: FileStore,
        waiters: Waiters,
        report: Callable[[Quarantined], None],
    ) -> None:
        self._disk = disk
        self._log = source
        self._index = index
        self._files = files
        self._waiters = waiters
        self._report = report

    def stat(self, key: bytes) -> Version | None:
        """Return the newest durable version, tombstones included, without its metadata."""
        entry = self._index.get(key)
        return None if entry is None else entry.version()

    def head(self, key: bytes) -> Version | Awaitable[Version | None] | None:
        """The same, with metadata."""
        entry = self._index.get(key)
        if entry is None:
            return None
        try:
            found = self._log.read_head(entry.position, entry.head_length)
        except RecordDamaged as damage:
            raise self._corrupt(key, entry, damage.reason) from damage
        if isinstance(found, Record):
            return entry.version(self._own(key, entry, found).metadata)
        return self._head_later(key, entry, found)

    def get(self, message: BlobGet) -> GetAnswer | Awaitable[GetAnswer]:
        """Return the newest durable version and the bytes that were asked for. NOT_FOUND, CORRUPT."""
        key = message.key
        entry = self._index.get(key)
        if entry is None:
            if message.timestamp is not None:
                raise RemoteError(Refusal.NOT_FOUND)
            return None, b""
        if message.timestamp is not None and message.timestamp != entry.timestamp:
            raise RemoteError(Refusal.NOT_FOUND, entry.timestamp)
        try:
            found = self._log.read(entry.position, entry.record_length)
        except RecordDamaged as damage:
            raise self._corrupt(key, entry, damage.reason) from damage
        if isinstance(found, Record) and entry.type != record.Type.FILE:
            return _small_answer(entry, self._own(key, entry, found), message)
        return self._get_later(entry, found, message)

    async def record(self, key: bytes, entry: Entry) -> Record:
        """Return the whole record of `entry`. CORRUPT."""
        try:
            found = self._log.read(entry.position, entry.record_length)
            return self._own(key, entry, found if isinstance(found, Record) else await found)
        except RecordDamaged as damage:
            raise self._corrupt(key, entry, damage.reason) from damage

    async def _head_later(self, key: bytes, entry: Entry, reading: asyncio.Future[Record]) -> Version:
        try:
            return entry.version(self._own(key, entry, await reading).metadata)
        except RecordDamaged as damage:
            raise self._corrupt(key, entry, damage.reason) from damage

    async def _get_later(
        self, entry: Entry, found: "Record | asyncio.Future[Record]", message: BlobGet
    ) -> GetAnswer:
        if not isinstance(found, Record):
            try:
                found = await found
            except RecordDamaged as damage:
                raise self._corrupt(message.key, entry, damage.reason) from damage
        self._own(message.key, entry, found)
        if entry.type != record.Type.FILE:
            return _small_answer(entry, found, message)
        try:
            reader = await self._open(entry, found, message)
        except FileNotFoundError:
            if self._index.timestamp(message.key) == entry.timestamp:
                data_id = record.data_id_of(found.metadata)
                raise self._corrupt(message.key, entry, "the file is missing", data_id) from None
            again = self.get(message)  # it was superseded, and removed, meanwhile
            return again if isinstance(again, tuple) else await again
        return entry.version(found.metadata), reader

    async def _open(self, entry: Entry, found: Record, message: BlobGet) -> FileReader:
        """Open a file; its first piece has been read and matches."""
        start, end = extent_of(message, entry)
        data_id = record.data_id_of(found.metadata)

        def open_waiting() -> FileReader:
            fd = self._disk.open(self._files.path(data_id))
            reader = FileReader(
                self._disk,
                self._waiters,
                fd,
                found.payload,
                entry.size,
                start,
                end,
                lambda reason: self._report(Quarantined(message.key, entry.timestamp, reason, data_id)),
            )
            try:
                reader.prefetch()
            except BaseException:
                reader.close()
                raise
            return reader

        try:
            opening = self._waiters.run(open_waiting)
        except OverflowError as error:
            raise RemoteError(Refusal.BUSY, str(error)) from None
        try:
            return await asyncio.shield(opening)
        except Damaged as damage:
            raise self._corrupt(message.key, entry, damage.reason, data_id) from damage
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise

    def _own(self, key: bytes, entry: Entry, found: Record) -> Record:
        """Return `found` if it is the record that `entry` names. CORRUPT."""
        if not record.is_version(found.metadata, entry.type, key, entry.timestamp):
            raise self._corrupt(key, entry, "the record of another version")
        return found

    def _corrupt(self, key: bytes, entry: Entry, reason: str, place: Place | None = None) -> RemoteError:
        self._report(Quarantined(key, entry.timestamp, reason, entry.position if place is None else place))
        return RemoteError(Refusal.CORRUPT, reason)


def extent_of(message: BlobGet, entry: Entry) -> tuple[int, int]:
    """Return which bytes [start, end) of `entry` are asked for."""
    if entry.flags & _MANIFEST:
        return 0, entry.size
    start = message.start if message.start >= 0 else max(0, entry.size + message.start)
    end = entry.size if message.end is None else min(message.end, entry.size)
    return min(start, end), max(end, 0)


def _small_answer(entry: Entry, found: Record, message: BlobGet) -> GetAnswer:
    version = entry.version(found.metadata)
    if message.start == 0 and message.end is None:
        return version, found.payload
    start, end = extent_of(message, entry)
    return version, found.payload[start:end]


def _close_unwanted(opening: asyncio.Future[FileReader]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
