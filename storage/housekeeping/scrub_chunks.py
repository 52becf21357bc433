"""What scrub does with chunks of volumes: replicas that say to be at one version are compared by what they have.

The first of a chunk's primaries that serves asks all of them for the sum of what is on disk (storage.chunks.sums). Who
differs from a quorum is damaged, and gets a copy from one of that quorum in its place, if no write has come meanwhile.
Where there is no such quorum though all have answered, nobody can tell: that is said, and left. A chunk that is being
written to is passed over; the next pass comes to it.

So each device reads each of its chunks once a cycle, for whoever asks. Bytes that are damaged may be given to a guest
before that: of a chunk at rest nobody knows better until replicas are compared.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from cluster.telemetry.log import get_logger
from cluster.wire import Peer, PeerUnavailable, RemoteError
from storage.area import Piece
from storage.chunks.version import CHUNK_SIZE
from storage.client import Rings
from storage.housekeeping.chunks import Chunks, Place
from storage.messages import ChunkListed, ChunkPull, Operation
from storage.quorum import quorum_of
from storage.rings.document import OBJECT

SUM_TIMEOUT_S = 30.0  # of a disk that is busy
MEND_TIMEOUT_S = 60.0
_PAGE = 64  # chunks listed at a time
_PARTITIONS_AT_ONCE = 1000  # that are looked at in one step, when others lead them
_log = get_logger("storage")


class ScrubbedChunks(Chunks, Protocol):
    """The chunks of this device."""

    async def count(self, part_power: int) -> int:
        """Return how many there are."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What sums tell. Pure."""

    damaged: frozenset[int] = frozenset()  # devices
    good: int = -1  # a device with what a quorum has
    undecided: bool = False  # they differ, and nobody can tell which are right


def judge_sums(sums: Mapping[int, bytes], members: Collection[int]) -> Verdict:
    """Return which of `members`, by the sums of those that have answered, are damaged."""
    if len(set(sums.values())) < 2:
        return Verdict()
    usual, count = Counter(sums.values()).most_common(1)[0]
    if count >= quorum_of(len(members)):
        damaged = frozenset(device for device, found in sums.items() if found != usual)
        return Verdict(damaged, next(device for device, found in sums.items() if found == usual))
    return Verdict(undecided=len(sums) == len(members))


