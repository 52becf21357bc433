"""OpenStack Swift's ring file, `.ring.gz`: ring <-> bytes. docs/ring-file.md is its page.

Source: swift/common/ring/ring.py, `RingData`, and io.py, of Swift 2.38. Both of its formats are read. The first
is written, which every Swift in use reads; it numbers no more than 65536 devices.
"""

import hashlib
import json
import math
import struct
import sys
import zlib
from array import array
from collections.abc import Sequence
from typing import Any

from ring import fields, swift_device
from ring.errors import DamagedFile, RingError, UnknownFormat
from ring.lookup import Ring

GZIP_MAGIC = b"\x1f\x8b"
_MAGIC = b"R1NG"
_PREAMBLE = struct.Struct(">4sH")  # magic, format version
_HEADER_LENGTH = struct.Struct(">I")  # bytes, in format 1
_SECTION_LENGTH = struct.Struct(">Q")  # bytes, in format 2; offsets are as wide
_INDEX_OFFSET_FROM_END = 2 * _SECTION_LENGTH.size  # before it, the same in the compressed file
_CHECKSUMS = frozenset({"md5", "sha1", "sha256", "sha512"})
_FORMATS = {2: "H", 4: "I"}  # of an array's items, by their bytes
_GZIP_HEADER = struct.pack("<2sBBIBB", GZIP_MAGIC, zlib.DEFLATED, 0, 0, 0, 255)  # without a time or an origin
_GZIP_TRAILER = struct.Struct("<II")  # crc32 and size of what is compressed
_SIZE_LIMIT = 1 << 29  # bytes, uncompressed; 2^24 partitions of 3 replicas take 2^27 at most
assert _GZIP_TRAILER.size == 8
assert len(_GZIP_HEADER) == 10


def dump(ring: Ring) -> bytes:
    """Return Swift's file, of format 1, that holds `ring`; the same ring gives the same file. Raise RingError."""
    header: dict[str, Any] = {
        "byteorder": sys.byteorder,
        "devs": [None if device is None else swift_device.dump(device) for device in ring.devices],
        "part_shift": 32 - ring.part_power,
        "replica_count": len(ring.replica_rows),
        "version": ring.version,
    }
    if ring.next_part_power is not None:
        header["next_part_power"] = ring.next_part_power
    text = json.dumps(header, sort_keys=True).encode("ascii")
    head = _PREAMBLE.pack(_MAGIC, 1) + _HEADER_LENGTH.pack(len(text)) + text
    return _compress(head, b"".join(map(_as_uint16, ring.replica_rows)))


def load(data: bytes) -> Ring:
    """Return the ring in Swift's file, of either format. Raise DamagedFile or UnknownFormat."""
    if data[: len(GZIP_MAGIC)] != GZIP_MAGIC:
        raise UnknownFormat("it is no gzip file, as Swift's rings are")
    content = _decompress(data)
    if len(content) < _PREAMBLE.size or content[: len(_MAGIC)] != _MAGIC:
        raise UnknownFormat("it is a gzip file, but no ring; or a pickled one of Swift's first releases, not read here")
    _magic, version = _PREAMBLE.unpack_from(content)
    if version not in (1, 2):
        raise UnknownFormat(f"its format is Swift's {version}, and this release knows 1 and 2")
    try:
        return _load_1(content) if version == 1 else _load_2(content)
    except DamagedFile:
        raise
    except (RingError, ValueError, KeyError, TypeError, OverflowError, RecursionError, struct.error) as error:
        raise DamagedFile(f"what it holds is no ring: {error}") from error


def _load_1(content: bytes) -> Ring:
    """Return the ring in `content`: length and text of a JSON header, then arrays in the byte order that it names."""
    (length,) = _HEADER_LENGTH.unpack_from(content, _PREAMBLE.size)
    end = _PREAMBLE.size + _HEADER_LENGTH.size + length
    header = _json(content[_PREAMBLE.size + _HEADER_LENGTH.size : end])
    byte_order = fields.text(header, "byteorder", sys.byteorder)
    return _ring(header, fields.sequence(header, "devs"), memoryview(content)[end:], 2, byte_order)


