"""Taking over a builder that was changed away from the cluster. Pure."""

import dataclasses

import numpy as np

from ring.builder import RingBuilder
from ring.device import Device
from tools.errors import OperatorError
from tools.rings.builders import Builders
from tools.rings.wishes import Placed

_ADDRESS = ("ip", "port", "device")


def taken_over(before: Builders, name: str, builder: RingBuilder) -> Placed:
    """Return `before` with `builder` for the ring `name`. Raise OperatorError, RingError when it does not fit."""
    own = before[name]
    refuse_unfit(own, builder)
    builder.validate()
    builder = dataclasses.replace(
        builder.set_min_part_hours(own.min_part_hours).with_dispersion(),
        version=max(builder.version, own.version + 1),
    )
    moved = _moved(own, builder)
    if not moved and _weights(own) == _weights(builder):
        raise OperatorError("nothing would change: it places as the ring in force does")
    builders = {**before, name: builder}
    return Placed(
        builders,
        moved,
        max(each.balance() for each in builders.values()),
        max(each.dispersion for each in builders.values()),
    )


def refuse_unfit(own: RingBuilder, builder: RingBuilder) -> None:
    """Raise OperatorError unless `builder` is for the devices and partitions of `own`."""
    if builder.rows is None:
        raise OperatorError("nothing is placed in it yet: `ring-builder FILE rebalance` does that")
    if builder.part_power != own.part_power:
        raise OperatorError(f"its part power is {builder.part_power}, and that of the ring is {own.part_power}")
    if builder.replicas != own.replicas:
        raise OperatorError(f"it has {builder.replicas:g} replicas, and the ring has {own.replicas:g}")
    if builder.removed:
        raise OperatorError(
            f"device {min(builder.removed)} is being removed in it: `ring-builder FILE rebalance` comes first"
        )
    ours, theirs = _by_id(own), _by_id(builder)
    for device_id in sorted(theirs.keys() - ours.keys()):
        raise OperatorError(f"it has device {device_id}, which the rings have not: `holdfast device add` makes devices")
    for device_id in sorted(ours.keys() - theirs.keys()):
        raise OperatorError(f"it lacks device {device_id}: `holdfast device remove {device_id}` removes it")
    for device_id, device in theirs.items():
        if any(getattr(device, field) != getattr(ours[device_id], field) for field in _ADDRESS):
            raise OperatorError(
                f"its device {device_id} is {device.location}, and that of the ring is {ours[device_id].location}"
            )


def _by_id(builder: RingBuilder) -> dict[int, Device]:
    return {device.id: device for device in builder.devices if device is not None}


def _weights(builder: RingBuilder) -> dict[int, tuple[float, int, int]]:
    return {device.id: (device.weight, device.region, device.zone) for device in _by_id(builder).values()}


def _moved(own: RingBuilder, builder: RingBuilder) -> int:
    """Return how many replicas are on a device that has none of their partition so far."""
    assert own.rows is not None
    assert builder.rows is not None
    moved = 0
    for row in builder.rows:
        absent = np.ones(len(row), bool)
        for other in own.rows:
            both = min(len(row), len(other))
            absent[:both] &= row[:both] != other[:both]
        moved += int(absent.sum())
    return moved
