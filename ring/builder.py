"""The builder: what the operator wants of a ring, and the placement that came of it so far. A value.

Each change gives a new builder and leaves the old one as it was, so a dry run is a run whose result
is dropped. Terms, defaults and what a change does to the version are those of OpenStack Swift's
builder (swift/common/ring/builder.py). What is wanted follows in `ring.targets`, placing in `ring.placement`.
"""

import dataclasses
import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ring import placement, targets
from ring.device import Device
from ring.errors import RingError
from ring.first import place_first
from ring.grid import (
    Counts,
    Grid,
    Mask,
    Rows,
    beyond,
    held,
    row_lengths,
    slots_of,
    tiers_of,
    to_grid,
    to_rows,
    twice,
)
from ring.lookup import Ring
from ring.topology import DEPTHS, NOWHERE, ROOT, TierName, Topology, survey

PART_POWER_LIMIT = 24  # 16 million partitions: 200 MB of three replicas while they are placed
REPLICAS_LIMIT = 100
MIN_PART_HOURS_LIMIT = 65_535
MAX_DEVICES = 1 << 16  # their ids are written as uint16, and one value is left for "none"
HOUR_S = 3600
WORST_BALANCE = 999.99  # percent: of a device that should hold nothing, and does


@dataclass(frozen=True, slots=True)
class Report:
    """What a rebalance did and what it came to."""

    moved: int  # replicas that changed their device, or got their first
    balance: float  # percent, see `RingBuilder.balance`
    dispersion: float  # percent, see `RingBuilder.dispersion`
    removed: int  # devices that are gone now


