"""What the requests of one connection hold: taken from a budget, given back when their answers have left. No I/O."""

from collections.abc import Callable

from blockgw.nbd.budget import Budget


class Hold:
    """Bytes. `on_room` is called when there is room again that others have made, after `is_full` said no."""

    __slots__ = ("_answered", "_budget", "_limit", "_on_room", "_waits", "size")

    def __init__(self, budget: Budget, limit: int, on_room: Callable[[], object]) -> None:
        self.size = 0
        self._answered = 0  # of it, that of requests whose answers are on their way
        self._budget = budget
        self._limit = limit
        self._on_room = on_room
        self._waits = False

    def __repr__(self) -> str:
        return f"Hold({self.size} of {self._limit}, {self._answered} answered)"

    def take(self, size: int) -> None:
        """A request holds `size` bytes."""
        self.size += size
        self._budget.used += size

    def answer(self, size: int) -> None:
        """A request is answered that holds `size` bytes."""
        self._answered += size

    def settle(self) -> None:
        """The answers have left: give back what their requests did hold."""
        answered, self._answered = self._answered, 0
        if answered:
            self.give(answered)

    def give(self, size: int) -> None:
        """Give back `size` bytes of a request that is not answered."""
        self.size -= size
        self._budget.give(size)

    def is_full(self) -> bool:
        """Whether no more is to be taken."""
        if self.size >= self._limit:
            return True
        budget = self._budget
        if budget.used < budget.limit:
            return False
        if not self._waits:
            self._waits = True
            budget.wait(self._on_budget)
        return True

    def stop_waiting(self) -> None:
        """Have `on_room` not called."""
        if self._waits:
            self._waits = False
            self._budget.forget(self._on_budget)

    def _on_budget(self) -> None:
        self._waits = False
        self._on_room()
