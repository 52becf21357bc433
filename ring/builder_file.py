"""The builder file: builder <-> bytes. docs/ring-file.md is its page."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ring import disk, envelope, fields
from ring.builder import HOUR_S, MIN_PART_HOURS_LIMIT, REPLICAS_LIMIT, RingBuilder
from ring.envelope import Contents
from ring.errors import DamagedFile
from ring.file import pack_devices, unpack_devices
from ring.grid import Row, Rows

MAGIC = b"\x89HFBULD\n"


def dump(builder: RingBuilder) -> bytes:
    """Return the file that holds `builder`."""
    header = {
        "part_power": builder.part_power,
        "replicas": builder.replicas,
        "min_part_hours": builder.min_part_hours,
        "overload": builder.overload,
        "removed": sorted(builder.removed),
        "version": builder.version,
        "id": builder.id,
        "next_part_power": builder.next_part_power,
        "dispersion": builder.dispersion,
        "devices_changed": builder.devices_changed,
        "devices": pack_devices(builder.devices),
        "row_count": len(builder.rows or ()),
    }
    arrays = [row.astype(np.uint16).data for row in builder.rows or ()]
    if builder.moved_s is not None:
        arrays.append(builder.moved_s.data)
    return envelope.seal(MAGIC, header, arrays)


def load(data: bytes) -> RingBuilder:
    """Return the builder in `data`. Raise DamagedFile or UnknownFormat."""
    contents = envelope.open_sealed(MAGIC, data)
    return checked(_builder_1(contents) if contents.format_version == 1 else _builder(contents))


def _builder(contents: Contents) -> RingBuilder:
    header = contents.header
    row_count = fields.integer(header, "row_count", 0, len(contents.arrays) + 1)
    rows, moves = contents.arrays[:row_count], contents.arrays[row_count:]
    return RingBuilder(
        **_wishes(header),
        overload=fields.number(header, "overload"),
        removed=fields.device_ids(header, "removed"),
        id=fields.text(header, "id"),
        next_part_power=fields.next_part_power(header),
        dispersion=fields.number(header, "dispersion"),
        devices_changed=fields.flag(header, "devices_changed"),
        rows=_placement(rows),
        moved_s=np.array(moves[0], np.uint32) if moves else None,
    )


def _builder_1(contents: Contents) -> RingBuilder:
    """Return the builder in a file of format 1: its last array has hours, and its header fewer names."""
    *rows, moved_hour = contents.arrays or (None,)
    moved_s = None if moved_hour is None else np.array(moved_hour, np.uint32) * np.uint32(HOUR_S)
    return RingBuilder(**_wishes(contents.header), rows=_placement([row for row in rows if row]), moved_s=moved_s)


def _wishes(header: fields.Fields) -> dict[str, Any]:
    """Return the fields of a builder that are in headers of every format."""
    return {
        "part_power": fields.part_power(header),
        "replicas": fields.number(header, "replicas"),
        "min_part_hours": fields.integer(header, "min_part_hours", 0, MIN_PART_HOURS_LIMIT + 1),
        "version": fields.version(header),
        "devices": unpack_devices(fields.sequence(header, "devices")),
    }


def _placement(rows: Sequence["memoryview[int]"]) -> Rows | None:
    return tuple(np.array(row).astype(np.int32) for row in rows) or None


def checked(builder: RingBuilder) -> RingBuilder:
    """Return `builder`, which came from outside, when its parts fit together. Raise DamagedFile."""
    if builder.part_power < 1 or not 1 <= builder.replicas <= REPLICAS_LIMIT:
        raise DamagedFile(f"no ring has {builder.replicas:g} replicas and a part power of {builder.part_power}")
    present = np.array([device is not None for device in builder.devices], np.bool_)
    if not all(device_id < len(present) and present[device_id] for device_id in builder.removed):
        raise DamagedFile("a device is to be removed that is not there")
    lengths = [len(row) for row in builder.rows or ()]
    if any(length != builder.partition_count for length in (lengths[:1] + lengths[:-1])):
        raise DamagedFile(f"a replica does not cover the {builder.partition_count} partitions")
    if lengths and not 0 < lengths[-1] <= builder.partition_count:
        raise DamagedFile(f"the last replica covers {lengths[-1]} of {builder.partition_count} partitions")
    if not all(_all_there(row, present) for row in builder.rows or ()):
        raise DamagedFile("partitions are on devices that are not there")
    if builder.moved_s is not None and len(builder.moved_s) != builder.partition_count:
        raise DamagedFile(f"times of moves are not of the {builder.partition_count} partitions")
    return builder


def _all_there(row: Row, present: NDArray[np.bool_]) -> bool:
    return bool(row.min() >= 0 and row.max() < len(present) and present[row].all())


def write(path: str | os.PathLike[str], builder: RingBuilder) -> None:
    """Write `builder` to the file `path`, durably and at once. Raise OSError."""
    disk.write(path, dump(builder))


def read(path: str | os.PathLike[str]) -> RingBuilder:
    """Return the builder in the file `path`. Raise RingError, naming the file, or OSError."""
    return disk.read(path, load, "builder")
