"""Digests of sets of versions: the sum, modulo 2^128, of a hash of each (key, timestamp). Pure.

The order does not matter, and a version is added or taken away in constant time, so a replica keeps
them up to date as it writes. Kept per 1/256 of a partition: under the first (part_power + 8) bits
of the key. Not proof against somebody who chooses keys and timestamps; peers are not our enemies.
"""

import hashlib
from collections.abc import Iterable

DIGEST_SIZE = 16
SUBDIVISION_BITS = 8
_MODULUS = 1 << (8 * DIGEST_SIZE)


def hash_of(key: bytes, timestamp: bytes) -> int:
    """Return what one version adds to a digest."""
    return int.from_bytes(hashlib.md5(key + timestamp, usedforsecurity=False).digest(), "big")


def bucket_shift(part_power: int) -> int:
    """Return by how many bits the first 32 of a key are shifted to give its bucket."""
    assert 0 <= part_power <= 32 - SUBDIVISION_BITS
    return 32 - SUBDIVISION_BITS - part_power


def encode(total: int) -> bytes:
    """Return `total` as stored and sent."""
    return (total % _MODULUS).to_bytes(DIGEST_SIZE, "big")


def decode(data: bytes) -> int:
    """Return what `encode` was given, modulo 2^128."""
    return int.from_bytes(data, "big")


def combined(digests: Iterable[bytes]) -> bytes:
    """Return the digest of disjoint sets together."""
    return encode(sum(map(decode, digests)))
