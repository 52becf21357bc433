"""How good placements are: by the measures of the tests, the same for both sides."""

from pathlib import Path

import numpy as np

from ring.device import Device
from tests.bench.ring import setting
from tests.bench.ring.setting import Figures
from tests.ring.placements import DEVICE_DEPTH, Placement, balance, most_when_even, moves, tiers


def judge(directory: Path, side: str) -> Figures:
    """Return balance, dispersion and movement, each in percent, of what `side` has saved."""
    figures: Figures = {}
    before = None
    for phase in setting.PHASES:
        placement = _placement((directory / f"{side}-{phase}").read_bytes(), without=phase == "removed")
        figures[f"{phase}_balance"] = balance(placement)
        figures[f"{phase}_dispersion"] = _dispersion(placement)
        if before is not None:
            figures[f"{phase}_moved"] = 100 * moves(before, placement).count / placement.slot_count
        before = placement
    return figures


def _placement(data: bytes, *, without: bool) -> Placement:
    """Return the placement of saved rows, whose items are as wide as the builder has them."""
    count = setting.REPLICAS << setting.PART_POWER
    items = np.frombuffer(data, {2: np.uint16, 4: np.int32}[len(data) // count]).astype(np.int64)
    devices = {number: Device(**setting.device_fields(number)) for number in range(setting.DEVICES)}
    if without:
        del devices[setting.REMOVED]
    rows = tuple(items.reshape(setting.REPLICAS, 1 << setting.PART_POWER))
    return Placement(setting.PART_POWER, setting.REPLICAS, 0.0, devices, rows)


def _dispersion(placement: Placement) -> float:
    """Return what `tests.ring.placements.dispersion` does, over arrays: that one is for small rings."""
    most = most_when_even(placement)
    at_risk = np.zeros(placement.partition_count, np.int64)
    for depth in range(1, DEVICE_DEPTH + 1):
        index = {tier: number for number, tier in enumerate(most)}
        allowed = np.array(list(most.values()))
        tier_of = np.zeros(setting.DEVICES, np.int64)
        for device in placement.devices.values():
            tier_of[device.id] = index[tiers(device)[depth]]
        there = np.stack([tier_of[row] for row in placement.rows])
        before = np.stack([(there[:replica] == there[replica]).sum(axis=0) for replica in range(len(there))])
        at_risk = np.maximum(at_risk, (before >= allowed[there]).sum(axis=0))
    return float(100 * at_risk.sum() / placement.slot_count)
