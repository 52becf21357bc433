"""The shape of a simulation: what is drawn before it begins, of the cluster and of what happens to it.

Each seed is about one of three things, so that the rule which matters to it is at work there and can be broken:

- the rings change while clients work, more than once perhaps (`changes_rings`);
- what is stored rots on one device (`rots`);
- a device loses all that it has (`loses_data`).

Besides, some contend: few names, many conditional writes, a slow and uneven network, clocks that differ; and some have
split containers. Everything else can happen in any.
"""

import random
from dataclasses import dataclass

PART_POWER = 4
REPLICAS = 3
NAMES = ("a", "b", "d/1", "d/2")
FEW = ("a", "b")
COLD = tuple(f"x/{number}" for number in range(12))
WIDE = tuple(f"{letter}/{number}" for letter in "abcd" for number in range(6))


def changes_rings(seed: int) -> bool:
    """Tell whether the rings change in a seed."""
    return seed % 3 == 0


def rots(seed: int) -> bool:
    """Tell whether bits are turned over in what a device has stored."""
    return seed % 3 == 1


def loses_data(seed: int) -> bool:
    """Tell whether a device loses its disk."""
    return seed % 3 == 2


def contends(seed: int) -> bool:
    """Tell whether many write few names at once."""
    return seed % 4 == 1


def splits(seed: int) -> bool:
    """Tell whether containers are split."""
    return seed % 5 == 4 and not contends(seed)


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a cluster, and of what is asked of it."""

    device_count: int
    spare_count: int = 2  # that can be added
    proxy_count: int = 2
    delay_s: float = 0.0003  # of the network, each way; the slower it is, the more happens at once
    unevenness: float = 1.0  # by up to so much links are faster or slower than that
    sync_s: float = 0.0002  # of a disk
    proxy_skews_us: tuple[int, ...] = ()  # by how much the clocks of proxies are off at the beginning
    reclaim_age_s: float = 86400.0  # of tombstones
    handoff_after_s: float = 900.0  # that a device is away, until another one stands in for it
    split_rows: int = 0  # of a container, which has more ranges the smaller this is
    names: tuple[str, ...] = NAMES  # of objects, in each container
    cold: tuple[str, ...] = ()  # others, which are written once
    contended: bool = False


def shape_of(seed: int, chance: random.Random) -> Shape:
    """Return the shape that a seed has."""
    contended = contends(seed)
    proxy_count = 3 if contended else 2
    return Shape(
        chance.choice([3, 4, 4, 5]),
        proxy_count=proxy_count,
        delay_s=chance.choice([0.002, 0.01, 0.03] if contended else [0.0003, 0.002, 0.01]),
        unevenness=chance.choice([1.0, 5.0, 12.0]) if contended else 1.0,
        sync_s=chance.choice([0.0002, 0.002, 0.01]),
        proxy_skews_us=tuple(chance.choice([0, 50_000, -300_000]) for _ in range(proxy_count)) if contended else (),
        reclaim_age_s=chance.choice([86400.0, 16.0]),  # the latter: a pass every two seconds
        handoff_after_s=chance.choice([900.0, 3.0]) if loses_data(seed) else 900.0,
        split_rows=8 if splits(seed) else 0,
        names=WIDE if splits(seed) else FEW if contended else NAMES,
        cold=COLD if changes_rings(seed) else (),
        contended=contended,
    )
