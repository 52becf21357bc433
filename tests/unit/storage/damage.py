"""Ways to damage what a device has stored, for tests: as a disk would, behind the program's back."""

import os
from pathlib import Path

from storage.log.interface import offset_of, segment_of
from storage.log.segment import file_name
from tests.unit.storage.blob_stores import Device, key_of


def flip(path: Path, offset: int, bits: int = 1) -> None:
    """Change a byte."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ bits]))


def place_of(device: Device, name: str) -> tuple[Path, int]:
    """Return the segment that the newest record of a key is in, and where it begins there."""
    held = device.store.index.get(key_of(name))
    assert held is not None
    return device.path / "log" / file_name(segment_of(held.position)), offset_of(held.position)


def file_of(device: Device, name: str) -> Path:
    """Return the file of a large object."""
    data_id = device.store.index.data_id(key_of(name)).hex()
    return device.path / "blobs" / "files" / data_id[:2] / data_id


def spoil_identity(path: Path) -> None:
    """Change a byte of what a file says of itself."""
    value = bytearray(os.getxattr(path, "user.holdfast.identity"))
    value[-1] ^= 1
    os.setxattr(path, "user.holdfast.identity", bytes(value))
