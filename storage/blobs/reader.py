"""Reads a range of a file piece by piece, and hands out no block that does not match its checksum.

What the page cache holds is read at once; only what it does not hold costs a hop to a thread, which
also starts the read-ahead.
"""

import asyncio
from collections.abc import Callable

from cluster.threads import Waiters
from cluster.wire import RemoteError
from storage.blobs.blocks import BLOCK_SIZE, first_mismatch
from storage.disk import Buffer, Disk, read_fully
from storage.messages import Refusal

PIECE_SIZE = 512 << 10
_AHEAD_SIZE = 4 << 20
assert PIECE_SIZE % BLOCK_SIZE == 0


class Damaged(Exception):
    """The file is not what was written."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class FileReader:
    """Bytes [start, end) of a file. For one consumer; `close` it when it is not read to the end."""

    def __init__(
        self,
        disk: Disk,
        waiters: Waiters,
        fd: int,
        checksums: Buffer,
        size: int,
        start: int,
        end: int,
        report: Callable[[str], None],
    ) -> None:
        self._disk = disk
        self._waiters = waiters
        self._fd = fd  # ours
        self._checksums = checksums
        self._size = size
        self._offset = start
        self._report = report
        self._reading: asyncio.Future[bytearray] | None = None
        self._first: bytearray | None = None
        self.start = start
        self.end = end

    def prefetch(self) -> None:
        """Read the first piece, so that a mismatch in it is known before anything is answered. Blocking. Damaged.

        That is not reported here: this is a thread, and what is damaged the loop's thread keeps.
        """
        if self._offset < self.end:
            begin, stop = self._extent()
            try:
                buffer = self._read_waiting(self._fd, begin, stop)
            except OSError as error:
                raise Damaged(f"read: {error}") from error
            self._first = self._verified(buffer, begin)

    async def read(self) -> Buffer:
        """Return the next piece, b"" at the end. RemoteError CORRUPT when it does not match."""
        if self._offset >= self.end:
            self.close()
            return b""
        begin, stop = self._extent()
        piece, self._first = self._first, None
        if piece is None:
            buffer = bytearray(stop - begin)
            try:
                if self._disk.preadv_cached(self._fd, (buffer,), begin) != len(buffer):
                    buffer = await self._wait_for(begin, stop)
                piece = self._verified(buffer, begin)
            except OSError as error:
                raise self._corrupt(f"read: {error}") from error
            except Damaged as damage:
                raise self._corrupt(damage.reason) from damage
        return self._taken(piece, begin)

    def __aiter__(self) -> "FileReader":
        return self

    async def __anext__(self) -> Buffer:
        piece = await self.read()
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Do what `close` does, for who sends it as a body that is not wanted to its end."""
        self.close()

    def close(self) -> None:
        """Close the file, as soon as no thread reads from it."""
        fd, self._fd = self._fd, -1
        self._offset = self.end
        if fd < 0:
            return
        if self._reading is None or self._reading.done():
            self._disk.close(fd)
        else:
            self._reading.add_done_callback(lambda _future: self._disk.close(fd))

    def _extent(self) -> tuple[int, int]:
        """Return the whole blocks that the next piece lies in."""
        begin = self._offset - self._offset % BLOCK_SIZE
        last_block_end = -(-self.end // BLOCK_SIZE) * BLOCK_SIZE
        return begin, min(begin + PIECE_SIZE, last_block_end, self._size)

    def _taken(self, piece: Buffer, begin: int) -> Buffer:
        """Cut what was asked for out of whole blocks, and move on."""
        stop = min(self.end, begin + len(piece))
        wanted = memoryview(piece)[self._offset - begin : stop - begin]
        self._offset = stop
        return wanted

    async def _wait_for(self, begin: int, stop: int) -> bytearray:
        try:
            future = self._waiters.run(self._read_waiting, self._fd, begin, stop)
        except OverflowError as error:
            raise RemoteError(Refusal.BUSY, str(error)) from None
        self._reading = future
        return await asyncio.shield(future)  # a consumer that gives up must not hide that the thread runs on

    def _read_waiting(self, fd: int, begin: int, stop: int) -> bytearray:
        if stop < self._size:
            self._disk.will_need(fd, stop, min(_AHEAD_SIZE, self._size - stop))
        return read_fully(self._disk, fd, begin, stop - begin)

    def _verified(self, buffer: bytearray, begin: int) -> bytearray:
        view = memoryview(buffer)
        begun, stop = self._extent()
        assert begun == begin
        mismatch = first_mismatch(view, begin // BLOCK_SIZE, self._checksums)
        if mismatch is not None or len(buffer) != stop - begin:
            reason = f"block {mismatch} does not match" if mismatch is not None else "the file is cut off"
            raise Damaged(reason)
        return buffer

    def _corrupt(self, reason: str) -> RemoteError:
        self._report(reason)
        self.close()
        return RemoteError(Refusal.CORRUPT, reason)
