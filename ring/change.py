"""Two placements of the same partitions, brought over one tree of devices so that they can be compared. Pure."""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ring.builder import RingBuilder
from ring.device import Device
from ring.errors import RingError
from ring.grid import Grid, Mask, to_grid
from ring.lookup import Ring
from ring.topology import NOWHERE, Topology, survey

Placement = RingBuilder | Ring
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """From one placement to another."""

    devices: tuple[Device | None, ...]  # of both, by the ids of `topology`; those of the old one are at their own
    topology: Topology
    old: Grid
    new: Grid
    lost: Mask  # by leaf: it cannot be read any more

    def readable(self, grid: Grid) -> Grid:
        """Return `grid` with the replicas on lost devices nowhere."""
        return np.where(np.append(self.lost, True)[grid], np.int32(NOWHERE), grid)

    def device(self, leaf: int) -> Device:
        """Return the device that is a leaf, as its own placement knows it."""
        device = self.devices[int(self.topology.device_ids[leaf])]
        assert device is not None, "leaves are devices"
        return device


def change_between(before: Placement, after: Placement, lost: Collection[int] | None = None) -> Change:
    """Return the change from `before` to `after`. Raise RingError when they are not of one part power.

    `lost`: ids of devices of `before` that cannot be read; if None, those that it is about to remove.
    """
    if before.part_power != after.part_power:
        raise RingError(f"the part powers differ: {before.part_power} before, {after.part_power} after")
    devices, renamed = _joined(before, after)
    topology = survey([device and dataclasses.replace(device, id=index) for index, device in enumerate(devices)])
    return Change(
        devices=devices,
        topology=topology,
        old=_grid(before, np.arange(len(before.devices)), topology),
        new=_grid(after, renamed, topology),
        lost=np.isin(topology.device_ids, list(_removed(before) if lost is None else lost)),
    )


def _joined(before: Placement, after: Placement) -> tuple[tuple[Device | None, ...], Ids]:
    """Return the devices of both, those of `before` at their ids, and a table from ids of `after` to indexes of them.

    A device that both have is where `after` says.
    """
    room = (None,) * (len(after.devices) - len(before.devices))
    devices = [*before.devices, *room]
    renamed = np.arange(len(after.devices))
    for device in after.devices:
        if device is None:
            continue
        known = devices[device.id]
        if known is None or _is_same(known, device, _removed(before)):
            devices[device.id] = device
        else:
            renamed[device.id] = len(devices)
            devices.append(device)
    return tuple(devices), renamed


def _is_same(old: Device, new: Device, removed: Collection[int]) -> bool:
    """Tell whether one device has the id of both: the old one stays, and not all of its address and name is new."""
    return old.id not in removed and ((old.ip, old.port) == (new.ip, new.port) or old.device == new.device)


def _removed(placement: Placement) -> Collection[int]:
    return placement.removed if isinstance(placement, RingBuilder) else ()


def _grid(placement: Placement, ids: Ids, topology: Topology) -> Grid:
    """Return where replicas are; `ids`: from those of the placement's devices to those of `topology`."""
    rows = placement.rows or () if isinstance(placement, RingBuilder) else placement.replica_rows
    if not rows:
        return np.full((1, 1 << placement.part_power), NOWHERE, np.int32)
    return to_grid(tuple(ids[np.asarray(row)] for row in rows), [len(row) for row in rows], topology)
