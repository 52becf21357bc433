"""The log of one device, put together: recovery when it is opened, appends, reads, dropping of segments.

Opening it (blocking) finds where the last segment ends, cuts off a torn tail and seals it; the first append
begins a new segment, which names where its predecessor ended. `start` begins the writer's thread; before
it the log can be scanned, not appended to.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cluster.telemetry.log import get_logger
from cluster.threads import Waiters, WaiterThreads
from storage.disk import Buffer, Disk, RealDisk, read_small_file, replace_small_file
from storage.log import record as records
from storage.log.committer import Batch, Committer, Committing
from storage.log.inspection import Inspection
from storage.log.interface import (
    Appended,
    Apply,
    Damage,
    DeviceFailed,
    DeviceFull,
    LogBusy,
    LogRefusal,
    Position,
    Record,
    SegmentInfo,
    offset_of,
    segment_of,
)
from storage.log.reader import RecordReader
from storage.log.recovery import Recovery
from storage.log.segment import HEADER_SIZE, LOG_ID_SIZE
from storage.log.segments import SegmentFiles
from storage.log.writer import SegmentWriter

SEGMENT_BYTES = 64 << 20  # smaller: more files; larger: more to rewrite before space comes back
QUEUE_BYTES = 64 << 20  # appended and not yet durable; beyond, appends are refused
_RECORD_COST = 256  # bytes that a queued record takes beside its content, roughly
_ID_FILE = "id"

log = get_logger("storage.log")


class DeviceLog:
    """`storage.log.interface.Log`, on segment files in `directory`."""

    def __init__(
        self,
        directory: str,
        *,
        disk: Disk | None = None,
        waiters: Waiters | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        queue_bytes: int = QUEUE_BYTES,
        entropy: Callable[[int], bytes] = os.urandom,
        committer: Callable[..., Committing] = Committer,
    ) -> None:
        """Open the log, or create it. Blocking. OSError when the device does not let us."""
        self._disk = disk or RealDisk()
        self._waiters = waiters or WaiterThreads()
        self._directory = directory
        self._queue_bytes = queue_bytes
        self._holds: dict[str, Position] = {}
        self._apply: dict[int, Apply] = {}
        self._discard: dict[int, Apply] = {}
        self._failed: LogRefusal | None = None
        self._gathered: Batch = []
        self._queued = 0  # bytes
        self._appended_count = self._handed_count = self._completed_count = 0  # records
        self._batch_since_s: float | None = None
        self._is_full = False
        self._settling: list[asyncio.Future[None]] = []  # of those who wait for a batch to be completed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._committer: Committing | None = None
        self._new_committer = committer
        self._entropy = entropy
        self._disk.make_directories(directory)
        self.log_id = self._own_id()
        self._files = SegmentFiles(self._disk, directory)
        self._reader = RecordReader(self._disk, self._files, self._waiters, self.log_id)
        self._recovery = Recovery(self._disk, directory, self._files, self.log_id)
        end = self._recovery.end()
        self._end = end.position  # of what is durable and applied
        next_segment = max([segment_of(self._end), *self._files.ids]) + 1
        self._writer = SegmentWriter(
            self._disk,
            directory,
            self._files,
            self.log_id,
            self._end,
            next_segment,
            end.next_sequence,
            segment_bytes,
        )

    # -- appending

    def start(self) -> None:
        """Begin to take appends, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._committer = self._new_committer(self._loop, "log", self._writer.write, self._complete)

    async def close(self) -> None:
        """Make durable what was appended, and close all files. What fails by then has told its appender."""
        if self._committer is not None:
            self._hand_over()
        self._failed = self._failed or DeviceFailed("the log is closed")  # what came behind this would never be written
        if self._committer is not None:
            await self._committer.close()
            self._committer = None
        try:
            self._writer.close()
        finally:
            self._files.close()
            self._waiters.close()

    def register(self, kind: int, apply: Apply, discard: Apply | None = None) -> None:
        assert kind not in self._apply, f"kind {kind} has an owner"
        self._apply[kind] = apply
        if discard is not None:
            self._discard[kind] = discard

    def append(
        self, kind: int, metadata: bytes, payload: Buffer = b"", flags: int = 0, context: Any = None
    ) -> asyncio.Future[Position]:
        return self.append_record(kind, metadata, payload, flags, context).future

    def append_record(
        self, kind: int, metadata: bytes, payload: Buffer = b"", flags: int = 0, context: Any = None
    ) -> Appended:
        assert self._loop is not None, "append before start"
        assert len(metadata) <= records.METADATA_LIMIT
        assert len(payload) <= records.PAYLOAD_LIMIT
        if self._failed is not None:
            raise self._failed
        queued = self._queued + len(metadata) + len(payload) + _RECORD_COST
        if queued > self._queue_bytes and self._queued:
            raise LogBusy(f"{self._queued} bytes wait for the log")
        self._queued = queued
        record = Appended(kind, flags, metadata, payload, context, self._loop.create_future())
        if not self._gathered:  # one wake-up of the writer for all that this turn of the loop appends
            self._loop.call_soon(self._hand_over)
        self._gathered.append(record)
        self._appended_count += 1
        return record

    async def settled(self) -> None:
        """Wait until all that was appended before now is durable and applied, or has failed."""
        wanted = self._appended_count
        while self._completed_count < wanted:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._settling.append(waiter)
            await waiter

    @property
    def writer(self) -> SegmentWriter:
        """What writes the segments: for an owner that has the log to himself, and does not `start` it."""
        return self._writer

    @property
    def failed(self) -> LogRefusal | None:
        """Why nothing is appended any more."""
        return self._failed

    @property
    def batch_since_s(self) -> float | None:
        """Since when (loop time) the disk has not answered what was handed to it; None: nothing is at the disk."""
        return self._batch_since_s

    @property
    def is_full(self) -> bool:
        """Tell whether the last batch found no space."""
        return self._is_full

    @property
    def queued_bytes(self) -> int:
        """Bytes appended that are not durable yet."""
        return self._queued

    def _hand_over(self) -> None:
        if self._gathered and self._committer is not None:
            batch, self._gathered = self._gathered, []
            self._handed_count += len(batch)
            if self._batch_since_s is None:
                assert self._loop is not None
                self._batch_since_s = self._loop.time()
            self._committer.submit(batch)

    def _complete(self, batch: Batch, durable: int, refusal: LogRefusal | None) -> None:
        """Apply the durable part of a batch, resolve its futures, refuse the rest."""
        for record in batch:
            self._queued -= len(record.metadata) + len(record.payload) + _RECORD_COST
        good = batch if refusal is None else batch[:durable]
        if good:
            self._end = good[-1].end
            try:
                self._hand_out(good, self._apply)
            except Exception as error:  # durable, but not applied: what we would serve now is not the log
                refusal = DeviceFailed(f"apply: {error!r}")
                log.error("apply_failed", directory=self._directory, error=error)
                durable, good = 0, []
        for record in good:
            if not record.future.done():
                record.future.set_result(record.position)
        if refusal is not None:
            self._refuse(batch[durable:], refusal)
        self._completed_count += len(batch)
        assert self._loop is not None
        self._batch_since_s = self._loop.time() if self._completed_count < self._handed_count else None
        self._is_full = isinstance(refusal, DeviceFull)
        settling, self._settling = self._settling, []
        for waiter in settling:
            if not waiter.done():
                waiter.set_result(None)

    def _hand_out(self, batch: Batch, targets: dict[int, Apply]) -> None:
        """Give each kind's records to its owner, in order."""
        kinds = {record.kind for record in batch}
        for kind in kinds:
            target = targets.get(kind)
            if target is not None:
                target(batch if len(kinds) == 1 else [record for record in batch if record.kind == kind])

    def _refuse(self, batch: Batch, refusal: LogRefusal) -> None:
        if isinstance(refusal, DeviceFailed):
            self._failed = refusal
        self._hand_out(batch, self._discard)
        for record in batch:
            if not record.future.done():
                record.future.set_exception(refusal)

    # -- reading

    def read(self, position: Position, length: int) -> "Record | asyncio.Future[Record]":
        return self._reader.read(position, length)

    def read_head(self, position: Position, length: int) -> "Record | asyncio.Future[Record]":
        return self._reader.read_head(position, length)

    def scan(self, start: Position, kind: int | None = None, payloads: bool = False) -> Iterator[Record]:
        return self._recovery.scan(start, self._end, kind, payloads, recovering=self._loop is None)

    def inspect(self, segment: int) -> Inspection:
        """Return what reads a segment anew, every byte of it as it is on the device. Blocking. OSError."""
        end = self._end
        sealed = segment < segment_of(end)
        limit = None if sealed else offset_of(end) if segment == segment_of(end) else HEADER_SIZE
        return Inspection(self._disk, self._files.path(segment), segment, self.log_id, limit, sealed)

    def mend_header(self, segment: int, first_sequence: int) -> None:
        """Write the header of a sealed segment anew. Blocking."""
        self._recovery.mend_header(segment, first_sequence)

    @property
    def end(self) -> Position:
        return self._end

    @property
    def damages(self) -> Sequence[Damage]:
        return self._recovery.damages

    @property
    def lost(self) -> Sequence[Damage]:
        """Damage that recovery had to pass over: records that were durable, and of which nothing is known."""
        return self._recovery.lost

    # -- segments

    def segments(self) -> Sequence[SegmentInfo]:
        return self._files.infos(self._writer.active)

    def hold(self, owner: str, position: Position) -> None:
        self._holds[owner] = position

    def may_drop(self, segment: int) -> bool:
        newest = self._files.ids[-1] if self._files.ids else 0  # names where the log ends: it stays
        return segment < newest and all(segment < segment_of(hold) for hold in self._holds.values())

    def drop(self, segment: int) -> None:
        assert self.may_drop(segment), f"segment {segment} is needed"
        self._files.remove(segment)
        self._reader.forget(segment)
        self._recovery.forget(segment)

    def _own_id(self) -> bytes:
        path = os.path.join(self._directory, _ID_FILE)
        log_id = read_small_file(self._disk, path)
        if log_id is None:
            log_id = self._entropy(LOG_ID_SIZE)
            replace_small_file(self._disk, path, log_id)
        if len(log_id) != LOG_ID_SIZE:
            raise OSError(f"{path} is not the id of a log")
        return log_id
