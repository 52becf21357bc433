"""What is asked of the one thread that touches the databases of a device: in order, and so much at a time."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from cluster.threads import Waiters
from cluster.wire import RemoteError
from storage.messages import Refusal

ResultT = TypeVar("ResultT")


class Jobs:
    """Of one device."""

    def __init__(self, thread: Waiters, limit: int, on_done: Callable[[], None]) -> None:
        """`on_done` is called, on the loop's thread, whenever a job has ended."""
        self._thread = thread
        self._limit = limit
        self._on_done = on_done
        self._count = 0

    async def run(self, job: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """Run `job` on the database thread. It runs to its end even if nobody waits for it any more."""
        return await asyncio.shield(self.submit(job, *arguments))

    def submit(self, job: Callable[..., ResultT], *arguments: Any) -> asyncio.Future[ResultT]:
        """Have `job` run on the database thread. Do not cancel what is returned."""
        self._count += 1
        future = self._thread.run(job, *arguments)
        future.add_done_callback(self._ended)
        return future

    def refuse_when_busy(self) -> None:
        """Raise BUSY when the thread is far behind. Called before anything pending is taken."""
        if self._count >= self._limit:
            raise RemoteError(Refusal.BUSY, f"{self._count} jobs wait for the database thread")

    def _ended(self, future: asyncio.Future[Any]) -> None:
        self._count -= 1
        self._on_done()
        if not future.cancelled():
            future.exception()  # seen, also when the one who asked has gone
