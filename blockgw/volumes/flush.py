"""Makes durable what was acknowledged: on a quorum of each chunk that was written since the last flush.

A device answers a flush when all is durable that it had answered before. It counts for a chunk if it has all of it that
was acknowledged, and has taken that in the same run: what another run of its process took and did not flush may be
gone. Where that is no quorum, what is there is found out anew, replicas are made equal, and they are flushed again.

Flushes go one after the other; all that come during one share the next. What a failed one could not make durable stays
noted, so the next one does not pass over it.
"""

import asyncio
from typing import Protocol

from blockgw.errors import VolumeError
from blockgw.volumes.chunk import Chunk

TRIES = 8


class NotDurable(VolumeError):
    """What was acknowledged could not be made durable."""


class Owner(Protocol):
    """The volume."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def layer(self) -> int: ...
    async def reopen(self, chunk: Chunk) -> None: ...


class Flusher:
    """Of one volume."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._dirty: dict[Chunk, None] = {}
        self._running: asyncio.Future[None] | None = None
        self._next: asyncio.Future[None] | None = None

    def note(self, chunk: Chunk) -> None:
        """Remember that a chunk has something that is not durable."""
        chunk.dirty = True
        self._dirty[chunk] = None

    def flush(self) -> "asyncio.Future[None]":
        """Return what is done when all that was noted is durable. Who cancels it gives up waiting, and ends nothing."""
        return asyncio.shield(self._shared())

    def _shared(self) -> "asyncio.Future[None]":
        if self._running is None:
            self._running = self._owner.loop.create_task(self._flush())
            self._running.add_done_callback(self._ended)
            return self._running
        if self._next is None:
            self._next = self._owner.loop.create_future()
        return self._next

    def _ended(self, running: "asyncio.Future[None]") -> None:
        waiting, self._running, self._next = self._next, None, None
        if not running.cancelled():
            running.exception()
        if waiting is None:
            return
        following = self._shared()

        def ended(following: "asyncio.Future[None]") -> None:
            if waiting.done():
                return
            if following.cancelled():
                waiting.cancel()
            elif (error := following.exception()) is not None:
                waiting.set_exception(error)
            else:
                waiting.set_result(None)

        following.add_done_callback(ended)

    async def _flush(self) -> None:
        taken, self._dirty = self._dirty, {}
        try:
            await self._until_durable(list(taken))
        except BaseException:
            for chunk in taken:
                self.note(chunk)
            raise

    async def _until_durable(self, chunks: list[Chunk]) -> None:
        for tries_left in reversed(range(TRIES)):
            chunks = await self._flush_devices(chunks)
            if not chunks:
                return
            if tries_left:
                for chunk in chunks:
                    await self._owner.reopen(chunk)
        raise NotDurable(f"{len(chunks)} chunks could not be made durable")

    async def _flush_devices(self, chunks: list[Chunk]) -> list[Chunk]:
        """Flush where these chunks are; return those that are not on a quorum durably."""
        taken = {
            chunk: {device: run for device, run in chunk.runs.items() if chunk.readable(device)} for chunk in chunks
        }
        replicas = {
            device: chunk.members.replicas[device] for chunk, runs in taken.items() for device in runs
        }
        for chunk in chunks:
            chunk.runs = {}
        calls = {device: replica.flush(self._owner.layer) for device, replica in replicas.items()}
        if calls:
            await asyncio.wait(calls.values())
        flushed = {device: call.result() for device, call in calls.items() if _is_well(call)}
        failed = []
        for chunk, runs in taken.items():
            if chunk.members.reached([device for device, run in runs.items() if flushed.get(device) == run]):
                chunk.dirty = chunk in self._dirty
            else:
                failed.append(chunk)
        return failed


def _is_well(call: "asyncio.Future[int]") -> bool:
    return not call.cancelled() and call.exception() is None
