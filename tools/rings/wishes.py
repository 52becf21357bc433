"""What the operator wants of the rings, as changes of their builders. Pure; time is an argument.

All rings have the same devices with the same weights, so a wish is the same for each of them.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ring.builder import RingBuilder
from ring.device import Device
from tools.errors import OperatorError
from tools.rings.builders import Builders

Wish = Callable[[RingBuilder], RingBuilder]


@dataclass(frozen=True, slots=True)
class Placed:
    """Builders after a rebalance, and what it did. The worst of all rings counts."""

    builders: Builders
    moved: int  # replicas, of all rings
    balance: float  # percent
    dispersion: float  # percent


def adding(devices: Sequence[Device]) -> Wish:
    """Return the wish for more devices."""

    def wish(builder: RingBuilder) -> RingBuilder:
        for device in devices:
            builder = builder.add(device)
        return builder

    return wish


def weighing(weights: Mapping[int, float]) -> Wish:
    """Return the wish for other weights, by device id."""

    def wish(builder: RingBuilder) -> RingBuilder:
        for device_id, weight in weights.items():
            builder = builder.set_weight(device_id, weight)
        return builder

    return wish


def removing(device_ids: Iterable[int]) -> Wish:
    """Return the wish to be rid of devices."""
    wanted = tuple(device_ids)

    def wish(builder: RingBuilder) -> RingBuilder:
        for device_id in wanted:
            builder = builder.remove(device_id)
        return builder

    return wish


def nothing_more(builder: RingBuilder) -> RingBuilder:
    """Wish for what was wished for before: there may be more to move."""
    return builder


def place(builders: Builders, wish: Wish, now_s: float) -> Placed:
    """Return the builders with the wish fulfilled and rebalanced. Raise OperatorError, RingError."""
    wished = {name: wish(builder) for name, builder in builders.items()}
    for builder in wished.values():
        _refuse_too_few(builder)
    after, moved, balance, dispersion = {}, 0, 0.0, 0.0
    for seed, name in enumerate(sorted(wished)):  # so that the rings differ, and come out the same again
        after[name], report = wished[name].rebalance(seed, now_s)
        moved += report.moved
        balance, dispersion = max(balance, report.balance), max(dispersion, report.dispersion)
    return Placed(after, moved, balance, dispersion)


def _refuse_too_few(builder: RingBuilder) -> None:
    needed, present = math.ceil(builder.replicas), len(weighed(builder))
    if present < needed:
        raise OperatorError(
            f"{needed} replicas need as many devices with weight, and {present} would be left: add one first"
        )


def weighed(builder: RingBuilder) -> list[Device]:
    """Return the devices that are to hold something."""
    return [
        device
        for device in builder.devices
        if device is not None and device.weight > 0 and device.id not in builder.removed
    ]


def device_ids(builders: Builders) -> set[int]:
    """Return the devices that any of the builders has."""
    return {device.id for builder in builders.values() for device in builder.devices if device is not None}


def drained(builders: Builders) -> frozenset[int]:
    """Return the devices that are to hold nothing."""
    return frozenset(
        device.id
        for builder in builders.values()
        for device in builder.devices
        if device is not None and device.weight == 0
    )


def held(builders: Builders, device_ids: Collection[int]) -> int:
    """Return how many replicas, of all rings, these devices hold."""
    return sum(
        builder.held(device_id)
        for builder in builders.values()
        for device_id in device_ids
        if device_id < len(builder.devices)
    )


def is_worth_another_round(before: Placed, after: Placed, leaving: Collection[int]) -> bool:
    """Tell whether moving on to `after` brings what `before` has not."""
    if not after.moved:
        return False
    empties = held(before.builders, leaving) > held(after.builders, leaving)
    improves = after.balance < before.balance - 0.01 or after.dispersion < before.dispersion - 0.01
    return empties or improves
