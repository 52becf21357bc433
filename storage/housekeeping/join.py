"""A device that comes new to partitions copies them, before anybody relies on what it has.

Twice in a change of rings (storage.rings.document), each time when no quorum of a partition's current primaries
accepts requests of the stage before any more:

- while JOINING: whatever was acknowledged without this device is on a quorum of the current primaries by
  then, and nothing else will be. So what a read quorum of them has, together, is all of it.
- while SERVING: a reader that was JOINING may have shown what only a quorum of the current primaries had, of a
  write that was never finished. No such reader is left; what they may have shown is copied, and found again.

From each device of a read quorum everything is pulled, without waiting for what is young: objects by digests
and listing, tombstones too, databases by their changes, chunks of volumes with the fences that keep out their former
writers (storage.housekeeping.chunks). Invariant: a partition counts as done only when
all of that has succeeded under the version that is reported with it. A restart begins anew, and passes quickly
over what is here already, because it is the same. Nobody else needs to know: a change waits for this device.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from cluster.clock import wall_us
from cluster.coordination.errors import CoordinationError
from cluster.telemetry.log import get_logger
from cluster.wire import Peer
from ring.lookup import Ring
from storage.client import Rings
from storage.copying import Budget
from storage.housekeeping.backlog import Backlog
from storage.housekeeping.chunks import Chunks
from storage.housekeeping.partitions import PartitionCopy, batch_of
from storage.housekeeping.pull import Fetching, Objects, Source
from storage.housekeeping.synchronize import Databases
from storage.membership.record import Member, voting
from storage.membership.roster import Members, nobody
from storage.quorum import quorum_of
from storage.rings.document import Stage
from storage.rings.moves import enough_refuse, moves_of
from storage.rings.reports import Progress, refusing
from storage.rings.store import RingStore

RETRY_S = 1.0  # when nothing can be copied just now
REPORT_S = 1.0  # between two reports of progress
IDLE_S = 3600.0  # while there is nothing to copy; new rings wake us
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
    backlog: Backlog
    copy: PartitionCopy
    started_us: int
    refusing: frozenset[int] = frozenset()
    reported: Progress | None = None
    reported_at: float = 0.0  # loop time

    def progress(self) -> Progress:
        """Return how far it is."""
        return Progress(
            version=self.version,
            partitions_done=self.backlog.done_count,
            partitions_total=self.backlog.total,
            objects=self.copy.object_count,
            databases=self.copy.database_count,
            bytes=self.copy.byte_count,
            started_us=self.started_us,
            waiting=self.backlog.waiting(),
        )


class Join:
    """The housekeeping task."""

    name = "copy what moves here"

    def __init__(
        self,
        device_id: int,
        rings: Callable[[], Rings],
        peers: Mapping[int, Peer],
        objects: Objects,
        copies: Fetching,
        databases: Databases,
        background: Background,
        budget: Budget,
        wall: Callable[[], int] = wall_us,
        members: Members = nobody,
        has_room: Callable[[], bool] = lambda: True,
        chunks: Chunks | None = None,
    ) -> None:
        self._wall_us = wall
        self._device_id = device_id
        self._rings = rings
        self._peers = peers
        self._new_copy: Callable[[], PartitionCopy] = lambda: PartitionCopy(
            objects, copies, databases, budget, wall, chunks
        )
        self._background = background
        self._members = members
        self._has_room = has_room
        self.on_overtaken: Callable[[], None] = lambda: None  # called when what was copied may be held no more
        self._work: _Work | None = None
        self._earlier = self._new_copy()  # counts of what was copied under earlier versions

    @property
    def copied_objects(self) -> int:
        """How many versions were copied since the start."""
        return self._earlier.object_count + (self._work.copy.object_count if self._work else 0)

    @property
    def copied_databases(self) -> int:
        """How many databases."""
        return self._earlier.database_count + (self._work.copy.database_count if self._work else 0)

    @property
    def copied_chunks(self) -> int:
        """How many chunks of volumes."""
        return self._earlier.chunk_count + (self._work.copy.chunk_count if self._work else 0)

    @property
    def copied_bytes(self) -> int:
        """Bytes of the versions and chunks."""
        return self._earlier.byte_count + (self._work.copy.byte_count if self._work else 0)

    @property
    def progress(self) -> Progress | None:
        """How far it is; None while there is nothing to copy."""
        return None if self._work is None or not self._work.backlog.total else self._work.progress()

    async def step(self) -> float:
        """Copy some partitions."""
        work = self._current_work()
        if work is None or not work.backlog.total:
            return IDLE_S
        if work.backlog.todo:
            await self._copy_some(work)
        told = await self._report(work)
        if not work.backlog.todo:
            return IDLE_S if told else RETRY_S
        return RETRY_S if work.backlog.stuck else 0.0

    def _current_work(self) -> _Work | None:
        """Return what is to be copied by the rings in force."""
        rings = self._rings()
        if rings.stage is Stage.STABLE or rings.floor < rings.version - 1:
            self._begin(None)
        elif self._work is None or self._work.version != rings.version:
            own = moves_of(rings.current, rings.target).joiners.get(self._device_id, {})
            backlog = Backlog.of((name, partition) for name, partitions in own.items() for partition in partitions)
            copy = self._new_copy()
            self._begin(_Work(rings.version, rings.floor, rings.current, backlog, copy, self._wall_us()))
            if backlog.total:
                _log.info("copying_begins", version=rings.version, partitions=backlog.total)
        return self._work

    def _begin(self, work: _Work | None) -> None:
        if self._work is not None:
            self._earlier.add(self._work.copy)
            self.on_overtaken()  # after a change that was cancelled: retire may have looked while this copied
        self._work = work

    async def _copy_some(self, work: _Work) -> None:
        members, has_room = await self._members(), self._has_room()
        if work.backlog.failed_in_a_row or not work.refusing:
            work.refusing = refusing(await self._background.run(lambda store: store.uses()), work.floor)
        name, partitions = work.backlog.take(batch_of)
        failed: dict[int, str] = {}
        by_source: dict[int, list[int]] = {}
        try:
            if not has_room:
                failed = dict.fromkeys(partitions, "there is little room left on this device")
            for partition in partitions if has_room else ():
                for device_id in self._sources(work, members, name, partition, failed):
                    by_source.setdefault(device_id, []).append(partition)
            for device_id, own in by_source.items():
                source = Source(device_id, self._peers[device_id], work.version)
                power = work.rings[name].part_power
                await work.copy.copy(name, power, source, own, failed, lambda: self._report_at_times(work))
            await self._look_again(members, by_source, failed)
        except BaseException:
            work.backlog.put_back()
            raise
        if self._rings().version != work.version:  # what was copied stays, but counts for nothing
            failed = dict.fromkeys(partitions, "the rings have changed")
        work.backlog.settle(failed)

    async def _look_again(
        self, members: Mapping[int, Member], by_source: Mapping[int, Sequence[int]], failed: dict[int, str]
    ) -> None:
        """Let what came from a device that has lost data meanwhile fail."""
        now = await self._members()
        for device_id, partitions in by_source.items():
            if voting(now, device_id) is None or voting(now, device_id) != voting(members, device_id):
                failed.update(dict.fromkeys(partitions, f"device {device_id} has been restarted"))

    def _sources(
        self, work: _Work, members: Mapping[int, Member], name: str, partition: int, failed: dict[int, str]
    ) -> list[int]:
        """Return a read quorum of the current primaries, without this device; say why when it cannot be."""
        primaries = tuple(device.id for device in work.rings[name].primaries(partition))
        if not enough_refuse(primaries, len(work.refusing.intersection(primaries))):
            late = [device for device in primaries if device not in work.refusing]
            failed[partition] = f"{named(late)} must take over version {work.version} first"
            return []
        needed = quorum_of(len(primaries)) - (self._device_id in primaries)
        others = [device for device in primaries if device != self._device_id]
        # one that still takes writes of the version before could take one after we have copied from it
        up = [device for device in others if device in work.refusing and self._is_up(device)]
        able = [device for device in up if voting(members, device) is not None]
        if len(able) < needed:
            missing = [device for device in others if device not in able]
            rebuilding = len(able) < len(up)
            state = "being rebuilt or down" if rebuilding else "down"
            failed[partition] = f"{named(missing)} {state}, and without a quorum of {named(primaries)} nobody has all"
            return []
        turn = partition % len(able) if able else 0
        return [*able[turn:], *able[:turn]][:needed]

    def _is_up(self, device_id: int) -> bool:
        return device_id in self._peers and self._peers[device_id].up

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
            _log.info("copying_done", version=work.version, objects=work.copy.object_count, bytes=work.copy.byte_count)
        return True


def named(device_ids: Sequence[int]) -> str:
    """Return devices in words."""
    return f"device{'s' * (len(device_ids) > 1)} {', '.join(map(str, device_ids))}"
