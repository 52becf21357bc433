"""Reads chunks from their files in another process of the same host, without asking the device that keeps them.

When a device answers a read it says whether the chunk is *at rest*: its file has exactly the version that was asked
for, and nothing is on its way into it. Who knows that nobody has written the chunk since, because he alone may write
it or because it is a snapshot's, finds the same bytes in the file as the device would. He must stop to use the file
before he writes, when the device may have missed a write, and when he may not be the only writer any more.

A file that was replaced, removed or written to since it was opened is not read. That is looked at after its bytes were
read: a device that starts again makes its files once more from its journal, and they are older in between. Only what is
in the page cache is read here: the rest is the device's to read, which has threads for that.
"""

import os
import weakref
from collections.abc import Mapping

from cluster.wire.memory import BufferPool
from storage.chunks.files import name_of

DIRECTORY = "chunks"  # of a device's directory
NOWAIT = os.RWF_NOWAIT  # a file system that does not know it, tmpfs for one, is never read here
LARGE = 64 << 10  # bytes; from here on memory is used again: a fresh one would have to be cleared


class NearFile:
    """An open file. Closed when nobody refers to it, or when too many others were opened since."""

    __slots__ = ("__weakref__", "_fd", "_pool", "_written_ns")

    def __init__(self, fd: int, pool: BufferPool) -> None:
        self._fd = fd
        self._pool = pool
        self._written_ns = os.fstat(fd).st_mtime_ns

    def __repr__(self) -> str:
        return f"NearFile({self._fd if self._fd >= 0 else 'closed'})"

    def __del__(self) -> None:
        self.close()

    def read(self, offset: int, length: int) -> bytearray | memoryview | None:
        """Return the bytes, at once; None: they must be asked for."""
        fd = self._fd
        if fd < 0:
            return None
        buffer: bytearray | memoryview
        buffer = bytearray(length) if length < LARGE else memoryview(self._pool.take(length))[:length]
        try:
            count = os.preadv(fd, (buffer,), offset, NOWAIT)
        except OSError:  # not in the page cache, or damaged: the device will say what it is
            return None
        now = os.fstat(fd)
        if not now.st_nlink or now.st_mtime_ns != self._written_ns:
            self.close()
            return None
        return buffer if count == length else None

    @property
    def is_open(self) -> bool:
        """Whether it can be read still."""
        return self._fd >= 0

    def close(self) -> None:
        """Read no more."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class NearFiles:
    """Those of the devices of this host."""

    def __init__(self, directories: Mapping[int, str], limit: int) -> None:
        """`directories` of the devices of this host, by device id; at most `limit` files are open."""
        self._directories = dict(directories)
        self._limit = limit
        self._open: dict[int, weakref.ref[NearFile]] = {}  # in the order in which they were opened
        self._opened_count = 0
        self._pool = BufferPool()

    def __repr__(self) -> str:
        return f"NearFiles({sorted(self._directories)}, {len(self._open)} open)"

    def has(self, device: int) -> bool:
        """Tell whether a device's files may be here."""
        return device in self._directories

    def open(self, device: int, family: bytes, number: int, layer: int) -> NearFile | None:
        """Open the file of a chunk that is at rest."""
        path = os.path.join(self._directories[device], DIRECTORY, family.hex(), name_of(number, layer))
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        file = NearFile(fd, self._pool)
        self._opened_count += 1
        key = self._opened_count
        self._open[key] = weakref.ref(file, lambda _ref: self._open.pop(key, None))
        while len(self._open) > self._limit:
            oldest = self._open.pop(next(iter(self._open)))()
            if oldest is not None:
                oldest.close()
        return file
