"""Our builder and OpenStack Swift's, made to look alike: they are given the same operations and time."""

import dataclasses
from array import array
from collections.abc import Iterator
from typing import Any, Protocol, TypeVar
from unittest.mock import patch

import numpy as np
import swift.common.ring

from ring.builder import RingBuilder
from ring.device import Device
from tests.ring.histories import (
    HOUR_S,
    START_S,
    Add,
    History,
    Operation,
    Remove,
    SetOverload,
    SetReplicas,
    SetWeight,
    SetZone,
)
from tests.ring.placements import Placement


class Builder(Protocol):
    """What a history needs of a builder."""

    def do(self, operation: Operation) -> None: ...

    def rebalance(self, seed: int, now_s: int) -> None: ...

    def placement(self) -> Placement: ...


SomeBuilder = TypeVar("SomeBuilder", bound=Builder)


def play(builder: SomeBuilder, history: History) -> Iterator[tuple[SomeBuilder, int]]:
    """Do the steps of `history`; yield the builder and the time before each rebalance, which is the caller's."""
    now_s = START_S
    for step in history.steps:
        for operation in step.operations:
            builder.do(operation)
        now_s += int(step.hours * HOUR_S)
        yield builder, now_s


class Ours:
    """ring.builder, with the latest of its values."""

    def __init__(self, builder: RingBuilder) -> None:
        self.value = builder

    @classmethod
    def of(cls, history: History) -> "Ours":
        """Return a builder without devices."""
        builder = RingBuilder.create(history.part_power, history.replicas, history.min_part_hours)
        return cls(builder.set_overload(history.overload))

    def do(self, operation: Operation) -> None:
        match operation:
            case Add():
                self.value = self.value.add(operation.device)
            case SetWeight(device_id, weight):
                self.value = self.value.set_weight(device_id, weight)
            case SetZone(device_id, region, zone):
                self.value = self.value.set_region(device_id, region).set_zone(device_id, zone)
            case Remove(device_id):
                self.value = self.value.remove(device_id)
            case SetReplicas(replicas):
                self.value = self.value.set_replicas(replicas)
            case SetOverload(overload):
                self.value = self.value.set_overload(overload)

    def rebalance(self, seed: int, now_s: int) -> None:
        self.value, _report = self.value.rebalance(seed, now_s)

    def placement(self) -> Placement:
        value = self.value
        assert value.rows is not None
        return Placement(
            value.part_power,
            value.replicas,
            value.overload,
            {device.id: device for device in value.devices if device is not None and device.id not in value.removed},
            tuple(row.astype(np.int64) for row in value.rows),
        )


class Swifts:
    """swift.common.ring.RingBuilder."""

    def __init__(self, builder: Any) -> None:
        self.value = builder

    @classmethod
    def of(cls, history: History) -> "Swifts":
        """Return a builder without devices."""
        builder = swift.common.ring.RingBuilder(history.part_power, history.replicas, history.min_part_hours)
        builder.set_overload(history.overload)
        return cls(builder)

    def do(self, operation: Operation) -> None:
        match operation:
            case Add():
                self.value.add_dev(dataclasses.asdict(operation.device))
            case SetWeight(device_id, weight):
                self.value.set_dev_weight(device_id, weight)
            case SetZone(device_id, region, zone):
                self.value.set_dev_region(device_id, region)
                self.value.set_dev_zone(device_id, zone)
            case Remove(device_id):
                self.value.remove_dev(device_id)
            case SetReplicas(replicas):
                self.value.set_replicas(replicas)
            case SetOverload(overload):
                self.value.set_overload(overload)

    def rebalance(self, seed: int, now_s: int) -> None:
        with patch("swift.common.ring.builder.time", return_value=now_s):
            self.value.rebalance(seed)

    def placement(self) -> Placement:
        value = self.value
        return Placement(
            value.part_power,
            value.replicas,
            value.overload,
            {each["id"]: _device(each) for each in value.devs if each is not None and each not in value._remove_devs},
            tuple(np.array(row, np.int64) for row in value._replica2part2dev),
        )


def _device(fields: dict[str, Any]) -> Device:
    return Device(**{field.name: fields[field.name] for field in dataclasses.fields(Device)})


def ours_from(theirs: Swifts) -> Ours:
    """Return our builder in the state of `theirs`, so that both can go on from the same."""
    value = theirs.value
    moved_s = value._last_part_moves_epoch - HOUR_S * np.array(value._last_part_moves, np.int64)
    removed = frozenset(each["id"] for each in value._remove_devs)
    return Ours(
        RingBuilder(
            part_power=value.part_power,
            replicas=value.replicas,
            min_part_hours=value.min_part_hours,
            overload=value.overload,
            devices=tuple(None if each is None else _device(each) for each in value.devs),
            removed=removed,
            version=value.version,
            rows=tuple(np.array(row, np.int32) for row in value._replica2part2dev),
            moved_s=moved_s.clip(0).astype(np.uint32),
        )
    )


def swifts_from(ours: Ours, now_s: int) -> Swifts:
    """Return Swift's builder in the state of `ours` at `now_s`."""
    value = ours.value
    assert value.rows is not None
    assert value.moved_s is not None
    held = np.bincount(np.concatenate(value.rows), minlength=len(value.devices))
    devices = [
        None if each is None else {**dataclasses.asdict(each), "parts": int(held[each.id])} for each in value.devices
    ]
    rested_hours = np.minimum((now_s - value.moved_s.astype(np.int64)) // HOUR_S, 255)
    return Swifts(
        swift.common.ring.RingBuilder.from_dict(
            {
                "part_power": value.part_power,
                "replicas": value.replicas,
                "min_part_hours": value.min_part_hours,
                "parts": value.partition_count,
                "devs": devices,
                "devs_changed": True,
                "overload": value.overload,
                "version": value.version,
                "_replica2part2dev": [array("H", row.tolist()) for row in value.rows],
                "_last_part_moves_epoch": now_s,
                "_last_part_moves": array("B", rested_hours.tolist()),
                "_last_part_gather_start": 0,
                "_remove_devs": [each for each in devices if each is not None and each["id"] in value.removed],
            }
        )
    )


def swifts_plan(placement: Placement) -> dict[int, float]:
    """Return how many partitions Swift's builder plans for each device with weight: `target_replicas`."""
    theirs = swift.common.ring.RingBuilder(placement.part_power, placement.replicas, 0)
    theirs.set_overload(placement.overload)
    for device in placement.devices.values():
        theirs.add_dev(dataclasses.asdict(device))
    targets = theirs._build_target_replicas_by_tier()
    return {
        device.id: targets[device.region, device.zone, device.ip, device.id] * placement.partition_count
        for device in placement.devices.values()
        if device.weight > 0
    }
