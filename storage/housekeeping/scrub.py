"""Reads every byte of a device once a cycle, so that damage is found while there are other copies.

What it reads are areas (storage.area): log, files, databases. Each piece is paid for with the rate that is configured
and with the device's budget for all background work, so clients come first; nothing is read in a burst, not at start
either. What is found is healed elsewhere (storage.housekeeping.heal), which is waited for when there is much of it.

Where a pass is, and what the last one came to, is in a small file, written every few seconds: after a crash a piece is
read twice, and never passed over. A pass that is asked for begins anew at once.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from cluster.clock import wall_us
from cluster.telemetry.log import get_logger
from cluster.threads import Waiters
from storage.area import Area
from storage.disk import Disk, read_small_file, replace_small_file
from storage.housekeeping.budget import UNLIMITED, Both, Budget, Waiting

SAVE_S = 4.0  # between two notes of the position
CROWDED_S = 1.0  # between two looks whether there is room for more that is damaged
IDLE_S = 600.0  # at most, between two looks whether a pass is due
_VERSION = 1
_log = get_logger("storage")


class Listed(Protocol):
    """What was found damaged in objects (storage.blobs.quarantine)."""

    found_count: int
    healed_count: int

    @property
    def crowded(self) -> bool:
        """Whether it is healed first."""


@dataclass(slots=True)
class Pass:
    """One pass over a device."""

    started_us: int
    area: str = ""  # that is being read
    position: str = ""  # in it
    read: int = 0  # bytes
    found: int = 0  # damaged: by this pass, and by clients' reads meanwhile
    healed: int = 0
    finished_us: int = 0  # 0: it goes on


class Scrub:
    """The housekeeping task."""

    name = "scrub"

    def __init__(
        self,
        areas: Sequence[Area],
        listed: Listed,
        disk: Disk,
        path: str,
        waiters: Waiters,
        bytes_per_s: int,
        cycle_s: float,
        budget: Waiting = UNLIMITED,
        wall: Callable[[], int] = wall_us,
    ) -> None:
        """Blocking: reads where it was."""
        self._areas = {area.name: area for area in areas}
        self._order = [area.name for area in areas]
        self._listed = listed
        self._disk = disk
        self._path = path
        self._waiters = waiters
        self._rate = bytes_per_s
        self._budget = Both(Budget(bytes_per_s, bytes_per_s), budget)
        self._cycle_s = cycle_s
        self._wall_us = wall
        self._sizes: dict[str, int] = {}  # bytes of each area
        self._share = 0.0  # of the area that is being read
        self._requested = False
        self._saved_at = 0.0  # loop time
        self._stepping: asyncio.Future[Any] | None = None
        self._counted = (0, 0)  # found and healed, as far as passes know of it
        self.current: Pass | None = None
        self.last: Pass | None = None
        self.read_bytes = self.pass_count = 0  # since the device was opened
        self._load()

    @property
    def paused(self) -> bool:
        """It reads nothing."""
        return self._rate == 0

    @property
    def found_count(self) -> int:
        """What was found damaged since the device was opened, by whoever read it."""
        return self._listed.found_count + sum(area.found_count for area in self._areas.values())

    @property
    def healed_count(self) -> int:
        """What of it was made good."""
        return self._listed.healed_count + sum(area.healed_count for area in self._areas.values())

    @property
    def share(self) -> float:
        """How much of the pass under way is done, 0 to 1; 1 between two passes."""
        if self.current is None:
            return 1.0
        index = self._order.index(self.current.area)
        sizes = [self._sizes.get(name, 0) for name in self._order]
        done = sum(sizes[:index]) + self._share * sizes[index]
        return done / sum(sizes) if sum(sizes) else (index + self._share) / len(sizes)

    def request(self) -> bool:
        """Have a pass begin now, instead of the one that may be under way; tell whether that can be."""
        self._requested = not self.paused
        return self._requested

    def progress(self) -> dict[str, Any]:
        """Return its state, for operators."""
        self._count()
        return {
            "paused": self.paused,
            "bytes_per_s": self._rate,
            "cycle_s": self._cycle_s,
            "bytes": sum(self._sizes.values()),
            "too_slow": not self.paused and sum(self._sizes.values()) / self._rate > self._cycle_s,
            "requested": self._requested,
            "share": round(self.share, 4),
            "current": None if self.current is None else asdict(self.current),
            "last": None if self.last is None else asdict(self.last),
        }

    async def step(self) -> float:
        """Read one piece, if there is a pass to go on with or to begin."""
        if self.paused:
            return IDLE_S
        if self._requested or self.current is None:
            wait_s = self._due_in_s()
            if wait_s > 0 and not self._requested:
                return min(wait_s, IDLE_S)
            await self._begin()
        if self._listed.crowded:
            return CROWDED_S
        await self._read_on()
        return 0.0

    async def close(self) -> None:
        """Note the position, and let go of what is open. No step is taken after this."""
        if self._stepping is not None:
            await asyncio.wait([self._stepping])
        for area in self._areas.values():
            area.close()
        if not self.paused:
            await self._waiters.run(self._save)

    def _due_in_s(self) -> float:
        """Return in how many seconds the next pass is to begin."""
        if self.last is None:
            return 0.0
        since_s = (self._wall_us() - self.last.started_us) / 1e6
        return self._cycle_s - since_s if since_s >= 0 else 0.0  # the clock was put back: we do not know

    async def _begin(self) -> None:
        self._requested = False
        for area in self._areas.values():
            area.close()
        self._count()
        self.current = Pass(self._wall_us(), self._order[0])
        self._share = 0.0
        await self._measure()
        _log.info("scrub_begins", bytes=sum(self._sizes.values()))

    async def _measure(self) -> None:
        for name, area in self._areas.items():
            self._sizes[name] = await area.size()

    async def _read_on(self) -> None:
        current = self.current
        assert current is not None
        if not self._sizes:
            await self._measure()
        self._stepping = asyncio.ensure_future(self._areas[current.area].step(current.position))
        piece = await asyncio.shield(self._stepping)  # a thread reads: it is not to be left alone with the file
        current.read += piece.size
        self.read_bytes += piece.size
        self._share = piece.share
        if piece.position is not None:
            current.position = piece.position
        else:
            self._finish_area(current)
        self._count()
        await self._budget.took(piece.cost)
        await self._save_at_times()

    def _finish_area(self, current: Pass) -> None:
        index = self._order.index(current.area) + 1
        self._areas[current.area].close()
        self._share = 0.0
        if index < len(self._order):
            current.area, current.position = self._order[index], ""
            return
        self._count()
        current.finished_us = self._wall_us()
        self.last, self.current = current, None
        self.pass_count += 1
        self._saved_at = 0.0
        _log.info("scrub_ends", read=current.read, found=current.found, healed=current.healed)

    def _count(self) -> None:
        """Give what was found and healed since the last time to the pass that it belongs to."""
        now = self.found_count, self.healed_count
        found, healed = now[0] - self._counted[0], now[1] - self._counted[1]
        self._counted = now
        target = self.current or self.last
        if target is not None:
            target.found += found
            target.healed += healed

    # where it is

    async def _save_at_times(self) -> None:
        now = asyncio.get_running_loop().time()
        if self.current is None or now - self._saved_at >= SAVE_S:
            self._saved_at = now
            await self._waiters.run(self._save)

    def _save(self) -> None:
        state = {
            "version": _VERSION,
            "current": None if self.current is None else asdict(self.current),
            "last": None if self.last is None else asdict(self.last),
        }
        replace_small_file(self._disk, self._path, json.dumps(state).encode())

    def _load(self) -> None:
        """Take up where we were; from the beginning when that cannot be read."""
        content = read_small_file(self._disk, self._path)
        if content is None:
            return
        try:
            state = json.loads(content)
            if state["version"] != _VERSION:
                return
            last = None if state["last"] is None else Pass(**state["last"])
            current = None if state["current"] is None else Pass(**state["current"])
        except (ValueError, TypeError, KeyError):
            _log.warning("scrub_position_unreadable", path=self._path)
            return
        self.last = last
        if current is not None and current.area in self._areas:
            self.current = current
