"""Makes durable what was acknowledged: on a quorum of each chunk that was written since the last flush.

A device answers a flush when all is durable that it had answered before. It counts for a chunk if it has all of it that
was acknowledged, and has taken that in the same run: what another run of its process took and did not flush may be
gone. A flush is done when that is a quorum for each chunk; who answers later is not waited for. Where all have answered
and it is no quorum, what is there is found out anew, replicas are made equal, and they are flushed again.

Flushes go one after the other; all that come during one share the next. What a failed one could not make durable stays
noted, so the next one does not pass over it.

Where flushes have followed writes at once, the next write is sent to be durable before it is answered (`Foresight`):
then the flush that follows it finds nothing to do, and devices are asked once instead of twice.

What was acknowledged and is on no replica any more (`note_loss`) cannot be made durable by any flush: the next one that
a client has asked for fails, as fsync does in Linux, and those after it say what has become of what was written since.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from blockgw.errors import VolumeError
from blockgw.volumes.chunk import Chunk
from blockgw.volumes.replica import Replica

TRIES = 8


class NotDurable(VolumeError):
    """What was acknowledged could not be made durable."""


class WritesLost(NotDurable):
    """All replicas of a chunk have lost writes that were acknowledged: their power, before these were flushed."""


class Owner(Protocol):
    """The volume."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def layer(self) -> int: ...
    async def reopen(self, chunk: Chunk) -> None: ...


class Foresight:
    """Whether a flush will follow the next writes at once: as it did last time, all of them before one was answered."""

    __slots__ = ("_answered", "_followed", "_waves")

    def __init__(self) -> None:
        self._followed = False  # the last flush came after a single wave
        self._waves = 0  # of writes since then: one begins when a write is asked for after another was answered
        self._answered = False  # something of the last wave was

    def __repr__(self) -> str:
        return f"Foresight(followed={self._followed}, {self._waves} waves)"

    def write(self) -> bool:
        """Take note of a write; tell whether it will be flushed next."""
        if self._answered or not self._waves:
            self._waves += 1
            self._answered = False
        return self._followed and self._waves == 1

    def answered(self) -> None:
        """Take note that a write is answered."""
        self._answered = True

    def flush(self) -> None:
        """Take note of a flush."""
        if self._waves:
            self._followed = self._waves == 1
            self._waves = 0


class Flusher:
    """Of one volume."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._dirty: dict[Chunk, None] = {}
        self._waiting: list[asyncio.Future[None]] = []  # for the flush that runs
        self._next: list[asyncio.Future[None]] = []  # for the one after it
        self._running = False
        self._telling = self._next_telling = False  # whether a client waits for it
        self._lost_count = 0  # chunks that have lost writes, of which no client was told
        self._trying: asyncio.Task[None] | None = None  # what the first round could not make durable

    def note(self, chunk: Chunk) -> None:
        """Remember that a chunk has something that is not durable."""
        chunk.dirty = True
        self._dirty[chunk] = None

    def note_loss(self) -> None:
        """Remember that a chunk has lost writes that were acknowledged."""
        self._lost_count += 1

    def flush(self, telling: bool = True) -> "asyncio.Future[None]":
        """Return what is done when all that was noted is durable. Who cancels it gives up waiting, and ends nothing.

        `telling`: a client hears how it ends.
        """
        waiter: asyncio.Future[None] = self._owner.loop.create_future()
        if self._running:
            self._next.append(waiter)
            self._next_telling |= telling
        else:
            self._begin([waiter], telling)
        return waiter

    def _begin(self, waiting: "list[asyncio.Future[None]]", telling: bool) -> None:
        self._running, self._waiting, self._telling = True, waiting, telling
        taken, self._dirty = self._dirty, {}
        if taken:
            self._flush_devices(list(taken), lambda failed: self._flushed(taken, failed))
        else:
            self._end(None)

    def _flushed(self, taken: dict[Chunk, None], failed: list[Chunk]) -> None:
        if failed:
            self._trying = self._owner.loop.create_task(self._until_durable(failed))
            self._trying.add_done_callback(lambda trying: self._tried(taken, trying))
        else:
            self._end(None)

    def _tried(self, taken: dict[Chunk, None], trying: "asyncio.Task[None]") -> None:
        self._trying = None
        error = asyncio.CancelledError() if trying.cancelled() else trying.exception()
        if error is not None:
            for chunk in taken:
                self.note(chunk)
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        """Tell those who have waited, and go on with the next."""
        if error is None and self._lost_count:
            error = WritesLost(f"{self._lost_count} chunks have lost writes that were not flushed: all replicas have")
            if self._telling:
                self._lost_count = 0
        for waiter in self._waiting:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            elif isinstance(error, asyncio.CancelledError):
                waiter.cancel()
            else:
                waiter.set_exception(error)
        self._running = False
        following, self._next = self._next, []
        telling, self._next_telling = self._next_telling, False
        if following:
            self._begin(following, telling)

    async def _until_durable(self, chunks: list[Chunk]) -> None:
        for _try in range(TRIES - 1):
            for chunk in chunks:
                await self._owner.reopen(chunk)
            flushed: asyncio.Future[list[Chunk]] = self._owner.loop.create_future()
            self._flush_devices(chunks, flushed.set_result)
            chunks = await flushed
            if not chunks:
                return
        raise NotDurable(f"{len(chunks)} chunks could not be made durable")

    def _flush_devices(self, chunks: list[Chunk], done: Callable[[list[Chunk]], None]) -> None:
        """Flush where these chunks are; tell `done` which are not on a quorum durably."""
        taken = {
            chunk: {device: run for device, run in chunk.runs.items() if chunk.readable(device)} for chunk in chunks
        }
        replicas = {
            device: chunk.members.replicas[device] for chunk, runs in taken.items() for device in runs
        }
        for chunk in chunks:
            chunk.runs = {}
        _Round(taken, self._durable, done).begin(replicas, self._owner.layer)

    def _durable(self, chunk: Chunk) -> None:
        chunk.dirty = chunk in self._dirty


class _Round:
    """Devices are flushed once, all at a time."""

    def __init__(
        self,
        taken: dict[Chunk, dict[int, int]],
        durable: Callable[[Chunk], None],
        done: Callable[[list[Chunk]], None],
    ) -> None:
        """`taken`: the devices that count for each chunk, with the run that counts."""
        self._left = taken  # chunks that are not durable yet
        self._durable = durable
        self._done: Callable[[list[Chunk]], None] | None = done
        self._flushed: dict[int, int] = {}
        self._asked = 0

    def begin(self, replicas: dict[int, Replica], layer: int) -> None:
        """Ask the devices. `done` is called when they have answered, or enough of them."""
        self._asked = len(replicas)
        if not replicas:
            self._end()
        for device, replica in replicas.items():
            replica.flush(layer).add_done_callback(partial(self._answered, device))

    def _answered(self, device: int, call: "asyncio.Future[int]") -> None:
        self._asked -= 1
        if not call.cancelled() and call.exception() is None:
            self._flushed[device] = call.result()
            for chunk in [chunk for chunk, runs in self._left.items() if self._is_durable(chunk, runs)]:
                del self._left[chunk]
                self._durable(chunk)
        if not self._asked or not self._left:
            self._end()

    def _is_durable(self, chunk: Chunk, runs: dict[int, int]) -> bool:
        return chunk.members.reached([device for device, run in runs.items() if self._flushed.get(device) == run])

    def _end(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(list(self._left))
