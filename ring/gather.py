"""Which replicas to move: those that must (more of a partition in a tier than it should have), and a device's surplus.

Of one partition at most one is chosen. A device gives up no more than it holds beyond its quota, so what
is chosen is what has to move at least.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ring.grid import Counts, Grid, Mask, held_by_leaf, ranks_of, tiers_of
from ring.room import measure_room, usefulness
from ring.targets import Quota
from ring.topology import DEPTHS, DEVICE, NOWHERE, Topology

_CROWDED = 16  # more than `usefulness` is at most, per tier
_CHANCE = 0.01  # decides between replicas that are as good
_STEPS = 3  # in which leaves offer what they must, so that those that compete are relieved alike
_LEVELLED = 4000  # partitions that are looked at; among more, chance is even enough


def gather(grid: Grid, topology: Topology, quota: Sequence[Quota], movable: Mask, dice: np.random.Generator) -> Mask:
    """Return which replicas of `movable` partitions to lift from `grid`."""
    lifted = np.zeros(grid.shape, np.bool_)
    crowded = crowded_of(grid, topology, quota)
    surplus = held_by_leaf(grid, len(topology.device_ids)) - quota[DEVICE].wanted
    full = (surplus > 0)[grid] & (grid != NOWHERE)
    columns = np.flatnonzero((full | (crowded > 0)).any(axis=0) & movable)
    if not len(columns):
        return lifted
    narrow = grid[:, columns]
    useful = usefulness(narrow, topology, quota, measure_room(grid, topology, quota))
    crowded = crowded[:, columns]
    score = useful + _CROWDED * crowded + _CHANCE * dice.random(narrow.shape)
    chosen = np.zeros(narrow.shape, np.bool_)
    # a partition that is crowded gives up what is, whatever else it could
    eligible = full[:, columns] & ((crowded > 0) | ~(crowded > 0).any(axis=0))
    _choose(chosen, narrow, np.where(eligible, score, -1.0), surplus, quota[DEVICE].wanted)
    # what is crowded leaves also devices that have room for it
    left = (crowded > 0) & ~chosen.any(axis=0)
    everything = held_by_leaf(grid, len(surplus))
    _choose(chosen, narrow, np.where(left, score, -1.0), everything, quota[DEVICE].wanted)
    _level(chosen, narrow, np.where(eligible | left, np.floor(score), -1.0), surplus, quota[DEVICE].wanted)
    lifted[:, columns] = chosen
    return lifted


def crowded_of(grid: Grid, topology: Topology, quota: Sequence[Quota]) -> NDArray[np.int8]:
    """Return for each replica in how many of its tiers its partition has more than it should."""
    crowded = np.zeros(grid.shape, np.int8)
    for depth in DEPTHS:
        tiers = tiers_of(grid, topology, depth)
        excess = (ranks_of(tiers) >= quota[depth].most[tiers]) & (tiers != NOWHERE)
        if excess.any():
            over = np.zeros(grid.shape, np.bool_)  # all replicas in such a tier, not only the last
            for replica in range(len(grid)):
                over |= excess[replica] & (tiers == tiers[replica])
            crowded += over
    return crowded


def _choose(chosen: Mask, grid: Grid, score: NDArray[np.float64], limit: Counts, wanted: Counts) -> None:
    """Add the best replicas with a `score` from 0 up, at most `limit` of each leaf, one of a partition.

    Where leaves compete for partitions, the one that is fullest for what is `wanted` of it goes first.
    """
    limit = limit - np.bincount(grid[chosen], minlength=len(limit))
    replicas, partitions = np.nonzero((score >= 0) & ~chosen.any(axis=0))
    leaves, score = grid[replicas, partitions], score[replicas, partitions]
    step = 1 << _STEPS
    while len(replicas):
        # each leaf offers its best; of a partition that is offered twice the better goes, and its leaf tries again
        step = max(1, step // 2)
        offer = -(-limit // step)
        pressing = score + (limit / np.maximum(limit + wanted, 1))[leaves]
        order = np.lexsort((-score, leaves))
        rank = np.arange(len(order)) - np.searchsorted(leaves[order], leaves[order])
        offered = order[rank < offer[leaves[order]]]
        offered = offered[np.lexsort((-pressing[offered], partitions[offered]))]
        first = np.ones(len(offered), np.bool_)
        first[1:] = partitions[offered][1:] != partitions[offered][:-1]
        taken = offered[first]
        if not len(taken):
            return
        chosen[replicas[taken], partitions[taken]] = True
        limit -= np.bincount(leaves[taken], minlength=len(limit))
        left = ~chosen[:, partitions].any(axis=0) & (limit > 0)[leaves]
        replicas, partitions, leaves, score = replicas[left], partitions[left], leaves[left], score[left]


def _level(chosen: Mask, grid: Grid, score: NDArray[np.float64], surplus: Counts, wanted: Counts) -> None:
    """Where not all may move that should, take from leaves alike: of one partition another replica as good."""
    surplus = surplus - np.bincount(grid[chosen], minlength=len(surplus))
    if not (surplus > 0).any():
        return
    taken = np.where(chosen, score, -1.0).max(axis=0)
    choices = (score >= taken) & (taken >= 0)
    open_ = np.flatnonzero(choices.sum(axis=0) > 1)
    excess, size = surplus.tolist(), np.maximum(wanted, 1).tolist()
    for partition in open_[:_LEVELLED].tolist():
        now = int(chosen[:, partition].argmax())
        best, fullest = now, -math.inf
        for replica in np.flatnonzero(choices[:, partition]).tolist():
            leaf = grid[replica, partition]
            if excess[leaf] / size[leaf] > fullest:
                best, fullest = replica, excess[leaf] / size[leaf]
        old, new = int(grid[now, partition]), int(grid[best, partition])
        if (excess[new] - 1) / size[new] >= (excess[old] + 1) / size[old]:
            chosen[now, partition], chosen[best, partition] = False, True
            excess[old] += 1
            excess[new] -= 1
