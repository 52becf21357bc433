"""Watches a device's hardware while it runs: looks, judges, tells whoever acts, and says when to start again.

Heartbeats run in threads of their own, one at a time. One that hangs cannot be killed: it is left alone, and another
one is tried after a while, because the disk may have been replaced under the path; their number is bounded.

A condition that is final stays, whatever comes after: `ended` then resolves as soon as the disk is well again, and the
process is to leave for one that recovers. It resolves at once when the directory is not there any more: the file
system could not be unmounted, nor a disk pulled, while this process has files open.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from cluster.clock import wall_us
from cluster.telemetry.log import get_logger
from storage.health.condition import Condition, Health
from storage.health.heartbeat import Place, beat
from storage.health.judgement import Beat, Limits, Observations, Verdict, is_well, judge

LOOK_S = 0.1  # between two looks: how much later than its limit a hang is noticed
LATE_S = 0.5  # a look that comes so late says more about this process (stopped, starved) than about the disk
UNWELL_INTERVAL_S = 1.0  # between heartbeats while something is wrong
ABANDONED_LIMIT = 6  # threads that hang
_BEATS_KEPT = 8

_log = get_logger("storage.health")


@dataclass(frozen=True, slots=True)
class Signs:
    """What the device itself has met. See judgement.Observations."""

    batch_since_s: float | None = None
    log_failure: str = ""
    log_is_full: bool = False
    write_failure: str = ""
    read_errors: int = 0


class Pulse(Protocol):
    """Looks at the disk, in a thread."""

    def __call__(self, place: Place, number: int) -> Beat: ...


class Monitor:
    """The watch over one device."""

    def __init__(
        self,
        place: Place,
        limits: Limits,
        interval_s: float,
        signs: Callable[[], Signs],
        on_change: Callable[[Health], None],
        *,
        pause_s: Callable[[], float] = lambda: 0.0,
        pulse: Pulse = beat,
        now_us: Callable[[], int] = wall_us,
    ) -> None:
        """`pause_s` is how long to stay out after a final failure, asked once it is known."""
        self._place = place
        self._limits = limits
        self._interval_s = interval_s
        self._signs = signs
        self._on_change = on_change
        self._pause_s = pause_s
        self._pulse = pulse
        self._now_us = now_us
        self._loop = asyncio.get_running_loop()
        self._beats: deque[Beat] = deque(maxlen=_BEATS_KEPT)
        self._number = 0
        self._under_way: dict[int, float] = {}  # number of a heartbeat -> since when
        self._next_beat_s = 0.0
        self._not_before_s: float | None = None  # when to leave, at the earliest; None: nothing final has happened
        self.health = Health(since_us=now_us())
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"Monitor({self._place.directory}, {self.health.condition.label})"

    @property
    def beat_s(self) -> float:
        """How long the last heartbeat took."""
        return self._beats[-1].took_s if self._beats else 0.0

    def start(self) -> None:
        """Begin to watch."""
        self._task = self._loop.create_task(self._watch())

    async def close(self) -> None:
        """Watch no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        last_s = self._loop.time()
        while True:
            now_s = self._loop.time()
            self._beat_if_due(now_s)
            if now_s - last_s < LATE_S:  # else answers wait for this loop, not for the disk
                self._look(now_s)
            last_s = now_s
            await asyncio.sleep(LOOK_S)

    def _beat_if_due(self, now_s: float) -> None:
        if now_s < self._next_beat_s or len(self._under_way) >= ABANDONED_LIMIT:
            return
        newest = max(self._under_way.values(), default=None)
        if newest is not None and now_s - newest < self._limits.hang_after_s * 2 ** len(self._under_way):
            return
        unwell = self.health.condition.is_out
        self._next_beat_s = now_s + (min(UNWELL_INTERVAL_S, self._interval_s) if unwell else self._interval_s)
        self._number += 1
        try:
            threading.Thread(target=self._beat, args=(self._number,), name="heartbeat", daemon=True).start()
        except RuntimeError as error:  # no more threads for now: that says nothing of the disk, and the watch goes on
            _log.error("no_heartbeat", directory=self._place.directory, error=error)
        else:
            self._under_way[self._number] = now_s

    def _beat(self, number: int) -> None:
        """Look at the disk. In a thread."""
        try:
            found = self._pulse(self._place, number)
        except Exception as error:  # the thread ends here: what it has met is an answer, too
            found = Beat(Condition.FAILING, repr(error))
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._answered, number, found)

    def _answered(self, number: int, found: Beat) -> None:
        self._beats.append(found)
        for older in [each for each in self._under_way if each <= number]:
            del self._under_way[older]  # what hangs longer than a later one does not count any more

    def _seen(self, now_s: float) -> Observations:
        signs = self._signs()
        return Observations(
            now_s=now_s,
            beats=tuple(self._beats),
            beat_since_s=min(self._under_way.values(), default=None),
            batch_since_s=signs.batch_since_s,
            log_failure=signs.log_failure,
            log_is_full=signs.log_is_full,
            write_failure=signs.write_failure,
            read_errors=signs.read_errors,
        )

    def _look(self, now_s: float) -> None:
        seen = self._seen(now_s)
        verdict = judge(seen, self._limits)
        worse = verdict.condition.is_final and verdict.condition.service < self.health.service
        if self._not_before_s is None or verdict.condition.is_elsewhere or worse:
            self._take(verdict, now_s)
        if self._not_before_s is None or self.ended.done():
            return
        well = now_s >= self._not_before_s and is_well(seen, self._limits)
        if well or self.health.condition.is_elsewhere:
            self.ended.set_result(None)

    def _take(self, verdict: Verdict, now_s: float) -> None:
        if verdict.condition is self.health.condition:
            return
        before, self.health = self.health, Health(verdict.condition, verdict.reason, self._now_us())
        tell = _log.error if verdict.condition.is_out else _log.warning
        (_log.info if verdict.condition is Condition.OK else tell)(
            "disk_" + verdict.condition.label.replace("-", "_"), before=before.condition.label, reason=verdict.reason
        )
        self._on_change(self.health)
        if verdict.condition.is_final and self._not_before_s is None:
            self._not_before_s = now_s + self._pause_s()
