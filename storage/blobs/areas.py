"""What scrub reads of a device's objects: the segments of the log, then, in the order of keys, index and files.

A live record that does not match is found by reading its segment from end to end: then the entries of the index that
lie in what is damaged are reported. That every live record was met on the way is found by adding up their bytes;
when some are missing (a segment that was cut off, or is gone; an entry that points nowhere) each entry of that segment
is read by itself.

Of the index the order-free digests are summed up anew: LMDB has no checksums, and an entry that is gone would be
answered as if it had never been. Nothing repairs an index; it is made anew from the log by the next start.

What can be made good from what is around it is, at once: the header of a segment, the identity of a file, a FORGET that
is still needed (storage.blobs.graves).
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from cluster.clock import Timestamp
from cluster.telemetry.log import get_logger
from cluster.threads import Waiters
from cluster.wire import RemoteError
from storage.area import Piece
from storage.blobs import entry as entries
from storage.blobs import record
from storage.blobs.blocks import BLOCK_SIZE, first_mismatch
from storage.blobs.entry import Entry
from storage.blobs.files import FileIdentity, FileStore
from storage.blobs.index import BlobIndex
from storage.blobs.quarantine import Quarantined
from storage.blobs.reads import Reads
from storage.blobs.tables import Audit
from storage.direct import DirectFile
from storage.disk import Disk
from storage.log.device import DeviceLog
from storage.log.inspection import Inspection
from storage.log.interface import Damage, Kind, Record, segment_of

_PIECE_SIZE = 1 << 20
_RECORD_COST = 2 << 10  # bytes that a small record counts for: it takes time, not bytes
_ENTRY_COST = 64  # the same of an entry of the index
_BATCH = 500  # entries of the index in one turn of the loop

Report = Callable[[Quarantined], None]
log = get_logger("storage.blobs")


class LogArea:
    """The segments. A position is the number of one: in a new process it is read from its beginning."""

    name = "log"

    def __init__(
        self,
        source: DeviceLog,
        index: BlobIndex,
        reads: Reads,
        waiters: Waiters,
        report: Report,
        forget: Callable[[Sequence[tuple[bytes, Timestamp]]], Awaitable[None]],
    ) -> None:
        self._log = source
        self._index = index
        self._reads = reads
        self._waiters = waiters
        self._report = report
        self._forget = forget
        self._graves: set[bytes] = set()  # keys that a FORGET was met for which is still needed
        self._current: Inspection | None = None
        self._damages: list[Damage] = []
        self._live = 0  # bytes of live records that were met in this segment
        self._missing: set[int] = set()  # segments that are gone, and that the index knows live records in
        self.found_count = self.healed_count = 0

    async def size(self) -> int:
        """Return the bytes of all segments."""
        return sum(info.size for info in self._log.segments())

    async def step(self, position: str) -> Piece:
        """Read on in a segment."""
        wanted = int(position or 0)
        if self._current is not None and self._current.segment != wanted:
            self.close()
        inspection = self._current or await self._open(wanted)
        if inspection is None:
            await self._read_missing()
            return Piece(0, 0, None, 1.0)
        before = inspection.offset
        try:
            found = await self._waiters.run(inspection.read, _PIECE_SIZE)
        except OSError as error:  # nothing of the rest can be read: what is live there is found missing
            log.error("segment_unreadable", segment=inspection.segment, error=error)
            found, inspection.done = [], True
        for item in found:
            self._look_at(item)
        size = inspection.offset - before
        if inspection.done:
            await self._conclude(inspection)
            self.close()
        following = inspection.segment + inspection.done
        return Piece(size, max(size, len(found) * _RECORD_COST), str(following), self._share(inspection))

    def close(self) -> None:
        """Let go of the segment."""
        if self._current is not None:
            self._current.close()
        self._current, self._damages, self._live, self._graves = None, [], 0, set()

    async def _open(self, wanted: int) -> Inspection | None:
        """Begin with the first segment from `wanted` on; None when there is none."""
        there = sorted(info.id for info in self._log.segments())
        if wanted == 0:
            self._missing = {segment for segment, live in self._index.live_bytes.items() if live}.difference(there)
        for segment in there:
            if segment >= wanted:
                try:
                    self._current = await self._waiters.run(self._log.inspect, segment)
                except OSError as error:  # dropped; or not to be read: then what is live there is found missing
                    self._missing.add(segment)
                    log.info("segment_not_opened", segment=segment, error=error)
                    continue
                return self._current
        return None

    def _look_at(self, item: Record | Damage) -> None:
        if isinstance(item, Damage):
            self._damages.append(item)
        elif item.kind != Kind.BLOB:
            return
        elif item.metadata[0] == record.Type.FORGET:
            self._look_at_graves(item)
        elif item.metadata[0] not in record.NAMING:
            held = self._index.get(record.decode_identity(item.metadata)[3])
            if held is not None and held.position == item.position:
                self._live += item.end - item.position

    def _look_at_graves(self, item: Record) -> None:
        segment = segment_of(item.position)
        for key, timestamp in record.decode_naming(item.metadata):
            grave = self._index.grave(key)
            if grave is not None and (grave.segment, grave.timestamp) == (segment, timestamp):
                self._live += record.NAME_SIZE
                self._graves.add(key)

    async def _conclude(self, inspection: Inspection) -> None:
        """Report what is damaged in a segment that has been read."""
        await self._mend_header(inspection)
        if self._damages:
            await self._forget_again(inspection.segment)
            self._live += await self._report_damaged(inspection.segment)
        if inspection.sealed and self._live < self._index.live_bytes.get(inspection.segment, 0):
            await self._read_each({inspection.segment})

    async def _read_missing(self) -> None:
        """Read what should be live in segments that are gone."""
        missing, self._missing = self._missing, set()
        if missing:
            await self._read_each(missing)

    async def _mend_header(self, inspection: Inspection) -> None:
        if inspection.header_is_whole or not inspection.sealed or inspection.first_sequence is None:
            return
        self.found_count += 1
        try:
            await self._waiters.run(self._log.mend_header, inspection.segment, inspection.first_sequence)
        except FileNotFoundError:  # dropped
            return
        self.healed_count += 1
        log.warning("segment_header_mended", segment=inspection.segment)

    async def _forget_again(self, segment: int) -> None:
        """Write anew what a damaged FORGET has named."""
        needed = [grave for grave in self._index.graves_in(segment) if grave[0] not in self._graves]
        if needed:
            self.found_count += 1
            await self._forget(needed)
            self.healed_count += 1

    async def _report_damaged(self, segment: int) -> int:
        """Report the live records that lie in what is damaged; return their bytes."""
        starts = [damage.position for damage in self._damages]
        total = 0
        async for key, held in self._entries_in({segment}):
            index = bisect_right(starts, held.position) - 1
            if index >= 0 and held.position < self._damages[index].end:
                self._report(Quarantined(key, held.timestamp, self._damages[index].reason, held.position))
                total += held.record_length
        return total

    async def _read_each(self, segments: set[int]) -> None:
        """Read every live record of some segments by itself; who reads reports what is damaged."""
        async for key, held in self._entries_in(segments):
            try:
                await self._reads.record(key, held)
            except RemoteError:
                continue  # it has been reported

    async def _entries_in(self, segments: set[int]) -> AsyncIterator[tuple[bytes, Entry]]:
        """Yield the entries whose records are in some segments, without holding the loop up."""
        bucket, count = 0, 1
        while bucket < count:
            audit = self._index.audit(bucket, _BATCH)
            bucket, count = audit.end, audit.bucket_count
            for key, value in audit.entries:
                if segment_of(entries.place_of(value)[1]) in segments:
                    yield key, entries.decode(value)
            await asyncio.sleep(0)

    def _share(self, inspection: Inspection) -> float:
        infos = self._log.segments()
        total = sum(info.size for info in infos)
        done = sum(info.size for info in infos if info.id < inspection.segment) + inspection.offset
        return min(1.0, done / total) if total else 1.0


class FileArea:
    """The index, and the files that it names. A position is the number of a bucket of keys."""

    name = "files"

    def __init__(
        self,
        disk: Disk,
        files: FileStore,
        index: BlobIndex,
        reads: Reads,
        waiters: Waiters,
        report: Report,
        distrust: Callable[[Sequence[int]], None],
    ) -> None:
        self._disk = disk
        self._files = files
        self._index = index
        self._reads = reads
        self._waiters = waiters
        self._report = report
        self._distrust = distrust
        self._audit: Audit | None = None
        self._waiting: list[tuple[bytes, bytes]] = []  # of its entries, those with files that were not read yet
        self._open: _FileCheck | None = None
        self._read = 0  # bytes of files in this pass
        self.attributes = True  # whether the file system keeps identities
        self.found_count = self.healed_count = 0

    async def size(self) -> int:
        """Return the bytes of all files, from what a 256th of them takes."""
        return await self._waiters.run(self._estimated_size)

    def _estimated_size(self) -> int:
        shards = self._files.shards()
        return len(shards) * sum(map(self._files.size, self._files.data_ids(shards[0]))) if shards else 0

    async def step(self, position: str) -> Piece:
        """Sum up some entries of the index, or read on in a file."""
        bucket = int(position or 0)
        if self._audit is None or not self._waiting:
            self._audit = self._index.audit(bucket, _BATCH)
            if self._audit.wrong:
                self.found_count += len(self._audit.wrong)
                self._distrust(self._audit.wrong)
            self._waiting = [item for item in reversed(self._audit.entries) if entries.data_id_of(item[1])]
            cost = len(self._audit.entries) * _ENTRY_COST
            return self._piece(0, cost, bucket)
        size = await self._read_on()
        return self._piece(size, max(size, _RECORD_COST), bucket)

    def _piece(self, size: int, cost: int, bucket: int) -> Piece:
        audit = self._audit
        assert audit is not None
        if self._waiting:
            return Piece(size, cost, str(bucket), bucket / audit.bucket_count)
        self._audit = None
        following = str(audit.end) if audit.end < audit.bucket_count else None
        return Piece(size, cost, following, audit.end / audit.bucket_count)

    def close(self) -> None:
        """Let go of the file."""
        if self._open is not None:
            self._open.close()
        self._open, self._audit, self._waiting = None, None, []

    async def _read_on(self) -> int:
        """Read a piece of the next file; return its size."""
        key, value = self._waiting[-1]
        if self._open is None:
            self._open = await self._opened(key, entries.data_id_of(value))
            if self._open is None:
                self._waiting.pop()
                return 0
        check = self._open
        size, reason = await self._waiters.run(check.read)
        if reason:
            self._report(Quarantined(key, check.held.timestamp, reason, check.data_id))
        if reason or check.done:
            self._open = None
            self._waiting.pop()
            await self._waiters.run(check.close)
        return size

    async def _opened(self, key: bytes, data_id: bytes) -> "_FileCheck | None":
        """Open a file that is needed still, and see to its identity; None when there is nothing to read."""
        held = self._index.get(key)
        if held is None or self._index.data_id(key) != data_id:
            return None
        try:
            found = await self._reads.record(key, held)
            identity = FileIdentity(found.metadata, bytes(found.payload))
            await self._mend_identity(key, held, data_id, identity)
            path = self._files.path(data_id)
            return await self._waiters.run(_FileCheck, self._disk, path, data_id, held, identity.checksums)
        except FileNotFoundError:
            self._report(Quarantined(key, held.timestamp, "the file is missing", data_id))
        except OSError as error:
            self._report(Quarantined(key, held.timestamp, f"open: {error}", data_id))
        except RemoteError:
            return None  # its record is damaged, and has been reported
        return None

    async def _mend_identity(self, key: bytes, held: Entry, data_id: bytes, identity: FileIdentity) -> None:
        """Have a file say again whose it is, when that cannot be read."""
        if not self.attributes or await self._is_identified(key, data_id) or self._index.get(key) != held:
            return
        await self._waiters.run(self._files.identify, data_id, held.size, identity)
        if not await self._is_identified(key, data_id):
            self.attributes = False
            return
        self.found_count += 1
        self.healed_count += 1
        log.warning("identity_mended", data_id=data_id)

    async def _is_identified(self, key: bytes, data_id: bytes) -> bool:
        """Tell whether a file says that it is of `key`; of which version, an update may be changing."""
        known = await self._waiters.run(self._files.identity, data_id)
        return known is not None and record.decode_identity(known.metadata)[3] == key


class _FileCheck:
    """One file that is read from its beginning. Blocking."""

    def __init__(self, disk: Disk, path: str, data_id: bytes, held: Entry, checksums: bytes) -> None:
        self._file = DirectFile(disk, path)
        self._checksums = checksums
        self._offset = 0
        self.data_id = data_id
        self.held = held

    @property
    def done(self) -> bool:
        """All of it was read."""
        return self._offset >= self.held.size

    def read(self) -> tuple[int, str]:
        """Read and verify a piece; return its size, and what is wrong with it."""
        length = min(_PIECE_SIZE, self.held.size - self._offset)
        try:
            data = memoryview(self._file.read(self._offset, length))
        except OSError as error:
            return 0, f"read: {error}"
        if len(data) != length:
            return len(data), "the file is cut off"
        mismatch = first_mismatch(data, self._offset // BLOCK_SIZE, self._checksums)
        self._offset += length
        return length, "" if mismatch is None else f"block {mismatch} does not match"

    def close(self) -> None:
        """Close it."""
        self._file.close()
