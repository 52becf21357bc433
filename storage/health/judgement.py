"""What a device's hardware is taken to be, from what was observed of it. Pure: no clock, no I/O.

The gravest of all that speaks applies. A single late answer is no proof of anything, so what makes a disk count as
hanging is a call that is *still* under way; and whether it is well again is for the next heartbeat to say, never for
time that has passed.
"""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass

from storage.health.condition import Condition

READ_ERRORS_LIMIT = 3  # in ERROR_MEMORY_S; fewer are single bad sectors, which peers and scrub see to
ERROR_MEMORY_S = 60.0
_READ_ONLY = os.strerror(errno.EROFS)  # as it is in the text of errors
SLOW_BEATS = 3  # of the last ones, all slower than the limit


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on something counts."""

    hang_after_s: float = 2.0
    slow_after_s: float = 0.5
    warn_ratio: float = 0.85
    copies_ratio: float = 0.90
    refuse_ratio: float = 0.95


@dataclass(frozen=True, slots=True)
class Beat:
    """What one heartbeat found; `condition` OK: it was written, synced and read back."""

    condition: Condition
    reason: str = ""
    took_s: float = 0.0
    used_ratio: float = 0.0  # of the file system


@dataclass(frozen=True, slots=True)
class Observations:
    """What is known at one moment. Times in seconds of the monotonic clock."""

    now_s: float
    beats: Sequence[Beat] = ()  # the last ones, oldest first
    beat_since_s: float | None = None  # a heartbeat is under way since then
    batch_since_s: float | None = None  # the log's current batch is at the disk since then
    log_failure: str = ""  # why the log takes nothing any more
    log_is_full: bool = False  # the last append found no space
    write_failure: str = ""  # of a file beside the log, since the process began
    read_errors: int = 0  # in the last ERROR_MEMORY_S


@dataclass(frozen=True, slots=True)
class Verdict:
    """A condition and the reason for it."""

    condition: Condition
    reason: str = ""


def judge(seen: Observations, limits: Limits) -> Verdict:
    """Return the state of the hardware."""
    last = seen.beats[-1] if seen.beats else Beat(Condition.OK)
    if last.condition.is_elsewhere:
        return Verdict(last.condition, last.reason)
    hanging = _hanging(seen, limits)
    if hanging:
        return Verdict(Condition.HANGING, hanging)
    if last.condition.is_out:
        return Verdict(last.condition, last.reason)
    failure = seen.log_failure or seen.write_failure
    if failure:
        return Verdict(Condition.READ_ONLY if _READ_ONLY in failure else Condition.FAILING, failure)
    return _serving(seen, last, limits)


def _hanging(seen: Observations, limits: Limits) -> str:
    """Return which call the disk does not answer; empty when none is overdue."""
    calls = {"a batch of the log": seen.batch_since_s, "a small write": seen.beat_since_s}
    waits = {what: seen.now_s - since_s for what, since_s in calls.items() if since_s is not None}
    overdue = {what: waited_s for what, waited_s in waits.items() if waited_s >= limits.hang_after_s}
    if not overdue:
        return ""
    what = max(overdue, key=lambda each: overdue[each])
    return f"{what} has been at the disk for {limits.hang_after_s:g} s and more"


def _serving(seen: Observations, last: Beat, limits: Limits) -> Verdict:
    """Return the state of a disk that reads and writes."""
    used = f"{last.used_ratio:.0%} of the file system is used"
    if seen.log_is_full or last.condition is Condition.FULL:
        return Verdict(Condition.FULL, f"no space is left; {used}")
    if last.used_ratio >= limits.refuse_ratio:
        return Verdict(Condition.FULL, used)
    if seen.read_errors >= READ_ERRORS_LIMIT:
        return Verdict(Condition.ERRORS, f"{seen.read_errors} reads failed in the last minute")
    if last.used_ratio >= limits.copies_ratio:
        return Verdict(Condition.CROWDED, used)
    if last.used_ratio >= limits.warn_ratio:
        return Verdict(Condition.FILLING, used)
    recent = seen.beats[-SLOW_BEATS:]
    if len(recent) == SLOW_BEATS and min(beat.took_s for beat in recent) >= limits.slow_after_s:
        return Verdict(Condition.SLOW, f"a small write takes {last.took_s:.1f} s")
    return Verdict(Condition.OK)


def is_well(seen: Observations, limits: Limits, beats: int = 2) -> bool:
    """Tell whether the disk itself is usable again, whatever the log of this process has met before."""
    recent = seen.beats[-beats:]
    usable = len(recent) == beats and not any(beat.condition.is_out for beat in recent)
    return usable and (seen.beat_since_s is None or seen.now_s - seen.beat_since_s < limits.hang_after_s)