@dataclass(frozen=True, slots=True, eq=False)
class RingBuilder:
    """Wishes and placement. `rows` None: nothing has been placed yet."""

    part_power: int
    replicas: float
    min_part_hours: int  # for which a partition rests after one of its replicas moved
    overload: float = 0.0  # by which part more than its weight a device may be given for the sake of dispersion
    devices: tuple[Device | None, ...] = ()  # by device id; None: there is none
    removed: frozenset[int] = frozenset()  # ids of those that the next rebalance takes out; their weight is 0
    version: int = 0  # grows with every change of devices or placement
    id: str = ""  # of this builder and all that come of it; empty until it is saved
    next_part_power: int | None = None  # while the part power is being increased
    rows: Rows | None = None
    moved_s: NDArray[np.uint32] | None = None  # by partition: second since 1970 of its last move; 0: never
    # percent of replicas that are in a tier with more of their partition than an even spread would put
    # there, as of the last rebalance
    dispersion: float = 0.0
    devices_changed: bool = False  # or the number of replicas, so that the next rebalance is worth saving

    @staticmethod
    def create(part_power: int, replicas: float, min_part_hours: int = 1) -> "RingBuilder":
        """Return a builder without devices. Raise RingError."""
        if not 1 <= part_power <= PART_POWER_LIMIT:
            raise RingError(f"the part power must be from 1 to {PART_POWER_LIMIT}, not {part_power}")
        return RingBuilder(part_power, _checked_replicas(replicas), _checked_hours(min_part_hours))

    @property
    def partition_count(self) -> int:
        """How many partitions there are."""
        return 1 << self.part_power

    # what is wanted

    def add(self, device: Device) -> "RingBuilder":
        """Return the builder with `device`, whose id must be free. Raise RingError."""
        _check_weight(device.weight)
        if not 0 <= device.id < MAX_DEVICES - 1:
            raise RingError(f"a device id is from 0 to {MAX_DEVICES - 2}, not {device.id}")
        if device.id < len(self.devices) and self.devices[device.id] is not None:
            raise RingError(f"there is a device {device.id} already")
        if self.rows is not None and any(bool((row == device.id).any()) for row in self.rows):
            raise RingError(f"partitions are still on the device {device.id} that was: rebalance first")
        self._refuse_taken_address(device)
        room = (None,) * (device.id + 1 - len(self.devices))
        return self._with_device(device.id, device, (*self.devices, *room))

    def free_id(self) -> int:
        """Return the id for the next device: the first that no device has."""
        return self.devices.index(None) if None in self.devices else len(self.devices)

    def set_weight(self, device_id: int, weight: float) -> "RingBuilder":
        """Return the builder with another weight of a device; 0 empties it. Raise RingError."""
        _check_weight(weight)
        if device_id in self.removed:
            raise RingError(f"device {device_id} is being removed: its weight stays 0")
        return self._with_changes(device_id, weight=weight)

    def set_region(self, device_id: int, region: int) -> "RingBuilder":
        """Return the builder with a device in another region. Raise RingError."""
        return self._with_changes(device_id, region=region)

    def set_zone(self, device_id: int, zone: int) -> "RingBuilder":
        """Return the builder with a device in another zone of its region. Raise RingError."""
        return self._with_changes(device_id, zone=zone)

    def set_info(self, device_id: int, **changes: Any) -> "RingBuilder":
        """Return the builder with other ip, port, device, replication_ip, replication_port or meta. Raise RingError."""
        changed = self._with_changes(device_id, **changes)
        self._refuse_taken_address(changed.device(device_id))
        return dataclasses.replace(changed, version=self.version, devices_changed=self.devices_changed)

    def remove(self, device_id: int) -> "RingBuilder":
        """Return the builder without a device once it is rebalanced: then others get what it held. Raise RingError."""
        removed = self._with_changes(device_id, weight=0.0)
        return dataclasses.replace(removed, removed=self.removed | {device_id})

    def set_replicas(self, replicas: float) -> "RingBuilder":
        """Return the builder for another number of replicas, from the next rebalance on. Raise RingError."""
        _checked_replicas(replicas)
        slots_changed = int(self.partition_count * replicas) != int(self.partition_count * self.replicas)
        changed = self.devices_changed or slots_changed
        return dataclasses.replace(self, replicas=replicas, devices_changed=changed)

    def set_min_part_hours(self, hours: int) -> "RingBuilder":
        """Return the builder with another time of rest. Raise RingError."""
        return dataclasses.replace(self, min_part_hours=_checked_hours(hours))

    def set_overload(self, overload: float) -> "RingBuilder":
        """Return the builder with another overload, 0.1 being 10 %. Raise RingError."""
        if not math.isfinite(overload) or overload < 0:
            raise RingError(f"overload is a number from 0 up, not {overload}")
        return dataclasses.replace(self, overload=overload)

    def with_id(self) -> "RingBuilder":
        """Return the builder with an id, the same if it has one."""
        return self if self.id else dataclasses.replace(self, id=uuid.uuid4().hex)

    # placing

    def rebalance(
        self, seed: int, now_s: float, progress: Callable[[float], None] | None = None
    ) -> tuple["RingBuilder", Report]:
        """Return the builder with replicas placed where they are wanted, and how good that is.

        The same builder, seed and time give the same placement. Partitions of which a replica moved less than
        min_part_hours before `now_s` (since 1970) stay, unless a device is gone. `progress` is told
        the part that is done. Raise RingError.
        """
        kept = tuple(None if device and device.id in self.removed else device for device in self.devices)
        lengths = row_lengths(self.replicas, self.partition_count)
        topology = survey(kept)
        levels = targets.target(topology, self.replicas, self.overload)
        grid, slots = to_grid(self.rows, lengths, topology), slots_of(lengths)
        most = targets.most_by_tier(topology, self.replicas)
        quota = targets.quotas(topology, levels, sum(lengths), self.partition_count, held(grid, topology), most)
        dice = np.random.default_rng(seed)
        if self.rows is None:
            placed = place_first(lengths, topology, quota, most, dice)
        else:
            movable = (self._rested_at() <= now_s) & ~self._lost(grid)
            placed = placement.rebalance(grid, slots, movable, topology, quota, dice, progress or _unheard)
        placement.check(placed, slots)
        rows = to_rows(placed, lengths, topology)
        builder = dataclasses.replace(
            self,
            devices=kept,
            removed=frozenset(),
            devices_changed=False,
            version=self.version + 1,
            rows=rows,
            moved_s=self._moves_noted(rows, now_s),
            dispersion=_dispersion(placed, topology, self.replicas),
        )
        return builder, Report(self._moved(rows), builder.balance(), builder.dispersion, len(self.removed))

    def pretend_min_part_hours_passed(self) -> "RingBuilder":
        """Return the builder as if every partition had rested."""
        return dataclasses.replace(self, moved_s=None)

    def seconds_left(self, now_s: float) -> float:
        """Return how long it takes until every partition has rested."""
        return max(0.0, float(self._rested_at().max()) - now_s)

    def to_ring(self) -> Ring:
        """Return the ring that daemons look up in. Raise RingError before the first rebalance."""
        if self.rows is None:
            raise RingError("nothing is placed yet: rebalance first")
        rows = tuple(memoryview(row.astype(np.uint16).tobytes()).cast("H") for row in self.rows)
        devices = tuple(device if device is None or self._is_in_use(device) else None for device in self.devices)
        return Ring(self.part_power, devices, rows, self.version, self.next_part_power)

    # how good it is

    def held_counts(self) -> Counts:
        """Return how many partitions each device has been given, by device id."""
        counts = np.zeros(len(self.devices), np.int64)
        for row in self.rows or ():
            counts += np.bincount(row, minlength=len(counts))
        return counts

    def held(self, device_id: int) -> int:
        """Return how many partitions a device has been given."""
        return int(self.held_counts()[device_id])

    def balances(self) -> dict[int, float]:
        """Return by device id the percent by which it holds more, or less, than its weight says. Raise RingError."""
        total = math.fsum(device.weight for device in self.devices if device is not None)
        if not total:
            raise RingError("there are no devices with weight: add some, or give them weight")
        per_weight = self.partition_count * self.replicas / total
        counts = self.held_counts()
        return {
            device.id: _balance(int(counts[device.id]), device.weight * per_weight)
            for device in self.devices
            if device is not None
        }

    def balance(self) -> float:
        """Return the percent by which the device that is furthest off its weight is off it. Raise RingError."""
        return max(map(abs, self.balances().values()), default=0.0)

    def required_overload(self) -> float:
        """Return the overload from which on more of it disperses no better. Raise RingError."""
        topology = survey(self.devices)
        by_weight = targets.weighted(topology, self.replicas)
        return targets.required_overload(by_weight, targets.dispersed(topology, self.replicas, by_weight))

    def most_by_tier(self) -> dict[TierName, int]:
        """Return how many replicas of a partition an even spread puts into each tier at most; by its name."""
        topology = survey(self.devices)
        most = targets.most_by_tier(topology, self.replicas)
        return {
            name: int(most[depth][tier])
            for depth in range(ROOT, len(most))
            for tier, name in enumerate(topology.names[depth])
        }

    def dispersion_graph(self) -> dict[TierName, list[int]]:
        """Return by name of tier how many partitions have 0, 1, 2, … replicas there."""
        topology, grid, _slots = self._placed()
        graph: dict[TierName, list[int]] = {}
        for depth in DEPTHS:
            graph |= _histograms(grid, topology, depth)
        return graph

    def with_dispersion(self) -> "RingBuilder":
        """Return the builder with its dispersion measured anew. Raise RingError before the first rebalance."""
        topology, grid, _slots = self._placed()
        return dataclasses.replace(self, dispersion=_dispersion(grid, topology, self.replicas))

    def validate(self) -> None:
        """Raise RingError when the placement is not one that can be used."""
        _topology, grid, slots = self._placed()
        if not bool((grid[slots] != NOWHERE).all()):
            raise RingError("partitions are on devices that are not there")
        doubled = twice(grid)
        if doubled.any():
            raise RingError(f"partition {int(doubled.argmax())} is on one device twice")
        if any(device.weight == 0 and self.held(device.id) for device in self._present() if device.id in self.removed):
            raise RingError("devices that are being removed still hold partitions: rebalance")

    # more partitions

    def prepare_increase_partition_power(self) -> "RingBuilder":
        """Return the builder whose ring announces twice as many partitions. Raise RingError."""
        if self.next_part_power is not None:
            raise RingError("the part power is being increased already: finish or cancel that first")
        if self.part_power >= PART_POWER_LIMIT:
            raise RingError(f"the part power is {self.part_power}, the largest there is")
        return dataclasses.replace(self, next_part_power=self.part_power + 1, version=self.version + 1)

    def increase_partition_power(self) -> "RingBuilder":
        """Return the builder with twice as many partitions: 2n and 2n + 1 are where n was. Raise RingError."""
        if self.next_part_power != self.part_power + 1:
            raise RingError("prepare_increase_partition_power comes first")
        return dataclasses.replace(
            self,
            part_power=self.next_part_power,
            version=self.version + 1,
            rows=None if self.rows is None else tuple(np.repeat(row, 2) for row in self.rows),
            moved_s=None if self.moved_s is None else np.repeat(self.moved_s, 2),
        )

    def cancel_increase_partition_power(self) -> "RingBuilder":
        """Return the builder that increases no more; `finish_increase_partition_power` is next. Raise RingError."""
        if self.next_part_power != self.part_power + 1:
            raise RingError("no increase of the part power is prepared")
        return dataclasses.replace(self, next_part_power=self.part_power, version=self.version + 1)

    def finish_increase_partition_power(self) -> "RingBuilder":
        """Return the builder whose ring no longer speaks of an increase. Raise RingError."""
        if self.next_part_power != self.part_power:
            raise RingError("no increase of the part power is to be finished")
        return dataclasses.replace(self, next_part_power=None, version=self.version + 1)

    # parts of the above

    def device(self, device_id: int) -> Device:
        """Return the device of this id. Raise RingError."""
        device = self.devices[device_id] if 0 <= device_id < len(self.devices) else None
        if device is None:
            raise RingError(f"there is no device {device_id}")
        return device

    def _present(self) -> Sequence[Device]:
        return [device for device in self.devices if device is not None]

    def _refuse_taken_address(self, device: Device) -> None:
        for other in self._present():
            if other.id != device.id and other.id not in self.removed and _address(other) == _address(device):
                raise RingError(f"device {other.id} is {other.location} already")

    def _with_changes(self, device_id: int, **changes: Any) -> "RingBuilder":
        return self._with_device(device_id, dataclasses.replace(self.device(device_id), **changes))

    def _with_device(
        self, device_id: int, device: Device, devices: tuple[Device | None, ...] | None = None
    ) -> "RingBuilder":
        changed = list(devices or self.devices)
        changed[device_id] = device
        return dataclasses.replace(self, devices=tuple(changed), version=self.version + 1, devices_changed=True)

    def _is_in_use(self, device: Device) -> bool:
        return device.id not in self.removed or bool(self.held(device.id))

    def _rested_at(self) -> NDArray[np.int64]:
        """Return by partition from which second on it may move."""
        if self.moved_s is None:
            return np.zeros(self.partition_count, np.int64)
        rest_s = self.min_part_hours * HOUR_S
        return np.where(self.moved_s > 0, self.moved_s.astype(np.int64) + rest_s, 0)

    def _lost(self, grid: Grid) -> Mask:
        """Tell which partitions have a replica on a device that is gone."""
        lost = np.zeros(grid.shape[1], np.bool_)
        lengths = row_lengths(self.replicas, self.partition_count)
        for row, placed, length in zip(self.rows or (), grid, lengths, strict=False):
            kept = min(len(row), length)
            lost[:kept] |= placed[:kept] == NOWHERE
        return lost

    def _moves_noted(self, rows: Rows, now_s: float) -> NDArray[np.uint32]:
        """Return the seconds of last moves now that replicas are at `rows`. A replica's first place is no move."""
        noted = np.zeros(self.partition_count, np.uint32) if self.moved_s is None else self.moved_s.copy()
        for old, new in zip(self.rows or (), rows, strict=False):
            both = min(len(old), len(new))
            noted[:both][old[:both] != new[:both]] = int(now_s)
        return noted

    def _moved(self, rows: Rows) -> int:
        before = self.rows or ()
        same = sum(
            int((old[: len(new)] == new[: len(old)]).sum()) for old, new in zip(before, rows, strict=False)
        )
        return sum(len(row) for row in rows) - same

    def _placed(self) -> tuple[Topology, Grid, Mask]:
        """Return the placement as it is. Raise RingError before the first rebalance."""
        if self.rows is None:
            raise RingError("nothing is placed yet: rebalance first")
        topology, lengths = survey(self.devices), [len(row) for row in self.rows]
        return topology, to_grid(self.rows, lengths, topology), slots_of(lengths)


