"""Where replicas go once there is a placement: gather, place, and again while it helps; relay the rest.

Invariants of a rebalance: every replica is on a device with weight, unless it may not move yet; no device
has a partition twice; of each partition at most one replica moves, besides those whose device is gone;
partitions that are not `movable` keep their devices.
"""

from collections.abc import Callable, Sequence

import numpy as np

from ring.gather import gather
from ring.grid import Grid, Mask, twice
from ring.place import place
from ring.relay import relay
from ring.targets import Quota
from ring.topology import NOWHERE, Topology

_PASSES = 12  # each moves what the last found no place for; two or three are usual
_PATIENCE = 2  # passes that move nothing before it is given up


def rebalance(
    grid: Grid,
    slots: Mask,
    movable: Mask,
    topology: Topology,
    quota: Sequence[Quota],
    dice: np.random.Generator,
    progress: Callable[[float], None],
) -> Grid:
    """Return `grid` with its holes among `slots` filled, and what should move moved."""
    new = slots & (grid == NOWHERE)
    if new.any():
        grid = place(grid, new, np.full_like(grid, NOWHERE), topology, quota, dice)
    weightless = np.append(topology.weights, 1.0) == 0
    idle = 0
    for number in range(_PASSES):
        progress(number / _PASSES)
        lifted = gather(grid, topology, quota, movable, dice)
        if not lifted.any() or idle == _PATIENCE:
            break
        homes = np.where(weightless[grid], NOWHERE, grid)  # nothing goes back to a device that is being emptied
        placed = place(np.where(lifted, NOWHERE, grid), lifted, homes, topology, quota, dice)
        moved = (placed != grid).any(axis=0)
        idle = 0 if moved.any() else idle + 1
        grid, movable = placed, movable & ~moved
    grid = relay(grid, topology, quota, movable, dice)
    progress(1.0)
    return grid


def check(grid: Grid, slots: Mask) -> None:
    """Assert what every placement must have: each replica somewhere, no two of a partition on one device."""
    assert bool((grid[slots] != NOWHERE).all()), "a replica is nowhere"
    assert not twice(grid).any(), "a device has a partition twice"
