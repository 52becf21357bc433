"""What a device has of chunks, by partition: digests to be compared, lists of what differs; and its fences.

A digest is the exclusive or of the hashes of what it stands for, so it is zeros of nothing. It is kept until a chunk of
its partition changes: who compares what has not changed pays for partitions, not for chunks.

Invariant: an answer shows every write and every fence that was answered before it was asked for. It may show more: what
is on its way. A chunk whose file does not say what it is counts as one that is not here.
"""

import asyncio
import hashlib
import struct
from collections.abc import Sequence

from ring.hashing import NameHash, partition_of
from storage.chunks.files import FileDamaged
from storage.chunks.key import chunk_key
from storage.chunks.store import ChunkStore
from storage.chunks.table import number_and_layer
from storage.chunks.version import NOTHING, Version
from storage.messages import ChunkFence, ChunkListed

DIGEST_SIZE = 16
EMPTY = bytes(DIGEST_SIZE)
_CHUNK = struct.Struct("<16sIQQQ")
_FENCE = struct.Struct("<16sQQ")
_SLICE = 2000  # names that are sorted into partitions between two turns of the loop

_Place = tuple[bytes, int]  # family, number and layer


class Inventory:
    """Of one device."""

    def __init__(self, store: ChunkStore, names: NameHash) -> None:
        """Nothing is looked at before somebody asks."""
        self._store = store
        self._table = store.table
        self._names = names
        self._part_power = -1  # that all below is for; -1: none yet
        self._partitions: dict[int, dict[bytes, set[int]]] = {}  # partition -> family -> places of its chunks
        self._digests: dict[int, bytes] = {}  # those that are known
        self._fences: tuple[tuple[int, int], bytes] = (0, 0), EMPTY  # what the digest of all fences was made from
        self._refreshing = asyncio.Lock()

    def __repr__(self) -> str:
        return f"Inventory({len(self._partitions)} partitions, {len(self._digests)} digests known)"

    async def partitions(self, part_power: int) -> list[int]:
        """Return the partitions of which there is a chunk, in order. LogRefusal."""
        await self._refresh(part_power)
        return sorted(self._partitions)

    async def count(self, part_power: int) -> int:
        """Return how many chunks there are, in all layers. LogRefusal."""
        await self._refresh(part_power)
        return sum(len(places) for own in self._partitions.values() for places in own.values())

    async def digests(self, part_power: int, partitions: Sequence[int]) -> list[bytes]:
        """Return the digest of each partition. LogRefusal."""
        await self._refresh(part_power)
        found = []
        for partition in partitions:
            digest = EMPTY if partition not in self._partitions else self._digests.get(partition)
            if digest is None:
                # what changes meanwhile is noted, and makes this one unknown before it is asked for again
                digest = self._digests[partition] = _digest_of(await self._listed(partition))
            found.append(digest)
        return found

    async def listed(
        self, part_power: int, partition: int, after: tuple[bytes, int, int] | None, limit: int
    ) -> list[ChunkListed]:
        """Return the chunks of a partition behind (family, number, layer) `after`, in that order. LogRefusal."""
        await self._refresh(part_power)
        found = await self._listed(partition)
        return [each for each in found if after is None or each[:3] > after][:limit]

    async def _listed(self, partition: int) -> list[ChunkListed]:
        places = [(family, place) for family, own in self._partitions.get(partition, {}).items() for place in own]
        unknown = [place for place in places if self._table.at(*place) is None]
        versions = await self._store.threads.run(self._stored, unknown) if unknown else ()
        stored = dict(zip(unknown, versions, strict=True))
        found = []
        for family, place in places:
            chunk = self._table.at(family, place)
            version = chunk.version if chunk is not None else stored.get((family, place), NOTHING)
            if version != NOTHING:
                found.append(ChunkListed(family, *number_and_layer(place), version))
        found.sort()
        return found

    def _stored(self, places: Sequence[_Place]) -> list[Version]:
        """Return what files say to have. In a thread."""
        found = []
        for family, place in places:
            try:
                version, _allocated = self._store.files.figures(family, *number_and_layer(place))
            except (OSError, FileDamaged):
                version = None
            found.append(version or NOTHING)
        return found

    # keeping up

    async def _refresh(self, part_power: int) -> None:
        """Have all here that was answered before now."""
        await self._store.settled()
        async with self._refreshing:
            if part_power != self._part_power:
                await self._sort(part_power)
            self.absorb()

    async def _sort(self, part_power: int) -> None:
        """Begin anew, from the names."""
        self._part_power, self._partitions, self._digests = part_power, {}, {}
        names = self._table.names()  # from here on changes are noted
        for first in range(0, len(names), _SLICE):
            for place in names[first : first + _SLICE]:
                self._absorb(place)
            await asyncio.sleep(0)

    def absorb(self) -> None:
        """Take note of what has changed."""
        for place in self._table.take_touched():
            self._absorb(place)

    def _absorb(self, place: _Place) -> None:
        family, own = place
        partition = partition_of(chunk_key(self._names, family, number_and_layer(own)[0]), self._part_power)
        self._digests.pop(partition, None)
        if self._table.has(*place):
            self._partitions.setdefault(partition, {}).setdefault(family, set()).add(own)
            return
        families = self._partitions.get(partition, {})
        families.get(family, set()).discard(own)
        if not families.get(family):
            families.pop(family, None)
        if not families:
            self._partitions.pop(partition, None)

    # fences

    def fence_digest(self) -> bytes:
        """Return the digest of all fences."""
        fences = self._table.fences
        state = len(fences), sum(fences.values())  # they only rise, so no two of their states have the same
        if state != self._fences[0]:
            digest = 0
            for (family, layer), epoch in fences.items():
                digest ^= _hash(_FENCE.pack(family, layer, epoch))
            self._fences = state, digest.to_bytes(DIGEST_SIZE, "big")
        return self._fences[1]

    async def fences(self, after: tuple[bytes, int] | None, limit: int) -> list[ChunkFence]:
        """Return the fences behind (family, layer) `after`, in that order. LogRefusal."""
        await self._store.journal.settle()  # a fence is raised before it is durable, and answered after
        fences = self._table.fences
        places = sorted(place for place in fences if after is None or place > after)[:limit]
        return [ChunkFence(*place, fences[place]) for place in places]


def _digest_of(chunks: Sequence[ChunkListed]) -> bytes:
    digest = 0
    for family, number, layer, version in chunks:
        digest ^= _hash(_CHUNK.pack(family, number, layer, *version))
    return digest.to_bytes(DIGEST_SIZE, "big")


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=DIGEST_SIZE).digest(), "big")
