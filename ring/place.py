"""Filling the holes of a placement: all at once, depth by depth, from the root down.

At each depth every hole chooses a child of the tier that it has come to. First the children that must
have its partition; then whichever has room beyond what is spoken for, laid out in a random order against
the holes. A hole that may not go where it was laid (the partition is there often enough) is laid again
among what is left, and in the end changes places with another. Who finds nothing goes home, if it has one.
Several holes of one partition are filled one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ring.grid import Grid, Mask, tiers_of
from ring.room import Room, measure_room
from ring.targets import Counts, Quota
from ring.topology import DEPTHS, DEVICE, NOWHERE, Tiers, Topology

_ROUNDS = 6  # of laying out holes again; each leaves a fraction
_EXCHANGES = 4000  # that are tried at one depth; each looks at all holes that were placed
_Indexes = NDArray[np.intp]


def place(
    grid: Grid, holes: Mask, homes: Grid, topology: Topology, quota: Sequence[Quota], dice: np.random.Generator
) -> Grid:
    """Return `grid` with its `holes` filled. `homes` [replica, partition]: where to go back to, or NOWHERE."""
    placed = grid.copy()
    room = measure_room(placed, topology, quota)
    partitions, replicas = np.nonzero(holes.T)
    wave = np.arange(len(partitions)) - np.searchsorted(partitions, partitions)
    for number in range(int(wave.max(initial=-1)) + 1):
        own_partitions, own_replicas = partitions[wave == number], replicas[wave == number]
        others = placed[:, own_partitions]
        home = homes[own_replicas, own_partitions]
        leaves = _Descent(others, home, room, topology, quota, dice).run()
        placed[own_replicas, own_partitions] = leaves
        room.take(topology, quota, leaves, others)
    return placed


@dataclass(slots=True, eq=False)
class _Descent:
    """One hole of each of some partitions on its way from the root to a device."""

    others: Grid  # [replica, hole]: where the partition's other replicas are
    home: Tiers
    room: Room
    topology: Topology
    quota: Sequence[Quota]
    dice: np.random.Generator

    def run(self) -> Tiers:
        """Return a leaf for each hole."""
        tier = np.zeros(self.others.shape[1], np.int32)
        for depth in DEPTHS:
            tier = self._step(depth, tier)
        tier = np.where(tier == NOWHERE, self.home, tier)
        for hole in np.flatnonzero(tier == NOWHERE).tolist():
            tier[hole] = self._anywhere(hole)
        return tier

    def _step(self, depth: int, above: Tiers) -> Tiers:
        """Return the tier of `depth` that each hole goes to from the tier `above`; NOWHERE: it found none."""
        siblings = tiers_of(self.others, self.topology, depth)
        step = _Step(depth, above, siblings, self.topology, self.quota[depth], self.dice)
        step.obey(self.room.total[depth])
        room = np.maximum(self.room.extra[depth], 0)
        step.lay(room, np.ones(len(above), np.bool_))
        step.exchange(room)
        homeless = self.home == NOWHERE
        if (homeless & step.is_open()).any():
            step.lay(np.maximum(self.room.total[depth] - step.taken(), 0), homeless)
        return step.child

    def _anywhere(self, hole: int) -> int:
        """Return the emptiest device, for its quota, that lacks the partition; spread as well as that permits."""
        others = self.others[:, hole]
        others = others[others != NOWHERE]
        shared = np.zeros(len(self.topology.weights))
        for depth in DEPTHS:
            tiers = self.topology.ancestors[depth]
            shared += np.isin(tiers, tiers[others])
        wanted = self.quota[DEVICE].wanted
        # never one that has it; one with a quota; few shared tiers; then the most room for its size
        order = np.lexsort((-self.room.total[DEVICE] / np.maximum(wanted, 1), shared, wanted == 0))
        usable = order[~np.isin(order, others) & (self.topology.weights[order] > 0)]
        assert len(usable), "there are at least as many devices as replicas"
        return int(usable[0])


@dataclass(slots=True, eq=False)
class _Step:
    """The choice of children at one depth."""

    depth: int
    above: Tiers  # by hole; NOWHERE: given up
    siblings: Tiers  # [replica, hole]: the tiers of this depth where the partition is
    topology: Topology
    quota: Quota
    dice: np.random.Generator
    child: Tiers = field(init=False)  # by hole; NOWHERE: none yet
    obliged: Mask = field(init=False)  # by hole: it went where it must

    def __post_init__(self) -> None:
        self.child = np.full(len(self.above), NOWHERE, np.int32)
        self.obliged = np.zeros(len(self.above), np.bool_)

    def is_open(self) -> Mask:
        """Tell which holes have no child yet."""
        is_open: Mask = (self.child == NOWHERE) & (self.above != NOWHERE)
        return is_open

    def taken(self) -> Counts:
        """Return how many holes have gone to each tier."""
        return np.bincount(self.child[self.child != NOWHERE], minlength=len(self.quota.wanted))

    def obey(self, room: Counts) -> None:
        """Send holes to the children that must have their partition, those with most room first."""
        needy = np.flatnonzero((self.quota.least > 0) & (room > 0))
        for tier in needy[np.argsort(-room[needy])].tolist():
            lacks = self._count(tier) < self.quota.least[tier]
            holes = np.flatnonzero(lacks & self.is_open() & (self.above == self.topology.parents[self.depth][tier]))
            holes = self.dice.permutation(holes)[: room[tier]]
            self.child[holes] = tier
            self.obliged[holes] = True

    def lay(self, room: Counts, which: Mask) -> None:
        """Lay those holes against the `room` of the children, which it lowers."""
        for _ in range(_ROUNDS):
            holes = np.flatnonzero(which & self.is_open())
            if not len(holes) or not self._lay_once(holes, room):
                return

    def _lay_once(self, holes: _Indexes, room: Counts) -> bool:
        parents = self.topology.parents[self.depth]
        places = np.repeat(np.arange(len(room)), room)
        # where there are fewer holes than room, each child gets its part: its n-th place comes n / room of the way
        number = np.arange(len(places)) - np.searchsorted(places, places)
        way = (number + self.dice.random(len(places))) / room[places]
        places = places[np.lexsort((way, parents[places]))]
        holes = self.dice.permutation(holes)
        holes = holes[np.argsort(self.above[holes], kind="stable")]
        above = self.above[holes]
        index = np.arange(len(holes)) - np.searchsorted(above, above) + np.searchsorted(parents[places], above)
        fits = index < np.searchsorted(parents[places], above, side="right")
        holes, tiers = holes[fits], places[index[fits]]
        allowed = (self.siblings[:, holes] == tiers).sum(axis=0) < self.quota.most[tiers]
        self.child[holes[allowed]] = tiers[allowed]
        room -= np.bincount(tiers[allowed], minlength=len(room))
        return bool(allowed.any())

    def exchange(self, room: Counts) -> None:
        """Let a hole that may not go where there is room take the place of one that may."""
        for hole in np.flatnonzero(self.is_open())[:_EXCHANGES].tolist():
            self._exchange_one(hole, room)

    def _exchange_one(self, hole: int, room: Counts) -> None:
        parent = self.above[hole]
        with_room = np.flatnonzero((self.topology.parents[self.depth] == parent) & (room > 0))
        if not len(with_room):
            return
        placed = np.flatnonzero((self.above == parent) & (self.child != NOWHERE) & ~self.obliged)
        theirs = self.child[placed]
        allowed = (self.siblings[:, hole, None] == theirs).sum(axis=0) < self.quota.most[theirs]
        placed, theirs = placed[allowed], theirs[allowed]
        for tier in with_room.tolist():
            may = (self.siblings[:, placed] == tier).sum(axis=0) < self.quota.most[tier]
            if may.any():
                other = int(may.argmax())
                self.child[hole], self.child[placed[other]] = theirs[other], tier
                room[tier] -= 1
                return

    def _count(self, tier: int) -> Counts:
        count: Counts = (self.siblings == tier).sum(axis=0)
        return count
