"""The first placement: every quota met exactly, in one walk down the tree.

A tier's replicas are written as a sequence of partitions that repeats with the same period (all
partitions, those with one replica more first). Any stretch of such a sequence of length n holds each
partition n / period times, rounded down or up. So consecutive stretches, one per child and as long as
the child's quota, give each child its quota and spread each partition as evenly as quotas permit; no
device, whose quota is one period at most, gets a partition twice. Each tier shuffles anew, so that
the partitions of a device have their other replicas on as many devices as there are.
(Systematic sampling: Madow 1949.)
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ring.grid import Counts, Grid
from ring.targets import Quota
from ring.topology import DEVICE, NOWHERE, ROOT, Topology

_Parts = NDArray[np.int32]


def place_first(
    lengths: Sequence[int],
    topology: Topology,
    quota: Sequence[Quota],
    most: Sequence[Counts],
    dice: np.random.Generator,
) -> Grid:
    """Return the grid of a ring whose rows have these `lengths`.

    A child that has to hold more replicas of some partitions than are safe (`most`) comes first, so that these
    are partitions of which its parent has more, too: a replica at risk twice is one replica at risk.
    """
    period = lengths[0]
    starts = [
        np.searchsorted(parents, np.arange(int(parents.max(initial=0)) + 2)) for parents in topology.parents
    ]
    sequence = np.concatenate([np.arange(length, dtype=np.int32) for length in reversed(lengths)])
    leaves: list[_Parts] = [sequence[:0]] * len(topology.device_ids)
    waiting = [(ROOT, 0, sequence)]
    while waiting:
        depth, tier, sequence = waiting.pop()
        if depth == DEVICE:
            leaves[tier] = sequence
            continue
        shuffled = _shuffled(sequence, period, dice)
        offset = 0
        children = dice.permutation(np.arange(starts[depth + 1][tier], starts[depth + 1][tier + 1]))
        wanted = quota[depth + 1].wanted
        safe = wanted[children] <= most[depth + 1][children] * period
        for child in children[np.argsort(safe, kind="stable")].tolist():
            length = int(wanted[child])
            if length:
                waiting.append((depth + 1, child, shuffled[offset : offset + length]))
            offset += length
    return _grid(leaves, lengths, dice)


def _shuffled(sequence: _Parts, period: int, dice: np.random.Generator) -> _Parts:
    """Return the same partitions as often, in another sequence that repeats."""
    if len(sequence) <= period:
        return dice.permutation(sequence)
    counts = np.bincount(sequence, minlength=period)
    often = dice.permutation(np.flatnonzero(counts == counts.max()).astype(np.int32))
    if counts.min() == counts.max():
        return np.tile(often, int(counts.max()))
    seldom = dice.permutation(np.flatnonzero(counts < counts.max()).astype(np.int32))
    return np.concatenate([np.tile(np.concatenate([often, seldom]), int(counts.min())), often])


def _grid(leaves: Sequence[_Parts], lengths: Sequence[int], dice: np.random.Generator) -> Grid:
    """Return the grid in which each leaf has its partitions, as a replica number that is left to chance."""
    partitions = np.concatenate(leaves).astype(np.int64)
    owners = np.repeat(np.arange(len(leaves)), [len(parts) for parts in leaves])
    order = np.argsort(partitions * (1 << 20) + dice.integers(1 << 20, size=len(partitions)))
    partitions, owners = partitions[order], owners[order]
    replicas = np.arange(len(partitions)) - np.searchsorted(partitions, partitions)
    grid = np.full((len(lengths), lengths[0]), NOWHERE, np.int32)
    grid[replicas, partitions] = owners
    return grid
