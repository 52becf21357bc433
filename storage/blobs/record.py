"""The metadata of a blob record in the log, values <-> bytes. Pure. Format: docs/blob-format.md.

All of it but CONFIRM, FORGET and PROMISE starts with the version's identity; the object's own metadata, which only
the proxy understands, follows to the end.
"""

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

from cluster.clock import TIMESTAMP_SIZE, Timestamp
from storage.messages import KEY_SIZE

LISTED = 1  # log record flag: the version's row is known to be on a quorum of its container

DATA_ID_SIZE = 16
_IDENTITY = struct.Struct(f"<BBH{KEY_SIZE}s{TIMESTAMP_SIZE}sQ")  # type, BlobFlag, 0, key, timestamp, size
IDENTITY_SIZE = _IDENTITY.size
assert IDENTITY_SIZE == 44
_TIMESTAMP_OFFSET = 4 + KEY_SIZE
_TIMESTAMP_END = _TIMESTAMP_OFFSET + TIMESTAMP_SIZE
NAME_SIZE = KEY_SIZE + TIMESTAMP_SIZE  # bytes of a version that a record names


class Type(IntEnum):
    """Stored on disk: numbers are never reused."""

    DATA = 1  # payload: the object's data
    FILE = 2  # the data id follows the identity; payload: crc32c of each block of the file
    TOMBSTONE = 3
    CONFIRM = 4  # no identity; after the type, (key, timestamp) of versions whose rows are on a quorum
    FORGET = 5  # the same of versions that this device holds no more, nor anything older of their keys
    PROMISE = 6  # the same of names, with the timestamp below which nothing is taken for them any more


NAMING = frozenset((int(Type.CONFIRM), int(Type.FORGET), int(Type.PROMISE)))  # records that only name versions


class Identity(NamedTuple):
    """Whose version it is."""

    type: int
    flags: int  # BlobFlag
    reserved: int
    key: bytes
    timestamp: Timestamp
    size: int  # bytes of data


def encode_data(key: bytes, timestamp: Timestamp, flags: int, size: int, metadata: bytes) -> bytes:
    """Return the record metadata of a small object."""
    return _IDENTITY.pack(Type.DATA, flags, 0, key, timestamp, size) + metadata


def encode_tombstone(key: bytes, timestamp: Timestamp, flags: int, metadata: bytes) -> bytes:
    """Return the record metadata of a deletion."""
    return _IDENTITY.pack(Type.TOMBSTONE, flags, 0, key, timestamp, 0) + metadata


def encode_file(
    key: bytes, timestamp: Timestamp, flags: int, size: int, data_id: bytes, metadata: bytes
) -> bytes:
    """Return the record metadata of an object in a file."""
    return _IDENTITY.pack(Type.FILE, flags, 0, key, timestamp, size) + data_id + metadata


# decode_identity(record metadata): its Identity, as a plain tuple; struct.error when too short
decode_identity = _IDENTITY.unpack_from


def is_version(metadata: bytes, type_: int, key: bytes, timestamp: Timestamp) -> bool:
    """Tell whether it is the record metadata of this version. Every read of an object asks that."""
    return metadata[0] == type_ and metadata[4:_TIMESTAMP_END] == key + timestamp


def timestamp_of(metadata: bytes) -> Timestamp:
    """Return the timestamp in the record metadata of anything that is a version."""
    return Timestamp(metadata[_TIMESTAMP_OFFSET : _TIMESTAMP_OFFSET + TIMESTAMP_SIZE])


def data_id_of(metadata: bytes) -> bytes:
    """Return the data id in the record metadata of a FILE."""
    return metadata[IDENTITY_SIZE : IDENTITY_SIZE + DATA_ID_SIZE]


def object_metadata_of(metadata: bytes) -> bytes:
    """Return what the proxy gave us, out of record metadata."""
    start = IDENTITY_SIZE + (DATA_ID_SIZE if metadata[0] == Type.FILE else 0)
    return metadata[start:]


def encode_naming(type_: Type, versions: Iterable[tuple[bytes, Timestamp]]) -> bytes:
    """Return the record metadata of a CONFIRM, a FORGET or a PROMISE."""
    assert type_ in NAMING
    return bytes((type_,)) + b"".join([key + timestamp for key, timestamp in versions])


def decode_naming(metadata: bytes) -> Iterator[tuple[bytes, Timestamp]]:
    """Yield the versions of a CONFIRM, a FORGET or a PROMISE."""
    for start in range(1, len(metadata) - NAME_SIZE + 1, NAME_SIZE):
        middle = start + KEY_SIZE
        yield metadata[start:middle], Timestamp(metadata[middle : start + NAME_SIZE])
