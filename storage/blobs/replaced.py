"""Versions that were here and are no more, for as long as somebody may ask whether they were.

A message with a version may come late: after a reader has brought that version here, and others have replaced it. To
answer that something newer is here would tell its writer that nobody can have seen it, and he would write it once more,
over what has replaced it. So the answer is that it was taken (storage.blobs.commits). What a version was decided upon,
and what it is under a newer timestamp (storage.lineage), has had its time as well, whether it was here or not.

Kept in memory, for WINDOW_S at least: messages live shorter, and so does the patience of writers. Who has started since
does not know, and says so (`knows`). Time is an argument, in seconds of any clock that does not run backwards. Pure.
"""

from cluster.clock import Timestamp

WINDOW_S = 20.0  # a call lasts 10 s, and a writer tries again for 5


class Replaced:
    """Of one device."""

    __slots__ = ("_before", "_ignorant_until_s", "_latest", "_turns_at_s")

    def __init__(self, now_s: float, complete: bool) -> None:
        """`complete`: there is nothing that was replaced before now."""
        self._latest: set[bytes] = set()  # key + timestamp
        self._before: set[bytes] = set()
        self._turns_at_s = now_s + WINDOW_S
        self._ignorant_until_s = now_s if complete else now_s + WINDOW_S

    def __len__(self) -> int:
        return len(self._latest) + len(self._before)

    def note(self, key: bytes, timestamp: Timestamp) -> None:
        """Remember that a version has had its time."""
        self._latest.add(key + timestamp)

    def has(self, key: bytes, timestamp: Timestamp) -> bool:
        """Tell whether a version is known to have had its time."""
        name = key + timestamp
        return name in self._latest or name in self._before

    def knows(self, now_s: float) -> bool:
        """Tell whether what is not remembered was not here in the last WINDOW_S."""
        return now_s >= self._ignorant_until_s

    def pass_time(self, now_s: float) -> None:
        """Forget what is too old to matter."""
        if now_s >= self._turns_at_s:
            self._before, self._latest = self._latest, set()
            self._turns_at_s = now_s + WINDOW_S
