"""What daemons have threads for, on the loop: calls run whole, at moments of the seed's choosing.

A call waits for a while, runs in one piece, and its caller hears of that a while later: others run between the
two, as they do beside real threads. One that runs during a crash (`tests.sim.disk` raises ProcessKilled in its midst)
never ends, and takes its process with it.
"""

import asyncio
import random
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from storage.log.committer import Batch, Complete, Write
from storage.log.interface import DeviceFailed, LogRefusal
from storage.log.writer import WriteRefused
from tests.sim.chance import delay

P = ParamSpec("P")
T = TypeVar("T")
Delay = Callable[[], float]


class SimulatedWaiters:
    """`count` threads that take calls in order."""

    def __init__(self, chance: random.Random, calls_limit: int, count: int, pace: Delay) -> None:
        self._chance = chance
        self._limit = calls_limit
        self._free_at = [0.0] * count
        self._pace = pace  # what a call costs now
        self._outstanding = 0
        self._closed = False

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[T]":
        """Call `function` later. Raise OverflowError when too many calls wait already."""
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self._outstanding >= self._limit:
            raise OverflowError(f"{self._outstanding} calls wait")
        self._outstanding += 1
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def call() -> None:
            self._outstanding -= 1
            if future.cancelled():
                return
            try:
                result = function(*args, **kwargs)
            except Exception as error:
                loop.call_later(delay(self._chance, 2e-5), _fail, future, error)
            else:
                loop.call_later(delay(self._chance, 2e-5), _resolve, future, result)

        thread = min(range(len(self._free_at)), key=self._free_at.__getitem__)
        at = max(loop.time(), self._free_at[thread]) + self._pace()
        self._free_at[thread] = at
        loop.call_at(at, call)
        return future

    def close(self) -> None:
        """Take no more calls."""
        self._closed = True


def _resolve(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: "asyncio.Future[T]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


class SimulatedCommitter:
    """`storage.log.committer.Committer` without its thread: gathers while it is busy, writes all that waits at once."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, name: str, write: Write, complete: Complete, pace: Delay
    ) -> None:
        del name
        self._loop = loop
        self._write = write
        self._complete = complete
        self._pace = pace
        self._waiting: Batch = []
        self._busy = False
        self._closing: asyncio.Future[None] | None = None

    def submit(self, records: Batch) -> None:
        """Have `records` written."""
        self._waiting += records
        self._go_on()

    async def close(self) -> None:
        """Write what was submitted."""
        self._closing = self._loop.create_future()
        self._go_on()
        await self._closing

    def _go_on(self) -> None:
        if self._busy:
            return
        if self._waiting:
            self._busy = True
            self._loop.call_later(self._pace(), self._commit)
        elif self._closing is not None and not self._closing.done():
            self._closing.set_result(None)

    def _commit(self) -> None:
        batch, self._waiting = self._waiting, []
        durable, refusal = self._written(batch)
        self._loop.call_later(self._pace() / 2, self._tell, batch, durable, refusal)

    def _written(self, batch: Batch) -> tuple[int, LogRefusal | None]:
        try:
            self._write(batch)
        except WriteRefused as refused:
            return refused.durable, refused.refusal
        except Exception as error:
            return 0, DeviceFailed(f"writer: {error!r}")
        return len(batch), None

    def _tell(self, batch: Batch, durable: int, refusal: LogRefusal | None) -> None:
        self._busy = False
        self._complete(batch, durable, refusal)
        self._go_on()
