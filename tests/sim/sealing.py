"""Takes the real clock and real randomness away from a process that simulates.

The code under test gets its clock and entropy handed in (`cluster.environment`). What nevertheless asks the system,
ours or a library, finds the simulation's time and a seeded stream, so that a seed replays exactly whatever it is.
"""

import os
import random
import time
from collections.abc import Callable

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
