"""Hybrid logical clock: unique, ordered version timestamps, whatever the wall clocks say.

Source: Kulkarni et al., "Logical Physical Clocks", OPODIS 2014. A `Timestamp` is 16 bytes,
big-endian: microseconds since 1970 (8), logical counter (4), node (4), so that the order of the
bytes is the order of the versions, in memory, in LMDB and in SQLite alike.

Invariant: `now()` is larger than everything that this clock has returned or was told of. A wall
clock that jumps back slows nothing down and repeats nothing: the counter runs on instead.
What users see as last-modified is wall time and is kept apart from these.
"""

import struct
import time
from collections.abc import Callable
from typing import NewType

Timestamp = NewType("Timestamp", bytes)

_LAYOUT = struct.Struct(">QII")
TIMESTAMP_SIZE = _LAYOUT.size
assert TIMESTAMP_SIZE == 16

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


def just_after(timestamp: Timestamp) -> Timestamp:
    """Return the least timestamp above `timestamp`: what any clock gives for a later version is above both."""
    return Timestamp((int.from_bytes(timestamp, "big") + 1).to_bytes(TIMESTAMP_SIZE, "big"))


def is_timestamp(value: object) -> bool:
    """Tell whether `value`, which came from a peer, has the shape of a timestamp."""
    return isinstance(value, bytes) and len(value) == TIMESTAMP_SIZE


class HybridClock:
    """The clock of one process; `node` must differ between the processes of a cluster."""

    __slots__ = ("_counter", "_microseconds", "_node", "_wall_us")

    def __init__(self, node: int, wall: Callable[[], int] = wall_us) -> None:
        self._node = node & 0xFFFFFFFF
        self._wall_us = wall
        self._microseconds = 0
        self._counter = 0

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
        """Move on to at least `timestamp`, which a peer has shown us."""
        microseconds, counter, _node = _LAYOUT.unpack(timestamp)
        if (microseconds, counter) > (self._microseconds, self._counter):
            self._microseconds, self._counter = microseconds, counter