def _unheard(_done: float) -> None:
    return


def _balance(count: int, share: float) -> float:
    if share:
        return 100.0 * count / share - 100.0
    return WORST_BALANCE if count else 0.0


def _dispersion(grid: Grid, topology: Topology, replicas: float) -> float:
    at_risk = beyond(grid, topology, targets.most_by_tier(topology, replicas))
    return float(100.0 * at_risk / (grid.shape[1] * replicas))


def _histograms(grid: Grid, topology: Topology, depth: int) -> dict[TierName, list[int]]:
    tiers = tiers_of(grid, topology, depth)
    graph = {}
    counts = np.zeros((topology.tier_count(depth), len(grid) + 1), np.int64)
    partitions = np.tile(np.arange(grid.shape[1], dtype=np.int64), len(grid))
    flat = tiers.ravel()
    pairs = (flat.astype(np.int64) * grid.shape[1] + partitions)[flat != NOWHERE]
    found, times = np.unique(pairs, return_counts=True)
    np.add.at(counts, (found // grid.shape[1], times), 1)
    counts[:, 0] = grid.shape[1] - counts[:, 1:].sum(axis=1)
    for tier, name in enumerate(topology.names[depth]):
        graph[name] = counts[tier].tolist()
    return graph


def _address(device: Device) -> tuple[str, int, str]:
    return device.ip, device.port, device.device


def _checked_replicas(replicas: float) -> float:
    if not 1 <= replicas <= REPLICAS_LIMIT:
        raise RingError(f"a ring has from 1 to {REPLICAS_LIMIT} replicas, not {replicas:g}")
    return replicas


def _checked_hours(hours: int) -> int:
    if not 0 <= hours <= MIN_PART_HOURS_LIMIT:
        raise RingError(f"min_part_hours must be from 0 to {MIN_PART_HOURS_LIMIT}, not {hours}")
    return hours


def _check_weight(weight: float) -> None:
    if not math.isfinite(weight) or weight < 0:
        raise RingError(f"a weight is a number from 0 up, not {weight}")
