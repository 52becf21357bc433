"""Partitions that wait to be copied: in which order, which failed, and why. Pure."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

Item = tuple[str, int]  # ring name, partition


@dataclass(slots=True)
class Backlog:
    """What there is to do; what fails comes again, last."""

    todo: deque[Item]  # without those that are being copied
    total: int
    taken: list[Item] = field(default_factory=list)  # those
    failed_in_a_row: int = 0
    reasons: dict[Item, str] = field(default_factory=dict)  # why partitions could not be copied yet

    @classmethod
    def of(cls, items: Iterable[Item]) -> "Backlog":
        """Return a backlog of `items`, in their order."""
        todo = deque(items)
        return cls(todo, len(todo))

    @property
    def done_count(self) -> int:
        """How many partitions are copied."""
        return self.total - len(self.todo) - len(self.taken)

    @property
    def stuck(self) -> bool:
        """Whether all that is left has just failed."""
        return bool(self.todo) and self.failed_in_a_row >= len(self.todo)

    def waiting(self) -> str:
        """Return what most partitions wait for, in words; nothing while there are others to copy."""
        if not self.stuck:
            return ""
        ((reason, count),) = Counter(self.reasons.values()).most_common(1)
        return f"{count} partitions wait: {reason}"

    def take(self, limit: Callable[[str], int]) -> tuple[str, list[int]]:
        """Return the next partitions, of one ring, at most as many as `limit` says for it."""
        name = self.todo[0][0]
        partitions: list[int] = []
        while self.todo and self.todo[0][0] == name and len(partitions) < limit(name):
            item = self.todo.popleft()
            self.taken.append(item)
            partitions.append(item[1])
        return name, partitions

    def settle(self, failed: Mapping[int, str]) -> None:
        """Note that what was taken is done; but those that `failed` come again, last."""
        for item in self.taken:
            reason = failed.get(item[1])
            if reason is not None:
                self.todo.append(item)
                self.reasons[item] = reason
                self.failed_in_a_row += 1
            else:
                self.reasons.pop(item, None)
                self.failed_in_a_row = 0
        self.taken = []

    def put_back(self) -> None:
        """Have what was taken to do still."""
        self.todo.extendleft(reversed(self.taken))
        self.taken = []

    def reorder(self, urgency: Callable[[Item], int]) -> None:
        """Have the partitions with the least number first. Nothing may be taken."""
        self.todo = deque(sorted(self.todo, key=lambda item: (urgency(item), item[0])))
        self.failed_in_a_row = 0
