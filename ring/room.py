"""How far each tier is from its quota, for a placement that has holes. Arrays by tier, by depth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ring.grid import Counts, Grid, companions_of, held, ranks_of, tiers_of
from ring.targets import Quota
from ring.topology import DEPTHS, NOWHERE, Tiers, Topology


@dataclass(slots=True, eq=False)
class Room:
    """Of all tiers. Below 0: it has more than its quota."""

    total: list[Counts]  # [depth][tier]: replicas to come
    extra: list[Counts]  # of them, those beyond `Quota.least` of a partition: the others are spoken for

    def take(self, topology: Topology, quota: Sequence[Quota], leaves: Tiers, others: Grid) -> None:
        """Note that each of `leaves` gets a replica of a partition whose `others` [replica, …] are placed."""
        for depth in DEPTHS:
            tiers = topology.ancestors[depth][leaves]
            count = len(self.total[depth])
            self.total[depth] -= np.bincount(tiers, minlength=count)
            present = (tiers_of(others, topology, depth) == tiers).sum(axis=0)
            self.extra[depth] -= np.bincount(tiers[present >= quota[depth].least[tiers]], minlength=count)


def measure_room(grid: Grid, topology: Topology, quota: Sequence[Quota]) -> Room:
    """Return the room that `grid` leaves."""
    total, extra = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)]
    partition_count = grid.shape[1]
    for depth, has in zip(DEPTHS, held(grid, topology)[1:], strict=True):
        own = quota[depth]
        total.append(own.wanted - has.astype(np.int64))
        if not own.least.any():
            extra.append(total[-1].copy())
            continue
        tiers = tiers_of(grid, topology, depth)
        spare = tiers[(ranks_of(tiers) >= own.least[tiers]) & (tiers != NOWHERE)]
        extra.append(own.wanted - own.least * partition_count - np.bincount(spare, minlength=len(own.wanted)))
    return Room(total, extra)


def usefulness(grid: Grid, topology: Topology, quota: Sequence[Quota], room: Room) -> Counts:
    """Return for each replica how good it is to move it, where some of its tiers hold more than their quota.

    It helps when the partition has more there than it must; more so when a sibling with room must have it;
    and when not all siblings with room have enough of it.
    """
    useful = np.zeros(grid.shape, np.int64)
    for depth in DEPTHS:
        if (room.total[depth] < 0).any():
            tiers = tiers_of(grid, topology, depth)
            useful += _useful_at(tiers, topology.parents[depth], quota[depth], room.total[depth])
    return useful


def _useful_at(tiers: Tiers, parents: Tiers, own: Quota, room: Counts) -> Counts:
    there, companions = tiers != NOWHERE, companions_of(tiers)
    full = there & (room[tiers] < 0)
    above = np.where(there, parents[tiers], NOWHERE)
    needs = np.maximum(room, 0)
    open_ = np.bincount(parents, needs).astype(np.int64)[above]  # replicas that the siblings have room for
    saturated = there & (ranks_of(tiers) == 0) & (companions >= own.most[tiers])
    for other in range(len(tiers)):
        open_ -= np.where((above == above[other]) & saturated[other], needs[tiers[other]], 0)
    useful: Counts = 2 * (full & (companions > own.least[tiers])) + 2 * (full & (open_ > 0))
    for tier in np.flatnonzero((own.least > 0) & (needs > 0)).tolist():
        lacks = (tiers == tier).sum(axis=0) < own.least[tier]
        useful += 4 * (full & lacks & (above == parents[tier]))
    return useful