class ChunkArea:
    """The chunks that this device leads. A position is a partition and what was looked at there last, in hex."""

    name = "chunks"

    def __init__(
        self,
        chunks: ScrubbedChunks,
        rings: Callable[[], Rings],
        device_id: int,
        peers: Mapping[int, Peer],
        votes: Callable[[int], bool] = lambda _device_id: True,
    ) -> None:
        """`votes` tells whether a device has all its data."""
        self._chunks = chunks
        self._rings = rings
        self._device_id = device_id
        self._peers = peers
        self._votes = votes
        self._page: list[ChunkListed] = []  # what follows, the next one last
        self._page_behind: tuple[int, Place | None] = (-1, None)
        self._amiss: dict[Place, str] = {}  # what is damaged and stays so, and why
        self._confirmed: set[Place] = set()  # of that, what this pass has found so again, or could not compare
        self.found_count = self.healed_count = 0

    def amiss(self) -> list[str]:
        """Return in words what differs, and cannot be put right."""
        return [
            f"chunk {number} of {family.hex()}, layer {layer} ({reason})"
            for (family, number, layer), reason in self._amiss.items()
        ]

    async def size(self) -> int:
        """Return about how many bytes this device compares, as if chunks were full: of three replicas a third."""
        rings = self._rings()
        ring = rings.current[OBJECT]
        return await self._chunks.count(ring.part_power) * CHUNK_SIZE // max(1, round(ring.replica_count))

    async def step(self, position: str) -> Piece:
        """Compare the next chunk."""
        ring = self._rings().current[OBJECT]
        after_partition, after = _parsed(position)
        partitions = [each for each in await self._chunks.partitions(ring.part_power) if each >= after_partition]
        for partition in partitions[:_PARTITIONS_AT_ONCE]:
            if self._leader(partition) != self._device_id:
                continue
            behind = after if partition == after_partition else None
            chunk = await self._following(ring.part_power, partition, behind)
            if chunk is not None:
                size = await self._compare(partition, chunk)
                return Piece(size, size, _position(partition, chunk[:3]), partition / ring.partition_count)
        if len(partitions) > _PARTITIONS_AT_ONCE:
            following = partitions[_PARTITIONS_AT_ONCE]
            return Piece(0, 0, _position(following, None), following / ring.partition_count)
        self._forget_gone()
        return Piece(0, 0, None, 1.0)

    def close(self) -> None:
        """Forget what follows, and what this pass has found."""
        self._page, self._confirmed = [], set()

    def _forget_gone(self) -> None:
        """Say no more of chunks that the pass has not met: they were dropped, or another device leads them now."""
        self._amiss = {place: reason for place, reason in self._amiss.items() if place in self._confirmed}
        self._confirmed = set()

    async def _following(self, part_power: int, partition: int, behind: Place | None) -> ChunkListed | None:
        """Return the next chunk of a partition."""
        if not self._page or self._page_behind != (partition, behind):
            self._page = [*reversed(await self._chunks.listed(part_power, partition, behind, _PAGE))]
        if not self._page:
            return None
        found = self._page.pop()
        self._page_behind = partition, found[:3]
        return found

    def _primaries(self, partition: int) -> list[int]:
        return [device.id for device in self._rings().current[OBJECT].primaries(partition)]

    def _leader(self, partition: int) -> int:
        """Return the device that compares the chunks of a partition."""
        return next((device for device in self._primaries(partition) if self._serves(device)), -1)

    def _serves(self, device_id: int) -> bool:
        peer = self._peers.get(device_id)
        return peer is not None and peer.up and self._votes(device_id)

    async def _compare(self, partition: int, chunk: ChunkListed) -> int:
        """Compare a chunk with its other replicas, and put right what is damaged; return how many bytes were read."""
        members = [device for device in self._primaries(partition) if self._serves(device)]
        answers = await asyncio.gather(*(self._sum_at(device, chunk) for device in members))
        sums = {device: found for device, found in zip(members, answers, strict=True) if found is not None}
        verdict = judge_sums(sums, self._primaries(partition))
        if verdict.undecided:
            self._note(chunk, f"devices {', '.join(map(str, sums))} differ, and no quorum of them agrees")
        elif len(sums) > 1:
            self._amiss.pop(chunk[:3], None)
        self._confirmed.update({chunk[:3]} & self._amiss.keys())
        for device in verdict.damaged:
            self.found_count += 1
            self.healed_count += await self._mend_at(device, chunk, verdict.good)
        return CHUNK_SIZE if self._device_id in sums else 0

    async def _sum_at(self, device_id: int, chunk: ChunkListed) -> bytes | None:
        """Return the sum of what a device has; None: it cannot tell now."""
        try:
            reply = await self._peers[device_id].call(
                Operation.CHUNK_SUM, chunk, b"", SUM_TIMEOUT_S, self._rings().version
            )
        except (PeerUnavailable, RemoteError) as error:
            _log.debug("chunk_not_summed", peer=device_id, chunk=chunk.chunk, error=str(error))
            return None
        return bytes(reply.metadata[0])

    def _note(self, chunk: ChunkListed, reason: str) -> None:
        if chunk[:3] not in self._amiss:
            self.found_count += 1
            _log.error("chunk_undecided", family=chunk.family, chunk=chunk.chunk, layer=chunk.layer, reason=reason)
        self._amiss[chunk[:3]] = reason

    async def _mend_at(self, device_id: int, chunk: ChunkListed, source: int) -> bool:
        """Have a device replace what it has by a copy; tell whether it did."""
        message = ChunkPull(*chunk, source)
        try:
            await self._peers[device_id].call(
                Operation.CHUNK_MEND, message, b"", MEND_TIMEOUT_S, self._rings().version
            )
        except (PeerUnavailable, RemoteError) as error:
            _log.error("chunk_not_mended", device=device_id, chunk=chunk.chunk, layer=chunk.layer, error=str(error))
            return False
        _log.warning("chunk_mended", device=device_id, peer=source, chunk=chunk.chunk, layer=chunk.layer)
        return True


def _position(partition: int, place: Place | None) -> str:
    if place is None:
        return str(partition)
    family, number, layer = place
    return f"{partition}:{family.hex()}:{number:x}:{layer:x}"


def _parsed(position: str) -> tuple[int, Place | None]:
    if not position:
        return 0, None
    partition, *place = position.split(":")
    if not place:
        return int(partition), None
    family, number, layer = place
    return int(partition), (bytes.fromhex(family), int(number, 16), int(layer, 16))
