"""Hybrid logical clock: unique, ordered version timestamps, whatever the wall clocks say.

Source: Kulkarni et al., "Logical Physical Clocks", OPODIS 2014. A `Timestamp` is 16 bytes,
big-endian: microseconds since 1970 (8), logical counter (4), node (4), so that the order of the
bytes is the order of the versions, in memory, in LMDB and in SQLite alike.

Invariant: `now()` is larger than everything that this clock has returned or was told of. A wall
clock that jumps back slows nothing down and repeats nothing: the counter runs on instead.

But for what is far ahead (MAX_AHEAD_US): one node in the year 2100 would carry all others there, for ever. Such
timestamps do not move a clock; who must be above one, because a name has it by now, asks for `after`.
What users see as last-modified is wall time and is kept apart from these.
"""

import struct
import time
from collections.abc import Callable, Iterable
from typing import NewType

Timestamp = NewType("Timestamp", bytes)

_LAYOUT = struct.Struct(">QII")
TIMESTAMP_SIZE = _LAYOUT.size
assert TIMESTAMP_SIZE == 16

MAX_AHEAD_US = 24 * 3600 * 1_000_000  # of a timestamp before the clock that it was made by counts as broken
_FAR_LIMIT = 1000  # moments far ahead that a clock remembers to have gone beyond

ZERO = Timestamp(bytes(TIMESTAMP_SIZE))  # older than every version
_COUNTER_LIMIT = 1 << 32


def wall_us() -> int:
    """Return the wall clock in microseconds since 1970."""
    return time.time_ns() // 1000


def pack(microseconds: int, counter: int, node: int) -> Timestamp:
    """Return the timestamp made of its three parts."""
    return Timestamp(_LAYOUT.pack(microseconds, counter, node))


def microseconds_of(timestamp: Timestamp) -> int:
    """Return the physical part of `timestamp`, in microseconds since 1970."""
    return int.from_bytes(timestamp[:8], "big")


def is_recent(timestamp: Timestamp, now_us: int, within_s: float) -> bool:
    """Tell whether `timestamp` is of about now, by a clock that may be off, and so may the one it was made by.

    One that lies further ahead than `within_s` says nothing of its age; to wait for it to come true would only delay.
    """
    return abs(now_us - microseconds_of(timestamp)) < within_s * 1e6


def node_of(timestamp: Timestamp) -> int:
    """Return which node's clock gave `timestamp`."""
    return int.from_bytes(timestamp[12:], "big")


def is_far_ahead(timestamp: Timestamp, now_us: int) -> bool:
    """Tell whether `timestamp` is further ahead than any clock should be that somebody looks after."""
    return microseconds_of(timestamp) > now_us + MAX_AHEAD_US


def just_after(timestamp: Timestamp) -> Timestamp:
    """Return the least timestamp above `timestamp`: what any clock gives for a later version is above both."""
    return Timestamp((int.from_bytes(timestamp, "big") + 1).to_bytes(TIMESTAMP_SIZE, "big"))


def is_timestamp(value: object) -> bool:
    """Tell whether `value`, which came from a peer, has the shape of a timestamp."""
    return isinstance(value, bytes) and len(value) == TIMESTAMP_SIZE


def deviation_s(offsets_s: Iterable[float | None]) -> float | None:
    """Return how far our wall clock is ahead of the median of others, given how far each of them is ahead of ours.

    None when too few are known to say whose clock is wrong: with one other clock, it may be either.
    """
    known = sorted(offset_s for offset_s in offsets_s if offset_s is not None)
    if len(known) < 2:
        return None
    middle = len(known) // 2
    median_s = known[middle] if len(known) % 2 else (known[middle - 1] + known[middle]) / 2
    return -median_s


class HybridClock:
    """The clock of one process; `node` must differ between the processes of a cluster."""

    __slots__ = ("_counter", "_far", "_microseconds", "_node", "_wall_us")

    def __init__(self, node: int, wall: Callable[[], int] = wall_us) -> None:
        self._node = node & 0xFFFFFFFF
        self._wall_us = wall
        self._microseconds = 0
        self._counter = 0
        self._far: dict[int, int] = {}  # microseconds far ahead -> the counter that `after` gave last

    def __repr__(self) -> str:
        return f"HybridClock(node={self._node:#x}, at={self._microseconds}us+{self._counter})"

    def now(self) -> Timestamp:
        """Return a timestamp larger than all that this clock has returned or observed."""
        wall = self._wall_us()
        if wall > self._microseconds:
            self._microseconds, self._counter = wall, 0
        else:
            self._counter += 1
            assert self._counter < _COUNTER_LIMIT, "four thousand million events within a microsecond"
        return Timestamp(_LAYOUT.pack(self._microseconds, self._counter, self._node))

    def observe(self, timestamp: Timestamp) -> None:
        """Move on to at least `timestamp`, which a peer has shown us, unless it is far ahead."""
        microseconds, counter, _node = _LAYOUT.unpack(timestamp)
        if (microseconds, counter) > (self._microseconds, self._counter):
            if microseconds > self._microseconds and microseconds > self._wall_us() + MAX_AHEAD_US:
                return
            self._microseconds, self._counter = microseconds, counter

    def after(self, timestamp: Timestamp) -> Timestamp:
        """Return a timestamp larger than `timestamp`, and unlike all that this clock has returned."""
        self.observe(timestamp)
        now = self.now()
        if now > timestamp:
            return now
        microseconds, counter, _node = _LAYOUT.unpack(timestamp)
        if len(self._far) >= _FAR_LIMIT:
            self._far.clear()
        counter = self._far[microseconds] = max(counter, self._far.get(microseconds, 0)) + 1
        assert counter < _COUNTER_LIMIT, "four thousand million versions of one moment"
        return Timestamp(_LAYOUT.pack(microseconds, counter, self._node))
