"""What a picture shows: regions of zones of nodes of devices, each with the partitions it should hold and holds."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from typing import Any, TypeVar

from ring.builder import RingBuilder
from ring.device import Device

_FAIR_PERCENT = 1.0  # off its share by less, a device counts as balanced; so it does by a partition
T = TypeVar("T")


class State(Enum):
    """Of a device, as the legend puts it."""

    FAIR = "held"
    OVER = "held, more than wanted"
    UNDER = "held, less than wanted"
    EMPTYING = "no weight"
    REMOVED = "being removed"


@dataclass(frozen=True, slots=True)
class Bar:
    """One device, in partitions."""

    device: Device
    wanted: float
    held: int
    is_removed: bool

    @property
    def off_percent(self) -> float:
        """By how much it holds more than wanted; 0 where nothing is wanted."""
        return 100 * self.held / self.wanted - 100 if self.wanted else 0.0

    @property
    def state(self) -> State:
        """How it is to be marked."""
        if self.is_removed:
            return State.REMOVED
        if not self.wanted:
            return State.EMPTYING
        if abs(self.held - self.wanted) <= 1 or abs(self.off_percent) <= _FAIR_PERCENT:
            return State.FAIR
        return State.OVER if self.held > self.wanted else State.UNDER


@dataclass(frozen=True, slots=True)
class Node:
    """Devices that share an address."""

    ip: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Zone:
    """Nodes of one zone of a region."""

    zone: int
    nodes: tuple[Node, ...]

    @property
    def bars(self) -> list[Bar]:
        """The devices of all its nodes."""
        return [bar for node in self.nodes for bar in node.bars]


@dataclass(frozen=True, slots=True)
class Region:
    """Zones of one region."""

    region: int
    zones: tuple[Zone, ...]

    @property
    def bars(self) -> list[Bar]:
        """The devices of all its zones."""
        return [bar for zone in self.zones for bar in zone.bars]


def gather(builder: RingBuilder) -> tuple[Region, ...]:
    """Return what there is to show of `builder`."""
    devices = [device for device in builder.devices if device is not None]
    total_weight = sum(device.weight for device in devices)
    per_weight = builder.replicas * builder.partition_count / total_weight if total_weight else 0.0
    held = builder.held_counts().tolist()
    bars = [
        Bar(device, device.weight * per_weight, held[device.id], device.id in builder.removed)
        for device in sorted(devices, key=_place)
    ]
    return tuple(Region(region, _zones(of_region)) for region, of_region in _by(bars, lambda bar: bar.device.region))


def _place(device: Device) -> tuple[Any, ...]:
    """Return what devices are sorted by: numbers in addresses count as numbers."""
    return device.region, device.zone, [int(part) for part in re.findall(r"\d+", device.ip)], device.ip, device.id


def _zones(bars: Iterable[Bar]) -> tuple[Zone, ...]:
    return tuple(Zone(zone, _nodes(of_zone)) for zone, of_zone in _by(bars, lambda bar: bar.device.zone))


def _nodes(bars: Iterable[Bar]) -> tuple[Node, ...]:
    return tuple(Node(ip, of_node) for ip, of_node in _by(bars, lambda bar: bar.device.ip))


def _by(bars: Iterable[Bar], place: Callable[[Bar], T]) -> list[tuple[T, tuple[Bar, ...]]]:
    return [(key, tuple(group)) for key, group in groupby(bars, key=place)]
