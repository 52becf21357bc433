"""Compression of what is stored: Zstandard, or none where it gains nothing.

Measured on one core, blocks of 4 MiB, MB/s and ratio: Python sources, zlib level 1 75 (3.2), Zstandard level 3 112
(3.9); a program, 52 (2.2) and 144 (2.4); random bytes, 37 and 1571. What does not compress is what hurts with zlib.
"""

import sys
from enum import IntEnum

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_LEVEL = 3


class Compression(IntEnum):
    """How it was done; the numbers are in objects."""

    NONE = 0
    ZSTANDARD = 1


def pack(data: bytes) -> bytes:
    """Return `data` compressed, even if that is longer."""
    return zstd.compress(data, _LEVEL)


def compress(data: bytes) -> tuple[Compression, bytes]:
    """Return the shorter of `data` and `data` compressed."""
    packed = pack(data)
    return (Compression.ZSTANDARD, packed) if len(packed) < len(data) else (Compression.NONE, data)


def decompress(compression: int, data: bytes, limit: int) -> bytes:
    """Undo it. Raise ValueError when that can't be, or when more than `limit` bytes come."""
    if compression == Compression.NONE:
        if len(data) > limit:
            raise ValueError("it is too long")
        return data
    if compression != Compression.ZSTANDARD:
        raise ValueError(f"compression {compression} is not known")
    unpacking = zstd.ZstdDecompressor()
    try:
        unpacked = unpacking.decompress(data, limit + 1)
    except zstd.ZstdError as error:
        raise ValueError(f"it cannot be decompressed: {error}") from error
    if len(unpacked) > limit or not unpacking.eof or unpacking.unused_data:
        raise ValueError("it does not decompress to what it should")
    return unpacked
