"""What a service does beside answering requests: chores, each in a thread of its own, again and again.

A chore that fails is reported, and done again when its time comes: what it is to bring about is not given up.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from cluster.controlplane.database import Database
from cluster.telemetry.log import get_logger

_log = get_logger("controlplane")


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to be done every `period_s` seconds: one bounded step."""

    name: str
    period_s: float
    step: Callable[[], object]


class WhenChanged:
    """A step that is left out while a database is as the last one found it, but for one about every `longest_s`."""

    def __init__(
        self,
        database: Database,
        step: Callable[[], object],
        longest_s: float,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._step, self._longest_s, self._monotonic_s = database, step, longest_s, monotonic_s
        self._changes: int | None = None
        self._until_s = 0.0

    def __call__(self) -> None:
        """Do it, or leave it out. One that fails is done again the next time."""
        changes, now_s = self._database.changes(), self._monotonic_s()
        if changes is not None and changes == self._changes and now_s < self._until_s:
            return
        self._step()
        self._changes, self._until_s = changes, now_s + self._longest_s


class Chores:
    """Does chores until it is stopped."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def __repr__(self) -> str:
        return f"Chores({[thread.name for thread in self._threads]})"

    def start(self, chore: Chore) -> None:
        """Do `chore` from now on, for the first time at once."""
        thread = threading.Thread(target=self._repeat, args=(chore,), name=chore.name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self, timeout_s: float) -> None:
        """Begin no further step, and wait a while for those under way."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout_s)

    def _repeat(self, chore: Chore) -> None:
        while not self._stopping.is_set():
            try:
                chore.step()
            except Exception as error:  # the next step may succeed
                _log.error("chore_failed", chore=chore.name, error=error, retry_s=chore.period_s)
            self._stopping.wait(chore.period_s)
