"""A segment file's name and header, values <-> bytes. Pure. Format: docs/log-format.md.

The salt that record checksums start from follows from the log's id and the segment's, so the
records of a segment whose header is damaged can still be told from anything else.
"""

import struct
from dataclasses import dataclass

from storage.disk import Buffer
from storage.log.checksum import crc32c
from storage.log.interface import Position

MAGIC = b"HFSEGMNT"
VERSION = 1
SUFFIX = ".segment"
LOG_ID_SIZE = 16

# magic, version, 0, salt, log id, segment id, previous end, first sequence
_COVERED = struct.Struct("<8sHHI16sQQQ")
_CHECKSUM = struct.Struct("<II")
HEADER_SIZE = _COVERED.size + _CHECKSUM.size
assert HEADER_SIZE == 64


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What a segment says of itself, and of the one before."""

    log_id: bytes
    segment: int
    previous_end: Position  # where the log ended when this segment began; 0: it is the first
    first_sequence: int  # of its first record


def salt_of(log_id: bytes, segment: int) -> int:
    """Return what the record checksums of `segment` start from."""
    return crc32c(log_id + segment.to_bytes(8, "little"))


def encode_header(header: SegmentHeader) -> bytes:
    """Return the first HEADER_SIZE bytes of a segment."""
    covered = _COVERED.pack(
        MAGIC,
        VERSION,
        0,
        salt_of(header.log_id, header.segment),
        header.log_id,
        header.segment,
        header.previous_end,
        header.first_sequence,
    )
    return covered + _CHECKSUM.pack(crc32c(covered), 0)


def decode_header(data: Buffer) -> SegmentHeader | None:
    """Decode a header; None when it is torn, damaged, or of a version that we do not know."""
    if len(data) < HEADER_SIZE:
        return None
    magic, version, _zero, _salt, log_id, segment, previous_end, first_sequence = _COVERED.unpack_from(data)
    checksum, _zero = _CHECKSUM.unpack_from(data, _COVERED.size)
    if magic != MAGIC or version != VERSION or crc32c(memoryview(data)[: _COVERED.size]) != checksum:
        return None
    return SegmentHeader(log_id, segment, Position(previous_end), first_sequence)


def file_name(segment: int) -> str:
    """Return the name of the file of `segment`."""
    return f"{segment:08x}{SUFFIX}"


def segment_of_name(name: str) -> int | None:
    """Return the segment that a file of this name holds; None when it is no segment."""
    stem = name.removesuffix(SUFFIX)
    if stem == name or len(stem) != 8:
        return None
    try:
        segment = int(stem, 16)
    except ValueError:
        return None
    return segment if file_name(segment) == name else None
