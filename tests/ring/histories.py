"""Histories of rings, as operators make them: devices, then changes with rebalances between.

A history is a value whose operations name device ids, so that any builder can be given it, and so that a
failing one can be kept as it is printed.
"""

import math
import os
from dataclasses import dataclass, replace

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from ring.device import Device

START_S = 1_700_000_000  # since 1970: when a history begins
HOUR_S = 3600

_COUNT = int(os.environ.get("HISTORIES", "0"))  # 0: the sample of `make test`, always the same


def sample(quick: int) -> settings:
    """Return how many histories a test is given: `quick` of them, unless a deeper run asks for more.

    Only the deeper run takes the minutes to make a failing history small.
    """
    return settings(
        max_examples=_COUNT or quick,
        derandomize=not _COUNT,
        deadline=None,
        phases=tuple(Phase) if _COUNT else (Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


@dataclass(frozen=True, slots=True)
class Add:
    device_id: int
    region: int
    zone: int
    node: int
    weight: float

    @property
    def device(self) -> Device:
        ip = f"10.{self.region}.{self.zone}.{self.node}"
        return Device(self.device_id, self.region, self.zone, ip, 6200, f"d{self.device_id}", self.weight, ip, 6200)


@dataclass(frozen=True, slots=True)
class SetWeight:
    device_id: int
    weight: float


@dataclass(frozen=True, slots=True)
class SetZone:
    device_id: int
    region: int
    zone: int


@dataclass(frozen=True, slots=True)
class Remove:
    device_id: int


@dataclass(frozen=True, slots=True)
class SetReplicas:
    replicas: float


@dataclass(frozen=True, slots=True)
class SetOverload:
    overload: float


Operation = Add | SetWeight | SetZone | Remove | SetReplicas | SetOverload


@dataclass(frozen=True, slots=True)
class Step:
    """Operations, then hours that pass, then a rebalance."""

    operations: tuple[Operation, ...]
    hours: float


@dataclass(frozen=True, slots=True)
class History:
    part_power: int
    replicas: float
    min_part_hours: int
    overload: float
    steps: tuple[Step, ...]  # the first one adds the first devices


class _Fleet:
    """What is there while a history is drawn, so that its operations are possible."""

    def __init__(self, draw: st.DrawFn, replicas: float) -> None:
        self._draw = draw
        self._replicas = replicas
        self._devices: dict[int, Device] = {}
        self._removed: set[int] = set()
        self._weights = draw(st.sampled_from(_WEIGHTS))

    def first(self) -> list[Operation]:
        """Draw regions, zones and nodes of very different sizes."""
        draw = self._draw
        nodes = st.lists(st.integers(1, 4), min_size=1, max_size=3)
        zones = draw(st.lists(st.tuples(st.integers(1, 3), nodes), min_size=1, max_size=6))
        operations: list[Operation] = []
        for zone, (region, sizes) in enumerate(zones, 1):
            for node, size in enumerate(sizes, 1):
                operations += [self._add(region, zone, node) for _ in range(size)]
        while self._usable() < self._replicas:
            operations.append(self._add(1, 1, 1))
        return operations

    def change(self) -> list[Operation]:
        """Draw something that an operator does; possibly to many devices."""
        draw = self._draw
        kind = draw(st.sampled_from(["add", "zone", "weight", "drain", "remove", "move", "replicas", "overload"]))
        if kind == "add":
            region, zone, node = draw(st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 4)))
            return [self._add(region, zone, node) for _ in range(draw(st.integers(1, 3)))]
        if kind == "zone":
            region, zone = draw(st.tuples(st.integers(1, 4), st.integers(8, 9)))
            return [self._add(region, zone, draw(st.integers(1, 3))) for _ in range(draw(st.integers(1, 6)))]
        if kind == "replicas":
            self._replicas = draw(_replicas(self._usable()))
            return [SetReplicas(self._replicas)]
        if kind == "overload":
            return [SetOverload(draw(_OVERLOADS))]
        return self._change_device(kind, draw(st.sampled_from(sorted(self._devices))))

    def _change_device(self, kind: str, device_id: int) -> list[Operation]:
        device = self._devices[device_id]
        if kind == "move":
            region, zone = self._draw(st.tuples(st.integers(1, 3), st.integers(1, 9)))
            self._devices[device_id] = replace(device, region=region, zone=zone)
            return [SetZone(device_id, region, zone)]
        if kind == "weight":
            weight = self._draw(self._weights)
            if weight > 0 or self._can_lose(device):
                self._devices[device_id] = replace(device, weight=weight)
                return [SetWeight(device_id, weight)]
        elif self._can_lose(device):
            if kind == "drain":
                self._devices[device_id] = replace(device, weight=0.0)
                return [SetWeight(device_id, 0.0)]
            self._removed.add(device_id)
            del self._devices[device_id]
            return [Remove(device_id)]
        return []

    def rebalanced(self) -> None:
        """Note that ids of removed devices may be given again."""
        self._removed.clear()

    def _add(self, region: int, zone: int, node: int) -> Add:
        taken = self._devices.keys() | self._removed
        device_id = next(number for number in range(len(taken) + 1) if number not in taken)
        weight = self._draw(self._weights) if self._devices else 1.0
        added = Add(device_id, region, zone, node, weight)
        self._devices[device_id] = added.device
        return added

    def _usable(self) -> int:
        return sum(device.weight > 0 for device in self._devices.values())

    def _can_lose(self, device: Device) -> bool:
        return device.weight == 0 or self._usable() - 1 >= self._replicas


_WEIGHTS = (
    st.just(1.0),
    st.sampled_from([1.0, 2.0, 3.0]),
    st.sampled_from([100.0, 100.0, 250.0, 400.0, 0.0]),
    st.floats(0.5, 20.0).map(lambda weight: round(weight, 2)),
)
_OVERLOADS = st.sampled_from([0.0, 0.0, 0.1, 0.5, 10.0])


def _replicas(most: int) -> st.SearchStrategy[float]:
    return st.sampled_from([count for count in (3.0, 1.0, 2.0, 4.0, 5.0, 2.25, 1.5, 3.7) if count <= most])


@st.composite
def histories(draw: st.DrawFn, max_steps: int = 4) -> History:
    """Draw a history of up to `max_steps` changes after the first rebalance."""
    replicas = draw(_replicas(5))
    min_part_hours = draw(st.sampled_from([1, 0, 24]))
    fleet = _Fleet(draw, replicas)
    part_power, overload = draw(st.integers(5, 8)), draw(_OVERLOADS)
    steps = [Step(tuple(fleet.first()), 0)]
    for _ in range(draw(st.integers(0, max_steps))):
        fleet.rebalanced()
        changes = [operation for _ in range(draw(st.integers(0, 3))) for operation in fleet.change()]
        steps.append(Step(tuple(changes), draw(st.sampled_from([24, 1, 0.75, 0]))))
    return History(part_power, replicas, min_part_hours, overload, tuple(steps))


def least_devices(replicas: float) -> int:
    """Return how many devices with weight a ring of `replicas` needs."""
    return math.ceil(replicas)
