"""Work that goes on behind an answer: bounded, logged when it fails, waited for at the end."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from cluster.telemetry.log import get_logger

LIMIT = 1000  # tasks; more than that are not begun, housekeeping finds what they would have done
_log = get_logger("proxy")


class Background:
    """Runs coroutines that nobody awaits."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`; `what` names it in the log should it fail."""
        if len(self._tasks) >= LIMIT:
            work.close()
            _log.warning("background_full", what=what)
            return
        task = asyncio.get_running_loop().create_task(work, name=what)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.warning("background_failed", what=task.get_name(), error=str(task.exception()))

    async def close(self, timeout_s: float = 2.0) -> None:
        """Give what runs a moment, then cancel it."""
        if self._tasks:
            _done, pending = await asyncio.wait(set(self._tasks), timeout=timeout_s)
            for task in pending:
                task.cancel()
