"""What happened, for people: the last events of a simulation, each with its moment and its process."""

import re
from collections import deque
from collections.abc import Callable, Iterable

from tests.sim.process import current

LIMIT = 20_000  # events that are kept
_HEAD = re.compile(r"^ts=\S+ ")


class Trace:
    """Events in memory; also a stream that the daemons' logs write to."""

    def __init__(self, now: Callable[[], float], limit: int = LIMIT) -> None:
        self._now = now
        self._events: deque[tuple[float, str, str]] = deque(maxlen=limit)
        self.count = 0
        self.digest = 0  # of all events: two runs with the same are the same

    def note(self, text: str) -> None:
        """Keep an event of the process that runs, or of the world."""
        process = current()
        event = (self._now(), process.name if process is not None else "*", text)
        self._events.append(event)
        self.count += 1
        self.digest = hash((self.digest, event))

    def write(self, line: str) -> int:
        """Take a line of a log."""
        self.note(_HEAD.sub("", line.rstrip("\n")))
        return len(line)

    def flush(self) -> None:
        """Do nothing: lines come whole."""

    def tail(self, count: int) -> list[str]:
        """Return the last events, a line each."""
        return list(_rendered(list(self._events)[-count:]))

    def around(self, begin: float, end: float, limit: int) -> list[str]:
        """Return the events between two moments, the last ones if they are many."""
        return list(_rendered([event for event in self._events if begin <= event[0] <= end][-limit:]))


def _rendered(events: Iterable[tuple[float, str, str]]) -> Iterable[str]:
    return (f"{at:10.4f} {who:6} {text}" for at, who, text in events)
