"""Whose turn it is at a name, for a moment: who has begun to decide upon what is there may end that first. Pure.

Without it a write in two phases would nearly always be overtaken by those in one. Nothing relies on it but speed: it is
kept in memory, and given up after TURN_S, by which time whoever is alive has ended. Time is an argument, in seconds of
any clock that does not run backwards.
"""

from cluster.clock import Timestamp, node_of

TURN_S = 0.1  # some times what both phases take on a busy disk; writes of others wait for so long for one that has died
_LIMIT = 10_000  # names; the oldest go first


class Turns:
    """Of one device."""

    def __init__(self) -> None:
        self._turns: dict[bytes, tuple[Timestamp, float]] = {}  # key -> what was promised, and until when it goes first

    def __len__(self) -> int:
        return len(self._turns)

    def begin(self, key: bytes, timestamp: Timestamp, now_s: float) -> None:
        """Let the write of `timestamp` go first."""
        self._turns.pop(key, None)
        self._turns[key] = timestamp, now_s + TURN_S
        if len(self._turns) > _LIMIT:
            del self._turns[next(iter(self._turns))]

    def end(self, key: bytes, timestamp: Timestamp) -> None:
        """Note that a version has been taken."""
        if key in self._turns and self._turns[key][0] <= timestamp:
            del self._turns[key]

    def may_write(self, key: bytes, timestamp: Timestamp, now_s: float) -> bool:
        """Tell whether a version may be taken now."""
        holder = self._holder(key, now_s)
        return holder is None or holder == timestamp

    def may_promise(self, key: bytes, timestamp: Timestamp, now_s: float) -> bool:
        """Tell whether a promise may be given now: to the same process always, for it has begun again."""
        holder = self._holder(key, now_s)
        return holder is None or node_of(holder) == node_of(timestamp)

    def _holder(self, key: bytes, now_s: float) -> Timestamp | None:
        found = self._turns.get(key)
        if found is None:
            return None
        if found[1] <= now_s:
            del self._turns[key]
            return None
        return found[0]
