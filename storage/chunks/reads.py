"""Reads of chunks: at once when the page cache has the bytes, else through a thread.

What is on its way into a file is laid over what was read from it. That is taken note of before the file is read: a
write that comes into the file meanwhile is found there or in the note, never in neither.

An answer names the layer, and says whether the chunk is at rest there: `near` tells what that is good for.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from cluster.threads import Waiters
from cluster.wire import RemoteError, Reply
from storage.chunks.chunk import Chunk, Entry, lay_over
from storage.chunks.files import ChunkFiles
from storage.chunks.table import Table
from storage.chunks.version import CHUNK_SIZE, NOTHING, Version
from storage.disk import Disk, read_fully
from storage.messages import ChunkRead, Refusal

P = ParamSpec("P")
T = TypeVar("T")
ReadAnswer = Reply | Coroutine[Any, Any, Reply]
_NO_LAYER = 0  # of zeros that no layer has


class Reads:
    """Of one device."""

    def __init__(self, disk: Disk, files: ChunkFiles, table: Table, threads: Waiters) -> None:
        self._disk = disk
        self._files = files
        self._table = table
        self._threads = threads

    def read(self, message: ChunkRead) -> ReadAnswer:
        """Return the bytes, or what brings them. STALE_CHUNK, CORRUPT."""
        family, number, layers, offset, length, epoch = message
        if offset < 0 or length <= 0 or offset + length > CHUNK_SIZE:
            raise ValueError(f"{length} bytes at {offset}")
        for layer, version in layers:
            chunk = self._table.find(family, number, layer)
            here = NOTHING if chunk is None else chunk.head
            if here != version and not (version is None or (epoch and here[0] == epoch and here > version)):
                raise RemoteError(Refusal.STALE_CHUNK, (here, NOTHING if chunk is None else chunk.durable))
            if chunk is not None and here != NOTHING:
                return self._bytes(chunk, offset, length, here == version)
        return Reply((_NO_LAYER, False))

    def _bytes(self, chunk: Chunk, offset: int, length: int, exact: bool) -> ReadAnswer:
        if not chunk.exists:
            return self._unmade(chunk, offset, length)
        buffer = bytearray(length)
        try:
            fd = self._files.fd(chunk)
            if self._disk.preadv_cached(fd, (buffer,), offset) != length:
                version = chunk.head if exact else None
                return self._wait_for(chunk, chunk, list(chunk.pending), offset, length, version)
        except OSError as error:
            self._table.note_damage(chunk)
            raise RemoteError(Refusal.CORRUPT, f"read: {error}") from error
        if chunk.pending:
            lay_over(buffer, offset, chunk.pending)
        return Reply((chunk.layer, exact and is_at_rest(chunk, chunk.head)), buffer)

    def _unmade(self, chunk: Chunk, offset: int, length: int) -> ReadAnswer:
        """Read a chunk that has no file yet: what it begins with, and what is on its way."""
        pending = list(chunk.pending)
        source: Chunk | None = chunk.base
        while source is not None and not source.exists:
            pending[:0] = source.pending
            source = source.base
        if source is not None:
            pending[:0] = source.pending
            return self._wait_for(chunk, source, pending, offset, length)
        buffer = bytearray(length)
        lay_over(buffer, offset, pending)
        return Reply((chunk.layer, False), buffer)

    async def _wait_for(
        self,
        chunk: Chunk,
        source: Chunk,
        pending: Sequence[Entry],
        offset: int,
        length: int,
        version: Version | None = None,
    ) -> Reply:
        """Read through a thread. With `version` say whether the chunk is at rest there."""
        buffer = await self.through_thread(source, read_fully, offset, length)
        if len(buffer) != length:
            self._table.note_damage(source)
            raise RemoteError(Refusal.CORRUPT, "the file is cut off")
        lay_over(buffer, offset, pending)
        return Reply((chunk.layer, version is not None and is_at_rest(chunk, version)), buffer)

    async def through_thread(
        self, chunk: Chunk, read: Callable[Concatenate[Disk, int, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call `read` with the disk and the open file of a chunk, in a thread. CORRUPT, BUSY."""
        try:
            fd = self._files.lease(chunk)
            try:
                return await self._threads.run(read, self._disk, fd, *args, **kwargs)
            finally:
                self._files.give_back(chunk)
        except OverflowError as error:
            raise RemoteError(Refusal.BUSY, str(error)) from None
        except OSError as error:
            self._table.note_damage(chunk)
            raise RemoteError(Refusal.CORRUPT, f"read: {error}") from error


def is_at_rest(chunk: Chunk, version: Version) -> bool:
    """Tell whether the file of a chunk has just that version, and nothing is on its way into it."""
    return chunk.head == version and not chunk.pending and not chunk.busy and not chunk.dropped
