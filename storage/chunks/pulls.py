"""Copies of whole chunks between devices: how a replica that missed writes comes to where the others are.

The giving side reads a chunk between two batches of destaging, so what it gives is one version, durable here. The
taking side makes it a file beside, complete, synced and claiming its version, and only then puts it in the place of
what was there; by then all that was on its way into that is in the old file, and the journal has nothing newer for it.
What was there may be damaged, so that it does not say what it is. From when bytes have come it goes on to its end, also
when nobody waits for it any more: a file that is put in its place by a thread, and that nobody hears of, would be
another than the one that is written to.

Invariant: no chunk of a layer that was dropped is here when a pull has ended.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from cluster.wire import PeerUnavailable, RemoteError, Reply
from storage.chunks import record as records
from storage.chunks.chunk import Chunk
from storage.chunks.record import Extent
from storage.chunks.store import ChunkStore
from storage.chunks.version import CHUNK_SIZE, NEVER, NOTHING, Version
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
        try:
            found, extents, data = await store.in_file(chunk, lambda fd: self._read(chunk, fd))
        except OSError as error:
            store.table.note_damage(chunk)
            raise RemoteError(Refusal.CORRUPT, f"read: {error}") from error
        self._spend(len(data))  # without waiting: a client's write may depend on it
        return Reply((found, store.table.epoch_seen(family, layer), extents), data)

    def _read(self, chunk: Chunk, fd: int) -> Given:
        extents = tuple(self._disk.extents(fd, CHUNK_SIZE))
        data = b"".join([read_fully(self._disk, fd, offset, length) for offset, length in extents])
        return chunk.in_file, extents, data

    # taking

    async def copy(self, message: ChunkPull, replace: bool = False) -> tuple[Version, int]:
        """Have a chunk here at the version wanted, or a newer one; return which, and how many bytes were copied.

        With `replace`: also when what is here is as new. STALE_CHUNK, BUSY, CORRUPT; FENCED: the layer was dropped.
        """
        family, number, layer, version, source = message
        records.check_place(family, number, layer)
        self._refuse_dropped(family, layer)
        place = family, number, layer
        here = self._held(place)
        if here is not None and here.head >= version and not replace:
            if here.has_taken(version):
                return here.head, 0
            raise here.stale()
        if place in self._pulling:
            raise RemoteError(Refusal.BUSY, "the chunk is being copied already")
        self._pulling.add(place)
        try:
            reply = await self._given_by(source, place, version)
        except BaseException:
            self._pulling.discard(place)
            raise
        return await self._store.undisturbed.run(self._put(place, reply, replace))

    def _held(self, place: tuple[bytes, int, int]) -> Chunk | None:
        """Return what is here, unless it is damaged."""
        try:
            return self._store.table.find(*place)
        except RemoteError as refusal:
            if refusal.code != Refusal.CORRUPT:
                raise
            return None

    def _refuse_dropped(self, family: bytes, layer: int) -> None:
        if self._store.table.epoch_seen(family, layer) >= NEVER:
            raise RemoteError(Refusal.FENCED, NEVER)

    async def _given_by(self, source: int, place: tuple[bytes, int, int], version: Version) -> Reply:
        try:
            return await self._ask(source, Operation.CHUNK_COPY, (*place, version))
        except PeerUnavailable as error:
            raise RemoteError(Refusal.BUSY, f"device {source} cannot be asked: {error}") from error

    async def _put(self, place: tuple[bytes, int, int], reply: Reply, replace: bool) -> tuple[Version, int]:
        """Make a copy of what was given, and put it in its place."""
        family, number, layer = place
        name = f"{family.hex()}.{number}.{layer}"
        given: Version
        try:
            given, epoch, extents = reply.metadata
            records.check_version(given)
            records.check_extents(extents, len(reply.payload))
            await self._threads.run(self._write, name, place, given, extents, reply.payload)
            await self._install(name, place, given, epoch, replace)
        finally:
            self._pulling.discard(place)
            self._store.files.drop_copy(name)
        self.pulled_count += 1
        self.pulled_bytes += len(reply.payload)
        return given, len(reply.payload)

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

    async def _install(
        self, name: str, place: tuple[bytes, int, int], version: Version, epoch: int, replace: bool
    ) -> None:
        """Put a copy in its place, unless something as new has come there meanwhile."""
        store = self._store
        family, _number, layer = place
        self._refuse_dropped(family, layer)
        old = self._held(place)
        if old is None:
            old = Chunk(*place)  # nobody begins one while this is here
            store.table.add(old)
        if old.head > version or (old.head == version and not replace):
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
        if store.table.epoch_seen(family, layer) >= NEVER:  # it was dropped meanwhile, perhaps before this had its name
            await store.drop(family, layer, (place[1],))
            self._refuse_dropped(family, layer)
