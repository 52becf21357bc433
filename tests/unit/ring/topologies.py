"""Devices and builders for the tests of this package."""

from ring.builder import RingBuilder
from ring.device import Device


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
