"""Copies whole partitions from one device: what joining, rebuilding and standing in share.

A partition of the ring of objects has objects and chunks of volumes, another one databases.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from cluster.clock import wall_us
from cluster.telemetry.log import get_logger
from cluster.wire import PeerUnavailable, RemoteError
from ring.hashing import partition_of
from storage.client import ring_name
from storage.copying import UNLIMITED, VERSION_COST, Budget
from storage.housekeeping.chunks import ChunkCopy, Chunks
from storage.housekeeping.keyrange import partition_range
from storage.housekeeping.pull import PARTITIONS_PER_MESSAGE, WIDTH, Fetching, ObjectPull, Objects, Source
from storage.housekeeping.synchronize import PAGE, Databases, held_of, inventory_at
from storage.messages import DatabaseKind

DATABASE_BATCH = 4096  # partitions of databases, of which most have few: they are listed together
KINDS = {ring_name(kind): kind for kind in DatabaseKind}
_log = get_logger("storage")


def batch_of(name: str) -> int:
    """Return how many partitions of a ring are copied in a step."""
    return DATABASE_BATCH if name in KINDS else PARTITIONS_PER_MESSAGE


async def _go_on() -> None:
    return


class PartitionCopy:
    """Copies to one device, and counts."""

    def __init__(
        self,
        objects: Objects,
        copies: Fetching,
        databases: Databases,
        budget: Budget = UNLIMITED,
        wall: Callable[[], int] = wall_us,
        chunks: Chunks | None = None,
    ) -> None:
        """Without `chunks`, of a device that has none, volumes are left out."""
        self._chunks = None if chunks is None else ChunkCopy(chunks, budget)
        self._pull = ObjectPull(objects, copies, budget, wall)
        self._databases = databases
        self._budget = budget
        self.object_count = self.database_count = 0
        self._object_bytes = 0

    @property
    def chunk_count(self) -> int:
        """How many chunks were copied."""
        return 0 if self._chunks is None else self._chunks.chunk_count

    @property
    def byte_count(self) -> int:
        """Bytes of objects and chunks."""
        return self._object_bytes + (0 if self._chunks is None else self._chunks.byte_count)

    def add(self, other: "PartitionCopy") -> None:
        """Count what another one has copied too."""
        self.object_count += other.object_count
        self.database_count += other.database_count
        self._object_bytes += other._object_bytes
        if self._chunks is not None and other._chunks is not None:
            self._chunks.chunk_count += other._chunks.chunk_count
            self._chunks.byte_count += other._chunks.byte_count

    async def copy(
        self,
        name: str,
        part_power: int,
        source: Source,
        partitions: Sequence[int],
        failed: dict[int, str],
        after_each: Callable[[], Awaitable[None]] = _go_on,
    ) -> None:
        """Copy all that is newer there of partitions of a ring; add to `failed` those that did not succeed."""
        kind = KINDS.get(name)
        try:
            if kind is None:
                await self._copy_objects(part_power, source, partitions, failed, after_each)
                if self._chunks is not None:
                    await self._chunks.copy(part_power, source, partitions, failed, after_each)
            else:
                await self._copy_databases(part_power, kind, source, partitions, failed, after_each)
        except (PeerUnavailable, RemoteError) as error:
            for partition in partitions:
                failed.setdefault(partition, f"device {source.device_id}: {error}")
            _log.info("copying_interrupted", peer=source.device_id, ring=name, error=str(error))

    async def _copy_objects(
        self,
        part_power: int,
        source: Source,
        partitions: Sequence[int],
        failed: dict[int, str],
        after_each: Callable[[], Awaitable[None]],
    ) -> None:
        async def copy(partition: int) -> None:
            pulled = await self._pull.pull(source, part_power, partition)
            if not pulled.complete:
                failed[partition] = pulled.failure or f"device {source.device_id} replaces what is asked for"
            self.object_count += pulled.fetched_count
            self._object_bytes += pulled.fetched_bytes
            await after_each()

        differing: list[int] = []
        for first in range(0, len(partitions), PARTITIONS_PER_MESSAGE):
            some = partitions[first : first + PARTITIONS_PER_MESSAGE]
            differing += await self._pull.differing(source, part_power, some)
        for first in range(0, len(differing), WIDTH):
            copying = [asyncio.ensure_future(copy(partition)) for partition in differing[first : first + WIDTH]]
            try:
                await asyncio.gather(*copying)
            finally:
                for task in copying:  # one has failed: the others are not left to themselves
                    task.cancel()
                await asyncio.gather(*copying, return_exceptions=True)

    async def _copy_databases(
        self,
        part_power: int,
        kind: DatabaseKind,
        source: Source,
        partitions: Sequence[int],
        failed: dict[int, str],
        after_each: Callable[[], Awaitable[None]],
    ) -> None:
        wanted = frozenset(partitions)
        start, _end = partition_range(part_power, min(wanted))
        _start, end = partition_range(part_power, max(wanted))
        while True:
            theirs = await inventory_at(source, kind, start, end)
            last = theirs[-1][0] + b"\0" if len(theirs) == PAGE else end
            mine = await held_of(self._databases, kind, theirs)
            for key, digest in theirs:
                partition = partition_of(key, part_power)
                if partition in wanted and mine.get(key) != digest:
                    try:
                        await self._databases.synchronize(kind, key, "", "", source.device_id)
                    except RemoteError as error:  # of this one; it may be damaged there
                        failed[partition] = f"database {key.hex()} from device {source.device_id}: {error}"
                    self.database_count += 1
                    await self._budget.took(VERSION_COST)
                    await after_each()
            if len(theirs) < PAGE:
                return
            assert last is not None
            start = last
