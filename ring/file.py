"""The ring file: ring <-> bytes, and files of them. docs/ring-file.md is its page."""

import dataclasses
import os
from collections.abc import Iterable, Sequence
from typing import Any

from ring import envelope
from ring.device import Device
from ring.errors import DamagedFile, RingError
from ring.lookup import Ring

MAGIC = b"\x89HFRING\n"
_DEVICE_FIELDS = frozenset(field.name for field in dataclasses.fields(Device))


def dump(ring: Ring) -> bytes:
    """Return the file that holds `ring`."""
    header = {"part_power": ring.part_power, "version": ring.version, "devices": pack_devices(ring.devices)}
    return envelope.seal(MAGIC, header, ring.replica_rows)


def load(data: bytes) -> Ring:
    """Return the ring in `data`, which it keeps in use. Raise DamagedFile or UnknownFormat."""
    header, rows = envelope.open_sealed(MAGIC, data)
    try:
        return Ring(
            part_power=header["part_power"],
            devices=unpack_devices(header["devices"]),
            replica_rows=rows,
            version=header["version"],
        )
    except (KeyError, TypeError, RingError) as error:
        raise DamagedFile(f"what it holds is no ring: {error}") from error


def write(path: str | os.PathLike[str], ring: Ring) -> None:
    """Write `ring` to the file `path`, durably and at once."""
    envelope.write(path, dump(ring))


def read(path: str | os.PathLike[str]) -> Ring:
    """Return the ring in the file `path`. Raise RingError, naming the file, or OSError."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        return load(data)
    except RingError as error:
        raise type(error)(f"{os.fspath(path)} is not a ring that can be used: {error}") from error


def pack_devices(devices: Sequence[Device | None]) -> list[dict[str, Any] | None]:
    """Return `devices` as headers hold them."""
    return [None if device is None else dataclasses.asdict(device) for device in devices]


def _device(fields: dict[str, Any]) -> Device:
    return Device(**{name: value for name, value in fields.items() if name in _DEVICE_FIELDS})


def unpack_devices(packed: Iterable[dict[str, Any] | None]) -> tuple[Device | None, ...]:
    """Return the devices of a header. What is not known of one is ignored."""
    devices = tuple(None if fields is None else _device(fields) for fields in packed)
    if any(device is not None and device.id != index for index, device in enumerate(devices)):
        raise DamagedFile("a device is not at the index of its id")
    return devices
