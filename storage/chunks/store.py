"""The chunks of one device, put together.

    store = ChunkStore(directory, ...)   # recovers; blocking
    store.start()
    ...
    await store.close()

All methods are called on the event loop's thread.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cluster.environment import REAL, Environment
from cluster.telemetry.log import get_logger
from cluster.wire import RemoteError
from storage.chunks import record as records
from storage.chunks.checkpoint import Checkpoint, CheckpointDamaged
from storage.chunks.checkpointer import Checkpointer
from storage.chunks.chunk import Chunk, Entry
from storage.chunks.destage import Applier, Destager
from storage.chunks.files import OPEN_LIMIT, ChunkFiles
from storage.chunks.journal import DEFAULT_RHYTHM, Journal, Rhythm
from storage.chunks.reads import Reads
from storage.chunks.record import ChunkRecord, Extent, Type
from storage.chunks.replay import Replay
from storage.chunks.table import Table
from storage.chunks.undisturbed import Undisturbed
from storage.chunks.version import CHUNK_SIZE, ID_LIMIT, NEVER, NOTHING, Version
from storage.disk import Buffer, Disk, RealDisk
from storage.log.device import DeviceLog
from storage.log.interface import DeviceFailed, DeviceFull, LogRefusal, Position
from storage.messages import ChunkFlag, ChunkWrite, Refusal

_FUA, _ZERO, _TRIM = ChunkFlag.FUA, ChunkFlag.ZERO, ChunkFlag.TRIM
_BLANK = _ZERO | _TRIM

log = get_logger("storage.chunks")


@dataclass(frozen=True, slots=True)
class Tuning:
    """Bounds and rhythms of one device's chunks."""

    rhythm: Rhythm = DEFAULT_RHYTHM
    segment_bytes: int = 64 << 20  # of the journal; smaller: more files; larger: more space until it comes back
    checkpoint_bytes: int = 512 << 20  # of the journal since the last one; more: longer to replay, fewer syncs of files
    checkpoint_delay_s: float = 30.0  # between checkpoints; longer: more to replay after a crash
    behind_bytes: int = 32 << 20  # not in the files; beyond, writes are answered when they are: the files set the pace
    open_files: int = OPEN_LIMIT


DEFAULT_TUNING = Tuning()


