"""Where replicas go: gather those that must or should move, place them, check the result.

Each phase is a function from values to a value. Rows are int32 arrays, one per replica:
row[partition] = device id, or NOWHERE. Invariants of a rebalance: no partition twice on a device; at
most one replica of a partition moves, unless its device is gone; what moves goes where quotas have
room; only replicas above a quota move.

The greedy choice in `_Board.best` is the Gale-Ryser construction, tier by tier: what a partition must
have first, then the tier with most room. From nothing it meets every quota that can be met; for
moves it may fall short by a few replicas, which stay where they are until the next pass.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ring.topology import DEPTH, ROOT, Quota, Topology

Row = NDArray[np.int32]
Rows = tuple[Row, ...]
Slot = tuple[int, int]  # replica, partition

NOWHERE = -1
_Allowed = Callable[[int, Mapping[int, int]], bool]
_PASSES = 20  # each tries other partitions where the last found no room; two or three are usual


@dataclass(frozen=True, slots=True)
class Report:
    """What a rebalance did and what it came to."""

    moved: int  # replicas that changed their device, or got their first
    balance: float  # percent by which the device furthest from its share is off it
    dispersed: float  # percent of replicas that are not in a tier with too many of their partition


@dataclass(frozen=True, slots=True)
class Lifted:
    """Rows with holes, and the holes by partition."""

    rows: Rows
    holes: Mapping[int, Sequence[int]]  # partition -> replicas
    homes: Mapping[Slot, int]  # device to go back to if nothing better is found; absent: it is gone


def empty_rows(replicas: float, partition_count: int) -> Rows:
    """Return rows for `replicas` of each partition, all nowhere; a fraction covers the first partitions."""
    whole = int(replicas)
    lengths = [partition_count] * whole + [round((replicas - whole) * partition_count)]
    return tuple(np.full(length, NOWHERE, np.int32) for length in lengths if length)


def gather(rows: Rows, topology: Topology, quota: Sequence[Quota], movable: NDArray[np.bool_], seed: int) -> Lifted:
    """Return `rows` without the replicas that are to be placed anew.

    Those on devices that are gone; then, one of a partition and only where `movable`, those beyond
    what one tier should have of their partition, and those beyond a device's quota.
    """
    grid = _grid(rows)
    known = np.isin(grid, list(topology.path))
    lost = _slots(rows) & ~known
    grid = np.where(known, grid, NOWHERE)
    free = movable & ~lost.any(axis=0)
    crowded = _first_of_column(_crowded(grid, topology, quota) & free)
    free &= ~crowded.any(axis=0)
    surplus = _surplus(np.where(crowded, NOWHERE, grid), free, topology, quota, seed)
    lifted = crowded | surplus
    holes: dict[int, list[int]] = {}
    for partition, replica in np.argwhere((lost | lifted).T).tolist():
        holes.setdefault(partition, []).append(replica)
    replicas, partitions = np.nonzero(lifted)
    slots = zip(replicas.tolist(), partitions.tolist(), strict=True)
    homes = dict(zip(slots, grid[lifted].tolist(), strict=True))
    kept = np.where(lifted, NOWHERE, grid)
    return Lifted(tuple(kept[index, : len(row)].copy() for index, row in enumerate(rows)), holes, homes)


def place(lifted: Lifted, topology: Topology, quota: Sequence[Quota], seed: int) -> Rows:
    """Return the rows of `lifted` with its holes filled."""
    rows = [row.tolist() for row in lifted.rows]
    dice = random.Random(seed)
    board = _Board(lifted.rows, topology, quota, dice)
    partitions = sorted(lifted.holes)
    dice.shuffle(partitions)
    for partition in partitions:
        taken = [row[partition] for row in rows if partition < len(row) and row[partition] != NOWHERE]
        for replica in lifted.holes[partition]:
            device_id = board.choose(taken, lifted.homes.get((replica, partition)))
            rows[replica][partition] = device_id
            taken.append(device_id)
    return tuple(np.array(row, np.int32) for row in rows)


def check(rows: Rows, topology: Topology) -> None:
    """Assert what every placement must have: each replica on a device with weight, no two on one."""
    grid = _grid(rows)
    slots = _slots(rows)
    assert np.isin(grid[slots], list(topology.path)).all(), "a replica is nowhere"
    ordered = np.sort(np.where(slots, grid, NOWHERE), axis=0)
    twice = (ordered[1:] == ordered[:-1]) & (ordered[1:] != NOWHERE)
    assert not twice.any(), "a device has a partition twice"


def measure(
    before: Rows | None, rows: Rows, topology: Topology, quota: Sequence[Quota], share: Mapping[int, float]
) -> Report:
    """Return how good `rows` are and how far they are from `before`; `share` is by device."""
    grid = _grid(rows)
    held = np.bincount(grid[grid != NOWHERE], minlength=max(topology.path) + 1)
    off = [abs(float(held[device_id]) / wanted - 1) for device_id, wanted in share.items()]
    slot_count = sum(len(row) for row in rows)
    return Report(
        moved=moved_slots(before, rows),
        balance=round(100 * max(off, default=0.0), 3),
        dispersed=round(100 - 100 * int(_crowded(grid, topology, quota).sum()) / slot_count, 3),
    )


def moved_slots(before: Rows | None, rows: Rows) -> int:
    """Return how many replicas are elsewhere than `before`."""
    if before is None:
        return sum(len(row) for row in rows)
    return int(sum((old != new).sum() for old, new in zip(before, rows, strict=True)))


def rebalance(rows: Rows, topology: Topology, quota: Sequence[Quota], movable: NDArray[np.bool_], seed: int) -> Rows:
    """Return `rows` after as many passes of `gather` and `place` as bring them nearer to the quotas."""
    original = _grid(rows)
    for number in range(_PASSES):
        lifted = gather(rows, topology, quota, movable, seed + number)
        placed = place(lifted, topology, quota, seed + number)
        if moved_slots(rows, placed) == 0:
            break
        rows = placed
        movable = movable & (_grid(rows) == original).all(axis=0)
    check(rows, topology)
    return rows


class _Board:
    """Room in each tier while replicas are being placed."""

    def __init__(self, rows: Rows, topology: Topology, quota: Sequence[Quota], dice: random.Random) -> None:
        self._children = topology.children
        self._device_at = topology.device_at
        self._path = topology.path
        self._least = [each.least for each in quota]
        self._most = [each.most for each in quota]
        self._random = dice.random
        grid = _grid(rows)
        self._room = [each.wanted for each in quota]  # replicas to come
        # of them, those beyond `least` of a partition
        self._extra = [each.wanted - each.least * grid.shape[1] for each in quota]
        for tiers in _tiers(grid, topology):
            ranks = _ranks(tiers)
            for tier, count in _counts(tiers[tiers != NOWHERE]):
                self._room[tier] -= count
            for tier, count in _counts(tiers[(tiers != NOWHERE) & (ranks >= _by_tier(self._least, tiers))]):
                self._extra[tier] -= count

    def choose(self, taken: Sequence[int], home: int | None) -> int:
        """Return the device for one more replica of a partition that is on `taken`, and note it."""
        count: dict[int, int] = {}
        for device_id in taken:
            for tier in self._path[device_id]:
                count[tier] = count.get(tier, 0) + 1
        leaf = self._best(ROOT, count, self._fits)
        if leaf is not None:
            device_id = self._device_at[leaf]
        elif home is not None:
            device_id = home
        else:
            leaf = self._best(ROOT, count, self._has_room)
            if leaf is None:
                leaf = self._best(ROOT, count, self._is_free)
            assert leaf is not None, "there are at least as many devices as replicas"
            device_id = self._device_at[leaf]
        self._take(device_id, count)
        return device_id

    def _take(self, device_id: int, count: Mapping[int, int]) -> None:
        for tier in self._path[device_id]:
            self._room[tier] -= 1
            if count.get(tier, 0) >= self._least[tier]:
                self._extra[tier] -= 1

    def _best(self, tier: int, count: Mapping[int, int], allowed: _Allowed) -> int | None:
        """Return the best leaf under `tier`, all of whose tiers are `allowed`; None if there is none."""
        below = self._children[tier]
        if not below:
            return tier
        choices = [self._key(child, count) for child in below if allowed(child, count)]
        while choices:
            best = max(choices)
            leaf = self._best(best[-1], count, allowed)
            if leaf is not None:
                return leaf
            choices.remove(best)
        return None

    def _key(self, tier: int, count: Mapping[int, int]) -> tuple[bool, int, float, int]:
        """Order tiers: those that must have the partition, then those with most room, then by chance."""
        if count.get(tier, 0) < self._least[tier]:
            return True, self._room[tier], self._random(), tier
        return False, self._extra[tier], self._random(), tier

    def _fits(self, tier: int, count: Mapping[int, int]) -> bool:
        if count.get(tier, 0) < self._least[tier]:
            return self._room[tier] > 0
        return self._extra[tier] > 0 and count.get(tier, 0) < self._most[tier]

    def _has_room(self, tier: int, count: Mapping[int, int]) -> bool:
        return self._room[tier] > 0 and self._is_free(tier, count)

    def _is_free(self, tier: int, count: Mapping[int, int]) -> bool:
        return tier not in self._device_at or tier not in count


def _grid(rows: Rows) -> Row:
    """Return `rows` as one array [replica, partition], NOWHERE where a row is short."""
    grid = np.full((len(rows), len(rows[0])), NOWHERE, np.int32)
    for index, row in enumerate(rows):
        grid[index, : len(row)] = row
    return grid


def _slots(rows: Rows) -> NDArray[np.bool_]:
    """Tell for [replica, partition] whether `rows` reach it."""
    lengths = np.array([len(row) for row in rows])
    return np.asarray(np.arange(len(rows[0])) < lengths[:, None])


def _tiers(grid: Row, topology: Topology) -> Iterator[Row]:
    """Yield `grid` in terms of regions, then zones, nodes, devices: tiers in place of device ids."""
    for depth in range(DEPTH):
        table = np.full(max(topology.path, default=0) + 2, NOWHERE, np.int32)  # its last item: for NOWHERE
        for device_id, path in topology.path.items():
            table[device_id] = path[depth]
        yield table[grid]


def _ranks(tiers: Row) -> Row:
    """Return for each replica how many before it, of its partition, are in the same tier."""
    ranks = np.zeros_like(tiers)
    for later in range(1, len(tiers)):
        ranks[later] = (tiers[:later] == tiers[later]).sum(axis=0)
    return ranks


def _by_tier(values: Sequence[int], tiers: Row) -> NDArray[np.int64]:
    return np.asarray(values, np.int64)[tiers]


def _counts(tiers: Row) -> Iterator[tuple[int, int]]:
    found, counts = np.unique(tiers, return_counts=True)
    return zip(found.tolist(), counts.tolist(), strict=True)


def _crowded(grid: Row, topology: Topology, quota: Sequence[Quota]) -> NDArray[np.bool_]:
    """Tell which replicas are in a tier that has enough of their partition without them."""
    most = [each.most for each in quota]
    crowded = np.zeros(grid.shape, np.bool_)
    for tiers in _tiers(grid, topology):
        crowded |= (tiers != NOWHERE) & (_ranks(tiers) >= _by_tier(most, tiers))
    return crowded


def _first_of_column(chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    first: NDArray[np.bool_] = chosen & (np.cumsum(chosen, axis=0) == 1)
    return first


def _surplus(
    grid: Row, free: NDArray[np.bool_], topology: Topology, quota: Sequence[Quota], seed: int
) -> NDArray[np.bool_]:
    """Choose what devices hold beyond their quota: from `free` partitions, one of each.

    Those that are one more than their tiers need go first: others would have to come back.
    """
    chosen = np.zeros(grid.shape, np.bool_)
    spare = _spare(grid, topology, quota)
    dice = np.random.default_rng(seed)
    free = free.copy()
    for device_id, path in topology.path.items():
        replicas, partitions = np.nonzero((grid == device_id) & free)
        surplus = int((grid == device_id).sum()) - quota[path[-1]].wanted
        if surplus <= 0:
            continue
        order = np.lexsort((dice.random(len(partitions)), -spare[replicas, partitions]))[:surplus]
        chosen[replicas[order], partitions[order]] = True
        free[partitions[order]] = False
    return chosen


def _spare(grid: Row, topology: Topology, quota: Sequence[Quota]) -> NDArray[np.int64]:
    """Return for each replica in how many of its tiers the partition has more than it must."""
    least = [each.least for each in quota]
    spare = np.zeros(grid.shape, np.int64)
    for tiers in _tiers(grid, topology):
        same = (tiers[:, None] == tiers).sum(axis=1)
        spare += same > _by_tier(least, tiers)
    return spare
