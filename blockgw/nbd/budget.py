"""How much may be under way on all connections together, and whose turn it is when that is used up. No I/O.

A connection asks before it takes a request: what a request needs is known only then, so the budget may be
overdrawn by the last one. Connections that were turned down are called, in the order in which they asked.
"""

from collections.abc import Callable


class Budget:
    """Bytes that requests hold."""

    __slots__ = ("_waiting", "limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._waiting: dict[Callable[[], None], None] = {}  # in order, each once

    def __repr__(self) -> str:
        return f"Budget({self.used} of {self.limit}, {len(self._waiting)} wait)"

    def wait(self, resume: Callable[[], None]) -> None:
        """Have `resume` called once there is something left."""
        self._waiting[resume] = None

    def forget(self, resume: Callable[[], None]) -> None:
        """Take back `wait`."""
        self._waiting.pop(resume, None)

    def give(self, size: int) -> None:
        """Return what a request held."""
        self.used -= size
        assert self.used >= 0
        while self._waiting and self.used < self.limit:
            resume = next(iter(self._waiting))
            del self._waiting[resume]
            resume()
