"""Order-free digests of databases: equal digests mean equal replicas. Pure.

The digest of a set of rows is the sum of their hashes mod 2^128, so a row is added or taken away
without looking at the others. The hash of a row covers what decides between two versions of it: the
timestamps, and the statistics of an account's row, whose timestamp two replicas of a container may share.
"""

import struct
from hashlib import blake2b
from typing import Any

import msgpack

from cluster.clock import ZERO, Timestamp
from storage.messages import Row
from storage.ranges.state import COUNT, shared

DIGEST_SIZE = 16
_MASK = (1 << 8 * DIGEST_SIZE) - 1

_STATISTICS = struct.Struct(">QQ")  # size, object count
_LIVE, _DELETED, _WITH_STATISTICS = 0, 1, 2  # a flag byte, before parts of fixed width; the name is last


def hash_of_row(row: Row) -> int:
    """Return the number that `row` adds to the digest of its database."""
    flags = _DELETED if row.deleted else _LIVE
    if row.stats_timestamp is None:
        text = b"%c%b%b" % (flags, row.timestamp, row.name.encode())
    else:
        statistics = row.stats_timestamp + _STATISTICS.pack(row.size, row.object_count)
        text = b"%c%b%b%b" % (flags | _WITH_STATISTICS, row.timestamp, statistics, row.name.encode())
    return int.from_bytes(blake2b(text, digest_size=DIGEST_SIZE).digest(), "big")


def add(digest: int, row: Row) -> int:
    """Return the digest of the set with `row` in it."""
    return (digest + hash_of_row(row)) & _MASK


def subtract(digest: int, row: Row) -> int:
    """Return the digest of the set without `row`."""
    return (digest - hash_of_row(row)) & _MASK


def joined(digest: int, hashes: int) -> int:
    """Return the digest of the set with rows in it whose hashes add up to `hashes`."""
    return (digest + hashes) & _MASK


def without(digest: int, hashes: int) -> int:
    """Return the digest of the set without such rows."""
    return (digest - hashes) & _MASK


def to_bytes(digest: int) -> bytes:
    """Return `digest` as it is stored and sent."""
    return digest.to_bytes(DIGEST_SIZE, "big")


def from_bytes(data: bytes) -> int:
    """Return what `to_bytes` stored."""
    return int.from_bytes(data, "big")


def of_database(
    rows: int,
    put_timestamp: Timestamp,
    delete_timestamp: Timestamp,
    created_us: int,
    metadata: dict[str, tuple[Any, Timestamp]],
) -> bytes:
    """Return the digest of a whole database: of its rows, and of what is known of itself."""
    if put_timestamp == ZERO and delete_timestamp == ZERO and not shared(metadata):
        return to_bytes(rows)
    names = sorted(
        # counters of range databases are made by several under one timestamp, and the larger count (`join_metadata`)
        (name, timestamp, *value) if name.startswith(COUNT) else (name, timestamp)
        for name, (value, timestamp) in shared(metadata).items()
    )
    text = msgpack.packb((put_timestamp, delete_timestamp, created_us, names))
    own = int.from_bytes(blake2b(text, digest_size=DIGEST_SIZE).digest(), "big")
    return to_bytes((rows + own) & _MASK)
