"""A device drops what it holds no more by the rings, once every device that holds it now has it.

Begins when a change of rings is over: this device refuses all requests that were placed by older rings, and has done
with those that it had let in. So nobody reads or writes here any more what it is about to drop. Of each partition that
it is no primary of:

- objects: every primary is shown to list each version, or a newer one; who lacks one is made to fetch it, from
  another primary or from here. Then the versions are forgotten (storage.blobs): no tombstone is left that
  could come back and delete something.
- databases: every primary is shown to have the same digest, or is made to pull what is here. Then the
  database is forgotten (storage.indexes).
- chunks of volumes: see `retire_chunks`.

Handing back is the same: what this device held while it stood in for a primary that was away (stand_in) is here and
should not be, once that primary is back.

Invariant: what is forgotten was durable on all primaries under the version of the rings by which it is
forgotten. A new change does not harm that: what it makes this device hold again is copied from them (join). A crash
leaves some of it done; the next start looks again at everything that is here. Compaction gives the space back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import Protocol

from cluster.clock import Timestamp, microseconds_of, wall_us
from cluster.telemetry.log import get_logger
from cluster.wire import Peer, PeerUnavailable, RemoteError
from ring.hashing import partition_of
from ring.lookup import Ring
from storage.client import Rings, ring_name
from storage.copying import LISTED_AFTER_S, VERSION_COST, Budget, Listed
from storage.housekeeping.backlog import Item
from storage.housekeeping.chunks import Chunks
from storage.housekeeping.keyrange import partition_range
from storage.housekeeping.pull import PAGE, WIDTH, Objects, Source, lacking
from storage.housekeeping.retire_chunks import RetireChunks
from storage.housekeeping.synchronize import Databases, Inventory
from storage.messages import NEWER, BlobFetch, DatabaseKind, IndexInfo, Info, Operation, parse
from storage.rings.document import OBJECT, Stage
from storage.rings.moves import held_partitions

RETRY_S = 5.0  # when something cannot be dropped just now
IDLE_S = 3600.0  # while everything is where it should be; new rings wake us, and who copied by older ones
FORGET_COST = 4 << 10  # bytes that a version which is forgotten counts for: it costs time
_LOOKS = 64  # at partitions, between two turns of the loop
_log = get_logger("storage")


class RetiringObjects(Objects, Protocol):
    """Objects that can be forgotten (storage.blobs.store)."""

    async def forget(self, versions: Sequence[tuple[bytes, Timestamp]]) -> None:
        """Hold `versions` no more, as if they had never been here."""

    def is_listed(self, key: bytes, timestamp: Timestamp) -> bool:
        """Tell whether the row of a version needs nothing more from here."""


class RetiringDatabases(Databases, Protocol):
    """Databases that can be forgotten (storage.indexes.store)."""

    async def forget(self, digests: Mapping[bytes, bytes]) -> Sequence[bytes]:
        """Hold databases (key -> digest) no more, unless they have changed; return the keys of those that went."""


async def _nothing_to_settle() -> None:
    return


class NotEverywhere(Exception):
    """A primary does not have all that is here, or cannot be asked: it stays. The words are for the operator."""


class Retire:
    """The housekeeping task."""

    name = "drop what moved away"

    def __init__(
        self,
        device_id: int,
        rings: Callable[[], Rings],
        peers: Mapping[int, Peer],
        objects: RetiringObjects,
        databases: RetiringDatabases,
        budget: Budget,
        on_dropped: Callable[[], None] = lambda: None,
        wall: Callable[[], int] = wall_us,
        chunks: Chunks | None = None,
        votes: Callable[[int], bool] = lambda _device_id: True,
    ) -> None:
        """`on_dropped` is called when there is space to be given back; `votes` tells whether a device has its data."""
        self._device_id = device_id
        self._rings = rings
        self._peers = peers
        self._objects = objects
        self._databases = databases
        self._budget = budget
        self._on_dropped = on_dropped
        self._wall_us = wall
        self._chunks = None if chunks is None else RetireChunks(device_id, chunks, budget)
        self._votes = votes
        self._version = 0  # of the rings by which `_todo` was found
        self._todo: list[Item] | None = None  # None: not looked yet
        self.paused: Callable[[], bool] = lambda: False  # while what is here may have been deleted long ago (rebuild)
        self.kept: Callable[[], Collection[Item]] = tuple  # partitions that are here for a primary that is away
        self.settled: Callable[[], Awaitable[None]] = _nothing_to_settle  # waits for what was let in before
        self._failed_in_a_row = 0
        self.waiting = ""  # why something stays, in words
        self.forgotten_objects = self.forgotten_databases = 0

    @property
    def misplaced_count(self) -> int | None:
        """How many partitions are here that should not be; None while that is not known."""
        return None if self._todo is None else len(self._todo)

    def look_again(self) -> None:
        """Look for what is misplaced at the next step: what this device keeps for others has changed."""
        self._todo = None

    async def step(self) -> float:
        """Look for what is misplaced, or drop one partition of it."""
        rings = self._rings()
        version = rings.version
        if rings.stage is not Stage.STABLE or rings.floor < version - 1 or self.paused():
            self._todo, self.waiting = None, ""
            return IDLE_S
        current = rings.current
        del rings  # who holds old ones counts as using them
        if not self._todo or self._version != version:
            await self.settled()
            found, kept = await self._survey(current), frozenset(self.kept())
            self._version, self._failed_in_a_row = version, 0  # only now: what older rings said is not gone by
            self._todo = [item for item in found if item not in kept]
            if self._todo:
                _log.info("retiring_begins", partitions=len(self._todo))
        if not self._todo:
            self.waiting = ""
            return IDLE_S
        await self._drop_next(current, version)
        if not self._todo:
            _log.info("retiring_done", objects=self.forgotten_objects, databases=self.forgotten_databases)
            self._on_dropped()
            self._todo = None  # what changed meanwhile has stayed: look once more
            return RETRY_S
        return RETRY_S if self._failed_in_a_row >= len(self._todo) else 0.0

    async def _drop_next(self, current: Mapping[str, Ring], version: int) -> None:
        assert self._todo
        todo = self._todo
        name, partition = todo.pop(0)
        if (name, partition) in self.kept():
            return
        try:
            if name == OBJECT:
                await self._drop_objects(current[name], version, partition)
                await self._drop_chunks(current[name], version, partition)
            else:
                await self._drop_databases(name, current[name], version, partition)
        except (NotEverywhere, PeerUnavailable, RemoteError) as error:
            todo.append((name, partition))
            self._failed_in_a_row += 1
            self.waiting = f"{len(todo)} partitions stay that have moved away: {error}"
            return
        except BaseException:
            todo.append((name, partition))
            raise
        self._failed_in_a_row = 0
        self.waiting = ""

    def _expect(self, version: int) -> None:
        """Raise NotEverywhere unless the rings are those by which the partition was judged."""
        if self._rings().version != version:
            raise NotEverywhere("the rings have changed")

    def _primaries(self, ring: Ring, version: int, partition: int) -> list[Source]:
        """Return all primaries of a partition. Raise NotEverywhere when one is down."""
        sources = []
        for device in ring.primaries(partition):
            peer = self._peers.get(device.id)
            if peer is None or not peer.up:
                raise NotEverywhere(f"device {device.id}, which holds them now, is down")
            sources.append(Source(device.id, peer, version))
        return sources

    # looking

    async def _survey(self, current: Mapping[str, Ring]) -> list[Item]:
        """Return the partitions, by ring, of which something is here and should not be."""
        ring = current[OBJECT]
        misplaced = {*await self._misplaced_objects(ring), *await self._misplaced_chunks(ring)}
        found = [(OBJECT, partition) for partition in sorted(misplaced)]
        for kind in DatabaseKind:
            name = ring_name(kind)
            found += [(name, partition) for partition in await self._misplaced_databases(kind, current[name])]
        return found

    async def _misplaced_objects(self, ring: Ring) -> list[int]:
        found = []
        for looks, partition in enumerate(self._foreign(ring)):
            start, end = partition_range(ring.part_power, partition)
            if self._objects.versions(start, end, 1):
                found.append(partition)
            if looks % _LOOKS == 0:
                await asyncio.sleep(0)
        return found

    async def _misplaced_chunks(self, ring: Ring) -> list[int]:
        if self._chunks is None:
            return []
        return await self._chunks.misplaced(ring.part_power, set(held_partitions(ring, self._device_id)))

    async def _misplaced_databases(self, kind: DatabaseKind, ring: Ring) -> list[int]:
        foreign = set(self._foreign(ring))
        found: set[int] = set()
        start = b""
        while True:
            page = await self._databases.inventory(kind, start, None, PAGE)
            found.update(foreign.intersection(partition_of(key, ring.part_power) for key, _digest in page))
            if len(page) < PAGE:
                return sorted(found)
            start = page[-1][0] + b"\0"

    def _foreign(self, ring: Ring) -> Iterator[int]:
        """Yield the partitions that this device is no primary of."""
        held = set(held_partitions(ring, self._device_id))
        return (partition for partition in range(ring.partition_count) if partition not in held)

    # objects

    async def _drop_objects(self, ring: Ring, version: int, partition: int) -> None:
        primaries = self._primaries(ring, version, partition)
        start, end = partition_range(ring.part_power, partition)
        while True:
            mine = self._objects.versions(start, end, PAGE)
            if not mine:
                return
            after = mine[-1][0] + b"\0"
            await self._bring(primaries, mine, start, after)
            await self._budget.took(len(mine) * FORGET_COST)
            self._expect(version)
            free = [(key, timestamp) for key, timestamp, _deleted in mine if self._may_forget(key, timestamp)]
            await self._objects.forget(free)
            self.forgotten_objects += len(free)
            if len(free) < len(mine):
                raise NotEverywhere(f"{len(mine) - len(free)} objects are in no listing yet")
            start = after

    def _may_forget(self, key: bytes, timestamp: Timestamp) -> bool:
        """Tell whether nobody relies on this device to see to the row of a version (storage.housekeeping.rows).

        Whoever fetched it while it was young sees to that himself; whoever did so later counts on those before.
        """
        young = microseconds_of(timestamp) > self._wall_us() - LISTED_AFTER_S * 1e6
        return young or self._objects.is_listed(key, timestamp)

    async def _bring(self, primaries: Sequence[Source], mine: Sequence[Listed], start: bytes, end: bytes) -> None:
        """See to it that each primary has all of `mine`, which are all here in [start, end)."""
        lists = [await self._listed(source, start, end) for source in primaries]
        for source, theirs in zip(primaries, lists, strict=True):
            missing = lacking(theirs, mine)
            for first in range(0, len(missing), WIDTH):
                fetches = [self._fetch(source, primaries, lists, item) for item in missing[first : first + WIDTH]]
                await asyncio.gather(*fetches)

    async def _listed(self, source: Source, start: bytes, end: bytes) -> list[Listed]:
        """Return all that a primary has in [start, end): there may be more than here."""
        found: list[Listed] = []
        while True:
            page = await source.versions(start, end)
            found += page
            if len(page) < PAGE:
                return found
            start = page[-1][0] + b"\0"

    async def _fetch(
        self, source: Source, primaries: Sequence[Source], lists: Sequence[Sequence[Listed]], wanted: Listed
    ) -> None:
        """Have a primary fetch a version that it lacks: from one that has it, else from here."""
        key, timestamp, _deleted = wanted
        holders = [
            primary.device_id for primary, listed in zip(primaries, lists, strict=True) if not lacking(listed, [wanted])
        ]
        holder = holders[0] if holders else self._device_id
        version = self._objects.stat(key)
        size = 0 if version is None else version.size
        try:
            await source.ask(Operation.BLOB_FETCH, BlobFetch(key, timestamp, holder), size)
        except RemoteError as refusal:
            if refusal.code not in NEWER:
                raise
        await self._budget.took(VERSION_COST + size)

    # chunks

    @property
    def forgotten_chunks(self) -> int:
        """How many chunks were dropped."""
        return 0 if self._chunks is None else self._chunks.forgotten_count

    async def _drop_chunks(self, ring: Ring, version: int, partition: int) -> None:
        if self._chunks is None:
            return
        primaries = self._primaries(ring, version, partition)
        for source in primaries:
            if not self._votes(source.device_id):
                raise NotEverywhere(f"device {source.device_id}, which holds them now, is being rebuilt")
        stay = await self._chunks.drop(ring.part_power, partition, primaries, lambda: self._expect(version))
        if stay:
            raise NotEverywhere(f"{stay} chunks have changed meanwhile")

    # databases

    async def _drop_databases(self, name: str, ring: Ring, version: int, partition: int) -> None:
        kind = next(kind for kind in DatabaseKind if ring_name(kind) == name)
        primaries = self._primaries(ring, version, partition)
        start, end = partition_range(ring.part_power, partition)
        while True:
            mine: Inventory = list(await self._databases.inventory(kind, start, end, PAGE))
            if not mine:
                return
            for key, digest in mine:
                for source in primaries:
                    await self._hand_over(source, kind, key, digest)
            self._expect(version)
            gone = await self._databases.forget(dict(mine))
            self.forgotten_databases += len(gone)
            if len(gone) < len(mine):
                raise NotEverywhere(f"{len(mine) - len(gone)} databases changed meanwhile")
            start = mine[-1][0] + b"\0"

    async def _hand_over(self, source: Source, kind: DatabaseKind, key: bytes, digest: bytes) -> None:
        """See to it that a primary has all that is here of a database."""
        reply = await source.ask(Operation.INDEX_INFO, IndexInfo(kind, key, "", ""))
        if reply.metadata is not None and parse(Info, reply.metadata).digest == digest:
            return
        reply = await source.ask(Operation.INDEX_INFO, IndexInfo(kind, key, "", "", self._device_id))
        if reply.metadata is None:
            raise NotEverywhere(f"device {source.device_id} did not take database {key.hex()}")
        await self._budget.took(VERSION_COST)
