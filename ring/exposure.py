"""What a failure would do before, during and after a change of placement. Pure, over two grids.

During the change reads go to the old placement, as far as its devices are left, and a write needs a quorum
of the old placement and one of the new. A failure domain is a region, a zone or a node; it is at fault for a
partition that has a quorum with it and none without.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ring.change import Change
from ring.grid import Counts, Grid, Mask, companions_of, ranks_of, tiers_of
from ring.topology import NODE, NOWHERE, REGION, TierName, Topology

FAILURE_DOMAINS = range(REGION, NODE + 1)  # depths


@dataclass(frozen=True, slots=True)
class Stages:
    """A number of partitions, as it is, as it is meanwhile, and as it will be."""

    before: int
    meanwhile: int
    after: int


@dataclass(frozen=True, slots=True)
class Exposure:
    """How thin partitions are. Those that the old placement lacks altogether do not count."""

    readable: Mapping[int, int]  # whole replicas that can be read meanwhile -> partitions
    below_quorum: int  # partitions that are meanwhile, in the old placement or the new
    in_one: Mapping[int, Stages]  # depth -> partitions all of whose readable replicas are in one tier
    at_fault: Mapping[TierName, Stages]  # failure domain -> partitions below quorum if it fails; those with any


def expose(change: Change) -> Exposure:
    """Return what `change` exposes partitions to."""
    old, new = change.old, change.new
    left, ready = change.readable(old), change.readable(new)
    held = _replicas(old) > 0
    readable, partitions = np.unique(_replicas(left)[held], return_counts=True)
    thin = _thin(left, old) | _thin(ready, new) & held
    return Exposure(
        readable=dict(zip(readable.tolist(), partitions.tolist(), strict=True)),
        below_quorum=int(thin.sum()),
        in_one={
            depth: Stages(*(_in_one(grid, change.topology, depth) for grid in (old, left, ready)))
            for depth in FAILURE_DOMAINS
        },
        at_fault=_at_fault(change, left, ready, held),
    )


def _replicas(grid: Grid) -> Counts:
    counts: Counts = (grid != NOWHERE).sum(axis=0)
    return counts


def _quorum(grid: Grid) -> Counts:
    """Return by partition how many replicas make a majority; 0 where there are none."""
    counts = _replicas(grid)
    return np.where(counts > 0, counts // 2 + 1, 0)


def _thin(left: Grid, whole: Grid) -> Mask:
    """Tell which partitions have fewer replicas `left` than a quorum of `whole`."""
    return np.asarray(_replicas(left) < _quorum(whole))


def _in_one(grid: Grid, topology: Topology, depth: int) -> int:
    """Return how many partitions have all their replicas in one tier of `depth`."""
    tiers = tiers_of(grid, topology, depth)
    highest = tiers.max(axis=0)
    lowest = np.where(tiers == NOWHERE, np.iinfo(np.int32).max, tiers).min(axis=0)
    return int((highest == lowest).sum())


def _at_fault(change: Change, left: Grid, ready: Grid, held: Mask) -> dict[TierName, Stages]:
    faults: dict[TierName, Stages] = {}
    partition_count = len(held)
    for depth in FAILURE_DOMAINS:
        names = change.topology.names[depth]
        before = _breaks(change.old, change.old, change.topology, depth)
        after = _breaks(ready, change.new, change.topology, depth)
        joint = np.union1d(
            _breaks(left, change.old, change.topology, depth), after[held[after % partition_count]]
        )
        counts = [
            np.bincount(breaks // partition_count, minlength=len(names)).tolist() for breaks in (before, joint, after)
        ]
        faults |= {name: Stages(*of_tier) for name, *of_tier in zip(names, *counts, strict=True) if any(of_tier)}
    return faults


def _breaks(left: Grid, whole: Grid, topology: Topology, depth: int) -> NDArray[np.int64]:
    """Return where the failure of a tier takes a partition below its quorum, as tier * partition count + partition."""
    tiers = tiers_of(left, topology, depth)
    remaining = _replicas(left) - companions_of(tiers)
    quorum = _quorum(whole)
    breaks = (tiers != NOWHERE) & (ranks_of(tiers) == 0) & (remaining < quorum) & (_replicas(left) >= quorum)
    replicas, partitions = np.nonzero(breaks)
    keys: NDArray[np.int64] = tiers[replicas, partitions].astype(np.int64) * left.shape[1] + partitions
    return keys
