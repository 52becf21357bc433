"""What a daemon takes from the world beside its disk: time of day, randomness, sockets and threads.

All of it comes in here, so that a simulator which hands in its own decides everything that happens. Intervals are not
here: they are the event loop's time.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cluster.clock import wall_us
from cluster.threads import CALLS_LIMIT, Waiters, WaiterThreads
from cluster.wire.network import Network, SocketNetwork

_SOCKETS = SocketNetwork()


class Threads(Protocol):
    """Makes threads."""

    def __call__(self, count: int, name: str, calls_limit: int = CALLS_LIMIT) -> Waiters:
        """Return `count` threads; beyond `calls_limit` calls at a time they refuse."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Of one process."""

    wall_us: Callable[[], int] = wall_us  # microseconds since 1970; may be wrong, and may jump
    entropy: Callable[[int], bytes] = os.urandom  # so many random bytes
    network: Network = _SOCKETS
    threads: Threads = WaiterThreads

    def jittered(self, delay_s: float) -> float:
        """Return a delay somewhat shorter or longer, so that those who collided do not collide again."""
        return delay_s * (0.5 + int.from_bytes(self.entropy(2), "big") / 0x10000)


REAL = Environment()
