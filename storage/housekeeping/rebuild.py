"""A device that lost data gets back what it should have, and may vote again.

Every partition that it holds by the current rings is copied from others of its primaries. Of n primaries, with a quorum
q, an acknowledged version is on q, so without this device still on at least q - 1 of the other n - 1. Whoever asks
n - q + 1 of those meets it: both others of three. A partition is whole, and voted on again, when all that is
newer on so many has been copied, and

- each of them votes itself, as one and the same incarnation before and after: it has all that it acknowledged;
- the copying began at least SETTLE_S after this device lost its data: what it acknowledged just before that has by
  then reached the others or was given up by whoever wrote it, who waits no longer than that.

What is written meanwhile is acknowledged by this device as by any other, and remembered. Those come first of which the
fewest live copies are left. From fewer others than needed a partition is copied as well, for the sake of the
copies; it just does not count. So is what stands on devices that stood in for this one, which nobody counts on.
Nothing is copied from others that are being rebuilt, for the reason that follows.

Chunks of volumes lie in the partitions of objects, and are copied with them; so are fences, by which this device has
promised to keep out former writers of a volume (storage.housekeeping.chunks). A fence counts when a quorum of the
replicas of each chunk has it, so those who are asked for a partition have all that this device had promised for it. It
has no vote on chunks, and takes no writes of them, before all of it is whole.

A device that has gone back in time, as an older copy of itself or without the end of its log, may have what was deleted
since, when nobody remembers any more that it was (storage.housekeeping.reclaim). So its databases are forgotten
before any are copied. Objects that none of the others has, and of which none can be just about to get it, are
forgotten after they were compared: nobody was ever promised them, or they were deleted. Who lost single records,
and with them perhaps deletions, does the latter too; only who came back empty need not.

A crash begins it anew, which passes quickly over what is here already. When all is whole coordination is told; until
then no loss is forgotten. While it cannot go on it says why in words, and an operator may accept the loss.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cluster.clock import Timestamp, is_recent, wall_us
from cluster.coordination.errors import CoordinationError
from cluster.telemetry.log import get_logger
from cluster.wire import Peer, PeerUnavailable, RemoteError
from ring.lookup import Ring
from storage.client import Rings
from storage.copying import Budget
from storage.housekeeping.backlog import Backlog
from storage.housekeeping.chunks import Chunks
from storage.housekeeping.join import named
from storage.housekeeping.keyrange import partition_range
from storage.housekeeping.partitions import PartitionCopy, batch_of
from storage.housekeeping.pull import PAGE, Fetching, Objects, Source
from storage.housekeeping.replicate import replicas_up
from storage.housekeeping.synchronize import Databases
from storage.membership import decision
from storage.membership.membership import Membership
from storage.membership.record import Member, voting
from storage.messages import DatabaseKind
from storage.quorum import quorum_of
from storage.rings.document import OBJECT, Stage
from storage.rings.moves import held_partitions

SETTLE_S = 12.0  # a writer waits 10 s for the answers to one message; more: the first partition is whole later
OLD_S = 3600.0  # an object that nobody else has, and of which nobody can be just writing the other replicas
RETRY_S = 1.0  # when nothing can be copied just now
IDLE_S = 3600.0  # while nothing is to be rebuilt; a loss wakes us
_RATE_S = 10.0  # that a rate is taken over
_LOOKS = 64  # at partitions, between two turns of the loop
_HANDOFFS = 2  # of a partition, that are asked besides
_log = get_logger("storage")


class RebuiltObjects(Objects, Protocol):
    """Objects that can be forgotten (storage.blobs.store)."""

    async def forget(self, versions: Sequence[tuple[bytes, Timestamp]]) -> None:
        """Hold `versions` no more, as if they had never been here."""


class RebuiltDatabases(Databases, Protocol):
    """Databases that can be forgotten (storage.indexes.store)."""

    async def forget(self, digests: Mapping[bytes, bytes]) -> Sequence[bytes]:
        """Hold databases (key -> digest) no more, unless they have changed; return the keys of those that went."""


@dataclass(slots=True)
class _Work:
    """What is to be rebuilt by one version of the rings."""

    losses: int
    version: int
    rings: Mapping[str, Ring]
    backlog: Backlog
    up: frozenset[int] = frozenset()  # those that were up when the backlog was put in order


@dataclass(frozen=True, slots=True)
class Sample:
    """How far it was at a time."""

    at: float  # loop time
    partition_count: int
    byte_count: int


@dataclass(slots=True)
class Pace:
    """How fast it goes, over the last while. Pure."""

    samples: list[Sample] = field(default_factory=list)

    def add(self, sample: Sample) -> None:
        """Take a sample."""
        self.samples.append(sample)
        while len(self.samples) > 2 and self.samples[0].at < sample.at - _RATE_S:
            del self.samples[0]

    def bytes_per_s(self) -> float:
        """Return the rate."""
        first, last = self.samples[0], self.samples[-1]
        return (last.byte_count - first.byte_count) / max(last.at - first.at, 0.001)

    def seconds_left(self, partition_count: int) -> float | None:
        """Return how long so many partitions take at this pace; None: it stands still."""
        first, last = self.samples[0], self.samples[-1]
        done, elapsed_s = last.partition_count - first.partition_count, last.at - first.at
        return partition_count * elapsed_s / done if done > 0 else None


class Rebuild:
    """The housekeeping task."""

    name = "rebuild what was lost"

    def __init__(
        self,
        membership: Membership,
        rings: Callable[[], Rings],
        peers: Mapping[int, Peer],
        objects: RebuiltObjects,
        copies: Fetching,
        databases: RebuiltDatabases,
        budget: Budget,
        wall: Callable[[], int] = wall_us,
        settle_s: float = SETTLE_S,
        chunks: Chunks | None = None,
    ) -> None:
        self._membership = membership
        self._device_id = membership.device_id
        self._rings = rings
        self._peers = peers
        self._objects = objects
        self._databases = databases
        self._copy = PartitionCopy(objects, copies, databases, budget, wall, chunks)
        self._wall_us = wall
        self._settle_s = settle_s
        self._work: _Work | None = None
        self._begun_losses = -1  # the loss that what is whole was rebuilt after
        self._whole: dict[str, set[int]] = {}
        self._settled_at = 0.0  # loop time
        self._pace = Pace()
        self._waiting = ""

    @property
    def copied_objects(self) -> int:
        """How many versions were copied since the start."""
        return self._copy.object_count

    @property
    def copied_databases(self) -> int:
        """How many databases."""
        return self._copy.database_count

    @property
    def copied_chunks(self) -> int:
        """How many chunks of volumes."""
        return self._copy.chunk_count

    @property
    def copied_bytes(self) -> int:
        """Bytes of the versions and chunks."""
        return self._copy.byte_count

    @property
    def left_count(self) -> int:
        """How many partitions are not whole yet, as far as is known."""
        backlog = None if self._work is None else self._work.backlog
        return 0 if backlog is None else backlog.total - backlog.done_count

    async def step(self) -> float:
        """Copy some partitions."""
        if not self._membership.rebuilding:
            self._work, self._begun_losses, self._waiting = None, -1, ""
            return IDLE_S
        try:
            if self._begun_losses != self._membership.loss_count:
                await self._begin()
            work = self._current_work()
            if work.backlog.todo:
                await self._copy_some(work)
                self._note_pace(work)
            if not work.backlog.todo:
                return await self._finish(work)
        except CoordinationError as error:
            self._waiting = f"coordination cannot be asked: {error}"
            return RETRY_S
        self._waiting = work.backlog.waiting()
        return RETRY_S if work.backlog.stuck else 0.0

    async def _begin(self) -> None:
        """Begin anew, after a loss."""
        member, losses = self._membership.member, self._membership.loss_count
        if member.reason in decision.BACK_IN_TIME:
            await self._forget_databases()
        self._settled_at = asyncio.get_running_loop().time() + self._settle_s
        self._whole, self._work, self._begun_losses, self._pace = {}, None, losses, Pace()
        _log.warning("rebuilding_begins", device=self._device_id, reason=member.reason)

    def _current_work(self) -> _Work:
        rings = self._rings()
        work = self._work
        if work is None or work.version != rings.version:
            held = {name: held_partitions(ring, self._device_id) for name, ring in rings.current.items()}
            self._whole = {name: self._whole.get(name, set()).intersection(own) for name, own in held.items()}
            items = ((name, each) for name, own in held.items() for each in own if each not in self._whole[name])
            backlog = Backlog.of(items)
            backlog.total = sum(map(len, held.values()))
            work = self._work = _Work(self._begun_losses, rings.version, rings.current, backlog)
            powers = {name: ring.part_power for name, ring in rings.current.items()}
            self._membership.votes.allow(powers, self._whole)
        up = frozenset(device_id for device_id, peer in self._peers.items() if peer.up)
        if up != work.up:
            work.up = up
            work.backlog.reorder(lambda item: replicas_up(work.rings[item[0]], item[1], self._peers))
        return work

    async def _copy_some(self, work: _Work) -> None:
        members = await self._membership.members()
        ripe = asyncio.get_running_loop().time() >= self._settled_at
        name, partitions = work.backlog.take(batch_of)
        failed: dict[int, str] = {}
        try:
            by_source = self._by_source(work, members, name, partitions, failed)
            ring = work.rings[name]
            for device_id, own in by_source.items():
                source = Source(device_id, self._peers[device_id], work.version)
                await self._copy.copy(name, ring.part_power, source, own, failed)
            await self._copy_extras(work, members, name, partitions)
            now = await self._membership.members()
            for device_id, own in by_source.items():
                if voting(now, device_id) is None or voting(now, device_id) != voting(members, device_id):
                    failed.update(dict.fromkeys(own, f"device {device_id} has been restarted"))
            if name == OBJECT and self._membership.member.reason != decision.EMPTY:
                done = [partition for partition in partitions if partition not in failed]
                await self._forget_extinct(work, members, done, failed)
        except BaseException:
            work.backlog.put_back()
            raise
        if not ripe:
            failed = dict.fromkeys(partitions, "writers of before the loss may still be at it") | failed
        if work.losses != self._membership.loss_count or self._rings().version != work.version:
            failed = dict.fromkeys(partitions, "the rings have changed, or more was lost")
        work.backlog.settle(failed)
        self._whole[name].update(partition for partition in partitions if partition not in failed)

    def _by_source(
        self, work: _Work, members: Mapping[int, Member], name: str, partitions: Sequence[int], failed: dict[int, str]
    ) -> dict[int, list[int]]:
        """Return what to copy from whom; add to `failed` what will not count."""
        by_source: dict[int, list[int]] = {}
        for partition in partitions:
            primaries = [device.id for device in work.rings[name].primaries(partition)]
            others = [device_id for device_id in primaries if device_id != self._device_id]
            needed = len(primaries) - quorum_of(len(primaries)) + 1
            able = [each for each in others if self._is_up(each) and voting(members, each) is not None]
            if len(able) < needed:
                missing = [each for each in others if each not in able]
                failed[partition] = _lack(missing, needed, len(others))
            turn = partition % len(able) if able else 0
            for device_id in [*able[turn:], *able[:turn]][:needed]:
                by_source.setdefault(device_id, []).append(partition)
        return by_source

    def _is_up(self, device_id: int) -> bool:
        return device_id in self._peers and self._peers[device_id].up

    async def _copy_extras(
        self, work: _Work, members: Mapping[int, Member], name: str, partitions: Sequence[int]
    ) -> None:
        """Copy what devices have besides that have stood in for us."""
        ring, by_device = work.rings[name], dict[int, list[int]]()
        for partition in partitions:
            for device_id in self._stand_ins(ring, members, partition):
                by_device.setdefault(device_id, []).append(partition)
        for device_id, own in by_device.items():
            source, passed = Source(device_id, self._peers[device_id], work.version), dict[int, str]()
            await self._copy.copy(name, ring.part_power, source, own, passed)

    def _stand_ins(self, ring: Ring, members: Mapping[int, Member], partition: int) -> list[int]:
        """Return the first handoffs that are up and have all their data."""
        found: list[int] = []
        for device in ring.handoffs(partition):
            if device.id != self._device_id and self._is_up(device.id) and voting(members, device.id) is not None:
                found.append(device.id)
                if len(found) == _HANDOFFS:
                    break
        return found

    async def _finish(self, work: _Work) -> float:
        """Be whole, unless rings are changing: then there may be more to come."""
        if self._rings().stage is not Stage.STABLE:
            self._waiting = "a change of the rings is under way"
            return RETRY_S
        if self._membership.member.reason != decision.EMPTY:
            await self._forget_foreign(work)
        if self._rings().version != work.version:
            return RETRY_S
        if await self._membership.become_whole(work.losses):
            self._work, self._waiting = None, ""
            return IDLE_S
        return RETRY_S

    # who has gone back in time

    async def _forget_databases(self) -> None:
        """Forget all databases: of what is in them, nobody may remember that it was deleted."""
        for kind in DatabaseKind:
            start = b""
            while page := list(await self._databases.inventory(kind, start, None, PAGE)):
                await self._databases.forget(dict(page))
                start = page[-1][0] + b"\0"

    async def _forget_foreign(self, work: _Work) -> None:
        """Forget what is here of partitions that are elsewhere: nobody counts on it, and it would be handed over.

        It ends when rings change: from then on somebody may count on what comes here.
        """
        ring = work.rings[OBJECT]
        own = set(held_partitions(ring, self._device_id))
        for partition in range(ring.partition_count):
            if self._rings().version != work.version:
                return
            if partition not in own:
                found = _all(self._objects, *partition_range(ring.part_power, partition))
                if found:
                    await self._objects.forget([(key, timestamp) for key, timestamp, _deleted in found])
            if partition % _LOOKS == 0:
                await asyncio.sleep(0)

    async def _forget_extinct(
        self, work: _Work, members: Mapping[int, Member], partitions: Sequence[int], failed: dict[int, str]
    ) -> None:
        """Forget old objects that none of those has who would have what was acknowledged."""
        power = work.rings[OBJECT].part_power
        for partition in partitions:
            start, end = partition_range(power, partition)
            mine = {key: timestamp for key, timestamp, _deleted in _all(self._objects, start, end)}
            try:
                for device_id in self._by_source(work, members, OBJECT, [partition], failed):
                    source = Source(device_id, self._peers[device_id], work.version)
                    for key in await _keys_at(source, start, end):
                        mine.pop(key, None)
            except (PeerUnavailable, RemoteError) as error:
                failed[partition] = str(error)
                continue
            now_us = self._wall_us()
            extinct = [(key, at) for key, at in mine.items() if not is_recent(at, now_us, OLD_S)]
            if extinct and partition not in failed:
                _log.warning("extinct_forgotten", partition=partition, objects=len(extinct))
                await self._objects.forget(extinct)

    # how far it is

    def _note_pace(self, work: _Work) -> None:
        now = asyncio.get_running_loop().time()
        self._pace.add(Sample(now, work.backlog.done_count, self._copy.byte_count))

    def status(self) -> dict[str, Any]:
        """Return what operators see."""
        member, work = self._membership.member, self._work
        found: dict[str, Any] = {
            "state": member.state.value,
            "since_us": member.since_us,
            "incarnation": member.incarnation,
            "reason": member.reason,
        }
        if not self._membership.rebuilding:
            return found
        total, done = (work.backlog.total, work.backlog.done_count) if work is not None else (0, 0)
        left_s = self._pace.seconds_left(total - done) if len(self._pace.samples) > 1 else None
        return found | {
            "partitions_total": total,
            "partitions_done": done,
            "objects": self._copy.object_count,
            "databases": self._copy.database_count,
            "chunks": self._copy.chunk_count,
            "bytes": self._copy.byte_count,
            "bytes_per_s": round(self._pace.bytes_per_s()) if len(self._pace.samples) > 1 else 0,
            "eta_s": None if left_s is None else round(left_s, 1),
            "waiting": self._waiting,
        }


def _lack(missing: Sequence[int], needed: int, others: int) -> str:
    """Return in words what keeps a partition from being whole."""
    if others < needed:
        return "no other device holds what was here"
    return f"{named(missing)} must be up and have all its data; without that nobody knows what was acknowledged"


def _all(objects: Objects, start: bytes, end: bytes | None) -> list[tuple[bytes, Timestamp, bool]]:
    found: list[tuple[bytes, Timestamp, bool]] = []
    while page := objects.versions(start, end, PAGE):
        found += page
        start = page[-1][0] + b"\0"
    return found


async def _keys_at(source: Source, start: bytes, end: bytes | None) -> list[bytes]:
    found: list[bytes] = []
    while page := await source.versions(start, end):
        found += [key for key, _timestamp, _deleted in page]
        start = page[-1][0] + b"\0"
    return found


