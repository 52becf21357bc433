"""The container that ring and builder files share: magic, header, arrays, checksum <-> values.

docs/ring-file.md is its page. Everything is little-endian, so that arrays are used where they lie.
A file that is damaged anywhere is refused whole; names in the header that are not known are ignored.
"""

import os
import struct
import sys
from array import array
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import msgpack

from ring.errors import DamagedFile, UnknownFormat

FORMAT_VERSION = 1
MAGIC_SIZE = 8
CHECKSUM_SIZE = 32  # sha256 of all before it
_PREAMBLE = struct.Struct("<8sHHI")  # magic, format version, zero, header length
_ALIGNMENT = 8  # arrays begin at multiples of it
_FORMATS: dict[Literal["H", "I"], int] = {"H": 2, "I": 4}  # of an array's items: uint16, uint32
assert _PREAMBLE.size % _ALIGNMENT == 0
assert all(struct.calcsize(name) == size for name, size in _FORMATS.items())


def seal(magic: bytes, header: dict[str, Any], arrays: Sequence["memoryview[int]"]) -> bytes:
    """Return the file that holds `header` and `arrays`; `open_sealed` takes it apart."""
    assert len(magic) == MAGIC_SIZE
    assert all(items.format in _FORMATS for items in arrays)
    sizes = [[items.format, len(items)] for items in arrays]
    packed = msgpack.packb({**header, "arrays": sizes})
    data = bytearray(_PREAMBLE.pack(magic, FORMAT_VERSION, 0, len(packed)))
    data += packed
    for items in arrays:
        data += bytes(-len(data) % _ALIGNMENT)
        data += _swapped(items)
    data += sha256(data).digest()
    return bytes(data)


def open_sealed(magic: bytes, data: bytes) -> tuple[dict[str, Any], tuple["memoryview[int]", ...]]:
    """Return the header and the arrays, which are views of `data`. Raise DamagedFile or UnknownFormat."""
    if data[:MAGIC_SIZE] != magic:
        raise UnknownFormat(f"it does not begin with {magic!r}")
    if len(data) < _PREAMBLE.size + CHECKSUM_SIZE:
        raise DamagedFile("it is cut short")
    _magic, version, _zero, header_length = _PREAMBLE.unpack_from(data)
    if version != FORMAT_VERSION:
        raise UnknownFormat(f"its format is {version}, and this release knows {FORMAT_VERSION}")
    if sha256(memoryview(data)[:-CHECKSUM_SIZE]).digest() != data[-CHECKSUM_SIZE:]:
        raise DamagedFile("its checksum does not match: it is cut short or altered")
    try:
        end = _PREAMBLE.size + header_length
        header = msgpack.unpackb(data[_PREAMBLE.size : end])
        return header, _arrays(memoryview(data)[:-CHECKSUM_SIZE], end, header["arrays"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFile(f"its header makes no sense: {error}") from error


def _arrays(data: memoryview, offset: int, sizes: list[tuple[Literal["H", "I"], int]]) -> tuple["memoryview[int]", ...]:
    arrays = []
    for item_format, count in sizes:
        offset += -offset % _ALIGNMENT
        length = count * _FORMATS[item_format]
        if count < 0 or offset + length > len(data):
            raise ValueError("an array ends outside the file")
        arrays.append(_swapped(data[offset : offset + length].cast(item_format)))
        offset += length
    return tuple(arrays)


def _swapped(items: "memoryview[int]") -> "memoryview[int]":
    """Return native `items` as little-endian ones, or the other way round."""
    if sys.byteorder == "little":
        return items
    copy = array(items.format, items)
    copy.byteswap()
    return memoryview(copy)


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`, durably, and so that a reader sees the old file or the new one."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
