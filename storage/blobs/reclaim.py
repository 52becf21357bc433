"""What a device does when tombstones that are old are given up (storage.housekeeping.reclaim; docs/reclaim.md).

Where a tombstone is gone, nothing tells an old write any more that it comes too late. So before one goes, the floor
is raised above it, durably: a write below the floor of a name of which nothing is here is refused, as if a promise had
been given for every name (PROMISED; its writer takes a higher timestamp). The floor lies days in the past: it concerns
nobody but writes that slept for so long. Copies pass: a device that is filled from others takes what is old, too.

The floor only rises. It is a file, `reclaim-floor`: a timestamp, written before anything relies on it; a file that
cannot be read counts as none, which is no worse than a new device.
"""

import asyncio
import os
from collections.abc import Callable, Sequence

from cluster.clock import TIMESTAMP_SIZE, Timestamp, microseconds_of
from cluster.threads import Waiters
from cluster.wire import RemoteError
from storage.blobs.commits import Commits
from storage.blobs.index import BlobIndex
from storage.disk import Disk, read_small_file, replace_small_file
from storage.log.interface import refusal_of
from storage.messages import Holding, Refusal

_FILE = "reclaim-floor"
_GRAVES = 1000  # looked at in one step

Versions = Sequence[tuple[bytes, Timestamp]]


class Reclaims:
    """Of one device."""

    def __init__(
        self,
        disk: Disk,
        directory: str,
        index: BlobIndex,
        commits: Commits,
        waiters: Waiters,
        wall: Callable[[], int],
    ) -> None:
        self._disk = disk
        self._path = os.path.join(directory, _FILE)
        self._index = index
        self._commits = commits
        self._waiters = waiters
        self._wall_us = wall
        self._graves_from = b""
        self._writing: asyncio.Task[None] | None = None  # of the floor, into its file: one at a time
        found = read_small_file(disk, self._path)
        if found is not None and len(found) == TIMESTAMP_SIZE:
            commits.reclaim_floor = Timestamp(found)
        self._durable_floor = commits.reclaim_floor

    @property
    def floor(self) -> Timestamp:
        """Below it no write begins a name."""
        return self._commits.reclaim_floor

    async def raise_floor(self, floor: Timestamp) -> None:
        """Refuse, from now on and for ever, writes below `floor` of names of which nothing is here.

        Durable when it returns, whoever else is raising the floor meanwhile, or has tried to. LogRefusal.
        """
        if microseconds_of(floor) > self._wall_us():
            raise RemoteError(Refusal.BUSY, "a floor in the future: clocks differ")
        self._commits.reclaim_floor = max(self.floor, floor)  # at once: whoever asks next counts on it
        while self._durable_floor < floor:
            if self._writing is None or self._writing.done():
                self._writing = asyncio.get_running_loop().create_task(self._write_floor(self.floor))
            await asyncio.shield(self._writing)  # others may wait for it, too

    async def _write_floor(self, floor: Timestamp) -> None:
        try:
            await self._waiters.run(replace_small_file, self._disk, self._path, bytes(floor))
        except OSError as error:
            raise refusal_of("floor", error) from error
        self._durable_floor = floor

    def holding(self, key: bytes, timestamp: Timestamp) -> Holding:
        """Tell what is here of a name whose tombstone `timestamp` is to go."""
        if self._commits.pending(key) is not None:
            return Holding.OTHER
        entry = self._index.get(key)
        if entry is None:
            return Holding.NOTHING
        same = entry.deleted and entry.timestamp == timestamp and self._index.is_listed(key, timestamp)
        return Holding.TOMBSTONE if same else Holding.OTHER

    async def forget(self, tombstones: Versions) -> int:
        """Hold these tombstones no more, where nothing else is here; return how many went. Durable when it returns."""
        held = [name for name in tombstones if self.holding(*name) is Holding.TOMBSTONE]
        if held:
            await self._commits.forget(held)
        return len(held)

    def due(self, start: bytes, age_s: float, limit: int) -> tuple[list[tuple[bytes, Timestamp]], bytes]:
        """Return tombstones older than `age_s`, oldest first, and where to go on, b"": there are no more."""
        return self._index.tombstones(start, self._wall_us() - int(age_s * 1e6), limit)

    def tidy(self) -> bool:
        """Look at some graves; tell whether there are more to look at."""
        self._graves_from = self._index.clear_graves(self._graves_from, _GRAVES)
        return self._graves_from != b""