class ChunkStore:
    """Of one device: its journal in `directory`/journal, its files in `directory`/chunks."""

    def __init__(
        self,
        directory: str,
        *,
        disk: Disk | None = None,
        tuning: Tuning = DEFAULT_TUNING,
        environment: Environment = REAL,
        is_full: Callable[[], bool] = lambda: False,
    ) -> None:
        """Open the store, or create it, and bring its files up to its journal. Blocking."""
        self.disk = disk or RealDisk()
        self._tuning = tuning
        self._is_full = is_full  # tells that the file system is nearly full: only what frees space is taken
        self.lost_data = ""  # why the device does not know any more what it once had made durable
        path = os.path.join(directory, "chunks")
        self.disk.make_directories(path)
        self.files = ChunkFiles(self.disk, path, tuning.open_files)
        source = DeviceLog(
            os.path.join(directory, "journal"),
            disk=self.disk,
            waiters=environment.threads(1, "journal reads"),
            segment_bytes=tuning.segment_bytes,
            entropy=environment.entropy,
        )
        # one thread each: of two in one pool the wrong one wakes up, too
        self._journal_threads = environment.threads(1, "chunk journal"), environment.threads(1, "chunk journal syncs")
        # how long a sync takes is a simulator's to say: it makes none on the loop
        rhythm = tuning.rhythm if environment is REAL else replace(tuning.rhythm, inline_sync_bytes=0)
        self.journal = Journal(source, *self._journal_threads, rhythm)
        self.table = Table(self.files)
        self.threads = environment.threads(4, "chunk reads")
        self._checkpoint_thread = environment.threads(1, "chunk checkpoint")
        self.checkpointer = Checkpointer(self.disk, self.files, self.table, self.journal, self._checkpoint_thread)
        applier = Applier(self.disk, self.files)
        self._recover(applier)
        self.destager = Destager(
            applier, self.files, environment.threads(1, "destage"), self._applied, self._fail, self.journal.end
        )
        self.reads = Reads(self.disk, self.files, self.table, self.threads)
        self.read = self.reads.read
        self.undisturbed = Undisturbed()
        self._behind: list[Entry] = []  # to be answered when they are in the files
        self._loop: asyncio.AbstractEventLoop
        self._checkpointing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._recorded_bytes = 0  # since the last checkpoint

    def __repr__(self) -> str:
        return f"ChunkStore({self.table!r}, {self.journal!r})"

    # ── life ────────────────────────────────────────────────────────────────────

    def _recover(self, applier: Applier) -> None:
        try:
            known = self.checkpointer.load()
        except CheckpointDamaged as damaged:
            known = Checkpoint()
            self.lost_data = f"the chunks' checkpoint: {damaged}"
        if known.position > self.journal.end:
            self.lost_data = "the chunks' journal is shorter than it was"
        self.table.fences.update(known.fences)
        replay = Replay(self.table, self.files, applier, self.checkpointer.note)
        for found in self.journal.scan(known.position):
            replay.take(found)
        losses = [*self.journal.losses(known.position), *replay.losses]
        if losses:
            self.lost_data = self.lost_data or f"chunks: {losses[0]}, and {len(losses) - 1} more"
        if self.journal.end != known.position and not self.lost_data:
            self.checkpointer.run_blocking(self.journal.end)
        self.replayed_count = replay.count

    def loss_is_known(self) -> None:
        """Begin anew from what is left: it has been noted that the rest is lost. Blocking."""
        if self.lost_data:
            self.checkpointer.run_blocking(self.journal.end)

    def start(self) -> None:
        """Begin to take operations, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self.journal.start(self)
        self._schedule()

    async def close(self) -> None:
        """Leave everything durable, and in its files."""
        await self._stop()
        try:
            await self.undisturbed.settle()
            await self.settled()
            await self.checkpoint()
        except (LogRefusal, OSError) as error:
            log.warning("chunks_not_checkpointed", reason=str(error))
        await self._close_files()

    async def crash(self) -> None:
        """Stop as a kill of the process would, but for what the page cache is to know: for tests."""
        await self._stop()
        await self._close_files()

    async def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._checkpointing is not None:
            await asyncio.wait({self._checkpointing})

    async def _close_files(self) -> None:
        await self.journal.close()
        await self.destager.close()
        for thread in self._journal_threads:
            thread.close()
        self._checkpoint_thread.close()
        self.threads.close()
        self.files.close()

    async def settled(self) -> None:
        """Wait until all writes that were taken before now are durable, and in the files."""
        await self.journal.settle()
        await self.destager.settle()

    # ── writing ─────────────────────────────────────────────────────────────────

    def stat(self, family: bytes, layers: Sequence[int], number: int) -> tuple[int, tuple[tuple[int, Version], ...]]:
        """Return the oldest epoch that may write the first of the layers, and which of them have the chunk."""
        found = []
        for layer in layers:
            chunk = self.table.find(family, number, layer)
            if chunk is not None and chunk.busy:
                raise RemoteError(Refusal.BUSY, "the chunk is being replaced or dropped")
            if chunk is not None and chunk.version != NOTHING:
                found.append((layer, chunk.version))
        return self.table.epoch_seen(family, layers[0]), tuple(found)

    def fence(self, family: bytes, layer: int, epoch: int) -> asyncio.Future[None]:
        """Let no older epoch than this write a layer any more; durable when the future resolves."""
        records.check_place(family, 0, layer)
        if not 0 < epoch < ID_LIMIT:
            raise ValueError(f"no epoch: {epoch}")
        self._refuse_fenced(family, layer, epoch)
        self.journal.refuse_when_busy(0)
        self.table.raise_fence(family, layer, epoch)
        metadata = records.encode(records.fence(family, layer, epoch))
        future = self._loop.create_future()
        self.journal.append(Entry(None, Type.FENCE, (epoch, 0), NOTHING, (), metadata, b"", future, durable=True))
        return future

    def _refuse_fenced(self, family: bytes, layer: int, epoch: int) -> None:
        seen = self.table.fences.get((family, layer), 0)
        if epoch < seen:
            raise RemoteError(Refusal.FENCED, seen)

    def write(self, message: ChunkWrite, payload: Buffer) -> "asyncio.Future[None] | None":
        """Take a write; return what resolves when it survives the process, or with FUA any crash. None: it does.

        `payload` is not copied, and must not change any more. STALE_CHUNK, FENCED, BUSY, DEVICE_FULL.
        """
        family, number, layer, base, epoch, sequence, previous, extents, flags = message
        records.check_place(family, number, layer)
        records.check_extents(extents, None if flags & _BLANK else len(payload))
        seen = self.table.fences.get((family, layer), 0)
        if epoch < seen:
            raise RemoteError(Refusal.FENCED, seen)
        version = epoch, sequence
        chunk = self.table.find(family, number, layer)
        if chunk is None:
            chunk = Chunk(family, number, layer)
        if not chunk.may_take(version, previous):
            return self._again(flags)
        self.journal.refuse_when_busy(len(payload))
        self._refuse_when_full(flags)
        records.check_version(version)
        if previous == NOTHING:
            self._begin(chunk, base)
        if epoch > seen:
            self.table.raise_fence(family, layer, epoch)
        return self._admit(chunk, version, previous, base, extents, flags, payload)

    def _admit(
        self,
        chunk: Chunk,
        version: Version,
        previous: Version,
        base: tuple[int, Version] | None,
        extents: tuple[Extent, ...],
        flags: int,
        payload: Buffer,
    ) -> asyncio.Future[None]:
        type_ = Type.WRITE if not flags & _BLANK else Type.ZERO if flags & _ZERO else Type.TRIM
        base_layer, base_version = (0, NOTHING) if base is None or previous != NOTHING else base
        metadata = records.encode(
            ChunkRecord(
                type_, chunk.family, chunk.number, chunk.layer, version, previous, base_layer, base_version, extents
            )
        )
        future = self._loop.create_future()
        entry = Entry(chunk, type_, version, previous, extents, metadata, payload, future, bool(flags & _FUA))
        chunk.admit(entry)
        self.journal.append(entry)
        return future

    def _again(self, flags: int) -> "asyncio.Future[None] | None":
        """Answer a write that is here already: it may not be in the journal yet."""
        if flags & _FUA:
            return self._loop.create_task(self.journal.settle())
        return self._loop.create_task(self.journal.settle_written())

    def _refuse_when_full(self, flags: int) -> None:
        if (self.destager.is_full or self._is_full()) and not flags & _TRIM:
            raise DeviceFull("there is no room for chunks")

    def _begin(self, chunk: Chunk, base: tuple[int, Version] | None) -> None:
        """Have a chunk here that was not, as what its base is. STALE_CHUNK."""
        if base is not None:
            layer, version = base
            source = self.table.find(chunk.family, chunk.number, layer)
            if source is None or source.head != version or source.busy:
                here = NOTHING if source is None else source.head
                raise RemoteError(Refusal.STALE_CHUNK, (here, NOTHING if source is None else source.durable))
            chunk.base = source
        self.table.add(chunk)

    def flush(self) -> "asyncio.Future[None] | None":
        """Return what resolves when every write that was answered is durable; None: it is."""
        return self.journal.flush()

    # ── what the journal tells ──────────────────────────────────────────────────

    def written(self, entries: Sequence[Entry]) -> None:
        """See storage.chunks.journal.Owner."""
        is_behind = self.destager.queued_bytes > self._tuning.behind_bytes
        for entry in entries:
            chunk = entry.chunk
            if chunk is not None:
                chunk.wrote(entry)
            self._recorded_bytes += len(entry.payload)
            if entry.durable:
                continue
            if is_behind:
                self._behind.append(entry)
            elif not entry.future.done():
                entry.future.set_result(None)
        if self._recorded_bytes >= self._tuning.checkpoint_bytes:
            self._begin_checkpoint()

    def durable(self, entries: Sequence[Entry]) -> None:
        """See storage.chunks.journal.Owner."""
        for entry in entries:
            if entry.chunk is not None:
                entry.chunk.durable = entry.version
            if entry.durable and not entry.future.done():
                entry.future.set_result(None)
        self.destager.add(entries)

    def refused(self, entries: Sequence[Entry], refusal: LogRefusal) -> None:
        """See storage.chunks.journal.Owner."""
        for entry in entries:
            chunk = entry.chunk
            if chunk is not None and not entry.void and entry.version > chunk.version:
                chunk.refuse(entry)
                self.table.drop_if_empty(chunk)
            if not entry.future.done():
                entry.future.set_exception(refusal)
                entry.future.exception()  # seen, also when the one who asked has gone

    def _applied(self, entries: Sequence[Entry]) -> None:
        """Take note that entries are in the files."""
        for entry in entries:
            chunk = entry.chunk
            if chunk is None:
                continue
            chunk.apply((entry,))
            self.table.note(chunk)
            is_new = not chunk.exists
            if is_new:
                chunk.exists, chunk.base = True, None
                self.files.adopt(chunk)
            self.checkpointer.note(chunk, is_new)
        if self._behind and self.destager.queued_bytes <= self._tuning.behind_bytes:
            behind, self._behind = self._behind, []
            for entry in behind:
                if not entry.future.done():
                    entry.future.set_result(None)

    def _fail(self, failure: DeviceFailed) -> None:
        """Take nothing any more: files have failed. What is in the journal stays there."""
        self.journal.fail(failure)
        behind, self._behind = self._behind, []
        self.refused(behind, failure)

    # ── checkpoints ─────────────────────────────────────────────────────────────

    def _schedule(self) -> None:
        self._timer = self._loop.call_later(self._tuning.checkpoint_delay_s, self._due)

    def _due(self) -> None:
        self._schedule()
        if self.destager.position != self.checkpointer.position:
            self._begin_checkpoint()

    def _begin_checkpoint(self) -> None:
        if self._checkpointing is None and self.journal.failed is None:
            self._checkpointing = self._loop.create_task(self._checkpoint_and_tell())

    async def _checkpoint_and_tell(self) -> None:
        try:
            await self.checkpoint()
        except OSError as error:  # what the kernel could not write back is gone from the page cache, too
            self._fail(DeviceFailed(f"checkpoint of chunks: {error}"))
        finally:
            self._checkpointing = None

    async def checkpoint(self) -> None:
        """Make durable in the files what is in them, and let go of the journal before that. OSError."""
        position, recorded_bytes = self.destager.position, self._recorded_bytes
        await self.checkpointer.run(position)
        self._recorded_bytes -= recorded_bytes

    # ── the rest ────────────────────────────────────────────────────────────────

    async def drop(self, family: bytes, layer: int, numbers: Sequence[int] | None) -> None:
        """Hold chunks of a layer no more; None: none of them, and none ever again. Durable. OSError, LogRefusal.

        Once begun it goes on, whoever waits for it.
        """
        await self.undisturbed.run(self._drop(family, layer, numbers))

    async def _drop(self, family: bytes, layer: int, numbers: Sequence[int] | None) -> None:
        if numbers is None:
            if self.table.epoch_seen(family, layer) < NEVER:
                await self.fence(family, layer, NEVER)
            numbers = self.table.numbers(family, layer)
            known = [self.table.known(family, number, layer) for number in numbers]
        else:
            known = [self.table.find(family, number, layer) for number in numbers]
        for chunk in known:
            if chunk is not None:
                chunk.busy = True
        try:
            await self.settled()
            await self.checkpoint()  # others may have been cloned from these
            await self.destager.between(self._remove, family, layer, numbers)
        except BaseException:
            for chunk in known:
                if chunk is not None:
                    chunk.busy = False
            raise
        for number in numbers:
            last = self.table.known(family, number, layer)
            if last is not None:
                self.forget(last)
            self.table.drop(family, number, layer)

    def _remove(self, family: bytes, layer: int, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.files.remove(family, number, layer)
        self.files.sync_family(family)

    def forget(self, chunk: Chunk) -> None:
        """Let go of a chunk whose file is gone, or is another's."""
        chunk.dropped = True
        self.checkpointer.forget(chunk)
        self.files.forget(chunk)

    async def extents(self, family: bytes, number: int, layer: int) -> list[Extent]:
        """Return where there is data in a chunk, in order."""
        await self.settled()
        chunk = self.table.find(family, number, layer)
        if chunk is None:
            return []
        found: list[Extent] = await self.in_file(chunk, lambda fd: self.disk.extents(fd, CHUNK_SIZE))
        return found

    async def in_file(self, chunk: Chunk, look: Callable[[int], Any]) -> Any:
        """Return what `look` finds in the file of a chunk while nothing changes there."""
        fd = self.files.lease(chunk)
        looking = self.destager.between(look, fd)
        try:
            await asyncio.wait({looking})
            return looking.result()
        finally:
            self.files.give_back(chunk)

    async def map(
        self, family: bytes, layer: int, first: int, limit: int
    ) -> tuple[tuple[int, Version, int], ...]:
        """Return the chunks of a layer from number `first` on, `limit` at most, with versions and bytes allocated."""
        numbers = [number for number in self.table.numbers(family, layer) if number >= first][:limit]
        figures = await self.threads.run(self._figures, family, layer, numbers)
        found = []
        for number, (version, allocated) in zip(numbers, figures, strict=True):
            known = self.table.known(family, number, layer)
            found.append((number, version if known is None else known.version, allocated))
        return tuple(found)

    def _figures(self, family: bytes, layer: int, numbers: Sequence[int]) -> list[tuple[Version, int]]:
        found = []
        for number in numbers:
            try:
                version, allocated = self.files.figures(family, number, layer)
            except OSError:  # there is no file yet
                version, allocated = None, 0
            found.append((version or NOTHING, allocated))
        return found

    def damaged_files(self, limit: int) -> list[str]:
        """Return files, `limit` at most, that the disk could not read and that are not replaced yet."""
        return [self.files.path(*place) for place in list(self.table.damaged)[:limit]]

    @property
    def position(self) -> Position:
        """Where the durable journal ends."""
        return self.journal.end

    def status(self) -> dict[str, Any]:
        """Return the state of the chunks in figures."""
        return {
            "chunks": len(self.table),
            "chunk_bytes_waiting": self.destager.queued_bytes,
            "chunk_checkpoints": self.checkpointer.count,
            "chunks_replayed": self.replayed_count,
            "chunks_lost": self.lost_data,
            **self.journal.status(),
        }
