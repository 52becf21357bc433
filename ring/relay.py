"""Chains of moves, for the few replicas that found no place by a move of their own.

A replica that its device has too many of, or that is one too many of its partition in a tier, takes the place of
another one, which takes the place of a third or goes where there is room. In the end one device has
one fewer and another one more, or, where the last one comes to the first device, all have as many as before. All
keep within what each tier may have of a partition.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ring.gather import crowded_of
from ring.grid import Counts, Grid, Mask, held_by_leaf, tiers_of
from ring.targets import Quota
from ring.topology import DEPTHS, DEVICE, NOWHERE, Tiers, Topology

_CHAINS = 400  # in one rebalance
_FAILURES = 12  # in a row, before it is given up
_CANDIDATES = 32  # replicas of a full device that are looked at together
_HELPERS = 2048  # other replicas that are looked at for the second link
_THIRDS = 384  # of them, also for the third: their pairs are looked at
_OPEN = 16  # devices with room that are looked at


@dataclass(frozen=True, slots=True, eq=False)
class _Slots:
    """Some replicas: where they are in the grid, and on which leaf."""

    replicas: NDArray[np.intp]
    partitions: NDArray[np.intp]
    leaves: Tiers
    others: Grid  # [replica, slot]: where the partition is besides

    def first(self, count: int) -> "_Slots":
        """Return the first `count` of them."""
        return _Slots(self.replicas[:count], self.partitions[:count], self.leaves[:count], self.others[:, :count])


def relay(grid: Grid, topology: Topology, quota: Sequence[Quota], movable: Mask, dice: np.random.Generator) -> Grid:
    """Return `grid` after moves of `movable` partitions that disperse them better, or balance devices better."""
    links = _Links(grid.copy(), movable.copy(), topology, quota, dice)
    links.relieve_crowded()
    links.relieve_full()
    return links.grid


@dataclass(frozen=True, slots=True, eq=False)
class _Links:
    """A placement, and the chains that are found in it."""

    grid: Grid  # is changed
    movable: Mask  # is changed: of a partition one replica moves
    topology: Topology
    quota: Sequence[Quota]
    dice: np.random.Generator

    def relieve_crowded(self) -> None:
        """Move a replica away of each partition that has too many in a tier."""
        crowded = crowded_of(self.grid, self.topology, self.quota) > 0
        failures = 0
        for partition in np.flatnonzero(crowded.any(axis=0) & self.movable)[:_CHAINS].tolist():
            replicas = np.flatnonzero(crowded[:, partition])
            surplus = self._surplus()
            found = False
            for replica in replicas[np.argsort(-surplus[self.grid[replicas, partition]])].tolist():
                own = self._slots_at(np.array([replica]), np.array([partition]))
                leaf = own.leaves[:1]
                targets = np.append(_open(surplus), leaf) if surplus[leaf[0]] > 0 else np.append(leaf, _open(surplus))
                found = found or self._chain(own, targets)
            failures = 0 if found else failures + 1
            if failures == _FAILURES:
                return

    def relieve_full(self) -> None:
        """Move what devices have beyond their quota to those that have less."""
        hopeless = np.zeros(len(self.topology.weights), np.bool_)
        for _ in range(_CHAINS):
            surplus = self._surplus()
            full = next(self._fullest(np.where(hopeless, 0, surplus)), NOWHERE)
            if full == NOWHERE or not (surplus < 0).any() or hopeless.sum() == _FAILURES:
                return
            own = self._slots_on(full)
            if not len(own.leaves) or not self._chain(own, _open(surplus)):
                hopeless[full] = True

    def _surplus(self) -> Counts:
        return held_by_leaf(self.grid, len(self.topology.weights)) - self.quota[DEVICE].wanted

    def _fullest(self, surplus: Counts) -> Iterator[int]:
        full = np.flatnonzero(surplus > 0)
        return iter(full[np.argsort(-surplus[full] / np.maximum(self.quota[DEVICE].wanted[full], 1))].tolist())

    def _chain(self, own: _Slots, targets: Tiers) -> bool:
        """Move one of `own` by at most three moves, the last of which is to a target; tell whether that could be."""
        direct = self._may_move(own, targets)
        if direct.any():
            slot, target = np.argwhere(direct)[0].tolist()
            self._put(own, slot, int(targets[target]))
            return True
        helpers = self._helpers()
        ends = self._may_move(helpers, targets)
        can_end: Mask = np.asarray(ends.any(axis=1))
        end = targets[ends.argmax(axis=1)] if ends.size else helpers.leaves
        into: Mask = self._may_follow(own, helpers)
        if (into & can_end).any():
            slot, helper = np.argwhere(into & can_end)[0].tolist()
            self._put(own, slot, int(helpers.leaves[helper]))
            self._put(helpers, helper, int(end[helper]))
            return True
        helpers, into, can_end = helpers.first(_THIRDS), into[:, :_THIRDS], can_end[:_THIRDS]
        between: Mask = np.logical_and(self._may_follow(helpers, helpers), can_end)
        through = into & between.any(axis=1)
        for slot, helper in np.argwhere(through).tolist():
            apart = between[helper] & (helpers.partitions != own.partitions[slot])
            if apart.any():
                third = int(apart.argmax())
                self._put(own, slot, int(helpers.leaves[helper]))
                self._put(helpers, helper, int(helpers.leaves[third]))
                self._put(helpers, third, int(end[third]))
                return True
        return False

    def _may_follow(self, slots: _Slots, others: _Slots) -> Mask:
        """Tell for [slot, other] whether it may take the place of that replica, which is of another partition."""
        allowed: Mask = self._may_move(slots, others.leaves) & (slots.partitions[:, None] != others.partitions)
        return allowed

    def _may_move(self, slots: _Slots, leaves: Tiers) -> Mask:
        """Tell for [slot, leaf] whether that replica may go there: within what tiers may have and must keep."""
        allowed: Mask = slots.leaves[:, None] != leaves
        for depth in DEPTHS:
            own, ancestors = self.quota[depth], self.topology.ancestors[depth]
            here, there = ancestors[slots.leaves], ancestors[leaves]
            others = tiers_of(slots.others, self.topology, depth)
            has = (others[:, :, None] == there).sum(axis=0)
            must_stay = (others == here).sum(axis=0) < own.least[here]
            allowed &= has < own.most[there]
            allowed &= ~must_stay[:, None] | (here[:, None] == there)
        return allowed

    def _slots_on(self, leaf: int) -> _Slots:
        """Return some of the replicas of a leaf."""
        partitions = np.flatnonzero(self.movable & (self.grid == leaf).any(axis=0))
        partitions = self.dice.permutation(partitions)[:_CANDIDATES]
        return self._slots_at((self.grid[:, partitions] == leaf).argmax(axis=0), partitions)

    def _helpers(self) -> _Slots:
        """Return replicas by chance."""
        count = len(self.grid)
        partitions = self.dice.permutation(np.flatnonzero(self.movable))[: _HELPERS // count]
        replicas, positions = np.nonzero(self.grid[:, partitions] != NOWHERE)
        order = self.dice.permutation(len(positions))
        return self._slots_at(replicas[order], partitions[positions[order]])

    def _slots_at(self, replicas: NDArray[np.intp], partitions: NDArray[np.intp]) -> _Slots:
        others = self.grid[:, partitions].copy()
        others[replicas, np.arange(len(partitions))] = NOWHERE
        return _Slots(replicas, partitions, self.grid[replicas, partitions], others)

    def _put(self, slots: _Slots, number: int, leaf: int) -> None:
        self.grid[slots.replicas[number], slots.partitions[number]] = leaf
        self.movable[slots.partitions[number]] = False


def _open(surplus: Counts) -> Tiers:
    """Return leaves that have room, those with most first."""
    leaves = np.flatnonzero(surplus < 0)
    return leaves[np.argsort(surplus[leaves], kind="stable")][:_OPEN].astype(np.int32)
