"""Sums of what chunks have, by which replicas of one version are told apart from damaged ones.

Chunks have no checksums of their own: a write of 4 KiB would have to bring up that of its block, and with it the bytes
around it. But replicas of a chunk at one version have the same bytes, so one that differs from a quorum is damaged.

A sum is BLAKE2b-128 over the blocks of 64 KiB that are not all zeros, each behind its number (4 bytes, little-endian):
what was never written, what was trimmed and what is zeros are the same.

The file is read past the page cache, where that can be: what is asked is what the disk gives.
"""

import contextlib
import hashlib

from cluster.wire import RemoteError
from storage.chunks.chunk import Chunk
from storage.chunks.reads import is_at_rest
from storage.chunks.store import ChunkStore
from storage.chunks.version import CHUNK_SIZE, NOTHING, Version
from storage.direct import read_direct
from storage.disk import Disk, read_fully
from storage.messages import Refusal

BLOCK_SIZE = 64 << 10
_PIECE_SIZE = 1 << 20
_ZEROS = bytes(BLOCK_SIZE)


class Sums:
    """Of one device."""

    def __init__(self, store: ChunkStore) -> None:
        self._store = store

    async def sum_of(self, family: bytes, number: int, layer: int, version: Version) -> bytes:
        """Return the sum of a chunk. CORRUPT, BUSY; STALE_CHUNK: its file is not at rest at just that version."""
        chunk = self._store.table.find(family, number, layer)
        if chunk is None or not chunk.exists or not is_at_rest(chunk, version):
            raise _stale(chunk)
        found = await self._store.reads.through_thread(chunk, content_sum)
        if not is_at_rest(chunk, version):  # whatever came meanwhile may be in what was read
            raise _stale(chunk)
        return found


def _stale(chunk: Chunk | None) -> RemoteError:
    here = (NOTHING, NOTHING) if chunk is None else (chunk.head, chunk.durable)
    return RemoteError(Refusal.STALE_CHUNK, here)


def content_sum(disk: Disk, fd: int) -> bytes:
    """Return the sum of the open file of a chunk. Blocking. OSError."""
    found = hashlib.blake2b(digest_size=16)
    with contextlib.ExitStack() as opened:
        direct_fd = None
        with contextlib.suppress(OSError):  # tmpfs, for one, has no reads past the cache
            direct_fd = disk.open_direct(fd)
            opened.callback(disk.close, direct_fd)
        for begin in _pieces(disk, fd):
            if direct_fd is None:
                piece = memoryview(read_fully(disk, fd, begin, _PIECE_SIZE))
            else:
                piece = read_direct(disk, direct_fd, begin, _PIECE_SIZE)
            if len(piece) < _PIECE_SIZE:
                raise OSError("the file is cut off")
            for offset in range(0, _PIECE_SIZE, BLOCK_SIZE):
                block = piece[offset : offset + BLOCK_SIZE]
                if block != _ZEROS:
                    found.update(((begin + offset) // BLOCK_SIZE).to_bytes(4, "little"))
                    found.update(block)
    return found.digest()


def _pieces(disk: Disk, fd: int) -> list[int]:
    """Return where the pieces begin in which there is data."""
    with_data: set[int] = set()
    for offset, length in disk.extents(fd, CHUNK_SIZE):
        with_data.update(range(offset // _PIECE_SIZE, -(-(offset + length) // _PIECE_SIZE)))
    return [index * _PIECE_SIZE for index in sorted(with_data)]
