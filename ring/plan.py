"""A change of placement before it is made: what moves, what it takes, and what would be thin meanwhile.

Pure: a plan is a value made of two builders, or of two rings of a running cluster. `ring.plan_report` says it.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from ring.builder import RingBuilder
from ring.change import Change, Placement, change_between
from ring.device import Device
from ring.errors import RingError
from ring.exposure import Exposure, expose
from ring.grid import held_by_leaf
from ring.lookup import Ring
from ring.moves import Bytes, Copying, Flow, Moves, copying_of, flows, moves_of
from ring.topology import NOWHERE

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Usage:
    """What there is to copy, and how quickly it is copied."""

    bytes_used: Mapping[int, int] | int = 0  # by device id; or of all devices together, every replica counted
    bytes_per_s: float = 50 * MIB  # that a device reads and writes for the move, all told


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a placement is, in the percent of `RingBuilder`."""

    balance: float
    dispersion: float


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a change would do."""

    change: Change
    moves: Moves
    copying: Copying
    bytes_per_s: float
    exposure: Exposure
    quality: tuple[Quality, Quality] | None  # before and after; None: nothing was placed, or rings cannot tell

    @property
    def replica_count(self) -> int:
        """How many replicas there are afterwards, of all partitions together."""
        return int(np.count_nonzero(self.change.new != NOWHERE))

    @property
    def bytes(self) -> int:
        """How much is copied."""
        return round(float(self.copying.moved.sum()))

    @property
    def duration_s(self) -> float:
        """How long the device takes that has most to read and write."""
        return float(self._work.max(initial=0.0)) / self.bytes_per_s

    @property
    def bottleneck(self) -> Device | None:
        """The device that has most to read and write; None: nothing is to be copied."""
        return self.change.device(int(self._work.argmax())) if self._work.any() else None

    @property
    def lost(self) -> list[Device]:
        """Devices that cannot be read: what they held is copied from other replicas."""
        return [self.change.device(leaf) for leaf in np.flatnonzero(self.change.lost).tolist()]

    def flows(self, depth: int) -> list[Flow]:
        """Return what goes between the tiers of `depth`, the largest flow first."""
        return flows(self.moves, self.copying.moved, self.change.topology, depth)

    @property
    def _work(self) -> Bytes:
        work: Bytes = self.copying.read + self.copying.written
        return work


def plan(before: Placement, after: Placement, usage: Usage, lost: Collection[int] | None = None) -> Plan:
    """Return what it means to go from `before` to `after`. Raise RingError when that cannot be told.

    `lost`: ids of devices of `before` that cannot be read; if None, those that it is about to remove.
    """
    if not (math.isfinite(usage.bytes_per_s) and usage.bytes_per_s > 0):
        raise RingError(f"a device copies a number of bytes per second above 0, not {usage.bytes_per_s}")
    change = change_between(before, after, lost)
    moves = moves_of(change)
    return Plan(
        change=change,
        moves=moves,
        copying=copying_of(moves, change, _replica_bytes(usage, change)),
        bytes_per_s=usage.bytes_per_s,
        exposure=expose(change),
        quality=_qualities(before, after),
    )


def _replica_bytes(usage: Usage, change: Change) -> Bytes:
    """Return by leaf how much the replica of a partition has there; where that is not known, the mean of the others."""
    held = held_by_leaf(change.old, len(change.lost))
    if isinstance(usage.bytes_used, int):
        return np.full(len(held), usage.bytes_used / max(int(held.sum()), 1))
    device_ids = change.topology.device_ids.tolist()
    used = np.array([usage.bytes_used.get(device_id, -1) for device_id in device_ids], np.float64)
    known = (used >= 0) & (held > 0)
    mean = used[known].sum() / max(int(held[known].sum()), 1)
    return np.where(known, used / np.maximum(held, 1), mean)


def _qualities(before: Placement, after: Placement) -> tuple[Quality, Quality] | None:
    if isinstance(before, Ring) or isinstance(after, Ring) or before.rows is None:
        return None
    return _quality(before), _quality(after)


def _quality(builder: RingBuilder) -> Quality:
    return Quality(builder.balance(), builder.with_dispersion().dispersion)
