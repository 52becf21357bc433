"""The tree of what fails together: everything, regions, zones, nodes, devices. A value of arrays.

A tier is a set of devices that fail together. The tiers of one depth are numbered from 0 in the order
of their places, so that those with one parent lie side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ring.device import Device

ROOT, REGION, ZONE, NODE, DEVICE = range(5)  # depths
DEPTHS = range(REGION, DEVICE + 1)  # those below the root
NOWHERE = -1  # in place of a leaf or tier

Tiers = NDArray[np.int32]
TierName = tuple[int | str, ...]  # (), (region,), (region, zone), (region, zone, ip), (region, zone, ip, device id)


@dataclass(frozen=True, slots=True, eq=False)
class Topology:
    """Devices as the leaves of a tree; leaves are numbered in the order of their places."""

    device_ids: NDArray[np.int32]  # by leaf
    weights: NDArray[np.float64]  # by leaf; 0: should hold nothing
    parents: tuple[Tiers, ...]  # [depth][tier] = the tier above it; the root is its own
    ancestors: tuple[Tiers, ...]  # [depth][leaf] = the tier of that depth that it is in
    names: tuple[tuple[TierName, ...], ...]  # [depth][tier]

    def tier_count(self, depth: int) -> int:
        """Return how many tiers there are at `depth`."""
        return len(self.parents[depth])

    def sums(self, of_leaves: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Return by depth, for each tier, the sum of what its leaves have."""
        return tuple(
            np.bincount(ancestors, of_leaves, minlength=len(parents)).astype(np.float64)
            for ancestors, parents in zip(self.ancestors, self.parents, strict=True)
        )

    def leaves(self) -> Tiers:
        """Return a table from device id to leaf; its last item, for NOWHERE as an index, is NOWHERE."""
        table = np.full(int(self.device_ids.max(initial=-1)) + 2, NOWHERE, np.int32)
        table[self.device_ids] = np.arange(len(self.device_ids))
        return table


def survey(devices: Sequence[Device | None]) -> Topology:
    """Return the tree of `devices`."""
    there = sorted((device for device in devices if device is not None), key=_name)
    names: list[list[TierName]] = [[()], [], [], [], []]
    parents: list[list[int]] = [[0], [], [], [], []]
    ancestors: list[list[int]] = [[0] * len(there), [], [], [], []]
    for device in there:
        name = _name(device)
        for depth in DEPTHS:
            if not names[depth] or names[depth][-1] != name[:depth]:
                names[depth].append(name[:depth])
                parents[depth].append(len(names[depth - 1]) - 1)
            ancestors[depth].append(len(names[depth]) - 1)
    return Topology(
        device_ids=np.array([device.id for device in there], np.int32),
        weights=np.array([device.weight for device in there], np.float64),
        parents=tuple(np.array(above, np.int32) for above in parents),
        ancestors=tuple(np.array(tiers, np.int32) for tiers in ancestors),
        names=tuple(tuple(of_depth) for of_depth in names),
    )


def _name(device: Device) -> tuple[int, int, str, int]:
    return device.region, device.zone, device.ip, device.id
