"""Whether the other side still lives: a decision. Time is an argument.

Silence is counted in looks that were really taken, each worth no more than twice the time between two
looks. So a process that was itself stopped, or starved of CPU, does not blame its peers for
it: when it wakes up it first reads what they have sent meanwhile.

A PING that waits behind a queue of bytes proves nothing, as long as that queue moves.
"""

from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True, slots=True)
class Patience:
    """How long silence is borne, in seconds."""

    busy_s: float  # before a PING, when an answer is due
    idle_s: float  # before a PING, when none is
    limit_s: float  # after a PING


# A client asks soon, so that what waits can go elsewhere within 1.2 s. A server only has to get rid of what
# a dead client has left: clients send something every second.
CLIENT = Patience(busy_s=0.1, idle_s=1.0, limit_s=1.0)
SERVER = Patience(busy_s=3.0, idle_s=3.0, limit_s=2.0)


class Verdict(Enum):
    """What to do now."""

    ALIVE = auto()
    PING = auto()
    DEAD = auto()


class Liveness:
    """Watches one connection. Set `heard` when bytes arrive; ask `look` in regular intervals."""

    __slots__ = ("_flushed", "_last_look", "_patience", "_ping_position", "_silence_s", "heard")

    def __init__(self, patience: Patience, now: float) -> None:
        self._patience = patience
        self.heard = True
        self._last_look = now
        self._silence_s = 0.0
        self._ping_position: int | None = None  # where in our bytes the PING is that is under way
        self._flushed = 0

    def __repr__(self) -> str:
        return f"Liveness(silent for {self._silence_s:.2f} s, pinged={self.pinged})"

    @property
    def pinged(self) -> bool:
        """Tell whether a PING waits for its answer."""
        return self._ping_position is not None

    def look(self, now: float, interval_s: float, busy: bool, sent: int, flushed: int) -> Verdict:
        """Decide, `interval_s` after the last time. `sent`, `flushed`: bytes, ever; to the kernel."""
        elapsed_s = min(now - self._last_look, 2 * interval_s)
        self._last_look = now
        moved, self._flushed = flushed > self._flushed, flushed
        if self.heard:
            self.heard = False
            self._silence_s, self._ping_position = 0.0, None
            return Verdict.ALIVE
        if self._ping_position is None:
            self._silence_s += elapsed_s
            if self._silence_s < (self._patience.busy_s if busy else self._patience.idle_s):
                return Verdict.ALIVE
            self._silence_s, self._ping_position = 0.0, sent
            return Verdict.PING
        if moved and flushed <= self._ping_position:
            self._silence_s = 0.0
        else:
            self._silence_s += elapsed_s
        return Verdict.DEAD if self._silence_s >= self._patience.limit_s else Verdict.ALIVE
