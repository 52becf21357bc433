"""Work that goes on to its end when the one who asked for it has gone.

A request is cancelled with its connection. What a thread does to files by then is done all the same, so whoever takes
note of it has to hear how it ended.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Undisturbed:
    """Of one device."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return f"Undisturbed({len(self._tasks)} under way)"

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns. Who is cancelled waits no longer, and ends nothing."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def settle(self) -> None:
        """Wait for all that was begun."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))
