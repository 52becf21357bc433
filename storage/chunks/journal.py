"""The journal of a device's chunks: a log whose records are answered when they are written, and synced together.

It is a log of its own, apart from the device's: its records live for minutes, those of objects for years, and a segment
that held both would have to be rewritten for each.

What a turn of the loop gathers is written at its end, or in the next, on the loop: a few KiB go into the page cache in
less time than a thread takes to wake up. Large batches, and the beginning of a segment, go to a thread. Another thread
syncs: when somebody waits for that, when enough is written, and after a short while. Where syncs have been fast of late
(`pace`), the loop makes those itself that somebody waits for. So records become durable soon, and what the
files may not have before waits in memory for less.

`written` and `durable` are called with entries in journal order, on the loop's thread; each entry goes once through
`written` and then `durable`, or once through `refused`. After a failed sync nothing is taken any more.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple, Protocol

from cluster.telemetry.log import get_logger
from cluster.threads import Waiters
from storage.chunks.chunk import Entry
from storage.chunks.pace import Pace
from storage.log.device import DeviceLog
from storage.log.interface import START, DeviceFailed, Kind, LogBusy, LogRefusal, Position, Record, segment_of
from storage.log.writer import WriteRefused

_HOLD_OWNER = "chunks"
_RECORD_COST = 512  # bytes of a write in memory beside its payload, roughly

log = get_logger("storage.chunks")


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When what is done."""

    inline_bytes: int = 256 << 10  # of a batch that the loop writes itself; more: the loop stands still for longer
    sync_bytes: int = 8 << 20  # written and not synced; more: larger, rarer syncs, and more in memory
    sync_delay_s: float = 0.05  # after the first write that nobody flushes
    inline_sync_bytes: int = 64 << 10  # of a sync that the loop makes itself, if syncs are fast; 0: it makes none
    queue_bytes: int = 64 << 20  # admitted and not durable; beyond, writes are refused BUSY


DEFAULT_RHYTHM = Rhythm()


class Owner(Protocol):
    """Whose records they are."""

    def written(self, entries: Sequence[Entry]) -> None:
        """Take note that these are in the file, and survive this process."""

    def durable(self, entries: Sequence[Entry]) -> None:
        """Take note that these are durable."""

    def refused(self, entries: Sequence[Entry], refusal: LogRefusal) -> None:
        """Take note that these will never be."""


class _Synced(NamedTuple):
    end: Position  # of what is durable
    took_s: float


