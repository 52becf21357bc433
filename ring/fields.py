"""Values out of a file's header, each taken only when it is of the kind and size that it has to be.

Headers are what a foreign program wrote: JSON, msgpack or a pickle. A mistake in one is DamagedFile, whose text
names the field and not its value, which may be anything.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ring.device import Device
from ring.errors import DamagedFile

Fields = Mapping[Any, Any]
PART_POWER_LIMIT = 24  # builders make no larger rings
_VERSION_LIMIT = 1 << 63
_DEVICE_ID_LIMIT = 1 << 32
_TIER_LIMIT = 1 << 31  # of the numbers of regions and zones
_PORT_LIMIT = 1 << 16
_DEVICE_NAMES = tuple(field.name for field in dataclasses.fields(Device))


def mapping(value: object, noun: str) -> Fields:
    """Return `value`, which has to be a mapping. Raise DamagedFile."""
    if not isinstance(value, dict):
        raise DamagedFile(f"{noun} is not a map of names and values")
    return value


def sequence(fields: Fields, name: str) -> Sequence[Any]:
    """Return the list `name`. Raise DamagedFile."""
    value = fields.get(name)
    if not isinstance(value, list):
        raise DamagedFile(f"{name} is not a list")
    return value


def integer(fields: Fields, name: object, least: int, limit: int, default: int | None = None) -> int:
    """Return the integer `name`, from `least` to below `limit`. Raise DamagedFile."""
    value = fields.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < limit:
        raise DamagedFile(f"{name} is not an integer from {least} to {limit - 1}")
    return value


def device_ids(fields: Fields, name: str) -> frozenset[int]:
    """Return the device ids in the list `name`. Raise DamagedFile."""
    return frozenset(integer({name: value}, name, 0, _DEVICE_ID_LIMIT) for value in sequence(fields, name))


def number(fields: Fields, name: str, default: float | None = None) -> float:
    """Return the number `name`, from 0 up. Raise DamagedFile."""
    value = fields.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise DamagedFile(f"{name} is not a number from 0 up")
    return float(value)


def text(fields: Fields, name: str, default: str | None = None) -> str:
    """Return the string `name`. Raise DamagedFile."""
    value = fields.get(name, default)
    if not isinstance(value, str):
        raise DamagedFile(f"{name} is not a string")
    return value


def flag(fields: Fields, name: str) -> bool:
    """Return the boolean `name`. Raise DamagedFile."""
    value = fields.get(name)
    if not isinstance(value, bool):
        raise DamagedFile(f"{name} is neither true nor false")
    return value


def part_power(fields: Fields) -> int:
    """Return the part power. Raise DamagedFile."""
    return integer(fields, "part_power", 0, PART_POWER_LIMIT + 1)


def next_part_power(fields: Fields) -> int | None:
    """Return the part power that is coming, None when none is. Raise DamagedFile."""
    if fields.get("next_part_power") is None:
        return None
    return integer(fields, "next_part_power", 0, PART_POWER_LIMIT + 2)


def version(fields: Fields) -> int:
    """Return the version of a ring or builder. Raise DamagedFile."""
    return integer(fields, "version", 0, _VERSION_LIMIT)


def device(value: object) -> Device:
    """Return the device in `value`; what is not known of it is ignored. Raise DamagedFile."""
    fields = mapping(value, "a device")
    return Device(
        id=integer(fields, "id", 0, _DEVICE_ID_LIMIT),
        region=integer(fields, "region", 0, _TIER_LIMIT),
        zone=integer(fields, "zone", 0, _TIER_LIMIT),
        ip=text(fields, "ip"),
        port=integer(fields, "port", 0, _PORT_LIMIT),
        device=text(fields, "device"),
        weight=number(fields, "weight"),
        replication_ip=text(fields, "replication_ip", ""),
        replication_port=integer(fields, "replication_port", 0, _PORT_LIMIT, 0),
        meta=text(fields, "meta", ""),
    )


def at_their_ids(devices: Sequence[Device | None]) -> tuple[Device | None, ...]:
    """Return `devices`, each of which has to be at the index of its id. Raise DamagedFile."""
    if any(each is not None and each.id != index for index, each in enumerate(devices)):
        raise DamagedFile("a device is not at the index of its id")
    return tuple(devices)


def of_device(device: Device) -> dict[str, Any]:
    """Return the fields of `device`."""
    return {name: getattr(device, name) for name in _DEVICE_NAMES}
