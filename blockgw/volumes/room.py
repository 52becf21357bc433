"""How many chunks a gateway knows something about, over all volumes that it has open.

What is known of a chunk takes some 3 KB. When there is too much of it, the volume that knows most forgets what it can:
of chunks that nothing is on its way to, and that are met again by asking their replicas. So memory is bounded by the
limit and by what is under way, however large volumes are, and however many.
"""

from typing import Protocol

LIMIT = 32_768  # chunks: 128 GiB of volumes that need not be asked for again; some 100 MB
_SHARE = 16  # of the limit, that come in between two looks, and that are forgotten beyond it


class Knower(Protocol):
    """An open volume."""

    @property
    def known_count(self) -> int:
        """How many chunks it knows."""

    def forget(self, count: int) -> None:
        """Forget so many, if it can."""


class Room:
    """Of one gateway."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._step = max(1, limit // _SHARE)
        self._limit = limit - self._step
        self._volumes: dict[Knower, None] = {}
        self._entered = 0

    def __repr__(self) -> str:
        return f"Room({sum(each.known_count for each in self._volumes)} of {self._limit} chunks)"

    def join(self, volume: Knower) -> None:
        """Count a volume's chunks from now on."""
        self._volumes[volume] = None

    def leave(self, volume: Knower) -> None:
        """Count them no more: it has none, or never uses them again."""
        self._volumes.pop(volume, None)

    def enter(self) -> None:
        """Note that a volume has come to know one more."""
        self._entered += 1
        if self._entered >= self._step:
            self._entered = 0
            self._look()

    def _look(self) -> None:
        known = {volume: volume.known_count for volume in self._volumes}
        excess = sum(known.values()) - self._limit
        for volume, count in sorted(known.items(), key=lambda item: -item[1]):
            if excess <= 0:
                return
            volume.forget(min(excess + self._step, count))
            excess -= count - volume.known_count
