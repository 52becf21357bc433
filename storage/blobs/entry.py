"""A value of the index: where the newest version of a key is, values <-> bytes. Pure.

Never read by another version of this program: the index can be made again.
"""

import struct
from typing import NamedTuple

from cluster.clock import TIMESTAMP_SIZE, Timestamp
from storage.blobs.blocks import checksums_size
from storage.blobs.record import Type, object_metadata_of
from storage.log.interface import Position
from storage.log.record import HEADER_SIZE, size_of
from storage.messages import Version

# timestamp, type, flags, 0, metadata length, size, position
_LAYOUT = struct.Struct(f"<{TIMESTAMP_SIZE}sBBHIQQ")
ENTRY_SIZE = _LAYOUT.size
assert ENTRY_SIZE == 40


class Entry(NamedTuple):
    """What the index knows of a version."""

    timestamp: Timestamp
    type: int  # record.Type
    flags: int  # BlobFlag
    reserved: int
    metadata_length: int  # of the log record
    size: int  # bytes of data
    position: Position  # of the log record

    @property
    def deleted(self) -> bool:
        """It is a tombstone."""
        return self.type == Type.TOMBSTONE

    @property
    def payload_length(self) -> int:
        """Bytes of payload in the log record."""
        return checksums_size(self.size) if self.type == Type.FILE else self.size

    @property
    def record_length(self) -> int:
        """Bytes that the record takes in the log, padding included."""
        return size_of(self.metadata_length, self.payload_length)

    @property
    def head_length(self) -> int:
        """Bytes of the record's header and metadata."""
        return HEADER_SIZE + self.metadata_length

    def version(self, record_metadata: bytes = b"") -> Version:
        """Return it as the wire has it; without metadata when none is given."""
        return Version(
            self.timestamp,
            self.type == Type.TOMBSTONE,
            self.flags,
            self.size,
            record_metadata and object_metadata_of(record_metadata),
        )


encode = _LAYOUT.pack  # the fields of an Entry, in order; the data id of a FILE is put behind


def decode(value: bytes) -> Entry:
    """Decode a value of the index."""
    return Entry._make(_LAYOUT.unpack_from(value))


def place_of(value: bytes) -> tuple[Timestamp, Position, int]:
    """Return timestamp, position and record length of a value of the index: what merging it needs."""
    timestamp, type_, _, _, metadata_length, size, position = _LAYOUT.unpack_from(value)
    payload_length = checksums_size(size) if type_ == Type.FILE else size
    return timestamp, position, size_of(metadata_length, payload_length)


def timestamp_of(value: bytes) -> Timestamp:
    """Return the timestamp in a value of the index."""
    return Timestamp(value[:TIMESTAMP_SIZE])


def data_id_of(value: bytes) -> bytes:
    """Return the data id behind the entry of a FILE; b"" behind all others."""
    return value[ENTRY_SIZE:]
