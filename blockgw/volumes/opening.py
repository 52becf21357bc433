"""Finds out what the replicas of a chunk have, and makes a quorum of them equal, before the chunk is used.

That happens when a chunk is touched first, and again when a device has missed a write or does not answer. Nothing is
sent meanwhile. A quorum is asked; the newest version that it has contains all that was acknowledged. Who has an older
one copies it from who has it. Then what the history has beyond that version is sent, in its order.

If all members have answered and none has what was acknowledged, then all of them have lost it: their power, before it
was flushed. What is found is gone on from, and the next flush of a client fails (`Owner.rewind`).

What a quorum refuses, though its replicas are equal, is sent again each time, after longer and longer pauses
(`Futile`).

What the last writer has left may be on a replica that does not answer now. Then what was found is written once more,
under our epoch (`adopt`): nobody will ever find the other again.

Devices that have come back, while a quorum is current without them, are brought in the same way, a chunk at a time.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from blockgw.agreement import NOTHING, Agreement, ChunkVersion, agree
from blockgw.errors import OutOfSpace, ShuttingDown, VolumeError
from blockgw.volumes.chunk import Chunk, Pending
from blockgw.volumes.replica import ReplicaStale, ReplicaUnavailable, Source, Stat

RETRY_S, LAST_RETRY_S = 0.05, 1.0  # while there is no quorum
PATIENCE_S = 30.0  # then those who wait are told so, and it goes on
RESYNC_S = 1.0  # until a device that has missed something is tried again
WIDTH = 8  # chunks that are brought to a device that has come back, at a time
CALL_S = 2.0  # to find out what a device has


class Owner(Protocol):
    """The volume."""

    chain: tuple[int, ...]
    epoch: int
    settled: bool

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    def members(self, chunk: Chunk) -> None: ...
    def acknowledge(self, chunk: Chunk, acknowledged: list[Pending]) -> None: ...
    def adopt(self, chunk: Chunk) -> None: ...
    def rewind(self, chunk: Chunk, version: ChunkVersion) -> None: ...
    def waited(self, chunk: Chunk) -> None: ...
    def send(self, chunk: Chunk) -> None: ...
    def check(self) -> None: ...
    def lose(self, error: VolumeError) -> None: ...


class NoQuorum(VolumeError):
    """Too few replicas of a chunk can be reached, for too long."""


class Superseded(ShuttingDown):
    """A replica has promised a newer epoch not to take ours, or to take no epoch: the layer was dropped."""


@dataclass(slots=True)
class Futile:
    """A write that was sent again when replicas were equal: first in the history of its chunk, then and now."""

    version: ChunkVersion
    since_s: float  # loop time
    delay_s: float = 0.0  # before it is sent again
    full: bool = False  # for want of room


class Opening:
    """Of one volume."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._resync: dict[Chunk, None] = {}  # chunks that some members lack, in the order in which that was noticed
        self._resyncing: asyncio.Task[None] | None = None
        self._futile: dict[Chunk, Futile] = {}  # the first writes of their histories
        self._stopped = False

    def stop(self) -> None:
        """End everything."""
        self._stopped = True
        for task in (*self._tasks, *([self._resyncing] if self._resyncing is not None else [])):
            task.cancel()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.pop(task, None)

    def forget(self, chunk: Chunk) -> None:
        """Leave a chunk to itself that nobody knows any more: who touches it next finds out what it lacks."""
        self._resync.pop(chunk, None)
        self._futile.pop(chunk, None)

    def note_full(self, chunk: Chunk) -> None:
        """Take note that a device has no room for the first write of a chunk's history."""
        if chunk in self._futile:
            self._futile[chunk].full = True

    def begin(self, chunk: Chunk, soon: bool = False) -> None:
        """Find out what is there of a chunk; with `soon`, when there is time: enough replicas are current."""
        if self._stopped:
            return
        if soon and chunk.known:
            self._resync[chunk] = None
            if self._resyncing is None:
                self._resyncing = self._owner.loop.create_task(self._resync_all())
            return
        if chunk.opening is None:
            chunk.opening = task = self._owner.loop.create_task(self._open(chunk))
            self._tasks[task] = None
            task.add_done_callback(self._ended)

    async def opened(self, chunk: Chunk) -> None:
        """Return once a chunk is known, and a quorum current. Raise NoQuorum after PATIENCE_S."""
        deadline = self._owner.loop.time() + PATIENCE_S
        while not chunk.known or chunk.opening is not None or not chunk.members.reached(chunk.current):
            self._owner.check()
            self.begin(chunk)
            if chunk.opening is not None:
                await asyncio.wait([chunk.opening], timeout=max(0.0, deadline - self._owner.loop.time()))
            if self._owner.loop.time() >= deadline:
                raise NoQuorum(f"too few replicas of chunk {chunk.number} can be reached")
        self._owner.check()  # what was found may be that the volume is somebody else's

    async def _open(self, chunk: Chunk) -> None:
        delay_s = RETRY_S
        give_up_at = self._owner.loop.time() + PATIENCE_S
        was_known = chunk.known
        try:
            while not await self._opened_once(chunk):
                if self._owner.loop.time() > give_up_at:
                    chunk.fail(NoQuorum(f"too few replicas of chunk {chunk.number} can be reached"))
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, LAST_RETRY_S)
            if was_known:
                await self._pause(chunk)  # it can be read meanwhile
        finally:
            chunk.opening = None
        if chunk.stale:
            self.begin(chunk, soon=True)
        self._owner.waited(chunk)
        self._owner.send(chunk)

    async def _pause(self, chunk: Chunk) -> None:
        """Wait when what is sent again now was sent again at the last opening, and refused by too many."""
        futile = self._futile.pop(chunk, None)
        if not chunk.history:
            return
        version = chunk.history[0].write.version
        if futile is None or futile.version != version:
            self._futile[chunk] = Futile(version, self._owner.loop.time())
            return
        if self._owner.loop.time() - futile.since_s > PATIENCE_S:
            chunk.fail(OutOfSpace("devices are full") if futile.full else NoQuorum("too many devices refuse a write"))
        futile.delay_s = min(max(RETRY_S, 2 * futile.delay_s), LAST_RETRY_S)
        futile.full = False
        self._futile[chunk] = futile
        await asyncio.sleep(futile.delay_s)

    async def _opened_once(self, chunk: Chunk) -> bool:
        """Ask, copy what has to be, and take over what is there; tell whether a quorum is equal now."""
        owner = self._owner
        owner.members(chunk)
        acknowledged = chunk.acknowledged
        stats = await self._stats(chunk)
        if any(stat.epoch > owner.epoch for stat in stats.values()):
            owner.lose(Superseded("another gateway has opened the volume, or it was deleted"))
            return False
        if not chunk.members.reached(stats):
            return False
        found = agree({device: stat.versions for device, stat in stats.items()}, chunk.members.replicas)
        if found.head < chunk.acknowledged and stats.keys() < chunk.members.replicas.keys():
            return False  # who has what was acknowledged is away: what we would take for the content is older
        current = set(found.current)
        if not chunk.members.reached(current):
            current |= await self._brought(chunk, found, stats.keys() - current)
        if not chunk.members.reached(current) or chunk.acknowledged != acknowledged:
            return False
        self._take(chunk, found, {device: stats[device].run for device in current})
        return True

    def _take(self, chunk: Chunk, found: Agreement, devices: dict[int, int]) -> None:
        first = not chunk.known
        chunk.known = True
        depth = found.depth
        if found.head == NOTHING:
            chunk.base = None if depth is None else Source(self._owner.chain[depth], found.versions[depth])
        if found.head < chunk.acknowledged:
            self._owner.rewind(chunk, found.head)
        self._owner.acknowledge(chunk, chunk.found(found.head, devices))
        if first and not self._owner.settled and not found.unanimous:
            self._owner.adopt(chunk)

    async def _stats(self, chunk: Chunk) -> dict[int, Stat]:
        calls = {
            device: replica.stat(chunk.number, self._owner.chain)
            for device, replica in chunk.members.replicas.items()
            if replica.up
        }
        if not calls:
            return {}
        await asyncio.wait(calls.values(), timeout=CALL_S)
        return {device: call.result() for device, call in calls.items() if _is_well(call)}

    async def _brought(self, chunk: Chunk, found: Agreement, lacking: Iterable[int]) -> set[int]:
        """Have devices copy what they lack; return those that have."""
        depth = found.depth
        if depth is None:
            return set()
        source = Source(self._owner.chain[depth], found.versions[depth])
        holder = min(found.current)
        pulls = {device: chunk.members.replicas[device].pull(chunk.number, source, holder) for device in lacking}
        if pulls:
            await asyncio.wait(pulls.values())
        return {device for device, pull in pulls.items() if _is_well(pull)}

    # devices that have come back

    async def _resync_all(self) -> None:
        """Bring what members lack to them, whenever they are there, until nobody lacks anything."""
        while self._resync:
            await asyncio.sleep(RESYNC_S)
            ready = [chunk for chunk in self._resync if self._worth_a_try(chunk)]
            for start in range(0, len(ready), WIDTH):
                await asyncio.gather(*(self._again(chunk) for chunk in ready[start : start + WIDTH]))
        self._resyncing = None

    @staticmethod
    def _worth_a_try(chunk: Chunk) -> bool:
        return chunk.opening is None and any(chunk.members.replicas[device].up for device in chunk.stale)

    async def _again(self, chunk: Chunk) -> None:
        """Hold a chunk, let what is under way end, and make all replicas equal that can be reached."""
        if chunk.opening is not None or not chunk.stale:
            self._resync.pop(chunk, None)
            return
        held: asyncio.Task[None] = self._owner.loop.create_task(self._equalize(chunk))
        chunk.opening = held
        self._tasks[held] = None
        held.add_done_callback(self._ended)
        await asyncio.wait([held])
        chunk.opening = None
        if not chunk.stale:
            self._resync.pop(chunk, None)
        self._owner.send(chunk)

    async def _equalize(self, chunk: Chunk) -> None:
        for pending in list(chunk.history)[: chunk.sent]:
            await asyncio.wait([pending.done], timeout=CALL_S)
        if chunk.sent:
            return  # not all of it has found its quorum: another time
        self._owner.members(chunk)  # rings may have changed: who was refused for that is asked by the new ones
        source = chunk.source(self._owner.chain[0])
        holders = [device for device in chunk.current if chunk.readable(device)]
        if not holders:
            return
        for device in sorted(chunk.stale):
            replica = chunk.members.replicas[device]
            if replica.up and await self._is_equal(chunk, device, source, holders[0]):
                chunk.current[device] = chunk.acknowledged

    async def _is_equal(self, chunk: Chunk, device: int, source: Source, holder: int) -> bool:
        """Have a device copy a chunk if it has to; tell whether it has it as it is now."""
        replica = chunk.members.replicas[device]
        try:
            stat = await replica.stat(chunk.number, self._owner.chain)  # one that is being rebuilt refuses: no pull yet
            if not chunk.empty and not self._has(stat, source):
                await replica.pull(chunk.number, source, holder)
                stat = await replica.stat(chunk.number, self._owner.chain)
        except (ReplicaUnavailable, ReplicaStale):
            return False
        return stat.versions[0] == chunk.acknowledged

    def _has(self, stat: Stat, source: Source) -> bool:
        """Tell whether a device has just what is read of a chunk."""
        return stat.versions[self._owner.chain.index(source.layer)] == source.version


def _is_well(call: "asyncio.Future[Any]") -> bool:
    return call.done() and not call.cancelled() and call.exception() is None
