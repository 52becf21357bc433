"""Brings durable writes from the journal into the chunks' files, in the journal's order, one batch after the other.

In a thread of its own: a write into the page cache waits when too much is dirty, or when part of a page must be read
first. Small writes wait for others, since a trip to the thread costs more than they do. Batches grow while the thread
is busy. What is in the files is told on the loop's thread, and only then reads stop to lay it over what they find.

ENOSPC stops it for a while; nothing is lost, since the journal has it all. Any other error is final: the device has
failed, and the journal goes on holding what the files lack.
"""

import asyncio
import errno
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, ParamSpec, TypeVar

from cluster.telemetry.log import get_logger
from cluster.threads import Waiters
from storage.chunks.chunk import Chunk, Entry
from storage.chunks.files import ChunkFiles
from storage.chunks.record import Extent, Type
from storage.chunks.version import CHUNK_SIZE, NOTHING, Version
from storage.disk import Buffer, Disk, write_fully
from storage.log.interface import DeviceFailed, Position

BATCH_ENTRIES = 256  # of one trip to the thread
BATCH_BYTES = 4 << 20
ENOUGH_ENTRIES, ENOUGH_BYTES = 128, 1 << 20  # of which either is enough for a trip at once
PAUSE_S = 0.1  # for fewer; longer: fewer trips, and chunks come to rest later
RETRY_S = 1.0  # after ENOSPC
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_WRITE, _ZERO = int(Type.WRITE), int(Type.ZERO)

P = ParamSpec("P")
T = TypeVar("T")

log = get_logger("storage.chunks")


class Applied(NamedTuple):
    """What came of a batch."""

    done: int  # entries that are in the files, from the first on
    error: OSError | None


class Applier:
    """Writes entries into files. Blocking; used by one thread at a time."""

    def __init__(self, disk: Disk, files: ChunkFiles) -> None:
        self._disk = disk
        self._files = files

    def apply_all(self, entries: Sequence[Entry]) -> Applied:
        """Apply entries in order, up to the first that fails."""
        for count, entry in enumerate(entries):
            if entry.chunk is not None:
                try:
                    self.apply(entry.chunk, entry.type, entry.version, entry.extents, entry.payload)
                except OSError as error:
                    return Applied(count, error)
        return Applied(len(entries), None)

    def apply(self, chunk: Chunk, type_: int, version: Version, extents: Sequence[Extent], payload: Buffer) -> None:
        """Write into the file of a chunk, which is open or not there yet. OSError."""
        if chunk.in_file == NOTHING:
            self._create(chunk, extents)
        fd = chunk.fd
        if type_ != _WRITE:
            for offset, length in extents:
                self._disk.clear(fd, offset, length, type_ == _ZERO)
        elif len(extents) == 1:
            write_fully(self._disk, fd, (payload,), extents[0][0])
        else:
            at, view = 0, memoryview(payload)
            for offset, length in extents:
                write_fully(self._disk, fd, (view[at : at + length],), offset)
                at += length
        chunk.in_file = version

    def _create(self, chunk: Chunk, extents: Sequence[Extent]) -> None:
        """Make the file of a chunk that has none, as its base is; as nothing, when all of it is being written."""
        if chunk.fd >= 0:  # a batch that failed has made it
            self._disk.close(chunk.fd)
            chunk.fd = -1
        whole = tuple(extents) == ((0, CHUNK_SIZE),)
        source = None if chunk.base is None or whole else chunk.base.fd
        self._files.create(chunk, source)


