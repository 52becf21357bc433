"""Arrays of unsigned integers, taken apart by bytes. Without numpy, and quick all the same.

A plane of an array is the string of its items' lowest bytes, or of the next ones, and so on. The high bytes
of device ids are few and repeat, so that planes compress where items do not. And an operation on a plane is one
call of the interpreter: to look at 2^18 items one by one takes ten times as long.
"""

import sys
from array import array
from collections.abc import Sequence

_BYTES = bytes(range(256))
_FEW = 16  # high bytes, up to which `values` is quicker than a set of the items: 4096 devices


def split(items: "memoryview[int]") -> list[bytes]:
    """Return the planes of `items`, lowest bytes first."""
    data, size = items.tobytes(), items.itemsize
    return [data[offset::size] for offset in _offsets(size)]


def join(planes: Sequence[bytes], item_format: str) -> "memoryview[int]":
    """Return the array, read-only, that `planes` are of."""
    size = len(planes)
    data = bytearray(size * len(planes[0]))
    for offset, plane in zip(_offsets(size), planes, strict=True):
        data[offset::size] = plane
    return memoryview(data).toreadonly().cast(item_format)  # type: ignore[call-overload, no-any-return]


def _offsets(size: int) -> Sequence[int]:
    """Return where an item has its lowest byte, its next one, and so on."""
    return range(size) if sys.byteorder == "little" else range(size - 1, -1, -1)


def interleave(rows: Sequence["memoryview[int]"]) -> bytes:
    """Return the first item of each row, then the second of each, and so on; rows have one format and length."""
    size, count = rows[0].itemsize, len(rows)
    table = bytearray(sum(row.nbytes for row in rows))
    for index, row in enumerate(rows):
        data = row.tobytes()
        for offset in range(size):
            table[index * size + offset :: count * size] = data[offset::size]
    return bytes(table)


def values(items: "memoryview[int]") -> set[int]:
    """Return the distinct items."""
    if items.itemsize == 2:
        low, high = split(items)
        high_values = _distinct(high)
        if len(high_values) <= _FEW:
            return _pairs(low, high, high_values)
    return set(array(items.format, items.tobytes()))


def _pairs(low: bytes, high: bytes, high_values: bytes) -> set[int]:
    """Return the distinct items of which `low` and `high` are the planes."""
    pairs: set[int] = set()
    low_bits, zeros = _as_integer(low), _as_integer(low.translate(_marks(0)))
    for value in high_values:
        here = _as_integer(high.translate(_marks(value)))
        partners = _distinct((low_bits & here).to_bytes(len(low), "little"))
        pairs.update(value << 8 | each for each in partners if each or zeros & here)  # elsewhere it is 0 as well
    return pairs


def _distinct(plane: bytes) -> bytes:
    absent = _BYTES.translate(None, plane)
    return _BYTES.translate(None, absent)


def _marks(value: int) -> bytes:
    """Return the translation of `value` to all ones and of every other byte to zeros."""
    return bytes(value) + b"\xff" + bytes(255 - value)


def _as_integer(plane: bytes) -> int:
    return int.from_bytes(plane, "little")
