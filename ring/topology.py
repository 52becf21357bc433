"""The tree of what fails together, and how many replicas each part of it should hold. Pure.

A tier is a set of devices that fail together: everything, a region, a zone, a node, a device. Its
quota follows from weight: tiers of equal depth share the replicas in proportion to it, except that a
device holds a partition only once, so none gets more than one replica of each.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ring.device import Device
from ring.errors import RingError

DEPTH = 4  # region, zone, node, device; the root is above them
ROOT = 0


@dataclass(frozen=True, slots=True)
class Topology:
    """Devices that may hold partitions, as a tree. Tiers are numbered from the root, parents first."""

    children: tuple[tuple[int, ...], ...]  # by tier
    device_at: Mapping[int, int]  # leaf tier -> device id
    path: Mapping[int, tuple[int, ...]]  # device id -> its tiers: region, zone, node, device
    weight: Mapping[int, float]  # by device id, all above 0


@dataclass(frozen=True, slots=True)
class Quota:
    """Of a tier. Least and most are as even as `wanted` permits, so holding to them is good dispersion."""

    wanted: int  # replicas, of all partitions together
    least: int  # replicas of one partition
    most: int


def survey(devices: Sequence[Device | None]) -> Topology:
    """Return the tree of the `devices` that have weight."""
    children: list[list[int]] = [[]]
    tiers: dict[tuple[object, ...], int] = {}
    path = {}
    usable = [device for device in devices if device is not None and device.weight > 0]
    for device in usable:
        above, tier_path = ROOT, []
        place = (device.region, device.zone, device.ip, device.id)
        for depth in range(1, DEPTH + 1):
            tier = tiers.setdefault(place[:depth], len(children))
            if tier == len(children):
                children.append([])
                children[above].append(tier)
            tier_path.append(tier)
            above = tier
        path[device.id] = tuple(tier_path)
    return Topology(
        children=tuple(tuple(below) for below in children),
        device_at={tiers_of[-1]: device_id for device_id, tiers_of in path.items()},
        path=path,
        weight={device.id: device.weight for device in usable},
    )


def shares(weight: Mapping[int, float], slot_count: int, partition_count: int) -> dict[int, float]:
    """Return how many of `slot_count` replicas each device should hold.

    By weight, but one of a partition at most. Raise RingError when there are too few devices for that.
    """
    if len(weight) * partition_count < slot_count:
        needed = math.ceil(slot_count / partition_count)
        raise RingError(f"{needed} replicas need as many devices with weight, and there are {len(weight)}")
    share: dict[int, float] = {}
    left, rest = float(slot_count), dict(weight)
    while rest:
        total = math.fsum(rest.values())
        full = [device_id for device_id, own in rest.items() if left * own >= partition_count * total]
        if not full:
            return share | {device_id: left * own / total for device_id, own in rest.items()}
        for device_id in full:
            share[device_id] = float(partition_count)
            left -= partition_count
            del rest[device_id]
    return share


def quotas(topology: Topology, slot_count: int, partition_count: int, held: Mapping[int, int]) -> tuple[Quota, ...]:
    """Return the quota of each tier: its share in whole replicas.

    Shares are rounded from the root down, so that what is even above stays even; a tier that holds
    more now (`held`, by tier) is rounded up first, so that nothing moves for a fraction.
    """
    exact = _tier_shares(topology, shares(topology.weight, slot_count, partition_count))
    wanted = [0] * len(topology.children)
    wanted[ROOT] = slot_count
    for tier, below in enumerate(topology.children):
        if below:
            _round_children(tier, below, exact, held, wanted)
    return tuple(Quota(count, count // partition_count, -(-count // partition_count)) for count in wanted)


def _tier_shares(topology: Topology, by_device: Mapping[int, float]) -> list[float]:
    exact = [0.0] * len(topology.children)
    for device_id, share in by_device.items():
        for tier in topology.path[device_id]:
            exact[tier] += share
    # a sum of thirds must not fall below the whole number that it is
    return [float(round(share)) if abs(share - round(share)) < 1e-6 else share for share in exact]


def _round_children(
    tier: int, below: tuple[int, ...], exact: list[float], held: Mapping[int, int], wanted: list[int]
) -> None:
    for child in below:
        wanted[child] = math.floor(exact[child])
    left = wanted[tier] - sum(wanted[child] for child in below)
    fractional = [child for child in below if exact[child] > wanted[child]]
    assert 0 <= left <= len(fractional), "the children's shares add up to their parent's"
    fractional.sort(key=lambda child: (held.get(child, 0) > wanted[child], exact[child] % 1), reverse=True)
    for child in fractional[:left]:
        wanted[child] += 1
