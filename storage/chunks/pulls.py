"""Copies of whole chunks between devices: how a replica that missed writes comes to where the others are.

The giving side reads a chunk between two batches of destaging, so what it gives is one version, durable here. The
taking side makes it a file beside, complete, synced and claiming its version, and only then puts it in the place of
what was there; by then all that was on its way into that is in the old file, and the journal has nothing newer for it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from cluster.wire import PeerUnavailable, RemoteError, Reply
from storage.chunks import record as records
from storage.chunks.chunk import Chunk
from storage.chunks.record import Extent
from storage.chunks.store import ChunkStore
from storage.chunks.version import CHUNK_SIZE, NOTHING, Version
from storage.disk import Buffer, read_fully, write_fully
from storage.messages import ChunkPull, Operation, Refusal

Ask = Callable[[int, Operation, Any], Awaitable[Reply]]  # device id, operation, arguments
Given = tuple[Version, tuple[Extent, ...], bytes]


class Pulls:
    """Of one device, both sides."""

    def __init__(self, store: ChunkStore, ask: Ask, spend: Callable[[int], None]) -> None:
        self._store = store
        self._disk = store.disk
        self._threads = store.threads
        self._ask = ask
        self._spend = spend
        self._pulling: set[tuple[bytes, int, int]] = set()
        self.pulled_count = self.pulled_bytes = 0

    # giving

    async def give(self, family: bytes, number: int, layer: int, version: Version) -> Reply:
        """Return a chunk at `version` or a newer one, and its bytes where there is data. STALE_CHUNK, CORRUPT."""
        store = self._store
        await store.settled()
        chunk = store.table.find(family, number, layer)
        if chunk is None or chunk.applied < version:
            here = NOTHING if chunk is None else chunk.version
            raise RemoteError(Refusal.STALE_CHUNK, (here, NOTHING if chunk is None else chunk.durable))
        found, extents, data = await store.in_file(chunk, lambda fd: self._read(chunk, fd))
        self._spend(len(data))  # without waiting: a client's write may depend on it
        return Reply((found, store.table.epoch_seen(family, layer), extents), data)

    def _read(self, chunk: Chunk, fd: int) -> Given:
        extents = tuple(self._disk.extents(fd, CHUNK_SIZE))
        try:
            data = b"".join([read_fully(self._disk, fd, offset, length) for offset, length in extents])
        except OSError as error:
            raise RemoteError(Refusal.CORRUPT, f"read: {error}") from error
        return chunk.in_file, extents, data

    # taking

    async def pull(self, message: ChunkPull) -> Version:
        """Have a chunk here at the version wanted, or a newer one; return which. STALE_CHUNK, BUSY, CORRUPT."""
        family, number, layer, version, source = message
        records.check_place(family, number, layer)
        place = family, number, layer
        here = self._store.table.find(*place)
        if here is not None and here.head >= version:
            if here.has_taken(version):
                return here.head
            raise here.stale()
        if place in self._pulling:
            raise RemoteError(Refusal.BUSY, "the chunk is being copied already")
        self._pulling.add(place)
        try:
            return await self._pull(place, version, source)
        finally:
            self._pulling.discard(place)

    async def _pull(self, place: tuple[bytes, int, int], version: Version, source: int) -> Version:
        family, number, layer = place
        try:
            reply = await self._ask(source, Operation.CHUNK_COPY, (family, number, layer, version))
        except PeerUnavailable as error:
            raise RemoteError(Refusal.BUSY, f"device {source} cannot be asked: {error}") from error
        given: Version
        given, epoch, extents = reply.metadata
        records.check_version(given)
        records.check_extents(extents, len(reply.payload))
        name = f"{family.hex()}.{number}.{layer}"
        try:
            await self._threads.run(self._write, name, place, given, extents, reply.payload)
            await self._install(name, place, given, epoch)
        finally:
            self._store.files.drop_copy(name)
        self.pulled_count += 1
        self.pulled_bytes += len(reply.payload)
        return given

    def _write(
        self,
        name: str,
        place: tuple[bytes, int, int],
        version: Version,
        extents: Sequence[Extent],
        payload: Buffer,
    ) -> None:
        """Make a durable copy. In a thread."""
        files, view, at = self._store.files, memoryview(payload), 0
        fd = files.create_copy(name)
        try:
            for offset, length in extents:
                write_fully(self._disk, fd, (view[at : at + length],), offset)
                at += length
            self._disk.fdatasync(fd)
            files.claim(fd, *place, version)
            self._disk.fsync(fd)
        finally:
            self._disk.close(fd)

    async def _install(self, name: str, place: tuple[bytes, int, int], version: Version, epoch: int) -> None:
        """Put a copy in its place, unless something as new has come there meanwhile."""
        store = self._store
        family, _number, layer = place
        old = store.table.find(*place)
        if old is None:
            old = Chunk(*place)  # nobody begins one while this is here
            store.table.add(old)
        if old.head >= version:
            raise old.stale()
        old.busy = True
        try:
            if epoch > store.table.epoch_seen(family, layer):
                await store.fence(family, layer, epoch)
            await store.settled()
            installing = store.destager.between(store.files.install_copy, name, *place)
            await asyncio.wait({installing})
            installing.result()
        except BaseException:
            old.busy = False
            store.table.drop_if_empty(old)
            raise
        store.forget(old)
        store.table.add(Chunk(*place, version))
