"""A volume that is open for writing, by one gateway, under one epoch.

A write goes to all current replicas of its chunk at once and is acknowledged when a quorum has it. One that finds no
quorum stays in its chunk's history and is sent again, in its place, once enough replicas are equal again; its client
waits, up to PATIENCE_S. So a guest sees a pause while a device is replaced, not an error. What devices refuse, for
they are full or busy, is sent again and again too, ever more rarely.

At every await: what is acknowledged is on a quorum, in the histories of its chunks. What is flushed is durable there.
When this process dies, whoever opens the volume next asks quorums what is there, and settles what differs under
his epoch before he uses it (`Opening`). A device that has seen a newer epoch refuses ours: then this volume is lost
to us, at once and for ever (`Fenced`).
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Collection, Sequence

from blockgw.agreement import NOTHING, ChunkVersion
from blockgw.errors import ShuttingDown, VolumeError
from blockgw.extents import CHUNK, Piece, parts, pieces
from blockgw.interfaces import Buffer, Pieces
from blockgw.lease import READ_ONLY_EPOCH, Tenure
from blockgw.volumes.cache import ReadCache
from blockgw.volumes.chunk import Chunk, Pending
from blockgw.volumes.flush import Flusher, Foresight
from blockgw.volumes.opening import Opening
from blockgw.volumes.outbox import Outbox
from blockgw.volumes.reading import Reader
from blockgw.volumes.replica import (
    Kind,
    Placing,
    Replica,
    ReplicaStale,
    ReplicaUnavailable,
    Status,
    Write,
)
from blockgw.volumes.room import Room
from cluster.telemetry.log import get_logger

PATIENCE_S = 30.0  # for a quorum, before a client is told EIO
RETRY_S = 0.05
_log = get_logger("blockgw")


class Fenced(ShuttingDown):
    """Another gateway has opened the volume since."""


class Unreachable(VolumeError):
    """Too few replicas of a chunk could be reached for too long."""


class OpenVolume:
    """One volume. Offsets and lengths lie within its size: its callers see to that."""

    def __init__(
        self,
        chain: Sequence[int],
        tenure: Tenure,
        settled: bool,
        placing: Placing,
        cache: ReadCache | None = None,
        room: Room | None = None,
    ) -> None:
        """`settled`: its last writer has left nothing on which replicas differ. `cache` and `room` are shared."""
        self._loop = asyncio.get_running_loop()
        self.chain = tuple(chain)
        self.epoch = tenure.epoch
        self._tenure = tenure
        self._held: dict[Chunk, None] = {}  # whose writes wait until it is certain again that they are ours to make
        self.settled = settled
        self._placing = placing
        self._chunks: dict[int, Chunk] = {}
        self._outboxes: dict[Replica, Outbox] = {}
        self._opening = Opening(self)
        self._flusher = Flusher(self)
        self._foresight = Foresight()
        self._reader = Reader(self, cache)
        self._room = room or Room()
        self._room.join(self)
        self._switching: asyncio.Future[None] | None = None
        self._lost: VolumeError | None = None
        self.on_lost: Callable[[], None] = lambda: None

    def __repr__(self) -> str:
        return f"OpenVolume(layer {self.chain[0]:x}, epoch {self.epoch}, {len(self._chunks)} chunks known)"

    @property
    def layer(self) -> int:
        """The layer that is written to."""
        return self.chain[0]

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that all of it runs on."""
        return self._loop

    @property
    def is_ours(self) -> bool:
        """Whether nobody else can have the right to write."""
        return self._lost is None and self._tenure.holds(self._loop.time())

    # writing

    def write(self, offset: int, data: memoryview, fua: bool = False) -> Awaitable[object]:
        """Write; done when a quorum has it, with `fua` when it is durable there."""
        return self._change(Kind.WRITE, offset, len(data), data, fua)

    def zero(self, offset: int, length: int, fua: bool = False, trim: bool = False) -> Awaitable[object]:
        """Have a range read as zeros; with `trim` its space is given back as far as possible."""
        return self._change(Kind.TRIM if trim else Kind.ZERO, offset, length, b"", fua)

    def _change(self, kind: Kind, offset: int, length: int, data: Buffer, fua: bool) -> Awaitable[object]:
        self.check()
        if self._switching is not None:
            return self._after_switch(kind, offset, length, data, fua)
        fua = self._foresight.write() or fua
        number, start = divmod(offset, CHUNK)
        if start + length <= CHUNK:
            return self._change_chunk(kind, Piece(number, start, length, 0), data, fua)
        parts = [
            self._change_chunk(kind, piece, data[piece.position : piece.position + piece.length], fua)
            for piece in pieces(offset, length)
        ]
        return asyncio.gather(*parts)

    async def _after_switch(self, kind: Kind, offset: int, length: int, data: Buffer, fua: bool) -> None:
        await self._switched()
        await self._change(kind, offset, length, data, fua)

    async def _switched(self) -> None:
        while self._switching is not None:
            await asyncio.shield(self._switching)

    def _change_chunk(self, kind: Kind, piece: Piece, data: Buffer, fua: bool) -> "asyncio.Future[None]":
        chunk = self.chunk(piece.chunk)
        done: asyncio.Future[None] = self._loop.create_future()
        if not chunk.known:
            chunk.waiting.append((kind, piece, data, fua, done))
            self._opening.begin(chunk)
        else:
            self._append(chunk, kind, piece, data, fua, done)
        return done

    def _append(
        self, chunk: Chunk, kind: Kind, piece: Piece, data: Buffer, fua: bool, done: "asyncio.Future[None]"
    ) -> None:
        """Put a change into the history of its chunk, and send it if it can be sent."""
        if kind is not Kind.WRITE and chunk.empty and self.is_ours:
            done.set_result(None)  # it reads as zeros already, and nobody else can have written it
            return
        before = chunk.version
        base = chunk.base if before == NOTHING else None
        version = chunk.next_version(self.epoch)
        self._reader.will_change(chunk, piece.start, piece.length)
        write = Write(chunk.number, version, before, base, kind, piece.start, piece.length, data, fua)
        chunk.add(Pending(write, done))
        self.send(chunk)

    def adopt(self, chunk: Chunk) -> None:
        """Write nothing to a chunk, so that what a quorum has of it now is so under our epoch for ever."""
        nothing = Piece(chunk.number, 0, 0, 0)
        done: asyncio.Future[None] = self._loop.create_future()
        done.add_done_callback(_heard)
        before = chunk.version
        base = chunk.base if before == NOTHING else None
        version = chunk.next_version(self.epoch)
        chunk.add(Pending(Write(chunk.number, version, before, base, Kind.WRITE, *nothing[1:3], b"", False), done))

    def rewind(self, chunk: Chunk, version: ChunkVersion) -> None:
        """Go on from what is left of a chunk: its replicas have lost what was acknowledged after `version`.

        The next flush says so. What was under way is written after it; nobody finds what was lost any more, should it
        be somewhere after all.
        """
        _log.error("writes_lost", layer=self.layer, chunk=chunk.number, had=chunk.acknowledged, left=version)
        under_way = chunk.rewind(version)
        if self.epoch == READ_ONLY_EPOCH:
            return
        self._flusher.note_loss()
        self.adopt(chunk)
        for pending in under_way:
            write = pending.write._replace(version=chunk.next_version(self.epoch), previous=chunk.version, base=None)
            chunk.add(Pending(write, pending.done))

    def send(self, chunk: Chunk) -> None:
        """Send what was not sent of a chunk's history, to all that are current."""
        if chunk.opening is not None or not chunk.members.reached(chunk.current):
            self._opening.begin(chunk)
            return
        if not self._tenure.holds(self._loop.time()):
            if not self._held:
                self._loop.call_later(PATIENCE_S, self._held_for_long)
            self._held[chunk] = None
            return
        for pending in chunk.unsent():
            for device in chunk.current:
                self._outbox(chunk, device).add(chunk, pending)

    def _held_for_long(self) -> None:
        """Tell clients that it is not certain whether their writes may be made. They go on when it is."""
        for chunk in self._held:
            chunk.fail(Unreachable("coordination is away: it is not certain that the volume is still ours"))
        if self._held:
            self._loop.call_later(PATIENCE_S, self._held_for_long)

    def renewed(self, tenure: Tenure) -> None:
        """Go on: the right to write was extended."""
        self._tenure = tenure
        held, self._held = self._held, {}
        for chunk in held:
            self.send(chunk)

    def waited(self, chunk: Chunk) -> None:
        """Go on with what has waited until it was known what is there."""
        while chunk.waiting:
            kind, piece, data, fua, done = chunk.waiting.popleft()
            if not done.done():
                self._append(chunk, kind, piece, data, fua, done)

    def _outbox(self, chunk: Chunk, device: int) -> Outbox:
        replica = chunk.members.replicas[device]
        outbox = self._outboxes.get(replica)
        if outbox is None:
            outbox = self._outboxes[replica] = Outbox(self._loop, device, replica, lambda: self.layer, self._answered)
        return outbox

    def _answered(self, device: int, chunk: Chunk, pending: Pending, status: Status, run: int) -> None:
        if status is Status.DONE:
            self.acknowledge(chunk, chunk.took(device, pending, run))
            return
        if status is Status.FENCED:
            self.lose(Fenced("another gateway has opened the volume"))
            return
        if status is Status.FULL:
            self._opening.note_full(chunk)
        self.missed(chunk, device)

    def missed(self, chunk: Chunk, device: int) -> None:
        """Note that a device has missed something, or may have, and bring it there."""
        chunk.dropped(device)
        self._opening.begin(chunk, soon=chunk.members.reached(chunk.current))

    def acknowledge(self, chunk: Chunk, acknowledged: Sequence[Pending]) -> None:
        """Tell the clients of writes that a quorum has."""
        for pending in acknowledged:
            if not pending.write.fua:
                self._flusher.note(chunk)
            if not pending.done.done():
                pending.done.set_result(None)
            self._foresight.answered()

    # reading

    def read_now(self, offset: int, length: int) -> Pieces | None:
        """Read what needs not be waited for; None: `read` has to be asked."""
        number, start = divmod(offset, CHUNK)
        chunk = self._chunks.get(number)
        if chunk is None or chunk.file is None or self._switching is not None or start + length > CHUNK:
            return None
        return self._reader.from_file(chunk, start, length)

    def read(self, offset: int, length: int) -> Awaitable[Pieces]:
        """Read what was acknowledged, or something that is being written."""
        self.check()
        if self._switching is not None:
            return self._read_after_switch(offset, length)
        number, start = divmod(offset, CHUNK)
        if start + length <= CHUNK:
            return self._reader.read(self.chunk(number), Piece(number, start, length, 0))
        return self._read_chunks(list(pieces(offset, length)))

    async def _read_after_switch(self, offset: int, length: int) -> Pieces:
        await self._switched()
        return await self.read(offset, length)

    async def _read_chunks(self, wanted: Sequence[Piece]) -> Pieces:
        found = await asyncio.gather(*(self._reader.read(self.chunk(piece.chunk), piece) for piece in wanted))
        return [part for parts in found for part in parts]

    async def allocation(self, piece: Piece) -> list[tuple[int, bool]]:
        """Return (length, whether there are data) of the parts of a piece of a chunk, in order."""
        chunk = self.chunk(piece.chunk)
        await self.ensure(chunk)
        if chunk.empty:
            return [(piece.length, False)]
        source = chunk.source(self.layer)
        for device in filter(chunk.readable, list(chunk.current)):
            try:
                extents = await chunk.members.replicas[device].extents(chunk.number, source)
            except (ReplicaUnavailable, ReplicaStale):
                continue
            return list(parts(piece.start, piece.length, extents))
        return [(piece.length, True)]

    # flushing

    def flush(self) -> Awaitable[object]:
        """Make durable on a quorum what was acknowledged."""
        self.check()
        self._foresight.flush()
        return self._flusher.flush()

    async def ensure(self, chunk: Chunk) -> None:
        """Return once a chunk is on a quorum of equal replicas."""
        await self._opening.opened(chunk)

    async def claim(self, number: int, layers: Collection[int]) -> int:
        """Have a chunk in the newest layer, if its bytes are in one of `layers` now. What is done is durable.

        Return the layer that was the newest then: there may be another one by now, and it may be in no chain any more.
        """
        while True:
            await self._switched()
            self.check()
            chunk = self.chunk(number)
            if chunk.known and chunk.opening is None and chunk.members.reached(chunk.current):
                break
            await self.ensure(chunk)
        newest = self.layer
        if chunk.version != NOTHING or chunk.base is None or chunk.base.layer not in layers:
            return newest
        done: asyncio.Future[None] = self._loop.create_future()
        self._append(chunk, Kind.WRITE, Piece(number, 0, 0, 0), b"", True, done)
        await done
        return newest

    async def reopen(self, chunk: Chunk) -> None:
        """Find out anew what is there of a chunk: what is being found out already may be older than this was asked."""
        await self._opening.opened(chunk)
        self._opening.begin(chunk)
        await self._opening.opened(chunk)

    # layers

    async def switch(self, change: Callable[[], Awaitable[Sequence[int]]]) -> None:
        """Have `change` give the volume another chain while nothing is under way. What was written is durable then.

        When `change` raises the volume goes on as it was. So it may only raise when nothing has been changed. What
        goes wrong after it loses the volume: nobody may write to the old layer any more.
        """
        await self._switched()
        self.check()
        self._switching = self._loop.create_future()
        try:
            await self._quiet()
            await self._flusher.flush(telling=False)
            chain = tuple(await change())
            try:
                await self._quiet()  # replicas may have been made equal meanwhile; from here on nothing is awaited
            except BaseException as error:
                self.lose(ShuttingDown(f"the volume has other layers, and does not come to rest: {error}"))
                raise
            self._go_on_in(chain)
        finally:
            switching, self._switching = self._switching, None
            switching.set_result(None)

    def _go_on_in(self, chain: tuple[int, ...]) -> None:
        """Take over another chain. Chunks are known still when it is the same with a new layer in front."""
        before, self.chain = self.chain, chain
        if chain[1:] != before:
            for chunk in self._chunks.values():
                self._opening.forget(chunk)
            self._chunks.clear()
        for chunk in self._chunks.values():
            chunk.freeze(before[0])

    async def _quiet(self) -> None:
        """Return once no chunk has anything under way: all of them at the same moment."""
        deadline = self._loop.time() + PATIENCE_S
        while busy := [chunk for chunk in self._chunks.values() if chunk.busy]:
            self.check()
            if self._loop.time() > deadline:
                raise Unreachable(f"chunk {busy[0].number} does not come to rest")
            waited = [each for chunk in busy for each in chunk.under_way()]
            if waited:
                await asyncio.wait(waited, timeout=RETRY_S)
            else:  # writes whose clients were told that they have failed, and that are tried still
                await asyncio.sleep(RETRY_S)

    # all of it

    def chunk(self, number: int) -> Chunk:
        """Return what is known of a chunk."""
        chunk = self._chunks.get(number)
        if chunk is None:
            self._room.enter()
            chunk = self._chunks[number] = Chunk(number, self._placing.members(number))
        return chunk

    def members(self, chunk: Chunk) -> None:
        """Go by the rings of now for a chunk."""
        chunk.go_by(self._placing.members(chunk.number))

    @property
    def known_count(self) -> int:
        """How many chunks something is known of."""
        return len(self._chunks)

    def forget(self, count: int) -> None:
        """Forget chunks that nothing is at, those that were met first."""
        for chunk in list(itertools.islice((chunk for chunk in self._chunks.values() if chunk.idle), count)):
            del self._chunks[chunk.number]
            self._opening.forget(chunk)

    @property
    def is_lost(self) -> bool:
        """Whether it can be used no more."""
        return self._lost is not None

    def check(self) -> None:
        """Raise when the volume is lost to us."""
        if self._lost is not None:
            raise self._lost

    def lose(self, error: VolumeError) -> None:
        """Do nothing any more: somebody else may have the volume."""
        if self._lost is not None:
            return
        self._lost = error
        self._held.clear()
        for chunk in self._chunks.values():
            chunk.file = None
            chunk.fail(error)
        self._opening.stop()
        self._room.leave(self)
        self.on_lost()

    async def close(self) -> bool:
        """Make all of it durable, and leave; tell whether replicas differ in nothing that is not acknowledged."""
        await self._quiet()
        await self._flusher.flush(telling=False)
        settled = self.settled and not any(chunk.history for chunk in self._chunks.values())
        self.lose(ShuttingDown("the volume is closed"))
        return settled


def _heard(done: "asyncio.Future[None]") -> None:
    if not done.cancelled():
        done.exception()

