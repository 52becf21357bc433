"""Chunks of volumes that a device has missed are copied from its peers, also of volumes that nobody has open.

Each device compares itself with every other primary of the partitions that it holds: fences and digests, which is one
message for PARTITIONS_PER_MESSAGE partitions when nothing differs. Layers that were dropped while it was away are
dropped.

A chunk is copied when a quorum of its primaries has the same version and this device an older one, or none, and that
was so GRACE_S before: who writes is at it still, and brings the replicas that he misses to where he is himself. What
fewer have is left: whether it was ever acknowledged is for those to settle who open the volume, and for them alone.
What a quorum has everybody finds, whoever else has it.

A chunk that the disk cannot read any more is replaced by the copy of a primary that is as new.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cluster.telemetry.log import get_logger
from cluster.wire import Peer, PeerUnavailable, RemoteError
from ring.hashing import NameHash
from ring.lookup import Ring
from storage.chunks.key import chunk_key
from storage.chunks.version import Version
from storage.client import Rings
from storage.copying import UNLIMITED, VERSION_COST, Budget
from storage.housekeeping.chunks import Chunks, Place, chunks_at, differing, learn_fences, newer_than_here
from storage.housekeeping.pull import Source
from storage.housekeeping.shares import Shares
from storage.messages import ChunkListed
from storage.quorum import quorum_of
from storage.rings.document import OBJECT

GRACE_S = 4.0
_log = get_logger("storage")


class ComparedChunks(Chunks, Protocol):
    """Chunks that are compared for as long as the device runs."""

    def note_changes(self) -> None:
        """Take note of what has changed, so that not too much of it gathers."""

    def damaged(self) -> Sequence[ChunkListed]:
        """Return the chunks that the disk could not read, as they should be here."""

    async def mend(self, damaged: ChunkListed, source: int) -> int:
        """Put a copy from a device in the place of a damaged chunk; return its bytes."""

    async def drop_leftovers(self) -> int:
        """Drop what a crash has left of layers that were dropped."""


@dataclass(slots=True)
class Sightings:
    """What others have that is newer than here, in one comparison. Pure."""

    holders: dict[Place, dict[Version, list[int]]] = field(default_factory=dict)  # place -> version -> devices

    def add(self, device_id: int, chunks: Iterable[ChunkListed]) -> None:
        """Note what a device has."""
        for chunk in chunks:
            self.holders.setdefault(chunk[:3], {}).setdefault(chunk.version, []).append(device_id)

    def decided(self, primaries: Callable[[Place], Collection[int]]) -> dict[Place, tuple[Version, int]]:
        """Return the newest version of each chunk that a quorum of its primaries has, and one that has it."""
        found: dict[Place, tuple[Version, int]] = {}
        for place, versions in self.holders.items():
            members = primaries(place)
            for version, devices in versions.items():
                own = [device for device in devices if device in members]
                if len(own) >= quorum_of(len(members)) and (place not in found or version > found[place][0]):
                    found[place] = version, own[0]
        return found


class ReplicateChunks:
    """The housekeeping task."""

    name = "compare chunks"

    def __init__(
        self,
        chunks: ComparedChunks,
        names: NameHash,
        rings: Callable[[], Rings],
        device_id: int,
        peers: Mapping[int, Peer],
        interval_s: float,
        budget: Budget = UNLIMITED,
        votes: Callable[[int], bool] = lambda _device_id: True,
        grace_s: float = GRACE_S,
    ) -> None:
        """`votes` tells whether a device has all its data."""
        self._chunks = chunks
        self._names = names
        self._rings = rings
        self._device_id = device_id
        self._peers = peers
        self._interval_s = interval_s
        self._budget = budget
        self._votes = votes
        self._grace_s = grace_s
        self._shares = Shares(OBJECT, device_id)
        self._missed: dict[Place, tuple[Version, float]] = {}  # what was seen first to be newer, and when (loop time)
        self._looked_for_leftovers = False
        self.on_overtaken: Callable[[], None] = lambda: None  # called when what was pulled may be held no more
        self.pulled_count = 0
        self.failed_count = 0
        self.mended_count = 0
        self.lacking_count: int | None = None  # chunks that the last comparison missed here; None: not all compared

    async def step(self) -> float:
        """Compare with every peer once; soon again when something was missing."""
        if not self._looked_for_leftovers:
            await self._chunks.drop_leftovers()
            self._looked_for_leftovers = True
        if not self._votes(self._device_id):  # it is being rebuilt, which is the same and more
            self._missed, self.lacking_count = {}, None
            return self._interval_s
        self._chunks.note_changes()
        for damaged in self._chunks.damaged():
            self.mended_count += await self._mend(damaged)
        version = self._rings().version
        seen, compared = await self._compare_all()
        decided = seen.decided(self._primaries_of())
        now = asyncio.get_running_loop().time()
        self._missed = {place: self._missed.get(place, (found[0], now)) for place, found in decided.items()}
        left = await self._pull_ripe(decided, now)
        self.lacking_count = left if compared else None
        if self._rings().version != version:
            self.on_overtaken()
        again = self._missed or self._chunks.damaged()
        return min(self._interval_s, self._grace_s) if again else self._interval_s

    async def _mend(self, damaged: ChunkListed) -> bool:
        """Replace a chunk that cannot be read; tell whether that could be done."""
        for device_id in self._primaries_of()(damaged[:3]) - {self._device_id}:
            try:
                size = await self._chunks.mend(damaged, device_id)
            except (PeerUnavailable, RemoteError, OSError) as error:
                _log.info("chunk_not_mended", peer=device_id, chunk=damaged.chunk, error=str(error))
                continue
            _log.warning("chunk_mended", peer=device_id, chunk=damaged.chunk, layer=damaged.layer)
            await self._budget.took(size + VERSION_COST)
            return True
        self.failed_count += 1
        return False

    async def _compare_all(self) -> tuple[Sightings, bool]:
        """Return what others have that is newer, and whether all were asked."""
        seen, compared, version = Sightings(), True, self._rings().version
        for device_id, partitions in self._shares.of(self._rings()).items():
            if self._rings().version != version:  # what is shared is so no more; we are woken for the new ones
                return seen, False
            peer = self._peers.get(device_id)
            if peer is None or not self._votes(device_id):
                compared = False
                continue
            try:
                seen.add(device_id, await self._newer_at(device_id, peer, partitions))
            except (PeerUnavailable, RemoteError) as error:
                compared = False
                _log.info("chunks_not_compared", peer=device_id, error=str(error))
        return seen, compared

    async def _newer_at(self, device_id: int, peer: Peer, partitions: Sequence[int]) -> list[ChunkListed]:
        rings = self._rings()
        power, source = rings.current[OBJECT].part_power, Source(device_id, peer, rings.version)
        del rings  # who holds old ones counts as using them
        await learn_fences(self._chunks, source)
        found: list[ChunkListed] = []
        for partition in await differing(self._chunks, source, power, partitions):
            found += newer_than_here(self._chunks, await chunks_at(source, power, partition))
        return found

    def _primaries_of(self) -> Callable[[Place], set[int]]:
        ring: Ring = self._rings().current[OBJECT]

        def primaries(place: Place) -> set[int]:
            family, number, _layer = place
            return {device.id for device in ring.primaries(ring.partition(chunk_key(self._names, family, number)))}

        return primaries

    async def _pull_ripe(self, decided: Mapping[Place, tuple[Version, int]], now: float) -> int:
        """Copy what has been missed for a while; return how much is left."""
        left = 0
        version_of_rings = self._rings().version
        for place, (version, holder) in decided.items():
            first, since = self._missed[place]
            if self._chunks.version(*place) >= first:
                del self._missed[place]  # its writer was at it
            elif now - since < self._grace_s:
                left += 1
            elif self._rings().version != version_of_rings:  # it may have moved away, and be forgotten here
                return left + 1
            elif await self._pull(ChunkListed(*place, version), holder):
                del self._missed[place]
            else:
                left += 1
        return left

    async def _pull(self, wanted: ChunkListed, holder: int) -> bool:
        try:
            size = await self._chunks.fetch(wanted, holder)
        except (PeerUnavailable, RemoteError, OSError) as error:
            self.failed_count += 1
            _log.info("chunk_not_copied", peer=holder, chunk=wanted.chunk, error=str(error))
            return False
        self.pulled_count += size > 0
        await self._budget.took(size + VERSION_COST)
        return True
