"""A placement as one array, and what can be counted of it.

grid[replica, partition] = leaf of a topology; NOWHERE: to be placed, or not in the ring (`slots` tells).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ring.topology import DEPTHS, DEVICE, NOWHERE, Tiers, Topology

Grid = NDArray[np.int32]
Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]
Row = NDArray[np.int32]
Rows = tuple[Row, ...]  # one per replica: row[partition] = device id


def row_lengths(replicas: float, partition_count: int) -> tuple[int, ...]:
    """Return how many partitions each row covers: all, and the last one of a fractional count some."""
    whole, rest = divmod(int(replicas * partition_count), partition_count)
    return (partition_count,) * whole + ((rest,) if rest else ())


def slots_of(lengths: Sequence[int]) -> Mask:
    """Tell for [replica, partition] whether the ring has that replica."""
    return np.asarray(np.arange(lengths[0]) < np.array(lengths)[:, None])


def to_grid(rows: Rows | None, lengths: Sequence[int], topology: Topology) -> Grid:
    """Return `rows` cut or extended to `lengths`; what is new, or on a device that `topology` lacks, is nowhere."""
    grid = np.full((len(lengths), lengths[0]), NOWHERE, np.int32)
    leaves = topology.leaves()
    for replica, row in enumerate((rows or ())[: len(lengths)]):
        kept = row[: lengths[replica]]
        known = np.where((kept >= 0) & (kept < len(leaves) - 1), kept, NOWHERE)
        grid[replica, : len(kept)] = leaves[known]
    return grid


def to_rows(grid: Grid, lengths: Sequence[int], topology: Topology) -> Rows:
    """Return the rows of `grid`, each of whose slots must be somewhere."""
    return tuple(topology.device_ids[grid[replica, :length]] for replica, length in enumerate(lengths))


def tiers_of(grid: Grid, topology: Topology, depth: int) -> Tiers:
    """Return `grid` with tiers of `depth` in place of leaves."""
    if depth == DEVICE:
        return grid
    table = np.append(topology.ancestors[depth], np.int32(NOWHERE))
    return table[grid]


def ranks_of(tiers: Tiers) -> NDArray[np.int8]:
    """Return for each replica how many before it, of its partition, are in the same tier."""
    ranks = np.zeros(tiers.shape, np.int8)
    for later in range(1, len(tiers)):
        for earlier in range(later):
            ranks[later] += tiers[earlier] == tiers[later]
    return ranks


def companions_of(tiers: Tiers) -> NDArray[np.int8]:
    """Return for each replica how many of its partition, itself included, are in the same tier."""
    counts = np.ones(tiers.shape, np.int8)
    for later in range(1, len(tiers)):
        for earlier in range(later):
            same = tiers[earlier] == tiers[later]
            counts[later] += same
            counts[earlier] += same
    return counts


def held(grid: Grid, topology: Topology) -> tuple[NDArray[np.float64], ...]:
    """Return by depth how many replicas each tier holds."""
    return topology.sums(held_by_leaf(grid, len(topology.device_ids)).astype(np.float64))


def held_by_leaf(grid: Grid, leaf_count: int) -> Counts:
    """Return how many replicas each leaf holds."""
    return np.bincount(grid.ravel() + 1, minlength=leaf_count + 1)[1:]


def twice(grid: Grid) -> Mask:
    """Tell which partitions are on one leaf twice."""
    ordered = np.sort(grid, axis=0)
    return np.asarray(((ordered[1:] == ordered[:-1]) & (ordered[1:] != NOWHERE)).any(axis=0))


def beyond(grid: Grid, topology: Topology, limits: Sequence[Counts]) -> int:
    """Return how many replicas are in a tier beyond its limit, each partition at the depth where it is worst.

    `limits`: by depth, for each tier, how many replicas of one partition it may have.
    """
    worst = np.zeros(grid.shape[1], np.int64)
    for depth in DEPTHS:
        tiers = tiers_of(grid, topology, depth)
        over = (ranks_of(tiers) >= limits[depth][tiers]) & (tiers != NOWHERE)
        np.maximum(worst, over.sum(axis=0), out=worst)
    return int(worst.sum())
