"""The ring file: ring <-> bytes, and files of them. docs/ring-file.md is its page."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

from ring import disk, envelope, fields
from ring.device import Device
from ring.errors import DamagedFile, RingError
from ring.lookup import Ring

MAGIC = b"\x89HFRING\n"


def dump(ring: Ring) -> bytes:
    """Return the file that holds `ring`."""
    header = {
        "part_power": ring.part_power,
        "version": ring.version,
        "next_part_power": ring.next_part_power,
        "devices": pack_devices(ring.devices),
    }
    return envelope.seal(MAGIC, header, ring.replica_rows)


def load(data: bytes) -> Ring:
    """Return the ring in `data`. Raise DamagedFile or UnknownFormat."""
    contents = envelope.open_sealed(MAGIC, data)
    header = contents.header
    try:
        return Ring(
            part_power=fields.part_power(header),
            devices=unpack_devices(fields.sequence(header, "devices")),
            replica_rows=contents.arrays,
            version=fields.version(header),
            next_part_power=fields.next_part_power(header),
        )
    except RingError as error:
        raise DamagedFile(f"what it holds is no ring: {error}") from error


def write(path: str | os.PathLike[str], ring: Ring) -> None:
    """Write `ring` to the file `path`, durably and at once. Raise OSError."""
    disk.write(path, dump(ring))


def read(path: str | os.PathLike[str]) -> Ring:
    """Return the ring in the file `path`. Raise RingError, naming the file, or OSError."""
    return disk.read(path, load, "ring")


def pack_devices(devices: Sequence[Device | None]) -> list[dict[str, Any] | None]:
    """Return `devices` as headers hold them."""
    return [None if device is None else fields.of_device(device) for device in devices]


def unpack_devices(packed: Iterable[object]) -> tuple[Device | None, ...]:
    """Return the devices of a header. Raise DamagedFile."""
    return fields.at_their_ids([None if each is None else fields.device(each) for each in packed])
