"""Takes the real clock and real randomness away from a process that simulates.

The code under test gets its clock and entropy handed in (`cluster.environment`). What nevertheless asks the system,
ours or a library, finds the simulation's time and a seeded stream, so that a seed replays exactly whatever it is.

Sets of futures, which have the order of their addresses, keep the order in which they were awaited.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.sim.chance import Chance


def seal(chance: Chance, now: Callable[[], float], epoch_us: int) -> None:
    """Do it, for good."""
    os.urandom = chance.entropy("system")
    random.seed(f"{chance.seed}/system")

    def wall_ns() -> int:
        return epoch_us * 1000 + int(now() * 1e9)

    time.time_ns = wall_ns
    time.time = lambda: wall_ns() / 1e9
    time.monotonic = now
    time.monotonic_ns = lambda: int(now() * 1e9)
    asyncio.wait = _wait


class _InOrder(set[Any]):
    """A set whose members come in a given order."""

    def __init__(self, members: Iterable[Any]) -> None:
        self._order = list(members)
        super().__init__(self._order)

    def __iter__(self) -> Iterator[Any]:
        return (member for member in self._order if member in self)


_unordered_wait = asyncio.wait


async def _wait(fs: Iterable[Any], **how: Any) -> tuple[set[Any], set[Any]]:
    """Wait as asyncio does."""
    awaited = list(fs)
    done, pending = await _unordered_wait(awaited, **how)
    return _InOrder(one for one in awaited if one in done), _InOrder(one for one in awaited if one in pending)
