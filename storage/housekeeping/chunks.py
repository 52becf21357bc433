"""Copies the chunks of whole partitions from one device: what joining, rebuilding and standing in have of volumes.

First the fences that the other device has, then what is newer there. Both only rise: a fence that anybody has keeps out
a writer whose lease has ended, and of a chunk the larger version has all of the smaller one that was ever acknowledged
(an epoch begins with what a quorum has of the one before). So whoever has copied from devices of which one took part in
each acknowledged write and in each fence, and asked them after that, keeps what was acknowledged and what was promised,
whatever it had itself. Which devices are enough is for the caller.

A copy is of one version, durable where it comes from, and stays a beginning of its writer's history while he goes on
writing: a version is never given to another write. He takes this device for one that lacks something until it is at
his newest version, and until then none of his quorums counts on it.

It may be more than was ever acknowledged: what a writer has left on one device. That is no harm: who opens a volume
settles what replicas differ in.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol

from cluster.telemetry.log import get_logger
from cluster.wire import PeerUnavailable, RemoteError
from storage.chunks.version import NEVER
from storage.copying import UNLIMITED, VERSION_COST, Budget
from storage.housekeeping.pull import PARTITIONS_PER_MESSAGE, WIDTH, Source
from storage.messages import ChunkFence, ChunkListed, ChunkVersion, Operation, parse

PAGE = 2000  # chunks listed at a time, fences too
_log = get_logger("storage")

Place = tuple[bytes, int, int]  # family, chunk number, layer


class Chunks(Protocol):
    """The chunks of this device (storage.chunks.upkeep)."""

    async def digests(self, part_power: int, partitions: Sequence[int]) -> Sequence[bytes]:
        """Return the digest of each partition."""

    async def listed(
        self, part_power: int, partition: int, after: Place | None, limit: int
    ) -> Sequence[ChunkListed]:
        """Return the chunks of a partition behind `after`, in order."""

    async def partitions(self, part_power: int) -> Sequence[int]:
        """Return the partitions of which there is a chunk."""

    def fence_digest(self) -> bytes:
        """Return the digest of all fences."""

    def epoch_seen(self, family: bytes, layer: int) -> int:
        """Return the oldest epoch that may write a layer."""

    async def raise_fences(self, fences: Iterable[ChunkFence]) -> None:
        """Promise what others have promised; give up layers that others were told to."""

    def version(self, family: bytes, number: int, layer: int) -> ChunkVersion:
        """Return the version that a chunk is at; (0, 0): none that could be told."""

    async def fetch(self, wanted: ChunkListed, source: int) -> int:
        """Have a chunk at that version or a newer one, from a device; return how many bytes were copied."""

    async def forget(self, chunks: Sequence[ChunkListed]) -> int:
        """Hold chunks no more that are at just these versions; return how many those were."""


async def chunks_at(source: Source, part_power: int, partition: int) -> list[ChunkListed]:
    """Return the chunks of a partition that a device has. PeerUnavailable, RemoteError."""
    found: list[ChunkListed] = []
    after: Place | None = None
    while True:
        reply = await source.ask(Operation.CHUNK_LIST, (part_power, partition, after, PAGE))
        page = [_listed(values) for values in reply.metadata]
        found += page
        if len(page) < PAGE:
            return found
        after = page[-1][:3]


def _listed(values: Any) -> ChunkListed:
    family, number, layer, version = values
    return ChunkListed(family, number, layer, tuple(version))


async def learn_fences(chunks: Chunks, source: Source) -> None:
    """Have all fences here that a device has, durably. PeerUnavailable, RemoteError, OSError."""
    known, after = chunks.fence_digest(), None
    while True:
        reply = await source.ask(Operation.CHUNK_FENCES, (known, after, PAGE))
        if reply.metadata is None:
            return
        page = [parse(ChunkFence, values) for values in reply.metadata]
        await chunks.raise_fences(page)
        if len(page) < PAGE:
            return
        known, after = b"", page[-1][:2]


async def differing(
    chunks: Chunks, source: Source, part_power: int, partitions: Sequence[int]
) -> list[int]:
    """Return in which partitions a device has something that may not be here. PeerUnavailable, RemoteError."""
    found: list[int] = []
    for first in range(0, len(partitions), PARTITIONS_PER_MESSAGE):
        asked = tuple(partitions[first : first + PARTITIONS_PER_MESSAGE])
        reply = await source.ask(Operation.CHUNK_DIGESTS, (part_power, asked))
        mine = await chunks.digests(part_power, asked)
        compared = zip(asked, mine, reply.metadata, strict=True)
        found += [partition for partition, our, their in compared if our != their and any(their)]
    return found


def newer_than_here(chunks: Chunks, theirs: Iterable[ChunkListed]) -> list[ChunkListed]:
    """Return what is newer than here, or is not here; but not of layers that were dropped: there it goes, too."""
    return [
        each
        for each in theirs
        if each.version > chunks.version(*each[:3]) and chunks.epoch_seen(each.family, each.layer) < NEVER
    ]


class ChunkCopy:
    """Copies to one device, and counts."""

    def __init__(self, chunks: Chunks, budget: Budget = UNLIMITED) -> None:
        self._chunks = chunks
        self._budget = budget
        self.chunk_count = self.byte_count = 0

    async def copy(
        self,
        part_power: int,
        source: Source,
        partitions: Sequence[int],
        failed: dict[int, str],
        after_each: Callable[[], Awaitable[None]],
    ) -> None:
        """Copy all that is newer there; add to `failed` the partitions of which something could not be.

        PeerUnavailable, RemoteError: when it cannot even be listed.
        """
        await learn_fences(self._chunks, source)
        for partition in await differing(self._chunks, source, part_power, partitions):
            theirs = await chunks_at(source, part_power, partition)
            wanted = newer_than_here(self._chunks, theirs)
            for first in range(0, len(wanted), WIDTH):
                reasons = await asyncio.gather(
                    *(self._fetch(each, source) for each in wanted[first : first + WIDTH])
                )
                for reason in filter(None, reasons):
                    failed[partition] = reason
                await after_each()

    async def _fetch(self, wanted: ChunkListed, source: Source) -> str:
        """Copy a chunk; return why it could not be, "" when it could."""
        try:
            size = await self._chunks.fetch(wanted, source.device_id)
        except (PeerUnavailable, RemoteError, OSError) as error:
            _log.info("chunk_not_copied", peer=source.device_id, chunk=wanted.chunk, error=str(error))
            return f"a chunk from device {source.device_id}: {error}"
        self.chunk_count += size > 0
        self.byte_count += size
        await self._budget.took(size + VERSION_COST)
        return ""
