"""A device that comes new to partitions copies them, before anybody relies on what it has.

Twice in a change of rings (storage.rings.document), each time when no quorum of a partition's current primaries
accepts requests of the stage before any more:

- while JOINING: whatever was acknowledged without this device is on a quorum of the current primaries by
  then, and nothing else will be. So what a read quorum of them has, together, is all of it.
- while SERVING: a reader that was JOINING may have shown what only a quorum of the current primaries had, of a
  write that was never finished. No such reader is left; what they may have shown is copied, and found again.

From each device of a read quorum everything is pulled, without waiting for what is young: objects by digests
and listing, tombstones too, and databases by their changes. Invariant: a partition counts as done only when
all of that has succeeded under the version that is reported with it. A restart begins anew, and passes quickly
over what is here already, because it is the same. Nobody else needs to know: a change waits for this device.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from cluster.clock import wall_us
from cluster.coordination.errors import CoordinationError
from cluster.telemetry.log import get_logger
from cluster.wire import Peer, PeerUnavailable, RemoteError
from ring.hashing import partition_of
from ring.lookup import Ring
from storage.client import Rings, ring_name
from storage.housekeeping.keyrange import partition_range
from storage.housekeeping.pull import PARTITIONS_PER_MESSAGE, Fetch, ObjectPull, Objects, Pulled, Source
from storage.housekeeping.synchronize import PAGE, Databases, inventory_at
from storage.housekeeping.throttle import VERSION_COST, Throttle
from storage.messages import ROWS_LIMIT, DatabaseKind
from storage.quorum import quorum_of
from storage.rings.document import Stage
from storage.rings.moves import enough_refuse, moves_of
from storage.rings.reports import Progress, refusing
from storage.rings.store import RingStore

OBJECT_BATCH = PARTITIONS_PER_MESSAGE  # partitions of a step
DATABASE_BATCH = 4096  # the same of databases, of which most partitions have few: they are listed together
RETRY_S = 1.0  # when nothing can be copied just now
REPORT_S = 1.0  # between two reports of progress
IDLE_S = 3600.0  # while there is nothing to copy; new rings wake us
_KINDS = {ring_name(kind): kind for kind in DatabaseKind}
_log = get_logger("storage")

ResultT = TypeVar("ResultT")


class Background(Protocol):
    """Where progress is told, and where others tell which versions they work by (storage.rings.background)."""

    async def run(self, work: Callable[[RingStore], ResultT]) -> ResultT:
        """Return what `work` returns when it is given the store."""


@dataclass(slots=True)
class _Work:
    """What there is to copy under one version."""

    version: int
    floor: int
    rings: Mapping[str, Ring]  # the current ones
    todo: deque[tuple[str, int]]  # (ring name, partition), without those that are being copied
    total: int
    started_us: int
    taken: list[tuple[str, int]] = field(default_factory=list)  # those
    object_count: int = 0
    database_count: int = 0
    byte_count: int = 0
    refusing: frozenset[int] = frozenset()
    failed_in_a_row: int = 0
    reasons: dict[tuple[str, int], str] = field(default_factory=dict)  # why partitions could not be copied yet
    reported: Progress | None = None
    reported_at: float = 0.0  # loop time

    def progress(self) -> Progress:
        """Return how far it is."""
        return Progress(
            version=self.version,
            partitions_done=self.total - len(self.todo) - len(self.taken),
            partitions_total=self.total,
            objects=self.object_count,
            databases=self.database_count,
            bytes=self.byte_count,
            started_us=self.started_us,
            waiting=self.waiting(),
        )

    def waiting(self) -> str:
        """Return what most partitions wait for, in words; nothing while there are others to copy."""
        if not self.todo or self.failed_in_a_row < len(self.todo):
            return ""
        ((reason, count),) = Counter(self.reasons.values()).most_common(1)
        return f"{count} partitions wait: {reason}"

    def take(self) -> tuple[str, list[int]]:
        """Return the next partitions, of one ring."""
        name = self.todo[0][0]
        limit = DATABASE_BATCH if name in _KINDS else OBJECT_BATCH
        partitions: list[int] = []
        while self.todo and self.todo[0][0] == name and len(partitions) < limit:
            item = self.todo.popleft()
            self.taken.append(item)
            partitions.append(item[1])
        return name, partitions

    def settle(self, failed: Mapping[int, str]) -> None:
        """Note that what was taken is done; but those that `failed` come again, last."""
        for item in self.taken:
            reason = failed.get(item[1])
            if reason is not None:
                self.todo.append(item)
                self.reasons[item] = reason
                self.failed_in_a_row += 1
            else:
                self.reasons.pop(item, None)
                self.failed_in_a_row = 0
        self.taken = []

    def put_back(self) -> None:
        """Have what was taken to do still."""
        self.todo.extendleft(reversed(self.taken))
        self.taken = []


class Join:
    """The housekeeping task."""

    name = "copy what moves here"

    def __init__(
        self,
        device_id: int,
        rings: Callable[[], Rings],
        peers: Mapping[int, Peer],
        objects: Objects,
        fetch: Fetch,
        databases: Databases,
        background: Background,
        throttle: Throttle,
        wall: Callable[[], int] = wall_us,
    ) -> None:
        self._device_id = device_id
        self._rings = rings
        self._peers = peers
        self._wall_us = wall
        self._pull = ObjectPull(objects, fetch, throttle, wall)
        self._databases = databases
        self._background = background
        self._throttle = throttle
        self._work: _Work | None = None
        self.copied_objects = self.copied_databases = self.copied_bytes = 0

    @property
    def progress(self) -> Progress | None:
        """How far it is; None while there is nothing to copy."""
        return None if self._work is None or not self._work.total else self._work.progress()

    async def step(self) -> float:
        """Copy some partitions."""
        work = self._current_work()
        if work is None or not work.total:
            return IDLE_S
        if work.todo:
            await self._copy_some(work)
        told = await self._report(work)
        if not work.todo:
            return IDLE_S if told else RETRY_S
        return RETRY_S if work.failed_in_a_row >= len(work.todo) else 0.0

    def _current_work(self) -> _Work | None:
        """Return what is to be copied by the rings in force."""
        rings = self._rings()
        if rings.stage is Stage.STABLE or rings.floor < rings.version - 1:
            self._work = None
        elif self._work is None or self._work.version != rings.version:
            own = moves_of(rings.current, rings.target).joiners.get(self._device_id, {})
            todo = deque((name, partition) for name, partitions in own.items() for partition in partitions)
            self._work = _Work(rings.version, rings.floor, rings.current, todo, len(todo), self._wall_us())
            if todo:
                _log.info("copying_begins", version=rings.version, partitions=len(todo))
        return self._work

    async def _copy_some(self, work: _Work) -> None:
        if work.failed_in_a_row or not work.refusing:
            work.refusing = refusing(await self._background.run(lambda store: store.uses()), work.floor)
        name, partitions = work.take()
        failed: dict[int, str] = {}
        by_source: dict[int, list[int]] = {}
        try:
            for partition in partitions:
                for device_id in self._sources(work, name, partition, failed):
                    by_source.setdefault(device_id, []).append(partition)
            for device_id, own in by_source.items():
                await self._copy_from(work, name, device_id, own, failed)
        except BaseException:
            work.put_back()
            raise
        if self._rings().version != work.version:  # what was copied stays, but counts for nothing
            failed = dict.fromkeys(partitions, "the rings have changed")
        work.settle(failed)

    def _sources(self, work: _Work, name: str, partition: int, failed: dict[int, str]) -> list[int]:
        """Return a read quorum of the current primaries, without this device; say why when it cannot be."""
        primaries = tuple(device.id for device in work.rings[name].primaries(partition))
        if not enough_refuse(primaries, len(work.refusing.intersection(primaries))):
            late = [device for device in primaries if device not in work.refusing]
            failed[partition] = f"{_named(late)} must take over version {work.version} first"
            return []
        needed = quorum_of(len(primaries)) - (self._device_id in primaries)
        others = [device for device in primaries if device != self._device_id]
        # one that still takes writes of the version before could take one after we have copied from it
        up = [device for device in others if device in work.refusing and self._is_up(device)]
        if len(up) < needed:
            missing = [device for device in others if not self._is_up(device)] or others
            failed[partition] = f"{_named(missing)} down, and without a quorum of {_named(primaries)} nobody has all"
            return []
        turn = partition % len(up) if up else 0
        return [*up[turn:], *up[:turn]][:needed]

    def _is_up(self, device_id: int) -> bool:
        return device_id in self._peers and self._peers[device_id].up

    async def _copy_from(
        self, work: _Work, name: str, device_id: int, partitions: Sequence[int], failed: dict[int, str]
    ) -> None:
        """Copy partitions from one device; add to `failed` those that did not succeed."""
        source = Source(device_id, self._peers[device_id], work.version)
        kind = _KINDS.get(name)
        try:
            if kind is None:
                await self._copy_objects(work, name, source, partitions, failed)
            else:
                await self._copy_databases(work, name, kind, source, partitions)
        except (PeerUnavailable, RemoteError) as error:
            for partition in partitions:
                failed.setdefault(partition, f"device {device_id}: {error}")
            _log.info("copying_interrupted", peer=device_id, ring=name, error=str(error))

    async def _copy_objects(
        self, work: _Work, name: str, source: Source, partitions: Sequence[int], failed: dict[int, str]
    ) -> None:
        part_power = work.rings[name].part_power
        for partition in await self._pull.differing(source, part_power, partitions):
            pulled = await self._pull.pull(source, part_power, partition)
            if not pulled.complete:
                failed[partition] = pulled.failure or f"device {source.device_id} replaces what is asked for"
            self._count(work, pulled)
            await self._report_at_times(work)

    async def _copy_databases(
        self, work: _Work, name: str, kind: DatabaseKind, source: Source, partitions: Sequence[int]
    ) -> None:
        part_power, wanted = work.rings[name].part_power, frozenset(partitions)
        start, _end = partition_range(part_power, min(wanted))
        _start, end = partition_range(part_power, max(wanted))
        while True:
            theirs = await inventory_at(source, kind, start, end)
            last = theirs[-1][0] + b"\0" if len(theirs) == PAGE else end
            mine = dict(await self._databases.inventory(kind, start, last, ROWS_LIMIT))
            for key, digest in theirs:
                if partition_of(key, part_power) in wanted and mine.get(key) != digest:
                    await self._databases.synchronize(kind, key, "", "", source.device_id)
                    work.database_count += 1
                    self.copied_databases += 1
                    await self._throttle.took(VERSION_COST)
                    await self._report_at_times(work)
            if len(theirs) < PAGE:
                return
            assert last is not None
            start = last

    def _count(self, work: _Work, pulled: Pulled) -> None:
        work.object_count += pulled.fetched_count
        work.byte_count += pulled.fetched_bytes
        self.copied_objects += pulled.fetched_count
        self.copied_bytes += pulled.fetched_bytes

    # reporting

    async def _report_at_times(self, work: _Work) -> None:
        if asyncio.get_running_loop().time() - work.reported_at >= REPORT_S:
            await self._report(work)

    async def _report(self, work: _Work) -> bool:
        """Tell how far it is, now and then, and at the end; tell whether that is known now."""
        progress = work.progress()
        now = asyncio.get_running_loop().time()
        if progress == work.reported:
            return True
        if not progress.done and now - work.reported_at < REPORT_S:
            return False
        work.reported_at = now
        try:
            await self._background.run(lambda store: store.report_progress(self._device_id, progress))
        except CoordinationError as error:
            _log.warning("progress_not_reported", error=str(error))
            return False
        work.reported = progress
        if progress.done:
            _log.info("copying_done", version=work.version, objects=work.object_count, bytes=work.byte_count)
        return True


def _named(device_ids: Sequence[int]) -> str:
    """Return devices in words."""
    return f"device{'s' * (len(device_ids) > 1)} {', '.join(map(str, device_ids))}"
