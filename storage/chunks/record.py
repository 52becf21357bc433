"""A record of the chunks' journal, values <-> bytes. Pure. Format: docs/chunks.md.

The log's header around it has checksums of both the metadata, which is this, and the payload, which is the bytes of
the extents one after the other.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from storage.chunks.version import CHUNK_SIZE, FAMILY_SIZE, ID_LIMIT, NUMBER_LIMIT, Version

# type, 0, extent count, family, chunk, layer, epoch, sequence, previous epoch and sequence, base and its version
_HEAD = struct.Struct("<BBH16sIQQQQQQQQ")
_EXTENT = struct.Struct("<II")  # offset, length
EXTENT_LIMIT = 1024  # of one write

Extent = tuple[int, int]  # offset within the chunk, length


class Type(IntEnum):
    """Stored on disk: numbers are never reused."""

    WRITE = 1
    ZERO = 2  # blocks stay allocated
    TRIM = 3  # blocks are given back
    FENCE = 4  # no older epoch than this one writes the layer any more


_WRITE, _FENCE = int(Type.WRITE), int(Type.FENCE)


class ChunkRecord(NamedTuple):
    """What a record says."""

    type: int
    family: bytes
    number: int  # of the chunk; a fence has none: 0
    layer: int
    version: Version
    previous: Version
    base: int  # layer that the chunk is cloned from if there is nothing of its own; 0: none
    base_version: Version
    extents: tuple[Extent, ...]


def encode(record: ChunkRecord) -> bytes:
    """Return the bytes of a record whose values have been checked."""
    type_, family, number, layer, version, previous, base, base_version, extents = record
    head = _HEAD.pack(
        type_, 0, len(extents), family, number, layer, *version, *previous, base, *base_version
    )
    if len(extents) == 1:
        return head + _EXTENT.pack(*extents[0])
    return head + b"".join([_EXTENT.pack(*extent) for extent in extents])


def decode(data: bytes) -> ChunkRecord:
    """Decode a record. Raise ValueError for what is none, or is of a type that we do not know."""
    if len(data) < _HEAD.size:
        raise ValueError("cut off")
    fields = _HEAD.unpack_from(data)
    type_, _zero, count, family, number, layer = fields[:6]
    if len(data) != _HEAD.size + count * _EXTENT.size or not _WRITE <= type_ <= _FENCE:
        raise ValueError(f"a record of type {type_} with {count} extents in {len(data)} bytes")
    extents = tuple(_EXTENT.iter_unpack(data[_HEAD.size :]))
    return ChunkRecord(
        type_, family, number, layer, fields[6:8], fields[8:10], fields[10], fields[11:13], extents
    )


def fence(family: bytes, layer: int, epoch: int) -> ChunkRecord:
    """Return the record of a fence."""
    return ChunkRecord(Type.FENCE, family, 0, layer, (epoch, 0), (0, 0), 0, (0, 0), ())


def check_place(family: bytes, number: int, layer: int) -> None:
    """Raise ValueError unless these name a chunk."""
    if type(family) is not bytes or len(family) != FAMILY_SIZE:
        raise ValueError("not a family")
    if not 0 <= number < NUMBER_LIMIT or not 0 < layer < ID_LIMIT:
        raise ValueError(f"no chunk {number} of layer {layer}")


def check_version(version: Version) -> None:
    """Raise ValueError for what is no version."""
    epoch, sequence = version
    if not (0 <= epoch < ID_LIMIT and 0 <= sequence < ID_LIMIT):
        raise ValueError(f"no version: {version}")


def check_extents(extents: Sequence[Extent], payload_size: int | None) -> None:
    """Raise ValueError unless these lie in a chunk and together have `payload_size` bytes (None: have no payload)."""
    if len(extents) > EXTENT_LIMIT:
        raise ValueError(f"{len(extents)} extents")
    total = 0
    for offset, length in extents:
        if offset < 0 or length <= 0 or offset + length > CHUNK_SIZE:
            raise ValueError(f"{length} bytes at {offset}")
        total += length
    if payload_size is not None and total != payload_size:
        raise ValueError(f"{payload_size} bytes for extents of {total}")
