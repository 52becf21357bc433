"""The builder file: builder <-> bytes. docs/ring-file.md is its page."""

import os

import numpy as np

from ring import envelope
from ring.builder import RingBuilder
from ring.errors import DamagedFile, RingError
from ring.file import pack_devices, unpack_devices

MAGIC = b"\x89HFBULD\n"


def dump(builder: RingBuilder) -> bytes:
    """Return the file that holds `builder`."""
    header = {
        "part_power": builder.part_power,
        "replicas": builder.replicas,
        "min_part_hours": builder.min_part_hours,
        "version": builder.version,
        "devices": pack_devices(builder.devices),
    }
    arrays = [] if builder.rows is None else [row.astype(np.uint32) for row in builder.rows]
    if builder.moved_hour is not None:
        arrays.append(builder.moved_hour)
    return envelope.seal(MAGIC, header, [memoryview(items.tobytes()).cast("I") for items in arrays])


def load(data: bytes) -> RingBuilder:
    """Return the builder in `data`. Raise DamagedFile or UnknownFormat."""
    header, arrays = envelope.open_sealed(MAGIC, data)
    *rows, moved_hour = arrays or (None,)
    try:
        return RingBuilder(
            part_power=header["part_power"],
            replicas=header["replicas"],
            min_part_hours=header["min_part_hours"],
            devices=unpack_devices(header["devices"]),
            version=header["version"],
            rows=tuple(np.array(row, np.int32) for row in rows) or None,
            moved_hour=None if moved_hour is None else np.array(moved_hour, np.uint32),
        )
    except (KeyError, TypeError) as error:
        raise DamagedFile(f"what it holds is no builder: {error}") from error


def write(path: str | os.PathLike[str], builder: RingBuilder) -> None:
    """Write `builder` to the file `path`, durably and at once."""
    envelope.write(path, dump(builder))


def read(path: str | os.PathLike[str]) -> RingBuilder:
    """Return the builder in the file `path`. Raise RingError, naming the file, or OSError."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        return load(data)
    except RingError as error:
        raise type(error)(f"{os.fspath(path)} is not a builder that can be used: {error}") from error
