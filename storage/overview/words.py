"""Figures as people read them."""

import time

_UNITS = ("kB", "MB", "GB", "TB", "PB")  # powers of 1000, as disks are sold


def bytes_shown(count: float) -> str:
    """Return so many bytes in words: 1.2 GB."""
    if count < 1000:
        return f"{count:.0f} bytes"
    for unit in _UNITS:
        count /= 1000
        if count < 999.5 or unit == _UNITS[-1]:
            return f"{count:.3g} {unit}" if count < 1000 else f"{count:.0f} {unit}"
    raise AssertionError("unreachable")


def duration(seconds: float) -> str:
    """Return so many seconds in words, in the unit that fits: 4 min."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.95 * size or (unit == "min" and seconds >= 99.5):
            return f"{seconds / size:.0f} {unit}"
    return f"{max(1, round(seconds))} s"


def ago(when_s: float) -> str:
    """Return for how long something is so, given the wall time since which it is."""
    return duration(max(0.0, time.time() - when_s))


def listed(names: list[str]) -> str:
    """Return "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
