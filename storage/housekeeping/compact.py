"""Space of dead records is given back: a few records are moved at a time, with pauses between."""

from typing import Protocol

PAUSE_S = 0.02  # between two steps of some records each: clients come first
INTERVAL_S = 30.0  # between looks for segments that are mostly dead


class Compaction(Protocol):
    """The work itself (storage.blobs.compaction)."""

    async def step(self) -> bool:
        """Do a bounded amount of it; tell whether there was any."""


class Compact:
    """The housekeeping task."""

    name = "compact"

    def __init__(self, compaction: Compaction) -> None:
        self._compaction = compaction

    async def step(self) -> float:
        """Move some records, or drop a segment that has none."""
        return PAUSE_S if await self._compaction.step() else INTERVAL_S
