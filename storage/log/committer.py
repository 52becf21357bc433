"""Group commit: one thread per log that writes whatever gathered while the last batch was synced.

The loop's thread hands over lists of records; the writer's thread takes all that wait at once, writes
them as one batch, and tells the loop once per batch. Nothing waits for a timer: an idle writer starts
at the first list, a busy one finds the next batch ready.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Protocol

from storage.log.interface import Appended, DeviceFailed, LogRefusal
from storage.log.writer import WriteRefused

Batch = list[Appended]
Write = Callable[[Batch], None]
# the batch, how many records of it are durable, and why the others are not
Complete = Callable[[Batch, int, LogRefusal | None], None]


class Committing(Protocol):
    """Writes lists of records, in order; made of (loop, name, write, complete)."""

    def submit(self, records: Batch) -> None:
        """Have `records` written; the list is the committer's from now on."""

    async def close(self) -> None:
        """Write what was submitted, and end."""


class Committer:
    """The thread. `write` runs in it, `complete` on the loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str, write: Write, complete: Complete) -> None:
        self._loop = loop
        self._write = write
        self._complete = complete
        self._queue: SimpleQueue[Batch | None] = SimpleQueue()  # its bytes are bounded by the log
        self._ended = loop.create_future()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, records: Batch) -> None:
        """Have `records` written; the list is ours from now on."""
        self._queue.put(records)

    async def close(self) -> None:
        """Write what was submitted, and end the thread."""
        self._queue.put(None)
        await self._ended

    def _run(self) -> None:
        batch: Batch | None
        while (batch := self._queue.get()) is not None:
            ending = self._gather_into(batch)
            durable, refusal = self._written(batch)
            self._tell(self._complete, batch, durable, refusal)
            if ending:
                break
        self._tell(self._end)

    def _gather_into(self, batch: Batch) -> bool:
        """Add what else waits to `batch`; tell whether the end was among it."""
        while True:
            try:
                more = self._queue.get_nowait()
            except Empty:
                return False
            if more is None:
                return True
            batch += more

    def _written(self, batch: Batch) -> tuple[int, LogRefusal | None]:
        try:
            self._write(batch)
        except WriteRefused as refused:
            return refused.durable, refused.refusal
        except Exception as error:  # the thread must not die without a word: every append would hang
            return 0, DeviceFailed(f"writer: {error!r}")
        return len(batch), None

    def _tell(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
