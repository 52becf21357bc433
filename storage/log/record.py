"""A record of the log, values <-> bytes. Pure. Format: docs/log-format.md.

The header's checksum covers header and metadata and starts from the segment's salt, so bytes that
were once a record of another segment never pass. The payload has a checksum of its own: metadata
can be read, verified, without it.
"""

import struct
from typing import NamedTuple

from storage.disk import Buffer
from storage.log.checksum import crc32c

MAGIC = 0x44524648  # "HFRD" in the file
MAGIC_BYTES = MAGIC.to_bytes(4, "little")
MAGIC_OFFSET = 4
ALIGNMENT = 8
METADATA_LIMIT = 16 << 20
PAYLOAD_LIMIT = 64 << 20

_CHECKSUM = struct.Struct("<I")
# magic, kind, flags, 0, metadata length, payload length, batch offset, payload crc, 0, sequence
_COVERED = struct.Struct("<IBBHIIIIIQ")
_HEADER = struct.Struct("<IIBBHIIIIIQ")  # both
COVERED_OFFSET = _CHECKSUM.size
HEADER_SIZE = _HEADER.size
assert HEADER_SIZE == COVERED_OFFSET + _COVERED.size == 40
assert HEADER_SIZE % ALIGNMENT == 0
_PADDING = tuple(bytes(count) for count in range(ALIGNMENT))


class Header(NamedTuple):
    """The fixed part of a record, in the order of its fields."""

    checksum: int  # of what follows in the header, and of the metadata
    magic: int
    kind: int
    flags: int
    zero: int
    metadata_length: int
    payload_length: int
    batch_offset: int  # of its batch in the segment: everything before that was durable when this was written
    payload_crc: int
    reserved: int
    sequence: int


def size_of(metadata_length: int, payload_length: int) -> int:
    """Return how many bytes a record takes in its segment."""
    return (HEADER_SIZE + metadata_length + payload_length + ALIGNMENT - 1) & -ALIGNMENT


def padding(length: int) -> bytes:
    """Return what follows `length` bytes of a record up to the next boundary."""
    return _PADDING[-length % ALIGNMENT]


def encode_head(
    kind: int, flags: int, metadata: bytes, payload: Buffer, batch_offset: int, sequence: int, salt: int
) -> bytes:
    """Return header and metadata; the payload and its padding follow."""
    payload_crc = crc32c(payload) if payload else 0
    lengths = len(metadata), len(payload)
    covered = (
        _COVERED.pack(MAGIC, kind, flags, 0, *lengths, batch_offset, payload_crc, 0, sequence) + metadata
    )
    return _CHECKSUM.pack(crc32c(covered, salt)) + covered


# decode_fields(buffer): the fields of a Header that begins there, as a plain tuple
decode_fields = _HEADER.unpack_from


def decode_header(data: Buffer) -> Header | None:
    """Decode the header that `data` begins with; None when it cannot be one. Its checksum is not looked at."""
    header = Header._make(_HEADER.unpack_from(data))
    if (
        header.magic != MAGIC
        or header.metadata_length > METADATA_LIMIT
        or header.payload_length > PAYLOAD_LIMIT
    ):
        return None
    return header


def head_matches(header: Header, head: memoryview, salt: int) -> bool:
    """Verify header and metadata; `head` begins with both."""
    end = HEADER_SIZE + header.metadata_length
    return len(head) >= end and crc32c(head[COVERED_OFFSET:end], salt) == header.checksum


def payload_matches(header: Header, payload: memoryview) -> bool:
    """Verify the payload."""
    return len(payload) == header.payload_length and crc32c(payload) == header.payload_crc
