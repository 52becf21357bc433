"""OpenStack Swift's builder file, `.builder`: builder <-> bytes. docs/ring-file.md is its page.

Source: swift/common/ring/builder.py, `RingBuilder.to_dict` and `copy_from`, of Swift 2.38. The file is a pickle,
which `ring.safe_pickle` reads. Ours has a checksum after the pickle's end, where Swift does not look.

Swift keeps the time of a move as hours before an epoch. Ours is exact to the second: one more map, which Swift
passes over and drops when it saves, has for each number of hours the second that it stands for. Where two
rebalances fall into one hour it is the later one: a partition may rest for too long, but never too shortly.
"""

import pickle
from array import array
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ring import fields, safe_pickle, swift_device
from ring.builder import HOUR_S, MAX_DEVICES, MIN_PART_HOURS_LIMIT, RingBuilder
from ring.builder_file import checked
from ring.errors import DamagedFile
from ring.fields import Fields
from ring.grid import Row, Rows

MAGIC = safe_pickle.MAGIC
_TRAILER_MAGIC = b"\x89HFSUM\r\n"
_CHECKSUM_SIZE = 32  # sha256 of the pickle
_TRAILER_SIZE = len(_TRAILER_MAGIC) + _CHECKSUM_SIZE
_LONG_AGO = 255  # hours: so many or more
_MOVE_TIMES = "holdfast_move_times"  # hours -> second since 1970


def dump(builder: RingBuilder) -> bytes:
    """Return Swift's file that holds `builder`, with our checksum after it."""
    data = pickle.dumps(_to_swift(builder), safe_pickle.PROTOCOL)
    return data + _TRAILER_MAGIC + sha256(data).digest()


def load(data: bytes) -> RingBuilder:
    """Return the builder in Swift's file, with or without our checksum. Raise DamagedFile or UnknownFormat."""
    trailer = data[-_TRAILER_SIZE:]
    is_sealed = trailer.startswith(_TRAILER_MAGIC) and len(trailer) == _TRAILER_SIZE
    content = data[:-_TRAILER_SIZE] if is_sealed else data
    if is_sealed and sha256(content).digest() != trailer[len(_TRAILER_MAGIC) :]:
        raise DamagedFile("its checksum does not match: it is altered")
    value, end = safe_pickle.loads(content)
    if end != len(content):
        raise DamagedFile("there is something after its end")
    return checked(_from_swift(fields.mapping(value, "what it holds")))


def _to_swift(builder: RingBuilder) -> dict[str, Any]:
    """Return the map that Swift saves of `builder`."""
    held = builder.held_counts().tolist()
    devices = [
        None if device is None else swift_device.dump(device) | {"parts": held[device.id], "parts_wanted": 0}
        for device in builder.devices
    ]
    epoch_s, hours, move_times = _hours_of(builder)
    return {
        "part_power": builder.part_power,
        "next_part_power": builder.next_part_power,
        "replicas": builder.replicas,
        "min_part_hours": builder.min_part_hours,
        "parts": builder.partition_count,
        "devs": devices,
        "devs_changed": builder.devices_changed,
        "dev_id_bytes": 2,
        "version": builder.version,
        "overload": builder.overload,
        "_replica2part2dev": None if builder.rows is None else [_array("H", row) for row in builder.rows],
        "_last_part_moves_epoch": epoch_s,
        "_last_part_moves": _array("B", hours),
        "_last_part_gather_start": 0,
        "_dispersion_graph": {},  # Swift counts it when it is asked for
        "dispersion": builder.dispersion,
        "_remove_devs": [devices[device_id] for device_id in sorted(builder.removed)],
        "id": builder.id or None,
        _MOVE_TIMES: move_times,
    }


def _from_swift(saved: Fields) -> RingBuilder:
    part_power = fields.part_power(saved)
    if fields.integer(saved, "parts", 1, (1 << part_power) + 1) != 1 << part_power:
        raise DamagedFile(f"the number of partitions is not that of part power {part_power}")
    devices = swift_device.load_all(fields.sequence(saved, "devs"))
    removed = [swift_device.load(value).id for value in fields.sequence(saved, "_remove_devs")]
    known = {name: value for name, value in saved.items() if value is not None}  # None: what old files lack
    return RingBuilder(
        part_power=part_power,
        replicas=fields.number(saved, "replicas"),
        min_part_hours=fields.integer(saved, "min_part_hours", 0, MIN_PART_HOURS_LIMIT + 1),
        overload=fields.number(known, "overload", 0.0),
        devices=devices,
        removed=frozenset(removed),
        version=fields.version(saved),
        id=fields.text(known, "id", ""),
        next_part_power=fields.next_part_power(saved),
        rows=_rows(known.get("_replica2part2dev")),
        moved_s=_moved_s(known),
        dispersion=fields.number(known, "dispersion", 0.0),
        devices_changed=fields.flag(saved, "devs_changed"),
    )


def _rows(value: object) -> Rows | None:
    """Return the rows in Swift's list of arrays; one that was never rebalanced has none. Raise DamagedFile."""
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(row, array) and row.typecode in "HI" for row in value):
        raise DamagedFile("the placement is not a list of arrays of device ids")
    return tuple(_as_row(row) for row in value) or None


def _as_row(ids: "array[int]") -> Row:
    row = np.array(ids, np.int64)
    return np.where(row < MAX_DEVICES, row, -1).astype(np.int32)


def _hours_of(builder: RingBuilder) -> tuple[int, NDArray[np.uint8], dict[int, int]]:
    """Return Swift's epoch, by partition the hours from its last move until then, and the second for each of them."""
    moved_s = builder.moved_s
    epoch_s = 0 if moved_s is None else int(moved_s.max())
    if moved_s is None or not epoch_s:
        return 0, np.full(builder.partition_count, _LONG_AGO, np.uint8), {}
    seconds, index = np.unique(moved_s, return_inverse=True)
    hours = np.where(seconds > 0, np.minimum((epoch_s - seconds.astype(np.int64)) // HOUR_S, _LONG_AGO), _LONG_AGO)
    # in ascending order, so that of several seconds the last is kept
    times = {hour: second for hour, second in zip(hours.tolist(), seconds.tolist(), strict=True) if second}
    return epoch_s, hours.astype(np.uint8)[index], times


def _moved_s(saved: Fields) -> NDArray[np.uint32] | None:
    """Return by partition the second of its last move; long ago is never. Raise DamagedFile."""
    hours = saved.get("_last_part_moves")
    epoch_s = fields.integer(saved, "_last_part_moves_epoch", 0, 1 << 32, 0)
    if hours is None or not epoch_s:
        return None
    times = fields.mapping(saved.get(_MOVE_TIMES, {}), _MOVE_TIMES)
    seconds = [max(epoch_s - hour * HOUR_S, 0) for hour in range(_LONG_AGO)] + [0]
    known = [fields.integer(times, hour, 0, 1 << 32, second) for hour, second in enumerate(seconds)]
    return np.array(known, np.uint32)[_as_hours(hours)]


def _as_hours(value: Any) -> NDArray[np.uint8]:
    """Return Swift's hours, which are a list after it increased the part power. Raise DamagedFile."""
    try:
        return np.array(array("B", value))
    except (TypeError, OverflowError):
        raise DamagedFile("the times of moves are not an array of bytes") from None


def _array(item_format: str, items: NDArray[Any]) -> "array[int]":
    return array(item_format, items.astype(item_format).tobytes())
