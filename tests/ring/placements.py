"""A placement as values that either builder can be asked for, and its measures.

Nothing here uses the builder's own reckoning: what weights and the topology permit is derived from the
devices, by other means than the builder's, so that a mistake there shows.
Measures with Swift's name are those of OpenStack Swift, swift/common/ring/builder.py.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ring.device import Device

WORST_BALANCE = 999.99  # a device without weight holds something
Tier = tuple[object, ...]  # (), (region,), (region, zone), (region, zone, ip), (region, zone, ip, id)
DEVICE_DEPTH = 4


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Devices and what is on them after a rebalance."""

    part_power: int
    replicas: float
    overload: float
    devices: Mapping[int, Device]  # by id
    rows: tuple[NDArray[np.int64], ...]  # row[partition] = device id

    @property
    def partition_count(self) -> int:
        return 1 << self.part_power

    @property
    def slot_count(self) -> int:
        return sum(len(row) for row in self.rows)

    def ids(self, partition: int) -> list[int]:
        """Return the device ids of `partition`, in replica order."""
        return [int(row[partition]) for row in self.rows if partition < len(row)]

    def held(self) -> Counter[int]:
        """Return how many replicas each device holds."""
        return Counter(np.concatenate(self.rows).tolist())


def tiers(device: Device) -> tuple[Tier, ...]:
    """Return what fails with `device`: everything, its region, zone, node, itself."""
    place = (device.region, device.zone, device.ip, device.id)
    return tuple(place[:depth] for depth in range(DEVICE_DEPTH + 1))


def usable(placement: Placement) -> list[Device]:
    """Return the devices that may hold something."""
    return [device for device in placement.devices.values() if device.weight > 0]


# ---------------------------------------------------------------------- balance


def shares(placement: Placement) -> dict[int, float]:
    """Return the replicas that weights give each device, of which one of each partition is the most.

    The water level: the `level` at which min(partitions, level * weight) adds up to all replicas.
    """
    weights = {device.id: device.weight for device in usable(placement)}
    full, slots = placement.partition_count, placement.slot_count
    low, high = 0.0, full / min(weights.values())
    for _ in range(200):
        level = (low + high) / 2
        poured = math.fsum(min(full, level * weight) for weight in weights.values())
        low, high = (level, high) if poured < slots else (low, level)
    return {device_id: min(full, high * weight) for device_id, weight in weights.items()}


def balance(placement: Placement) -> float:
    """Return by how many percent the worst device is off its weight: Swift's get_balance."""
    total = math.fsum(device.weight for device in usable(placement))
    held = placement.held()
    worst = 0.0
    for device in placement.devices.values():
        if device.weight > 0:
            wanted = placement.partition_count * placement.replicas * device.weight / total
            worst = max(worst, abs(100 * held[device.id] / wanted - 100))
        elif held[device.id]:
            return WORST_BALANCE
    return worst


def off_share(placement: Placement) -> float:
    """Return by how many partitions the worst device is off its share; infinite where one should hold none."""
    share, held = shares(placement), placement.held()
    return max(
        abs(held[device_id] - share[device_id]) if device_id in share else math.inf if held[device_id] else 0.0
        for device_id in placement.devices
    )


def beyond_one_percent(placement: Placement) -> list[tuple[int, int, float]]:
    """Return (device, held, share) of those off by more than 1 % and by more than a whole partition."""
    share, held = shares(placement), placement.held()
    return [
        (device_id, held[device_id], share[device_id])
        for device_id in share
        if abs(held[device_id] - share[device_id]) > max(1.0, share[device_id] / 100) + 1e-6
    ]


def beyond_overload(placement: Placement) -> list[tuple[int, int, float]]:
    """Return (device, held, share) of those that hold more than overload lets them, rounded up."""
    share, held = shares(placement), placement.held()
    return [
        (device_id, held[device_id], share[device_id])
        for device_id in share
        if held[device_id] >= share[device_id] * (1 + placement.overload) + 1 + 1e-6
    ]


# ---------------------------------------------------------------------- dispersion


def most_when_even(placement: Placement) -> dict[Tier, float]:
    """Return how many replicas of a partition an even spread puts in each tier: Swift's max_replicas_by_tier."""
    children = _children(placement)
    most: dict[Tier, float] = {(): placement.replicas}
    for tier in sorted(children, key=len):  # parents first
        for child in children[tier]:
            most[child] = math.ceil(most[tier] / len(children[tier]))
            if len(child) == DEVICE_DEPTH:
                most[child] = min(1, most[child])
    return most