def _load_2(content: bytes) -> Ring:
    """Return the ring in `content`: named sections, and at the end where each of them is, and its checksum."""
    (index_offset,) = _SECTION_LENGTH.unpack_from(content, len(content) - _INDEX_OFFSET_FROM_END)
    index = _json(_section(content, index_offset, None))
    header = _json(_indexed(content, index, "swift/ring/metadata"))
    devices = json.loads(bytes(_indexed(content, index, "swift/ring/devices")))
    assignments = _indexed(content, index, "swift/ring/assignments")
    return _ring(header, fields.sequence({"devices": devices}, "devices"), assignments, header["dev_id_bytes"], "big")


def _ring(header: fields.Fields, devices: Sequence[Any], arrays: memoryview, item_size: int, byte_order: str) -> Ring:
    part_power = 32 - fields.integer(header, "part_shift", 32 - fields.PART_POWER_LIMIT, 32 + 1)
    row_length = item_size << part_power
    rows = tuple(
        _row(arrays[offset : offset + row_length], _FORMATS[item_size], byte_order)
        for offset in range(0, len(arrays), row_length)
    )
    if len(rows) != math.ceil(fields.number(header, "replica_count")):
        raise DamagedFile("it has not as many replicas as it says")
    return Ring(
        part_power=part_power,
        devices=swift_device.load_all(devices),
        replica_rows=rows,
        version=fields.version({**header, "version": header.get("version") or 0}),  # old ones have none
        next_part_power=fields.next_part_power(header),
    )


def _row(data: memoryview, item_format: str, byte_order: str) -> "memoryview[int]":
    if byte_order == sys.byteorder:
        return data.cast(item_format)  # type: ignore[call-overload, no-any-return]
    items = array(item_format, data.tobytes())
    items.byteswap()
    return memoryview(items).toreadonly()


def _as_uint16(row: "memoryview[int]") -> bytes:
    if row.format == "H":
        return row.tobytes()
    try:
        return array("H", row.tolist()).tobytes()
    except OverflowError:
        raise RingError("Swift's ring file numbers no more than 65536 devices: give the ring our own format") from None


def _indexed(content: bytes, index: fields.Fields, name: str) -> memoryview:
    """Return the section `name`, whose checksum is that of its length and its bytes. Raise as `_section`, or more."""
    _start, offset, _end, end, method, checksum = index[name]
    if method not in _CHECKSUMS:
        raise DamagedFile(f"the section {name} has a kind of checksum that is not known")
    section = _section(content, offset, end)
    if hashlib.new(method, content[offset:end], usedforsecurity=False).hexdigest() != checksum:
        raise DamagedFile(f"the checksum of the section {name} does not match")
    return section


def _section(content: bytes, offset: int, end: int | None) -> memoryview:
    """Return the bytes of the section at `offset`, whose length comes first. Raise ValueError or struct.error."""
    (length,) = _SECTION_LENGTH.unpack_from(content, offset)
    start = offset + _SECTION_LENGTH.size
    if start + length > len(content) or (end is not None and start + length != end):
        raise ValueError("a section ends elsewhere than it says")
    return memoryview(content)[start : start + length]


def _json(text: bytes | memoryview) -> fields.Fields:
    return fields.mapping(json.loads(bytes(text)), "its header")


def _compress(head: bytes, arrays: bytes) -> bytes:
    """Return the gzip file of `head` and `arrays`. There are no long matches among device ids, so none are sought."""
    text = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    ids = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    body = text.compress(head) + text.flush(zlib.Z_FULL_FLUSH) + ids.compress(arrays) + ids.flush()
    return _GZIP_HEADER + body + _GZIP_TRAILER.pack(zlib.crc32(arrays, zlib.crc32(head)), len(head) + len(arrays))


def _decompress(data: bytes) -> bytes:
    """Return what the gzip file `data` holds. Raise DamagedFile."""
    if len(data) < len(_GZIP_HEADER) + _GZIP_TRAILER.size:
        raise DamagedFile("it is cut short")
    _checksum, size = _GZIP_TRAILER.unpack_from(data, len(data) - _GZIP_TRAILER.size)
    if size > _SIZE_LIMIT:
        raise DamagedFile("it is cut short or altered: it promises more than any ring holds")
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)  # 16: gzip, whose checksum is verified at the end
    try:
        content = stream.decompress(data, size + 1)
    except zlib.error as error:
        raise DamagedFile(f"it is damaged: {error}") from error
    if not stream.eof or stream.unused_data:
        raise DamagedFile("it is cut short, or there is something after its end")
    return content
