"""A ring store on a thread of its own, for what daemons write.

A change in coordination waits for the disk, and for whoever else is writing: up to seconds, when all processes report a
new version to a disk that is busy. No request may wait for that, so the loop's thread only reads.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from cluster.coordination.interface import Coordination
from cluster.threads import UNBOUNDED, Waiters, WaiterThreads
from storage.rings.store import RingStore

ResultT = TypeVar("ResultT")


class BackgroundStore:
    """Runs what is asked, one after the other, with a connection of its own that is opened when it is needed."""

    def __init__(self, connect: Callable[[], Coordination], thread: Waiters | None = None) -> None:
        """`connect` is called on the thread, which runs one call at a time."""
        self._connect = connect
        self._thread = thread or WaiterThreads(1, "rings", UNBOUNDED)
        self._coordination: Coordination | None = None
        self._store: RingStore | None = None

    async def run(self, work: Callable[[RingStore], ResultT]) -> ResultT:
        """Return what `work` returns. It runs to its end even if nobody waits for it any more."""
        return await asyncio.shield(self._thread.run(self._run, work))

    async def close(self) -> None:
        """Finish what was asked, and hang up."""
        await self._thread.run(self._hang_up)
        self._thread.close()

    def _run(self, work: Callable[[RingStore], ResultT]) -> ResultT:
        if self._store is None:
            self._coordination = self._connect()
            self._store = RingStore(self._coordination)
        return work(self._store)

    def _hang_up(self) -> None:
        if self._coordination is not None:
            self._coordination.close()
            self._coordination = self._store = None
