"""Runs housekeeping tasks: each a name, a `step`, and how long to wait after it."""

import asyncio
from typing import Protocol

from cluster.telemetry.log import get_logger

RETRY_S = 5.0  # after a step that failed
_log = get_logger("storage")


class Task(Protocol):
    """One housekeeping task."""

    name: str

    async def step(self) -> float:
        """Do one bounded unit of work; return in how many seconds the next is due."""


class Schedule:
    """Runs tasks side by side until closed."""

    def __init__(self) -> None:
        self._runners: list[asyncio.Task[None]] = []
        self._wakers: dict[str, asyncio.Event] = {}

    def add(self, task: Task, first_s: float = 0.0) -> None:
        """Run `task` from `first_s` seconds from now on."""
        waker = self._wakers[task.name] = asyncio.Event()
        self._runners.append(asyncio.get_running_loop().create_task(self._run(task, waker, first_s)))

    def wake(self, name: str) -> None:
        """Run the next step of the task `name` now, or once its current step is done."""
        self._wakers[name].set()

    async def _run(self, task: Task, waker: asyncio.Event, first_s: float) -> None:
        await asyncio.sleep(first_s)
        while True:
            waker.clear()
            try:
                delay_s = await task.step()
            except Exception as error:  # a task ends here; the others, and its next step, go on
                _log.warning("housekeeping_failed", task=task.name, error=repr(error))
                delay_s = RETRY_S
            try:
                await asyncio.wait_for(waker.wait(), delay_s)
            except TimeoutError:
                continue

    async def close(self) -> None:
        """Stop all."""
        for runner in self._runners:
            runner.cancel()
        await asyncio.gather(*self._runners, return_exceptions=True)