def dispersion(placement: Placement) -> float:
    """Return the percentage of replicas that are too many in a tier: Swift's dispersion.

    Where a partition has too many in tiers of several depths, the worst depth counts. Swift leaves out
    the partitions that have no fractional replica; here all count.
    """
    at_risk = sum(max(excess.values(), default=0) for excess in _excesses(placement))
    return 100 * at_risk / (placement.partition_count * placement.replicas)


def excess_by_depth(placement: Placement) -> Counter[int]:
    """Return by depth (1 region, 2 zone, 3 node) how many replicas are too many in a tier of it."""
    return sum(_excesses(placement), Counter[int]())


def _excesses(placement: Placement) -> Iterator[Counter[int]]:
    """Yield for each partition by depth how many of its replicas are too many in a tier."""
    most = most_when_even(placement)
    for partition in range(placement.partition_count):
        excess: Counter[int] = Counter()
        for tier, count in _counts(placement, partition).items():
            if tier and count > most.get(tier, 0):
                excess[len(tier)] += count - int(most.get(tier, 0))
        yield excess


def least_dispersion(placement: Placement) -> float:
    """Return the dispersion below which none can be in which each device holds as many replicas as here."""
    most, held = most_when_even(placement), Counter[Tier]()
    for device_id, count in placement.held().items():
        for tier in tiers(placement.devices[device_id])[1:]:
            held[tier] += count
    excess: Counter[int] = Counter()
    for tier, count in held.items():
        excess[len(tier)] += max(0, count - int(most.get(tier, 0)) * placement.partition_count)
    return 100 * max(excess.values()) / (placement.partition_count * placement.replicas)


def crowded(placement: Placement) -> Iterator[tuple[int, Tier, int, int]]:
    """Yield (partition, tier, replicas, fewest that the fullest tier there must have) where that is exceeded.

    Of the k replicas in a tier, a child has to take m only when children that took m - 1 each, as far
    as they have devices, would not hold all k. This is exact: spreading from the top reaches it.
    """
    children, room = _children(placement), _rooms(placement)
    for partition in range(placement.partition_count):
        counts = _counts(placement, partition)
        for tier, below in children.items():
            most = 0
            while sum(min(most, room[child]) for child in below) < counts[tier]:
                most += 1
            for child in below:
                if counts[child] > most:
                    yield partition, child, counts[child], most


def _counts(placement: Placement, partition: int) -> Counter[Tier]:
    return Counter(tier for device_id in placement.ids(partition) for tier in tiers(placement.devices[device_id]))


def _children(placement: Placement) -> dict[Tier, set[Tier]]:
    children: dict[Tier, set[Tier]] = {}
    for device in usable(placement):
        path = tiers(device)
        for above, below in pairwise(path):
            children.setdefault(above, set()).add(below)
    return children


def _rooms(placement: Placement) -> Counter[Tier]:
    """Return how many replicas of one partition each tier can hold: one for each device."""
    return Counter(tier for device in usable(placement) for tier in tiers(device))


# ---------------------------------------------------------------------- movement


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """What a rebalance did to replicas that were there before and are still asked for, by [replica, partition]."""

    lost: NDArray[np.bool_]  # their device is gone
    moved: NDArray[np.bool_]  # their device is there, and they are on another
    placed: int  # replicas that are new

    @property
    def count(self) -> int:
        """All that changed or is new, as Swift counts."""
        return int(self.lost.sum()) + int(self.moved.sum()) + self.placed


def moves(before: Placement, after: Placement) -> Moves:
    """Compare two placements of as many partitions."""
    assert before.part_power == after.part_power
    depth = max(len(before.rows), len(after.rows))
    old, new = _grid(before, depth), _grid(after, depth)
    both = (old >= 0) & (new >= 0)
    lost = both & ~np.isin(old, list(after.devices))
    return Moves(lost, both & ~lost & (old != new), int(((old < 0) & (new >= 0)).sum()))


def _grid(placement: Placement, depth: int) -> NDArray[np.int64]:
    grid = np.full((depth, placement.partition_count), -1, np.int64)
    for index, row in enumerate(placement.rows):
        grid[index, : len(row)] = row
    return grid
