"""A device as OpenStack Swift's files have one: a map with the names that ours has.

Source: swift/common/ring/builder.py, `add_dev` and `load`; ring.py, `normalize_devices`. Swift always writes the
replication address; a device whose own is the same has none here. Old files lack the region, which is 1 then,
`meta` and the replication address. What operators add to the map is not known here, and is left out.
"""

from collections.abc import Sequence
from typing import Any

from ring import fields
from ring.device import Device


def dump(device: Device) -> dict[str, Any]:
    """Return the map that Swift has of `device`."""
    return fields.of_device(device) | {
        "weight": float(device.weight),
        "replication_ip": device.replication_ip or device.ip,
        "replication_port": device.replication_port or device.port,
    }


def load(value: object) -> Device:
    """Return the device in Swift's map. Raise DamagedFile."""
    saved = {"region": 1, **fields.mapping(value, "a device")}
    for own, common, nothing in (("replication_ip", "ip", ""), ("replication_port", "port", 0)):
        if own in saved and saved[own] == saved.get(common):
            saved[own] = nothing
    return fields.device(saved)


def load_all(values: Sequence[object]) -> tuple[Device | None, ...]:
    """Return the devices, by id, in Swift's list of them. Raise DamagedFile."""
    return fields.at_their_ids([None if value is None else load(value) for value in values])