class Journal:
    """On segment files in a directory of its own. Opening it blocks."""

    def __init__(self, source: DeviceLog, writing: Waiters, syncing: Waiters, rhythm: Rhythm) -> None:
        """`source` is open and not started: it is this journal's alone. The threads are one each."""
        self._log = source
        self._writer = source.writer
        self._writing_thread = writing
        self._syncing_thread = syncing
        self._pace = Pace()  # of syncs
        self._rhythm = rhythm
        self._owner: Owner
        self._loop: asyncio.AbstractEventLoop
        self._gathered: list[Entry] = []
        self._gathered_bytes = 0
        self._queued = 0  # bytes that are not durable
        self._writing: asyncio.Future[None] | None = None  # in a thread
        self._unsynced: deque[Entry] = deque()
        self._unsynced_bytes = 0
        self._wanted = START  # somebody waits until the log is durable up to here
        self._syncing: asyncio.Future[_Synced] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._flushes: list[tuple[Entry, asyncio.Future[None]]] = []  # by the last entry that each waits for
        self._failed: LogRefusal | None = None
        self.end = source.end  # of what is durable
        self.sync_count = 0

    def __repr__(self) -> str:
        return f"Journal(durable to {self.end:#x}, {len(self._unsynced)} records not synced)"

    # recovery

    @property
    def log_id(self) -> bytes:
        """Which journal this is."""
        return self._log.log_id

    def scan(self, start: Position) -> Iterator[Record]:
        """Yield the records from `start` on, payloads included. Blocking."""
        return self._log.scan(start, Kind.CHUNK, payloads=True)

    def losses(self, start: Position) -> list[str]:
        """Return why a state that was made from the records from `start` on is not what it was; []: it is."""
        return [f"{damage.reason} at {damage.position:#x}" for damage in self._log.lost if damage.end > start]

    def start(self, owner: Owner) -> None:
        """Begin to take records, on the running loop."""
        self._owner = owner
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """Make durable what was taken, and close the files."""
        try:
            while self._gathered or self._writing is not None or self._unsynced:
                await self.settle()
        except LogRefusal as refusal:
            log.warning("journal_not_flushed", reason=str(refusal.detail))
        self._failed = self._failed or DeviceFailed("the journal is closed")
        if self._timer is not None:
            self._timer.cancel()
        if self._syncing is not None:
            await asyncio.wait({self._syncing})
        try:
            await self._log.close()
        except OSError as error:
            log.warning("journal_not_sealed", reason=str(error))

    # appending

    def append(self, entry: Entry) -> None:
        """Take an entry; refuse it at once when there is no room or the device has failed."""
        self._gathered.append(entry)
        size = len(entry.payload) + _RECORD_COST
        self._gathered_bytes += size
        self._queued += size
        if len(self._gathered) == 1 and self._writing is None:
            self._loop.call_soon(self._write)

    def refuse_when_busy(self, size: int) -> None:
        """Raise LogRefusal when `size` bytes more cannot be taken."""
        if self._failed is not None:
            raise self._failed
        if self._queued and self._queued + size > self._rhythm.queue_bytes:
            raise LogBusy(f"{self._queued} bytes wait for the journal")

    def write_now(self) -> None:
        """Write what was appended, unless that has to go to a thread: then it is written soon."""
        if self._gathered and self._writing is None and self._may_write_here(self._gathered_bytes):
            self._write()

    def _may_write_here(self, size: int) -> bool:
        return size <= self._rhythm.inline_bytes and self._writer.has_room(size)

    def _write(self) -> None:
        if self._writing is not None or not self._gathered:
            return
        batch, self._gathered = self._gathered, []
        size, self._gathered_bytes = self._gathered_bytes, 0
        if self._failed is not None:
            self._refuse(batch, self._failed)
        elif self._may_write_here(size):
            try:
                self._writer.write(batch, durable=False)
            except WriteRefused as refused:
                self._wrote(batch, refused.durable, refused.refusal)
            else:
                self._wrote(batch, len(batch), None)
        else:
            self._writing = self._writing_thread.run(self._writer.write, batch, durable=False)
            self._writing.add_done_callback(lambda writing: self._wrote_in_thread(batch, writing))

    def _wrote_in_thread(self, batch: list[Entry], writing: "asyncio.Future[None]") -> None:
        self._writing = None
        error = writing.exception()
        if error is None:
            self._wrote(batch, len(batch), None)
        elif isinstance(error, WriteRefused):
            self._wrote(batch, error.durable, error.refusal)
        else:
            self._wrote(batch, 0, DeviceFailed(f"journal: {error!r}"))
        self._write()

    def _wrote(self, batch: list[Entry], count: int, refusal: LogRefusal | None) -> None:
        good = batch if refusal is None else batch[:count]
        for entry in good:
            self._unsynced_bytes += len(entry.payload) + _RECORD_COST
            if entry.durable:
                self._wanted = entry.end
        self._unsynced.extend(good)
        if good:
            self._owner.written(good)
        if refusal is not None:  # what was gathered meanwhile may be on top of it: the journal has no gaps
            gathered, self._gathered, self._gathered_bytes = self._gathered, [], 0
            self._refuse(batch[count:] + gathered, refusal)
        self._sync_soon()

    def _refuse(self, batch: list[Entry], refusal: LogRefusal) -> None:
        if isinstance(refusal, DeviceFailed):
            self._failed = self._failed or refusal
        self._queued -= sum(len(entry.payload) + _RECORD_COST for entry in batch)
        self._owner.refused(batch, refusal)

    # syncing

    def flush(self) -> "asyncio.Future[None] | None":
        """Return what resolves when all that is written is durable; None: it is. LogRefusal."""
        if self._failed is not None:
            raise self._failed
        if not self._unsynced:
            return None
        if self._may_sync_here():
            self._sync_here()
            if self._failed is not None:
                raise self._failed
            return None
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._flushes.append((self._unsynced[-1], waiter))
        self._sync()
        return waiter

    async def settle_written(self) -> None:
        """Wait until all that was taken before now is written, or refused. LogRefusal."""
        while self._gathered or self._writing is not None:
            if self._writing is not None:
                await asyncio.wait({self._writing})
            else:
                self._write()
            await asyncio.sleep(0)  # for those who were called back
        if self._failed is not None:
            raise self._failed

    async def settle(self) -> None:
        """Wait until all that was taken before now is durable, or refused. LogRefusal."""
        await self.settle_written()
        flushing = self.flush()
        if flushing is not None:
            await flushing

    def _sync_due(self) -> None:
        self._timer = None
        if self._unsynced and self._failed is None:
            self._sync()

    def _sync_soon(self) -> None:
        """Sync at once if somebody waits for that or there is enough for it, else after a while."""
        waited = bool(self._flushes) or self._wanted > self.end
        if waited and self._may_sync_here():
            self._sync_here()
        elif waited or self._unsynced_bytes >= self._rhythm.sync_bytes:
            self._sync()
        elif self._timer is None and self._unsynced:
            self._timer = self._loop.call_later(self._rhythm.sync_delay_s, self._sync_due)

    def _sync(self) -> None:
        """Sync, unless that goes on: who comes meanwhile is served by the next one."""
        if self._syncing is None and self._failed is None:
            self._syncing = self._syncing_thread.run(self._timed_sync)
            self._syncing.add_done_callback(self._synced_in_thread)

    def _may_sync_here(self) -> bool:
        """Tell whether the loop can sync without standing still for long, or waiting for a thread that has the file."""
        is_idle = self._syncing is None and self._writing is None and self._failed is None
        return is_idle and self._pace.is_brief and self._unsynced_bytes <= self._rhythm.inline_sync_bytes

    def _sync_here(self) -> None:
        try:
            synced = self._timed_sync()
        except LogRefusal as refusal:
            self._fail(refusal)
        else:
            self._synced(synced)

    def _timed_sync(self) -> _Synced:
        begun_s = perf_counter()
        end = self._writer.sync()
        return _Synced(end, perf_counter() - begun_s)

    def _synced_in_thread(self, syncing: "asyncio.Future[_Synced]") -> None:
        self._syncing = None
        error = syncing.exception()
        if error is not None:
            self._fail(error if isinstance(error, LogRefusal) else DeviceFailed(f"journal: {error!r}"))
        else:
            self._synced(syncing.result())

    def _synced(self, synced: _Synced) -> None:
        self.sync_count += 1
        self._pace.note(synced.took_s)
        end, unsynced = synced.end, self._unsynced
        durable: list[Entry] = []
        while unsynced and unsynced[0].end <= end:
            durable.append(unsynced.popleft())
        if durable:
            self.end = durable[-1].end
            size = sum(len(entry.payload) + _RECORD_COST for entry in durable)
            self._unsynced_bytes -= size
            self._queued -= size
            self._owner.durable(durable)
        self._answer_flushes()
        self._sync_soon()

    def _answer_flushes(self) -> None:
        end = self.end
        while self._flushes and self._flushes[0][0].end <= end:
            _entry, waiter = self._flushes.pop(0)
            if not waiter.done():
                waiter.set_result(None)

    def _fail(self, refusal: LogRefusal) -> None:
        """Take no more: what was written may never be durable."""
        self._failed = refusal
        log.error("journal_failed", reason=str(refusal.detail))
        flushes, self._flushes = self._flushes, []
        for _entry, waiter in flushes:
            if not waiter.done():
                waiter.set_exception(refusal)
        unsynced, self._unsynced = list(self._unsynced), deque()
        self._unsynced_bytes = 0
        self._queued -= sum(len(entry.payload) + _RECORD_COST for entry in unsynced)
        self._owner.refused(unsynced, refusal)

    def fail(self, refusal: LogRefusal) -> None:
        """Take no more, since the files of the chunks have failed."""
        if self._failed is None:
            self._fail(refusal)

    # segments

    def forget_before(self, position: Position) -> None:
        """Drop the segments that hold nothing at or after `position`."""
        self._log.hold(_HOLD_OWNER, position)
        for info in list(self._log.segments()):
            if info.id < segment_of(position) and self._log.may_drop(info.id):
                self._log.drop(info.id)

    def status(self) -> dict[str, Any]:
        """Return its state in figures."""
        return {
            "journal_segments": len(self._log.segments()),
            "journal_queued_bytes": self._queued,
            "journal_syncs": self.sync_count,
            "journal_failed": "" if self._failed is None else str(self._failed.detail),
        }

    @property
    def failed(self) -> LogRefusal | None:
        """Why nothing is taken any more."""
        return self._failed

    @property
    def is_empty(self) -> bool:
        """Tell whether it has never had a record that is still there."""
        return self._log.end == START
