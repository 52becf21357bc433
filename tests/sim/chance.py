"""Randomness from a seed, in streams that do not disturb each other.

One generator for all would make every decision depend on how often anybody else has asked. So each part has its own,
under a name.
"""

import random
from collections.abc import Callable


class Chance:
    """What a seed decides."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __repr__(self) -> str:
        return f"Chance({self.seed})"

    def stream(self, name: str) -> random.Random:
        """Return the generator of one part."""
        return random.Random(f"{self.seed}/{name}")

    def entropy(self, name: str) -> Callable[[int], bytes]:
        """Return a source of random bytes."""
        return self.stream(f"entropy of {name}").randbytes


def delay(chance: random.Random, typical_s: float) -> float:
    """Return a delay around `typical_s`: mostly near, sometimes ten times as long."""
    return typical_s * (0.3 + 1.4 * chance.random()) * (10.0 if chance.random() < 0.02 else 1.0)
