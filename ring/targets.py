"""How many replicas each tier should hold: by weight, by dispersion, and what overload makes of the two.

Pure, over a topology. A level is an array by tier of one depth; "replicas of a partition" are real numbers
here ("replicanths"): a zone with 1.5 has one or two of each partition. The definitions are OpenStack
Swift's (swift/common/ring/builder.py), so that weights and overload mean here what they mean there:

- weighted: in proportion to weight, except that a device holds a partition only once;
- even: as if all tiers under one parent were equal; more than that, rounded up, is a risk (`most`);
- dispersed: by weight, but within the whole numbers around even, as far as there are devices;
- target: from weighted as far towards dispersed as no device is loaded more than `overload` beyond its weight.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ring.errors import RingError
from ring.topology import DEPTHS, DEVICE, Topology

Level = NDArray[np.float64]
Levels = tuple[Level, ...]  # [depth][tier]
Counts = NDArray[np.int64]

_TINY = 1e-9
_TIE = 1e-6  # what a tier holds already decides between fractions that are as near as this


@dataclass(frozen=True, slots=True, eq=False)
class Quota:
    """Of the tiers of one depth, by tier. Within `least` and `most` every partition is dispersed as wanted."""

    wanted: Counts  # replicas, of all partitions together
    least: Counts  # of one partition
    most: Counts  # of one partition


def weighted(topology: Topology, replicas: float) -> Levels:
    """Return each tier's share by weight. Raise RingError when there are too few devices with weight."""
    usable = topology.weights > 0
    if np.count_nonzero(usable) < replicas:
        raise RingError(
            f"{replicas:g} replicas need as many devices with weight, and there are {np.count_nonzero(usable)}: "
            "add devices, or `set_replicas` to fewer"
        )
    share = np.zeros(len(usable))
    left = float(replicas)
    while usable.any() and left > _TINY:
        part = left * topology.weights[usable] / topology.weights[usable].sum()
        full = np.flatnonzero(usable)[part >= 1]
        if not len(full):
            share[usable] = part
            break
        share[full] = 1.0
        usable[full] = False
        left -= len(full)
    return topology.sums(share)


def most_by_tier(topology: Topology, replicas: float) -> tuple[Counts, ...]:
    """Return how many replicas of one partition an even spread puts into each tier at most."""
    return tuple(level.astype(np.int64) for level in _even(topology, replicas, whole=True))


def _even(topology: Topology, replicas: float, *, whole: bool) -> Levels:
    levels = [np.array([float(replicas)])]
    alive = topology.sums((topology.weights > 0).astype(np.float64))
    for depth in DEPTHS:
        parents = topology.parents[depth]
        siblings = np.bincount(parents, alive[depth] > 0, minlength=len(levels[-1]))
        level = levels[-1][parents] / np.maximum(siblings, 1)[parents]
        if whole:
            level = np.ceil(level - _TINY)
        if depth == DEVICE:
            level = np.minimum(level, 1.0)
        levels.append(np.where(alive[depth] > 0, level, 0.0))
    return tuple(levels)


def dispersed(topology: Topology, replicas: float, by_weight: Levels) -> Levels:
    """Return each tier's share when no partition is to be in one tier more often than it must be."""
    even = _even(topology, replicas, whole=False)
    devices = topology.sums((topology.weights > 0).astype(np.float64))
    levels = [np.array([float(replicas)])]
    for depth in DEPTHS:
        level = np.zeros(topology.tier_count(depth))
        parents = topology.parents[depth]
        starts = np.searchsorted(parents, np.arange(len(levels[-1]) + 1))
        for parent, (start, end) in enumerate(itertools.pairwise(starts)):
            of_parent = slice(start, end)
            level[of_parent] = _spread(
                float(levels[-1][parent]),
                by_weight[depth][of_parent],
                np.floor(even[depth][of_parent] + _TINY),
                np.ceil(even[depth][of_parent] - _TINY),
                devices[depth][of_parent],
            )
        levels.append(level)
    return tuple(levels)


def _spread(replicas: float, weight: Level, least: Level, most: Level, devices: Level) -> Level:
    """Share `replicas` among siblings by weight, each within `least` and `most` if their devices suffice."""
    floor, ceiling = np.minimum(least, devices), np.minimum(most, devices)
    placed = np.zeros(len(weight))
    open_, left = weight > 0, replicas
    while open_.any() and abs(left) > _TINY:
        grown = placed[open_] + weight[open_] * (left / weight[open_].sum())
        placed[open_] = np.clip(grown, floor[open_], ceiling[open_])
        left = replicas - placed.sum()
        if left < 0:
            open_ = placed > floor
        else:
            open_ = (placed < ceiling) & (weight > 0)
            if left > _TINY and not open_.any():  # there are too few devices elsewhere
                ceiling = devices
                open_ = (placed < ceiling) & (weight > 0)
    return placed


def required_overload(by_weight: Levels, by_dispersion: Levels) -> float:
    """Return by which part of its weighted share the device that dispersion loads most is overloaded."""
    own, wanted = by_weight[DEVICE], by_dispersion[DEVICE]
    used = own > 0
    return max(0.0, float((wanted[used] / own[used] - 1).max(initial=0.0)))


def target(topology: Topology, replicas: float, overload: float) -> Levels:
    """Return each tier's share, all told. Raise RingError."""
    by_weight = weighted(topology, replicas)
    by_dispersion = dispersed(topology, replicas, by_weight)
    required = required_overload(by_weight, by_dispersion)
    if required <= _TINY:
        return by_dispersion
    way = min(overload, required) / required
    return tuple(own + (wanted - own) * way for own, wanted in zip(by_weight, by_dispersion, strict=True))


def quotas(
    topology: Topology, levels: Levels, slot_count: int, partition_count: int, held: Levels, most: Sequence[Counts]
) -> tuple[Quota, ...]:
    """Return by depth the quotas of the tiers: the target `levels` in whole replicas.

    They are rounded from the root down, so that what is even above stays even. Rounding up goes first to tiers
    where one replica more is no risk (`most`), then to those that it brings nearer to their target, for
    their size; of equals to those that hold more now (`held`), so that nothing moves for a fraction.
    """
    wanted = [np.array([slot_count], np.int64)]
    for depth in DEPTHS:
        exact = levels[depth] * partition_count
        risky = (levels[depth] > most[depth] - _TINY) & (levels[depth] > 0)
        wanted.append(_rounded(exact, topology.parents[depth], wanted[-1], held[depth], risky))
    return tuple(Quota(each, each // partition_count, -(-each // partition_count)) for each in wanted)


def _rounded(exact: Level, parents: NDArray[np.int32], above: Counts, held: Level, risky: NDArray[np.bool_]) -> Counts:
    slack = _TINY * np.maximum(exact, 1)
    whole = np.floor(exact + slack)
    fraction = np.maximum(exact - whole, 0.0)
    left = above - np.bincount(parents, whole, minlength=len(above)).astype(np.int64)
    gain = (2 * fraction - 1) / np.maximum(exact, _TINY) + _TIE * (held > whole)
    order = np.lexsort((-gain, risky, fraction <= slack, exact <= 0, parents))
    rank = np.arange(len(order)) - np.searchsorted(parents, parents[order])
    rounded = whole.astype(np.int64)
    rounded[order] += rank < left[parents[order]]
    assert math.fsum(rounded) == math.fsum(above), "the children's quotas add up to their parent's"
    return rounded
