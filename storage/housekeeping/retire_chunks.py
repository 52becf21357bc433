"""Drops chunks of volumes that have moved away, or were kept for a device that was away.

A chunk goes once every primary has it, in the version that is here or in a newer one. Who lacks it is made to copy it,
from another primary or from here, but for one case: fewer primaries than a quorum have it, and somebody has opened the
volume for writing since. Then it holds what a writer has left without its being acknowledged (else the change of the
rings would have brought it to a quorum of the primaries), and his successor goes by what the primaries have. He may
have shown that; to bring the other to him now would change what was read. So it is dropped.

Invariant: what is forgotten is on all primaries, or was never acknowledged. All of them have their data meanwhile.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from cluster.telemetry.log import get_logger
from storage.chunks.version import NOTHING, Version
from storage.copying import VERSION_COST, Budget
from storage.housekeeping.chunks import Chunks, Place, chunks_at, learn_fences
from storage.housekeeping.pull import Source
from storage.messages import ChunkListed, ChunkPull, Operation
from storage.quorum import quorum_of

FORGET_COST = 64 << 10  # bytes that a chunk which is forgotten counts for: there is a checkpoint before it goes
_log = get_logger("storage")


class Verdict(Enum):
    """What becomes of a chunk that should not be here."""

    DROP = 1  # the others have it
    BRING = 2  # some have to copy it first
    UNDECIDED = 3  # nobody was promised it, and others go by something else: drop it


def verdict(version: Version, held: Sequence[Version], has_successor: bool) -> Verdict:
    """Return what becomes of a chunk at `version`, of which primaries have `held`. Pure."""
    holders = sum(theirs >= version for theirs in held)
    if holders == len(held):
        return Verdict.DROP
    if holders >= quorum_of(len(held)) or not has_successor:
        return Verdict.BRING
    return Verdict.UNDECIDED


class RetireChunks:
    """Of one device."""

    def __init__(self, device_id: int, chunks: Chunks, budget: Budget) -> None:
        self._device_id = device_id
        self._chunks = chunks
        self._budget = budget
        self.forgotten_count = 0

    async def misplaced(self, part_power: int, held: set[int]) -> list[int]:
        """Return the partitions, besides those that are `held`, of which there is a chunk."""
        return [partition for partition in await self._chunks.partitions(part_power) if partition not in held]

    async def drop(
        self, part_power: int, partition: int, primaries: Sequence[Source], check: Callable[[], None]
    ) -> int:
        """Drop the chunks of a partition; return how many stay, since they have changed meanwhile.

        `primaries` are all of them; `check` raises when the rings are others than those by which they are. RemoteError,
        PeerUnavailable, OSError.
        """
        mine = await self._chunks.listed(part_power, partition, None, 1 << 32)
        if not mine:
            return 0
        held: dict[int, Mapping[Place, Version]] = {}
        for source in primaries:
            await learn_fences(self._chunks, source)  # they may tell of a layer that was dropped, or of a newer writer
            theirs = await chunks_at(source, part_power, partition)
            held[source.device_id] = {each[:3]: each.version for each in theirs}
        mine = await self._chunks.listed(part_power, partition, None, 1 << 32)
        for chunk in mine:
            versions = {device: theirs.get(chunk[:3], NOTHING) for device, theirs in held.items()}
            await self._see_to(chunk, primaries, versions)
        check()
        gone = await self._chunks.forget(mine)
        self.forgotten_count += gone
        return len(mine) - gone

    async def _see_to(
        self, chunk: ChunkListed, primaries: Sequence[Source], held: Mapping[int, Version]
    ) -> None:
        """Have all primaries have a chunk that is here, if that is to be."""
        has_successor = self._chunks.epoch_seen(chunk.family, chunk.layer) > chunk.version[0]
        found = verdict(chunk.version, list(held.values()), has_successor)
        if found is Verdict.UNDECIDED:
            _log.warning("undecided_forgotten", chunk=chunk.chunk, layer=chunk.layer, version=chunk.version)
        if found is Verdict.BRING:
            await self._bring(chunk, primaries, held)
        await self._budget.took(FORGET_COST)

    async def _bring(
        self, chunk: ChunkListed, primaries: Sequence[Source], held: Mapping[int, Version]
    ) -> None:
        family, number, layer, version = chunk
        holders = sorted((theirs, device) for device, theirs in held.items() if theirs >= version)
        source = holders[0][1] if holders else self._device_id  # the oldest of them: it has most likely been decided
        for primary in primaries:
            if held[primary.device_id] < version:
                await primary.ask(Operation.CHUNK_PULL, ChunkPull(family, number, layer, version, source))
                await self._budget.took(VERSION_COST)
