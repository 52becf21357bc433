"""A value of the index: where the newest version of a key is, values <-> bytes. Pure.

Behind the fixed part: of a FILE its data id, and of a version with HAS_DUE the second since 1970 in which it expires.
`shadow_first` and `shadow_last` are segments of the log: older records of the key lie in none that is not between
them, both 0: there are none (storage.blobs.graves tells what for).

Never read by another version of this program: the index can be made again.
"""

import struct
from typing import NamedTuple

from cluster.clock import TIMESTAMP_SIZE, Timestamp
from storage.blobs.blocks import checksums_size
from storage.blobs.record import DATA_ID_SIZE, Type, object_metadata_of
from storage.log.interface import Position
from storage.log.record import HEADER_SIZE, size_of
from storage.messages import Version

# timestamp, type, flags, marks, metadata length, size, position, first and last segment of shadows
_LAYOUT = struct.Struct(f"<{TIMESTAMP_SIZE}sBBHIQQII")
ENTRY_SIZE = _LAYOUT.size
assert ENTRY_SIZE == 48
TYPE_INDEX = TIMESTAMP_SIZE
HAS_DUE = 1  # mark: the object expires
_SHADOW = struct.Struct("<II")
_SHADOW_OFFSET = ENTRY_SIZE - _SHADOW.size
_MARKS_INDEX = TYPE_INDEX + 2
_DUE = struct.Struct(">Q")
Shadow = tuple[int, int]  # first and last segment that may have older records of a key
NO_SHADOW: Shadow = (0, 0)


class Entry(NamedTuple):
    """What the index knows of a version."""

    timestamp: Timestamp
    type: int  # record.Type
    flags: int  # BlobFlag
    marks: int
    metadata_length: int  # of the log record
    size: int  # bytes of data
    position: Position  # of the log record
    shadow_first: int
    shadow_last: int

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


encode = _LAYOUT.pack  # the fields of an Entry, in order; what else there is comes behind (`tail`)


def tail(data_id: bytes, due_s: int | None) -> bytes:
    """Return what comes behind the fields; `due_s` goes with HAS_DUE."""
    return data_id if due_s is None else data_id + _DUE.pack(due_s)


def decode(value: bytes) -> Entry:
    """Decode a value of the index."""
    return Entry._make(_LAYOUT.unpack_from(value))


def place_of(value: bytes) -> tuple[Timestamp, Position, int]:
    """Return timestamp, position and record length of a value of the index: what merging it needs."""
    timestamp, type_, _, _, metadata_length, size, position, _, _ = _LAYOUT.unpack_from(value)
    payload_length = checksums_size(size) if type_ == Type.FILE else size
    return timestamp, position, size_of(metadata_length, payload_length)


def timestamp_of(value: bytes) -> Timestamp:
    """Return the timestamp in a value of the index."""
    return Timestamp(value[:TIMESTAMP_SIZE])


def data_id_of(value: bytes) -> bytes:
    """Return the data id behind the entry of a FILE; b"" behind all others."""
    return value[ENTRY_SIZE : ENTRY_SIZE + DATA_ID_SIZE] if value and value[TYPE_INDEX] == Type.FILE else b""


def is_tombstone(value: bytes) -> bool:
    """Tell whether it is a deletion."""
    return value[TYPE_INDEX] == Type.TOMBSTONE


def due_of(value: bytes) -> bytes:
    """Return when it expires, in bytes that sort as the seconds do; b"" if it does not."""
    return value[-_DUE.size :] if value[_MARKS_INDEX] & HAS_DUE else b""


def shadow_of(value: bytes) -> Shadow:
    """Return in which segments older records of the key may lie."""
    first, last = _SHADOW.unpack_from(value, _SHADOW_OFFSET)
    return first, last


def with_shadow(value: bytes, shadow: Shadow) -> bytes:
    """Return the value with another shadow."""
    return value[:_SHADOW_OFFSET] + _SHADOW.pack(*shadow) + value[ENTRY_SIZE:]


def hull(one: Shadow, other: Shadow) -> Shadow:
    """Return the segments from the first to the last of both."""
    if one == NO_SHADOW or other == NO_SHADOW:
        return max(one, other)
    return min(one[0], other[0]), max(one[1], other[1])
