"""From one placement to another: which replicas move, and what that makes the devices read and write.

Pure. A replica counts as moved when its partition gets a device that it did
not have; where it stands among the replicas of its partition does not matter, its bytes stay where they are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ring.change import Change
from ring.grid import Grid, Mask
from ring.topology import NOWHERE, TierName, Tiers, Topology

Bytes = NDArray[np.float64]
Indexes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """Replicas that get another device; the arrays are by move."""

    partitions: Indexes
    sources: Tiers  # leaf that gives the replica up; NOWHERE: the partition gets one more
    targets: Tiers  # leaf that gets it
    dropped: int  # replicas that are given up and go nowhere: there are to be fewer

    def __len__(self) -> int:
        return len(self.partitions)


@dataclass(frozen=True, slots=True, eq=False)
class Copying:
    """What moving takes, in bytes: read from the device that gives a replica up, or from all others if that is lost."""

    moved: Bytes  # by move
    read: Bytes  # by leaf
    written: Bytes  # by leaf


@dataclass(frozen=True, slots=True)
class Flow:
    """Between two tiers of one depth."""

    source: TierName | None  # None: new replicas
    target: TierName
    replicas: int
    bytes: int


def moves_of(change: Change) -> Moves:
    """Return the moves from the old placement to the new one."""
    leaving, arriving = _absent(change.old, change.new), _absent(change.new, change.old)
    given = np.full((max(len(change.old), len(change.new)), change.old.shape[1]), NOWHERE, np.int32)
    replicas, partitions = np.nonzero(leaving)
    given[_turns(leaving)[replicas, partitions], partitions] = change.old[replicas, partitions]
    replicas, partitions = np.nonzero(arriving)
    sources = given[_turns(arriving)[replicas, partitions], partitions]
    paired = int(np.count_nonzero(sources != NOWHERE))
    return Moves(partitions, sources, change.new[replicas, partitions], int(leaving.sum()) - paired)


def _absent(grid: Grid, other: Grid) -> Mask:
    """Tell which replicas of `grid` are on a device that has none of their partition in `other`."""
    absent: Mask = grid != NOWHERE
    for row in other:
        absent &= grid != row
    return absent


def _turns(chosen: Mask) -> NDArray[np.int64]:
    """Return for each replica that is chosen how many of its partition were chosen before it."""
    return np.cumsum(chosen, axis=0) - 1


def copying_of(moves: Moves, change: Change, replica_bytes: Bytes) -> Copying:
    """Return what `moves` take when a replica on a leaf has `replica_bytes` of it."""
    leaf_count = len(change.lost)
    direct = (moves.sources != NOWHERE) & ~np.append(change.lost, True)[moves.sources]
    moved = np.where(direct, replica_bytes[moves.sources], 0.0)
    read = _sums(moves.sources[direct], moved[direct], leaf_count)

    survivors = change.readable(change.old)[:, moves.partitions[~direct]]
    there = survivors != NOWHERE
    counts = np.maximum(there.sum(axis=0), 1)
    moved[~direct] = np.where(there, replica_bytes[survivors], 0.0).sum(axis=0) / counts
    parts = np.broadcast_to(moved[~direct] / counts, survivors.shape)
    read += _sums(survivors[there], parts[there], leaf_count)
    return Copying(moved, read, _sums(moves.targets, moved, leaf_count))


def _sums(leaves: Tiers, sizes: Bytes, leaf_count: int) -> Bytes:
    return np.bincount(leaves, sizes, minlength=leaf_count).astype(np.float64)


def flows(moves: Moves, moved: Bytes, topology: Topology, depth: int) -> list[Flow]:
    """Return what goes between the tiers of `depth`, the largest flow first."""
    tiers = np.append(topology.ancestors[depth], np.int32(NOWHERE)).astype(np.int64)
    tier_count = topology.tier_count(depth)
    pairs, inverse, counts = np.unique(
        (tiers[moves.sources] + 1) * tier_count + tiers[moves.targets], return_inverse=True, return_counts=True
    )
    sums = np.bincount(inverse, moved, minlength=len(pairs))
    names = (*topology.names[depth], None)
    order = np.lexsort((pairs, -counts, -sums))
    return [
        Flow(names[pair // tier_count - 1], topology.names[depth][pair % tier_count], count, round(size))
        for pair, count, size in zip(
            pairs[order].tolist(), counts[order].tolist(), sums[order].tolist(), strict=True
        )
    ]
