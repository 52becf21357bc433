"""Threads for calls that wait: for a disk, for a database, for coordination. Nothing else leaves the event loop.

The simulator has another `Waiters`, which runs calls at moments of its own choosing.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, Protocol, TypeVar

CALLS_LIMIT = 4096  # waiting in one pool, where nothing else bounds them
UNBOUNDED = 1 << 62  # for owners that bound their calls themselves

P = ParamSpec("P")
T = TypeVar("T")


class Waiters(Protocol):
    """Runs blocking calls off the event loop."""

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Call `function` in a thread. Raise OverflowError when too many calls wait already."""

    def close(self) -> None:
        """Take no more calls. Those begun end."""


class WaiterThreads:
    """A few threads, created when first needed; one thread runs its calls in order."""

    def __init__(self, count: int = 4, name: str = "disk", calls_limit: int = CALLS_LIMIT) -> None:
        self._pool = ThreadPoolExecutor(count, name)
        self._limit = calls_limit
        self._outstanding = 0

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        if self._outstanding >= self._limit:
            raise OverflowError(f"{self._outstanding} calls wait for the disk")
        self._outstanding += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, lambda: function(*args, **kwargs))
        future.add_done_callback(self._done)
        return future

    def _done(self, _future: asyncio.Future[T]) -> None:
        self._outstanding -= 1

    def close(self) -> None:
        self._pool.shutdown(wait=False)
