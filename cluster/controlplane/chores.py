"""What a service does beside answering requests: chores, each in a thread of its own, again and again.

A chore that fails is reported, and done again when its time comes: what it is to bring about is not given up.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from cluster.telemetry.log import get_logger

_log = get_logger("controlplane")


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to be done every `period_s` seconds: one bounded step."""

    name: str
    period_s: float
    step: Callable[[], object]


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
