"""The commands that add devices and find them."""

import dataclasses
from typing import Any

import numpy as np

from ring import notation
from ring.builder import RingBuilder
from ring.cli.call import Call, Outcome
from ring.cli.options import DeviceWords, Misuse, device_words
from ring.cli.report import device_facts, device_table
from ring.cli.selection import all_meant, find, refuse_taken_address, refuse_while_increasing
from ring.device import Device
from ring.errors import RingError
from ring.notation import Criteria, described


def add(builder: RingBuilder, call: Call) -> Outcome:
    """Add devices; they get partitions at the next rebalance."""
    refuse_while_increasing(builder, "adding devices")
    added, warnings = _new_devices(device_words(call.words))
    devices = []
    for device in added:
        placed = dataclasses.replace(device, id=builder.free_id())
        refuse_taken_address(builder, placed)
        builder = builder.add(placed)
        devices.append(placed)
    lines = [f"Added {described(device)} with weight {device.weight:g}." for device in devices]
    return Outcome("\n".join(lines), {"devices": device_facts(builder, devices)}, warnings=warnings, builder=builder)


def search(builder: RingBuilder, call: Call) -> Outcome:
    """Show the devices that are meant."""
    asked = device_words(call.words)
    if asked.words and (asked.by_options or len(asked.words) > 1):
        raise Misuse("give one search value, or options")
    criteria = notation.parse_search(asked.words[0]) if asked.words else asked.criteria
    devices = find(builder, criteria, call.words)
    return Outcome(device_table(builder, devices), {"devices": device_facts(builder, devices)})


def list_parts(builder: RingBuilder, call: Call) -> Outcome:
    """List the partitions that are on the devices that are meant, with how many of them hold each."""
    if builder.rows is None:
        raise RingError("nothing is placed yet: rebalance first")
    devices, warnings = all_meant(builder, device_words(call.words), call)
    meant = np.zeros(len(builder.devices), np.bool_)
    meant[[device.id for device in devices]] = True
    matches = np.zeros(builder.partition_count, np.int64)
    for row in builder.rows:
        matches[: len(row)] += meant[row]
    listed = [int(partition) for partition in np.argsort(-matches, kind="stable") if matches[partition]]
    if not listed:
        raise RingError("these devices hold no partition")
    lines = [f"{'partition':>9} {'matches':>7}", *(f"{each:>9} {matches[each]:>7}" for each in listed)]
    facts = [{"partition": partition, "matches": int(matches[partition])} for partition in listed]
    return Outcome("\n".join(lines), {"partitions": facts}, warnings=warnings)


def _new_devices(asked: DeviceWords) -> tuple[list[Device], tuple[str, ...]]:
    """Return the devices to add, with id 0, and warnings. Raise RingError."""
    if asked.words and asked.by_options:
        raise Misuse("give devices with their weights, or options, not both")
    if not asked.words:
        return [notation.new_device(_required(asked.criteria))], ()
    devices, warnings = [], []
    for place, weight in asked.pairs():
        device, region_given = notation.parse_add(place, notation.parse_weight(weight))
        devices.append(device)
        if not region_given:
            warnings.append(f"{place} names no region, so it is added to region 1")
    return devices, tuple(warnings)


def _required(criteria: Criteria) -> dict[str, Any]:
    values = {name: value for name, value in dataclasses.asdict(criteria).items() if value is not None and name != "id"}
    for name in ("region", "zone", "ip", "port", "device", "weight"):
        if name not in values:
            raise Misuse(f"--{name} is missing")
    return values
