"""Checksums of a file's blocks: one crc32c per 64 KiB, the last block may be short. Pure."""

import struct

from storage.disk import Buffer
from storage.log.checksum import crc32c

BLOCK_SIZE = 64 << 10
_CHECKSUM_SIZE = 4


def block_count(size: int) -> int:
    """Return how many blocks `size` bytes take."""
    return -(-size // BLOCK_SIZE)


def checksums_size(size: int) -> int:
    """Return how many bytes the packed checksums of `size` bytes of data take."""
    return block_count(size) * _CHECKSUM_SIZE


class BlockSummer:
    """Takes data piece by piece and gives the checksums of its blocks."""

    __slots__ = ("_checksums", "_filled", "_partial")

    def __init__(self) -> None:
        self._checksums: list[int] = []
        self._partial = 0  # checksum of the block that is being filled
        self._filled = 0  # bytes of it

    def add(self, data: Buffer) -> None:
        """Take the next piece."""
        view = memoryview(data)
        start = 0
        while start < len(view):
            piece = view[start : start + BLOCK_SIZE - self._filled]
            self._partial = crc32c(piece, self._partial)
            self._filled += len(piece)
            start += len(piece)
            if self._filled == BLOCK_SIZE:
                self._checksums.append(self._partial)
                self._partial = self._filled = 0

    def packed(self) -> bytes:
        """Return the checksums of all that was added, 4 bytes each, little-endian."""
        checksums = [*self._checksums, self._partial] if self._filled else self._checksums
        return struct.pack(f"<{len(checksums)}I", *checksums)


def first_mismatch(data: memoryview, first_block: int, checksums: Buffer) -> int | None:
    """Compare `data`, which begins with block `first_block`, to the packed checksums of the whole file.

    Return the index of the first block that differs, None when all match.
    """
    count = block_count(len(data))
    expected = struct.unpack_from(f"<{count}I", checksums, first_block * _CHECKSUM_SIZE)
    for index, checksum in enumerate(expected):
        start = index * BLOCK_SIZE
        if crc32c(data[start : start + BLOCK_SIZE]) != checksum:
            return first_block + index
    return None
