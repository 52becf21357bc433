"""The builder: what the operator wants of a ring, and the placement that came of it so far. A value.

Each change gives a new builder and leaves the old one as it was, so a dry run is a run whose result
is dropped. Placing is in `ring.placement`; what is wanted of it, in `ring.topology`.
"""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ring import placement
from ring.device import Device
from ring.errors import RingError
from ring.lookup import Ring
from ring.placement import Report, Rows
from ring.topology import Topology, quotas, shares, survey

PART_POWER_LIMIT = 24
MAX_DEVICES = 1 << 16  # their ids are written as uint16
_HOUR_S = 3600


@dataclass(frozen=True, slots=True, eq=False)
class RingBuilder:
    """Wishes and placement. `rows` None: nothing has been placed yet."""

    part_power: int
    replicas: float
    min_part_hours: int  # for which a partition rests after one of its replicas moved
    devices: tuple[Device | None, ...] = ()  # by device id; None: removed
    version: int = 0  # grows with every rebalance
    rows: Rows | None = None
    moved_hour: NDArray[np.uint32] | None = None  # by partition: hours since 1970 of its last move

    @staticmethod
    def create(part_power: int, replicas: float, min_part_hours: int = 1) -> "RingBuilder":
        """Return a builder without devices. Raise RingError."""
        if not 1 <= part_power <= PART_POWER_LIMIT:
            raise RingError(f"the part power must be from 1 to {PART_POWER_LIMIT}, not {part_power}")
        if not 1 <= replicas <= 100:
            raise RingError(f"a ring has from 1 to 100 replicas, not {replicas:g}")
        if not 0 <= min_part_hours <= 65_535:
            raise RingError(f"min_part_hours must be from 0 to 65535, not {min_part_hours}")
        return RingBuilder(part_power, replicas, min_part_hours)

    @property
    def partition_count(self) -> int:
        """How many partitions there are."""
        return 1 << self.part_power

    def add(self, device: Device) -> "RingBuilder":
        """Return the builder with `device`, whose id must be free. Raise RingError."""
        _check_weight(device.weight)
        if not 0 <= device.id < MAX_DEVICES:
            raise RingError(f"a device id is from 0 to {MAX_DEVICES - 1}, not {device.id}")
        if device.id < len(self.devices) and self.devices[device.id] is not None:
            raise RingError(f"there is a device {device.id} already")
        for other in self.devices:
            if other is not None and _address(other) == _address(device):
                raise RingError(f"device {other.id} is {other.location} already")
        room = (None,) * (device.id + 1 - len(self.devices))
        return self._with_device(device.id, device, (*self.devices, *room))

    def free_id(self) -> int:
        """Return the id for the next device."""
        return len(self.devices)

    def set_weight(self, device_id: int, weight: float) -> "RingBuilder":
        """Return the builder with another weight of a device; 0 empties it. Raise RingError."""
        _check_weight(weight)
        return self._with_device(device_id, dataclasses.replace(self._device(device_id), weight=weight))

    def remove(self, device_id: int) -> "RingBuilder":
        """Return the builder without a device; the next rebalance places what it held. Raise RingError."""
        self._device(device_id)
        return self._with_device(device_id, None)

    def rebalance(self, seed: int, now_s: float) -> tuple["RingBuilder", Report]:
        """Return the builder with replicas placed where they are wanted, and how good that is.

        The same builder and seed give the same placement. Partitions that moved less than
        min_part_hours before `now_s` (since 1970) stay, unless a device is gone. Raise RingError.
        """
        topology, before = survey(self.devices), self.rows
        rows = before or placement.empty_rows(self.replicas, self.partition_count)
        slot_count = sum(len(row) for row in rows)
        share = shares(topology.weight, slot_count, self.partition_count)
        quota = quotas(topology, slot_count, self.partition_count, _held(rows, topology))
        moved_hour = self.moved_hour
        if moved_hour is None:
            moved_hour = np.zeros(self.partition_count, np.uint32)
        hour = int(now_s // _HOUR_S)
        movable = moved_hour.astype(np.int64) + self.min_part_hours <= hour
        placed = placement.rebalance(rows, topology, quota, movable, seed)
        report = placement.measure(before, placed, topology, quota, share)
        builder = dataclasses.replace(
            self,
            version=self.version + 1,
            rows=placed,
            moved_hour=_note_moves(before, placed, moved_hour, hour),
        )
        return builder, report

    def to_ring(self) -> Ring:
        """Return the ring that daemons look up in. Raise RingError before the first rebalance."""
        if self.rows is None:
            raise RingError("nothing is placed yet: rebalance first")
        rows = tuple(memoryview(row.astype(np.uint16).tobytes()).cast("H") for row in self.rows)
        return Ring(self.part_power, self.devices, rows, self.version)

    def held(self, device_id: int) -> int:
        """Return how many partitions a device has been given."""
        return sum(int((row == device_id).sum()) for row in self.rows or ())

    def _device(self, device_id: int) -> Device:
        device = self.devices[device_id] if 0 <= device_id < len(self.devices) else None
        if device is None:
            raise RingError(f"there is no device {device_id}")
        return device

    def _with_device(
        self, device_id: int, device: Device | None, devices: tuple[Device | None, ...] | None = None
    ) -> "RingBuilder":
        changed = list(devices or self.devices)
        changed[device_id] = device
        return dataclasses.replace(self, devices=tuple(changed))


def _address(device: Device) -> tuple[str, int, str]:
    return device.ip, device.port, device.device


def _check_weight(weight: float) -> None:
    if not math.isfinite(weight) or weight < 0:
        raise RingError(f"a weight is a number from 0 up, not {weight}")


def _held(rows: Rows, topology: Topology) -> dict[int, int]:
    """Return how many replicas each tier holds."""
    held: dict[int, int] = {}
    for device_id, path in topology.path.items():
        count = sum(int((row == device_id).sum()) for row in rows)
        for tier in path:
            held[tier] = held.get(tier, 0) + count
    return held


def _note_moves(before: Rows | None, rows: Rows, moved_hour: NDArray[np.uint32], hour: int) -> NDArray[np.uint32]:
    """Return the hours of last moves now that `rows` stand in for `before`; a first placement is no move."""
    if before is None:
        return moved_hour
    noted = moved_hour.copy()
    for old, new in zip(before, rows, strict=True):
        noted[: len(new)][old != new] = hour
    return noted
