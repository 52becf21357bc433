"""The container that ring and builder files share: magic, header, arrays, checksum <-> values.

docs/ring-file.md is its page. A file that is damaged anywhere is refused whole; names in the header that are
not known are ignored. What a header promises is bounded before it is believed: no file makes its reader
take more memory than a ring of the largest size does.
"""

import struct
import sys
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgpack

from ring import planes
from ring.errors import DamagedFile, UnknownFormat
from ring.fields import PART_POWER_LIMIT, Fields, mapping

FORMAT_VERSION = 2
OLDEST_FORMAT_VERSION = 1  # arrays lie uncompressed
MAGIC_SIZE = 8
CHECKSUM_SIZE = 32  # sha256 of all before it
_PREAMBLE = struct.Struct("<8sHHI")  # magic, format version, zero, header length
_ALIGNMENT = 8  # arrays begin at multiples of it, in format 1
_SIZES = {"H": 2, "I": 4}  # of an array's items, by format: uint16, uint32
_ITEMS_LIMIT = 1 << PART_POWER_LIMIT
_HEADER_LIMIT = 1 << 26  # bytes; a device takes about 130
assert _PREAMBLE.size % _ALIGNMENT == 0
assert all(struct.calcsize(name) == size for name, size in _SIZES.items())


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """What a file holds."""

    format_version: int
    header: Fields
    arrays: tuple["memoryview[int]", ...]  # read-only


def seal(magic: bytes, header: dict[str, Any], arrays: Sequence["memoryview[int]"]) -> bytes:
    """Return the file that holds `header` and `arrays`; `open_sealed` takes it apart."""
    assert len(magic) == MAGIC_SIZE
    assert all(items.format in _SIZES for items in arrays)
    packed = [[_packed(plane) for plane in planes.split(items)] for items in arrays]
    sizes = [[items.format, len(items), *map(len, own)] for items, own in zip(arrays, packed, strict=True)]
    head = zlib.compress(msgpack.packb({**header, "arrays": sizes}))
    body = [_PREAMBLE.pack(magic, FORMAT_VERSION, 0, len(head)), head, *(plane for own in packed for plane in own)]
    checksum = sha256()
    for part in body:
        checksum.update(part)
    return b"".join((*body, checksum.digest()))


def open_sealed(magic: bytes, data: bytes) -> Contents:
    """Return the contents of a file. Raise DamagedFile or UnknownFormat."""
    if data[:MAGIC_SIZE] != magic:
        raise UnknownFormat(f"it does not begin with {magic!r}")
    if len(data) < _PREAMBLE.size + CHECKSUM_SIZE:
        raise DamagedFile("it is cut short")
    _magic, version, _zero, header_length = _PREAMBLE.unpack_from(data)
    if not OLDEST_FORMAT_VERSION <= version <= FORMAT_VERSION:
        raise UnknownFormat(f"its format is {version}, and this release knows {FORMAT_VERSION} and older ones")
    view = memoryview(data)[:-CHECKSUM_SIZE]
    if sha256(view).digest() != data[-CHECKSUM_SIZE:]:
        raise DamagedFile("its checksum does not match: it is cut short or altered")
    end = _PREAMBLE.size + header_length
    try:
        head = view[_PREAMBLE.size : end]
        packed = bytes(head) if version == 1 else _unpacked(head, _HEADER_LIMIT)
        header = mapping(msgpack.unpackb(packed), "its header")
        arrays = _lying(view, end, header["arrays"]) if version == 1 else _compressed(view, end, header["arrays"])
    except (ValueError, KeyError, TypeError, RecursionError, zlib.error) as error:
        raise DamagedFile(f"its header makes no sense: {error}") from error
    return Contents(version, header, arrays)


def _compressed(data: memoryview, offset: int, sizes: Sequence[Sequence[Any]]) -> tuple["memoryview[int]", ...]:
    """Return the arrays of format 2, of which `data` has the planes from `offset` on."""
    arrays = []
    for item_format, count, *lengths in sizes:
        if len(lengths) != _SIZES[item_format] or not 0 <= count <= _ITEMS_LIMIT:
            raise ValueError("an array has a size that none can have")
        own = []
        for length in lengths:
            if not 0 <= length <= len(data) - offset:
                raise ValueError("an array ends outside the file")
            own.append(_unpacked(data[offset : offset + length], count))
            if len(own[-1]) != count:
                raise ValueError("an array is shorter than it says")
            offset += length
        arrays.append(planes.join(own, item_format))
    if offset != len(data):
        raise ValueError("there are bytes that belong to no array")
    return tuple(arrays)


def _packed(plane: bytes) -> bytes:
    """Return `plane` compressed: by how often a byte occurs, and runs of one byte to next to nothing.

    To look for longer matches takes five times as long, and finds none among device ids.
    """
    stream = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    return stream.compress(plane) + stream.flush()


def _unpacked(packed: memoryview, limit: int) -> bytes:
    """Return what `packed` holds, at most `limit` bytes of it. Raise ValueError."""
    stream = zlib.decompressobj()
    data = stream.decompress(packed, limit + 1)
    if len(data) > limit or not stream.eof or stream.unused_data:
        raise ValueError("a compressed part is larger, or shorter, than it says")
    return data


def _lying(data: memoryview, offset: int, sizes: Sequence[Sequence[Any]]) -> tuple["memoryview[int]", ...]:
    """Return the arrays of format 1, which are views of `data` where the byte order is the same."""
    arrays = []
    for item_format, count in sizes:
        offset += -offset % _ALIGNMENT
        length = count * _SIZES[item_format]
        if count < 0 or offset + length > len(data):
            raise ValueError("an array ends outside the file")
        arrays.append(_swapped(data[offset : offset + length].cast(item_format)))
        offset += length
    return tuple(arrays)


def _swapped(items: "memoryview[int]") -> "memoryview[int]":
    """Return little-endian `items` as native ones."""
    if sys.byteorder == "little":
        return items
    copy = array(items.format, items.tobytes())
    copy.byteswap()
    return memoryview(copy)
