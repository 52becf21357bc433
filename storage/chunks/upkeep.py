"""What housekeeping does to the chunks of a device: fences that others have, copies, and what is to be here no more.

What is being forgotten is here no more for anybody: neither for votes, nor for who compares what is here with others. A
change of the rings may begin meanwhile, by which this device is to have it again.
"""

import asyncio
from collections.abc import Iterable, Sequence

from cluster.wire import RemoteError
from storage.chunks.chunk import Chunk
from storage.chunks.inventory import Inventory
from storage.chunks.pulls import Pulls
from storage.chunks.store import ChunkStore
from storage.chunks.version import NEVER, NOTHING, Version
from storage.messages import ChunkFence, ChunkListed, ChunkPull, Refusal

BUSY_TRIES, BUSY_S = 6, 0.1  # while somebody else copies the same chunk, twice as long each time
FENCES_AT_ONCE = 1000


class ChunkUpkeep:
    """Of one device."""

    def __init__(self, store: ChunkStore, pulls: Pulls, inventory: Inventory) -> None:
        self._store = store
        self._pulls = pulls
        self._inventory = inventory
        self._forgetting = asyncio.Lock()
        self.listed = inventory.listed
        self.partitions = inventory.partitions
        self.count = inventory.count
        self.fence_digest = inventory.fence_digest
        self.note_changes = inventory.absorb

    async def digests(self, part_power: int, partitions: Sequence[int]) -> list[bytes]:
        """Return the digest of each partition, once nothing is being forgotten. LogRefusal."""
        async with self._forgetting:
            return await self._inventory.digests(part_power, partitions)

    # fences

    def epoch_seen(self, family: bytes, layer: int) -> int:
        """Return the oldest epoch that may write a layer."""
        return self._store.table.epoch_seen(family, layer)

    async def raise_fences(self, fences: Iterable[ChunkFence]) -> None:
        """Promise what others have promised, durably; give up layers that others were told to. LogRefusal, OSError."""
        newer = [fence for fence in fences if fence.epoch > self.epoch_seen(fence.family, fence.layer)]
        for first in range(0, len(newer), FENCES_AT_ONCE):
            some = newer[first : first + FENCES_AT_ONCE]
            await asyncio.gather(*(self._raised(fence) for fence in some))
        if any(fence.epoch >= NEVER for fence in newer):
            await self.drop_leftovers()

    async def _raised(self, fence: ChunkFence) -> None:
        if fence.epoch > self.epoch_seen(fence.family, fence.layer):  # nothing newer has come meanwhile
            await self._store.fence(*fence)

    async def drop_leftovers(self) -> int:
        """Drop what is here of layers that were dropped; return how many layers. LogRefusal, OSError."""
        left = [place for place in self._store.table.layers() if self.epoch_seen(*place) >= NEVER]
        for family, layer in left:
            await self._store.drop(family, layer, None)
        return len(left)

    # chunks

    def version(self, family: bytes, number: int, layer: int) -> Version:
        """Return the version that a chunk is at, what is on its way included; of one that is damaged NOTHING."""
        chunk = self._find(family, number, layer)
        return NOTHING if chunk is None else chunk.head

    def _find(self, family: bytes, number: int, layer: int) -> Chunk | None:
        try:
            return self._store.table.find(family, number, layer)
        except RemoteError as refusal:
            if refusal.code != Refusal.CORRUPT:
                raise
            return None

    async def fetch(self, wanted: ChunkListed, source: int) -> int:
        """Have a chunk at that version or a newer one, from device `source`; return how many bytes were copied.

        STALE_CHUNK: it has neither; BUSY, CORRUPT; FENCED: the layer was dropped.
        """
        family, number, layer, version = wanted
        delay_s = BUSY_S
        for tries_left in reversed(range(BUSY_TRIES)):
            if self.version(family, number, layer) >= version:
                return 0
            try:
                _version, size = await self._pulls.copy(ChunkPull(family, number, layer, version, source))
            except RemoteError as refusal:
                if refusal.code == Refusal.STALE_CHUNK and self.version(family, number, layer) >= version:
                    return 0
                if refusal.code != Refusal.BUSY or not tries_left:
                    raise
                await asyncio.sleep(delay_s)
                delay_s *= 2
            else:
                return size
        return 0

    def damaged(self) -> list[ChunkListed]:
        """Return the chunks that the disk could not read, as they should be here."""
        return [ChunkListed(*place, self.version(*place)) for place in self._store.table.damaged]

    async def mend(self, damaged: ChunkListed, source: int) -> int:
        """Put a copy from device `source` in the place of a damaged chunk; return its bytes. As `fetch` otherwise.

        It must be as new as what is here: all of that may have been acknowledged.
        """
        family, number, layer, version = damaged
        _version, size = await self._pulls.copy(ChunkPull(family, number, layer, version, source), replace=True)
        return size

    async def forget(self, chunks: Sequence[ChunkListed]) -> int:
        """Hold chunks no more that are at just these versions; return how many those were. LogRefusal, OSError.

        They may come back: that is no deletion of a layer.
        """
        return await self._store.undisturbed.run(self._forget(chunks))

    async def _forget(self, chunks: Sequence[ChunkListed]) -> int:
        async with self._forgetting:
            by_layer: dict[tuple[bytes, int], list[int]] = {}
            leaving: list[Chunk] = []
            for family, number, layer, version in chunks:
                chunk = self._find(family, number, layer)
                if chunk is not None and chunk.head == version and not chunk.busy:
                    chunk.busy = True
                    leaving.append(chunk)
                    by_layer.setdefault((family, layer), []).append(number)
            try:
                for (family, layer), numbers in by_layer.items():
                    await self._store.drop(family, layer, tuple(numbers))
            finally:
                for chunk in leaving:
                    chunk.busy = False
        return len(leaving)
