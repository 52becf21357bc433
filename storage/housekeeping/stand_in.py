"""While a primary is away for long, another device keeps a replica of what it holds.

Of each partition whose primary has been away, or its disk out of service, for `handoff_after_s`, the first handoff in
ring order that is up copies what is there from those primaries that are up, and goes on comparing. It does so on its
own, by what it sees itself: two that see differently both do it, which costs room and harms nothing.

It is never counted. A stand-in takes no client's writes and is asked by no client; no quorum has it as a member; a
device that is rebuilt takes what it has besides, and does not need it. So it brings redundancy back, and changes
nothing of what a read may see.

When the primary is back, and has all its data, what is here is handed back: `retire` makes sure that every primary has
all of it and forgets it. Until then `kept` keeps retire from doing so. A restart forgets who was stood in for; what
is here stays, for retire drops nothing while a primary is down, and standing in begins again.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from cluster.clock import wall_us
from cluster.telemetry.log import get_logger
from cluster.wire import Peer, Reply
from ring.lookup import Ring
from storage.client import Rings
from storage.copying import Budget
from storage.health.condition import Service
from storage.housekeeping.backlog import Backlog, Item
from storage.housekeeping.chunks import Chunks
from storage.housekeeping.partitions import PartitionCopy, batch_of
from storage.housekeeping.pull import Fetching, Objects, Source
from storage.housekeeping.replicate import replicas_up
from storage.housekeeping.synchronize import Databases
from storage.messages import Operation
from storage.rings.document import Stage

LOOK_S = 5.0  # between looks at who is away
ASK_S = 30.0  # between questions to those who are not, whether they are well
ASK_TIMEOUT_S = 5.0
_LOOKS = 64  # at partitions, between two turns of the loop
_OUT_OF_SERVICE = frozenset(service.name.lower() for service in Service if service <= Service.READS)
_log = get_logger("storage")


def stood_in_for(
    ring: Ring, partition: int, device_id: int, absent: frozenset[int], up: frozenset[int]
) -> bool:
    """Tell whether a device stands in for one of the absent primaries of a partition. Pure.

    `up` are the devices that could, this one among them.
    """
    primaries = [device.id for device in ring.primaries(partition)]
    wanted = sum(1 for primary in primaries if primary in absent)
    if not wanted or device_id in primaries:
        return False
    for handoff in ring.handoffs(partition):
        if handoff.id == device_id:
            return True
        wanted -= handoff.id in up
        if not wanted:
            return False
    return False


def _takes_no_writes(status: Mapping[str, Any]) -> bool:
    """Tell whether a device's disk keeps it from taking writes; one that is full will have room again."""
    health = status.get("health")
    return isinstance(health, Mapping) and health.get("service") in _OUT_OF_SERVICE


