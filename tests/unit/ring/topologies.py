"""Devices and builders for the tests of this package."""

import dataclasses

import numpy as np

from ring.builder import RingBuilder
from ring.device import Device
from ring.lookup import Ring


def device(device_id: int, zone: int = 1, node: str = "", weight: float = 1.0, region: int = 1) -> Device:
    """Return a device; each zone is one node unless `node` says otherwise."""
    ip = node or f"10.{region}.{zone}.1"
    return Device(device_id, region, zone, ip, 6200 + device_id, f"d{device_id}", weight)


def builder_of(*devices: Device, part_power: int = 8, replicas: float = 3) -> RingBuilder:
    """Return a builder, not yet rebalanced, whose partitions may always move."""
    builder = RingBuilder.create(part_power, replicas, min_part_hours=0)
    for each in devices:
        builder = builder.add(each)
    return builder


def placed(*devices: Device, part_power: int = 8, replicas: float = 3) -> RingBuilder:
    """Return a builder after its first rebalance."""
    return builder_of(*devices, part_power=part_power, replicas=replicas).rebalance(seed=1, now_s=0)[0]


def same_ring(one: Ring, other: Ring) -> bool:
    """Tell whether two rings say the same."""
    return _facts(one) == _facts(other)


def _facts(ring: Ring) -> tuple[object, ...]:
    rows = [row.tolist() for row in ring.replica_rows]
    return ring.part_power, ring.devices, ring.version, ring.next_part_power, rows


def same_builder(one: RingBuilder, other: RingBuilder) -> bool:
    """Tell whether two builders say the same."""
    return all(
        _plain(getattr(one, each.name)) == _plain(getattr(other, each.name)) for each in dataclasses.fields(RingBuilder)
    )


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist() if value.any() else None  # nothing has moved: the same as no times of moves
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