class Destager:
    """The queue in front of the thread."""

    def __init__(
        self,
        applier: Applier,
        files: ChunkFiles,
        thread: Waiters,
        applied: Callable[[Sequence[Entry]], None],
        failed: Callable[[DeviceFailed], None],
        position: Position,
    ) -> None:
        """`thread` is one. `applied` hears of entries that are in the files, on the loop; `failed` of a final error."""
        self._applier = applier
        self._files = files
        self._thread = thread
        self._applied = applied
        self._on_failed = failed
        self._queue: deque[Entry] = deque()
        self._running: asyncio.Future[Applied] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._pause_timer: asyncio.TimerHandle | None = None
        self._idle: list[tuple[int, asyncio.Future[None]]] = []
        self._taken_count = self._applied_count = 0
        self.position = position  # everything in the journal before it is in the files
        self.queued_bytes = 0
        self.is_full = False
        self.failed: DeviceFailed | None = None

    def __repr__(self) -> str:
        return f"Destager({len(self._queue)} entries wait)"

    def add(self, entries: Sequence[Entry]) -> None:
        """Take entries that have become durable."""
        self._queue.extend(entries)
        self._taken_count += len(entries)
        self.queued_bytes += sum([len(entry.payload) for entry in entries])
        self._begin_soon()

    async def settle(self) -> None:
        """Wait until what was taken before now is in the files. DeviceFailed."""
        if self.failed is not None:
            raise self.failed
        if self._applied_count < self._taken_count:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append((self._taken_count, waiter))
            self._begin()
            await waiter

    def between(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[T]":
        """Call `function` in the thread, between two batches: no file changes meanwhile."""
        return self._thread.run(function, *args, **kwargs)

    async def close(self) -> None:
        """Finish what is under way. What is queued is in the journal."""
        if self._retry is not None:
            self._retry.cancel()
        if self._pause_timer is not None:
            self._pause_timer.cancel()
        self._queue.clear()
        if self._running is not None:
            await asyncio.wait({self._running})
        self._thread.close()

    def _begin_soon(self) -> None:
        """Begin at once if there is enough to do or somebody waits for it, else after a while."""
        if self._idle or len(self._queue) >= ENOUGH_ENTRIES or self.queued_bytes >= ENOUGH_BYTES:
            self._begin()
        elif self._pause_timer is None and self._queue:
            self._pause_timer = asyncio.get_running_loop().call_later(PAUSE_S, self._pause_over)

    def _pause_over(self) -> None:
        self._pause_timer = None
        self._begin()

    def _begin(self) -> None:
        if self._running is not None or self._retry is not None or not self._queue or self.failed is not None:
            return
        queue, size = self._queue, 0
        batch: list[Entry] = []
        while queue and len(batch) < BATCH_ENTRIES and size < BATCH_BYTES:
            entry = queue.popleft()
            size += len(entry.payload)
            batch.append(entry)
        leased: list[Chunk] = []
        try:
            self._lease(batch, leased)
            self._running = self._thread.run(self._applier.apply_all, batch)
        except OSError as error:
            for chunk in leased:
                self._files.give_back(chunk)
            self._fail(error)
        else:
            self._running.add_done_callback(lambda running: self._done(batch, leased, running))

    def _lease(self, batch: Sequence[Entry], leased: list[Chunk]) -> None:
        """Have the files that a batch needs open, until it is done."""
        seen: set[Chunk] = set()
        for entry in batch:
            chunk = entry.chunk
            if chunk is None or chunk in seen:
                continue
            seen.add(chunk)
            source = chunk if chunk.exists else chunk.base
            if source is not None and source.exists:
                self._files.lease(source)
                leased.append(source)

    def _done(self, batch: list[Entry], leased: Sequence[Chunk], running: "asyncio.Future[Applied]") -> None:
        self._running = None
        for chunk in leased:
            self._files.give_back(chunk)
        if running.exception() is not None:
            self._fail(running.exception())
            return
        count, error = running.result()
        if count:
            self._count(batch[:count])
        if error is not None:
            self._queue.extendleft(reversed(batch[count:]))
            if error.errno not in _NO_SPACE:
                self._fail(error)
                return
            self._wait_for_room(error)
        self._begin_soon()

    def _count(self, batch: list[Entry]) -> None:
        self.is_full = False
        self.position = batch[-1].end
        self._applied_count += len(batch)
        self.queued_bytes -= sum(len(entry.payload) for entry in batch)
        self._applied(batch)
        while self._idle and self._idle[0][0] <= self._applied_count:
            _count, waiter = self._idle.pop(0)
            if not waiter.done():
                waiter.set_result(None)

    def _wait_for_room(self, error: OSError) -> None:
        if not self.is_full:
            log.warning("chunks_full", reason=str(error))
        self.is_full = True
        self._retry = asyncio.get_running_loop().call_later(RETRY_S, self._again)

    def _again(self) -> None:
        self._retry = None
        self._begin()

    def _fail(self, error: BaseException | None) -> None:
        self.failed = DeviceFailed(f"destage: {error}")
        log.error("destage_failed", error=error)
        idle, self._idle = self._idle, []
        for _count, waiter in idle:
            if not waiter.done():
                waiter.set_exception(self.failed)
        self._on_failed(self.failed)
