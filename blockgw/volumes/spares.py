"""Devices that need not be durable as well: a quorum is asked for that, the others only when it takes long.

Each sync is work for a disk, and writes wait for the slowest of those that they were promised durable on. So what is to
be durable before it is answered goes to all replicas, but only so many as are a quorum are told to sync it: the others
do so soon, with what comes by then. Who was asked and takes longer than HEDGE_S gets company: the others are flushed,
and count from then on. What is acknowledged as durable is durable on a quorum, as ever.
"""

import asyncio
from collections import deque
from functools import partial
from typing import NamedTuple, Protocol

from blockgw.volumes.chunk import Chunk, Pending

HEDGE_S = 0.01  # longer than a sync takes that waits for nobody


class Owner(Protocol):
    """The volume."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def layer(self) -> int: ...
    def acknowledge(self, chunk: Chunk, acknowledged: list[Pending]) -> None: ...
    def missed(self, chunk: Chunk, device: int) -> None: ...


class _Watched(NamedTuple):
    until: float
    chunk: Chunk
    pending: Pending


class Spares:
    """Of one volume."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._watched: deque[_Watched] = deque()  # in the order of their times
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, chunk: Chunk, pending: Pending) -> None:
        """See to it that a write becomes durable on a quorum, though those who were asked for that take long."""
        self._watched.append(_Watched(self._owner.loop.time() + HEDGE_S, chunk, pending))
        if self._timer is None:
            self._timer = self._owner.loop.call_later(HEDGE_S, self._look)

    def _look(self) -> None:
        now = self._owner.loop.time()
        watched = self._watched
        late: list[_Watched] = []
        while watched and watched[0].until <= now:
            each = watched.popleft()
            if each.chunk.acknowledged < each.pending.write.version:
                late.append(each)
        self._timer = self._owner.loop.call_at(watched[0].until, self._look) if watched else None
        for each in late:
            self._ask(each.chunk, each.pending)

    def _ask(self, chunk: Chunk, pending: Pending) -> None:
        """Flush the spares that have a write. One that has not is sent it anew, durably, once that is found out."""
        layer = self._owner.layer
        for device, run in pending.spares.items():
            if device in chunk.current and run is not None:
                call = chunk.members.replicas[device].flush(layer)
                call.add_done_callback(partial(self._flushed, chunk, pending, layer, device))
            elif device in chunk.current:
                self.watch(chunk, pending)

    def _flushed(
        self, chunk: Chunk, pending: Pending, layer: int, device: int, call: "asyncio.Future[int]"
    ) -> None:
        if layer != self._owner.layer or device not in chunk.current or device not in pending.spares:
            return  # what is there was found out anew meanwhile
        if chunk.acknowledged >= pending.write.version:
            return
        if not call.cancelled() and call.exception() is None and pending.spares.get(device) == call.result():
            self._owner.acknowledge(chunk, chunk.durable(device, pending.write.version))
        else:
            self._owner.missed(chunk, device)
