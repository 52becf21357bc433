"""Walks a cluster of `tests.loopback` through a change of its rings, version by version, while it is used.

What the conductor and the joining devices do, in its plainest form, and with every order and delay drawn at
random: who hears of a version when, who is slow to. Each of `Rules` can be left out, to show what it is for.
"""

import asyncio
import random
from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from cluster.wire import PeerUnavailable, RemoteError
from ring.device import Device
from ring.lookup import Ring
from storage.client import Placement, Rings
from storage.housekeeping.keyrange import partition_range
from storage.messages import DatabaseKind, Operation
from storage.quorum import quorum_of
from storage.rings.document import Stage
from tests.loopback import PART_POWER, LoopbackCluster, LoopbackDevice, rings_of

GRACE_S = 0.4  # how long those who still use an older version are waited for
PAGE = 10_000
RETRY_S = 0.005
CRASH_LOOK_S = 0.1  # between looks whether a device has crashed that we wait for


@dataclass(frozen=True, slots=True)
class Rules:
    """What makes a change safe."""

    floors: bool = True  # devices refuse those who are behind
    joint_writes: bool = True  # a write needs a quorum of either set
    joint_reads: bool = True  # a read needs one of either while SERVING
    copies: bool = True  # what was there before is copied
    copies_again: bool = True  # once more, after nobody reads by the current ring alone


ALL_RULES = Rules()


class CurrentOnly(Rings):
    """Rings that let writes do without the devices that join."""

    __slots__ = ()

    def write_rings(self, name: str) -> tuple[Ring, ...]:
        """Return the ring by which a write needs a quorum."""
        return (self.target.get(name, self.current[name]) if self.stage is Stage.SERVING else self.current[name],)

    def read_rings(self, name: str) -> tuple[Ring, ...]:
        """Return the ring by which a read needs a quorum."""
        return self.write_rings(name)


class TargetReads(Rings):
    """Rings that let reads do without the devices that leave, as soon as all is copied."""

    __slots__ = ()

    def read_rings(self, name: str) -> tuple[Ring, ...]:
        """Return the ring by which a read needs a quorum."""
        return (self.read_ring(name),)


def ring_on(chance: random.Random, device_ids: Sequence[int], replicas: int = 3) -> Ring:
    """Return a ring whose partitions lie on devices drawn at random."""
    held = [chance.sample(list(device_ids), replicas) for _ in range(1 << PART_POWER)]
    rows = tuple(memoryview(array("H", [devices[replica] for devices in held])) for replica in range(replicas))
    return Ring(PART_POWER, devices_of(device_ids), rows)


def ring_of_sets(device_ids: Sequence[int], others: Sequence[int] = range(7)) -> Ring:
    """Return a ring all of whose partitions lie on the same devices; it has `others` too, that hold nothing."""
    rows = tuple(memoryview(array("H", [device_id] * (1 << PART_POWER))) for device_id in device_ids)
    return Ring(PART_POWER, devices_of({*device_ids, *others}), rows)


def devices_of(device_ids: Collection[int]) -> tuple[Device | None, ...]:
    """Return the devices of a ring, by id."""
    return tuple(
        Device(number, 1, number, "127.0.0.1", 6000 + number, f"d{number}") if number in device_ids else None
        for number in range(max(device_ids) + 1)
    )