class StandIn:
    """The housekeeping task."""

    name = "stand in for who is away"

    def __init__(
        self,
        device_id: int,
        rings: Callable[[], Rings],
        peers: Mapping[int, Peer],
        objects: Objects,
        copies: Fetching,
        databases: Databases,
        budget: Budget,
        after_s: float,
        interval_s: float,
        votes: Callable[[int], bool],
        on_change: Callable[[], None] = lambda: None,
        wall: Callable[[], int] = wall_us,
        has_room: Callable[[], bool] = lambda: True,
        chunks: Chunks | None = None,
    ) -> None:
        """`after_s`: how long a primary must be away, 0: nobody stands in; `interval_s`: between two comparisons.

        `votes` tells whether a device has all its data, `has_room` whether copies may come here; `on_change` is
        called when something is to be handed back.
        """
        self._device_id = device_id
        self._rings = rings
        self._peers = peers
        self._copy = PartitionCopy(objects, copies, databases, budget, wall, chunks)
        self._after_s = after_s
        self._interval_s = interval_s
        self._votes = votes
        self._on_change = on_change
        self._has_room = has_room
        self._sick: frozenset[int] = frozenset()  # those that answer and take no writes
        self._asked_at = float("-inf")  # loop time
        self._away_since: dict[int, float] = {}  # loop time, by device
        self._absent: frozenset[int] = frozenset()  # those that are stood in for, here or elsewhere
        self._judged_by: tuple[Any, ...] = ()
        self._compared_at = 0.0  # loop time
        self._backlog = Backlog.of(())
        self.kept: frozenset[Item] = frozenset()  # what retire leaves alone

    @property
    def copied_objects(self) -> int:
        """How many versions were copied since the start."""
        return self._copy.object_count

    @property
    def copied_bytes(self) -> int:
        """Bytes of them."""
        return self._copy.byte_count

    async def step(self) -> float:
        """Look who is away, and copy some partitions."""
        if not self._after_s:
            return LOOK_S
        now = asyncio.get_running_loop().time()
        await self._ask_how_they_are(now)
        self._note_absences(now)
        await self._judge(now)
        if not self._backlog.todo and self.kept and now >= self._compared_at + self._interval_s:
            self._backlog = self._backlog_of(self._rings())
            self._compared_at = now
        if self._backlog.todo and not self._backlog.stuck and self._has_room():
            await self._copy_some()
        return LOOK_S if not self._backlog.todo or self._backlog.stuck or not self._has_room() else 0.0

    async def _ask_how_they_are(self, now: float) -> None:
        """Find out now and then who is there and takes no writes: its disk has failed (storage.health)."""
        if now < self._asked_at + ASK_S:
            return
        self._asked_at = now
        up = {device_id: peer for device_id, peer in self._peers.items() if peer.up and device_id != self._device_id}
        calls = [peer.call(Operation.STATUS, (), b"", ASK_TIMEOUT_S) for peer in up.values()]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        self._sick = frozenset(
            device_id
            for device_id, answer in zip(up, answers, strict=True)
            if isinstance(answer, Reply) and _takes_no_writes(answer.metadata[0])
        )

    def _note_absences(self, now: float) -> None:
        up = {device_id for device_id, peer in self._peers.items() if peer.up and device_id not in self._sick}
        away = self._peers.keys() - up - {self._device_id}
        self._away_since = {device_id: self._away_since.get(device_id, now) for device_id in away}
        long = {device_id for device_id, since in self._away_since.items() if now - since >= self._after_s}
        # one that is back is stood in for until it has all its data
        unwell = {device_id for device_id in self._absent & up if not self._votes(device_id)}
        self._absent = frozenset(long | unwell)

    async def _judge(self, now: float) -> None:
        """Find out what to keep, when anything that this depends on has changed."""
        rings = self._rings()
        up = frozenset(each for each, peer in self._peers.items() if peer.up and each not in self._sick)
        up |= {self._device_id}
        by = (rings.version, self._absent, up if self._absent else None)
        if by == self._judged_by:
            return
        kept: set[Item] = set()
        if rings.stage is Stage.STABLE and self._absent:
            for name, ring in rings.current.items():
                for partition in range(ring.partition_count):
                    if stood_in_for(ring, partition, self._device_id, self._absent, up):
                        kept.add((name, partition))
                    if partition % _LOOKS == 0:
                        await asyncio.sleep(0)
        before, self.kept, self._judged_by = self.kept, frozenset(kept), by
        self._backlog, self._compared_at = self._backlog_of(rings), now
        if self.kept != before:
            _log.info("standing_in", partitions=len(self.kept), absent=sorted(self._absent))
            self._on_change()

    def _backlog_of(self, rings: Rings) -> Backlog:
        """Return all that is kept, the partitions of which the fewest replicas are up first."""
        known = [item for item in self.kept if item[0] in rings.current]
        backlog = Backlog.of(sorted(known))
        backlog.reorder(lambda item: replicas_up(rings.current[item[0]], item[1], self._peers))
        return backlog

    async def _copy_some(self) -> None:
        rings = self._rings()
        version, current = rings.version, rings.current
        del rings  # who holds old ones counts as using them
        name, partitions = self._backlog.take(batch_of)
        failed: dict[int, str] = {}
        try:
            for device_id, own in self._by_source(current[name], partitions, failed).items():
                source = Source(device_id, self._peers[device_id], version)
                await self._copy.copy(name, current[name].part_power, source, own, failed)
        except BaseException:
            self._backlog.put_back()
            raise
        self._backlog.settle(failed)

    def _by_source(self, ring: Ring, partitions: list[int], failed: dict[int, str]) -> dict[int, list[int]]:
        """Return what to copy from whom: from all that are up and whole, for none needs to have everything."""
        by_source: dict[int, list[int]] = {}
        for partition in partitions:
            able = [each.id for each in ring.primaries(partition) if self._is_up(each.id) and self._votes(each.id)]
            if not able:
                failed[partition] = "all devices that hold it are down, or being rebuilt"
            for device_id in able:
                by_source.setdefault(device_id, []).append(partition)
        return by_source

    def _is_up(self, device_id: int) -> bool:
        return device_id in self._peers and self._peers[device_id].up

    def status(self) -> dict[str, Any]:
        """Return what operators see; nothing while nobody is stood in for here."""
        if not self.kept:
            return {}
        return {
            "partitions": len(self.kept),
            "lacking": len(self._backlog.todo) + len(self._backlog.taken),
            "for": sorted(self._absent),
            "waiting": self._backlog.waiting() if self._has_room() else "there is little room left on this device",
        }