class Staging:
    """Changes the rings of a cluster."""

    def __init__(
        self,
        cluster: LoopbackCluster,
        chance: random.Random,
        asleep: Collection[Placement] = (),
        rules: Rules = ALL_RULES,
    ) -> None:
        """`asleep` hear of nothing, until a device refuses them."""
        self._cluster = cluster
        self._chance = chance
        self._asleep = asleep
        self._rules = rules
        self._refusing: set[int] = set()  # devices that have settled under the newest floor

    async def change(self, target: Ring) -> None:
        """Walk from the rings in force to `target`."""
        await self.join(target)
        await self.serve()
        await self.retire()

    async def join(self, target: Ring) -> None:
        """Have writes go to both; copy what is there."""
        floor = await self._stage(Stage.JOINING, target)
        if self._rules.copies:
            await self.copy(floor)

    async def serve(self) -> None:
        """Have reads go to both; copy what those saw who did not."""
        floor = await self._stage(Stage.SERVING)
        if self._rules.copies and self._rules.copies_again:
            await self.copy(floor)

    async def retire(self) -> None:
        """Leave the old replicas alone."""
        await self._stage(Stage.STABLE)

    async def _stage(self, stage: Stage, target: Ring | None = None) -> int:
        """Announce a stage, and enforce it; return the floor."""
        rings = self._cluster.rings
        announced = rings.version + 1
        await self.publish(self._rings(announced, stage, rings.floor, target))
        await self._wait_for_users(announced)
        await self.publish(replace(self._cluster.rings, version=announced + 1, floor=self._floor(announced)))
        return announced

    def _floor(self, version: int) -> int:
        return version if self._rules.floors else 0

    def _rings(self, version: int, stage: Stage, floor: int, target: Ring | None) -> Rings:
        rings = self._cluster.rings
        if stage is Stage.STABLE:
            return rings_of(version, stage, floor, next(iter(rings.target.values())))
        current = next(iter(rings.current.values()))
        made = rings_of(version, stage, floor, current, target or next(iter(rings.target.values())))
        kind = Rings if self._rules.joint_writes else CurrentOnly
        if not self._rules.joint_reads:
            kind = TargetReads
        return kind(made.version, made.floor, made.stage, made.current, made.target)

    async def publish(self, rings: Rings) -> None:
        """Let everybody hear of a version, one after the other."""
        cluster = self._cluster
        cluster.rings = rings
        self._refusing = set()
        listeners: list[LoopbackDevice | Placement] = [*cluster.devices, *cluster.proxy_placements()]
        self._chance.shuffle(listeners)
        for listener in listeners:
            if isinstance(listener, Placement):
                if listener not in self._asleep:
                    listener.update(rings)
            else:
                await self._tell(listener, rings)
            await asyncio.sleep(self._chance.choice([0, 0, 0.001, 0.003]))

    async def _tell(self, device: LoopbackDevice, rings: Rings) -> None:
        device.placement.update(rings)
        settled = False
        while not settled:
            service = device.service
            settling = asyncio.ensure_future(service.settle())
            while not settling.done() and device.service is service:  # in one that has crashed nothing comes to an end
                await asyncio.wait({settling}, timeout=CRASH_LOOK_S)
            settled = settling.done()
            settling.cancel()
        self._refusing.add(device.id)

    async def _wait_for_users(self, version: int) -> None:
        awake = [placement for placement in self._cluster.proxy_placements() if placement not in self._asleep]
        deadline = asyncio.get_running_loop().time() + GRACE_S
        while any(placement.oldest_version_in_use() < version for placement in awake):
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(RETRY_S)

    # copying

    async def copy(self, floor: int) -> None:
        """Bring to each device that joins a partition what a quorum of those that hold it have, all of which refuse."""
        assert self._cluster.rings.floor in (floor, 0)
        rings = self._cluster.rings
        (current,), (target,) = {*rings.current.values()}, {*rings.target.values()}
        for partition in range(current.partition_count):
            holders = [device.id for device in current.primaries(partition)]
            for joiner in target.primaries(partition):
                if joiner.id not in holders:
                    await self._copy_partition(self._cluster.devices[joiner.id], holders, current, partition)

    async def _copy_partition(
        self, device: LoopbackDevice, holders: Sequence[int], ring: Ring, partition: int
    ) -> None:
        copied: set[int] = set()
        while len(copied) < quorum_of(len(holders)):
            source = self._chance.choice([holder for holder in holders if holder not in copied])
            assert source in self._refusing
            service = device.service
            try:
                await self._pull(device, source, *partition_range(ring.part_power, partition))
                copied.add(source)
            except (PeerUnavailable, RemoteError):
                await asyncio.sleep(RETRY_S)
            except Exception:
                if device.running and device.service is service:
                    raise  # else it has crashed meanwhile, and what it was at with it
                await asyncio.sleep(RETRY_S)

    async def _pull(self, device: LoopbackDevice, source: int, start: bytes, end: bytes | None) -> None:
        peer, version = device.peers[source], device.placement.rings.version
        reply = await peer.call(Operation.BLOB_VERSIONS, (start, end, PAGE), b"", 5.0, version)
        for key, timestamp, _deleted in reply.metadata:
            await device.service.fetch(key, timestamp, source)
        for kind in DatabaseKind:
            reply = await peer.call(Operation.INDEX_INVENTORY, (int(kind), start, end, PAGE), b"", 5.0, version)
            for key, _digest in reply.metadata:
                await device.indexes.synchronize(kind, key, "", "", source)
