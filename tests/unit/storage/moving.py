"""A loopback cluster whose rings change, for tests of what devices do then."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from proxy.objects.model import ObjectName
from proxy.objects.service import ObjectService
from ring.builder import RingBuilder
from ring.device import Device
from ring.lookup import Ring
from storage.housekeeping.join import Join
from storage.housekeeping.retire import Retire
from storage.housekeeping.throttle import Throttle
from storage.rings.document import Stage
from storage.rings.reports import Progress, UseReport, device_process
from tests.loopback import PART_POWER, LoopbackCluster, LoopbackDevice, played_in, put, rings_of

ACCOUNT = "AUTH_a"
LARGE = bytes(range(251)) * 12_000  # a file of its own
_STEPS_LIMIT = 2000


def grown_ring() -> tuple[Ring, Ring]:
    """Return a ring over four devices, and the one that it becomes with a fifth."""
    builder = RingBuilder.create(PART_POWER, 3, 0)
    for number in range(4):
        builder = builder.add(_device(number))
    before = builder.rebalance(seed=1, now_s=0)[0]
    after = before.add(_device(4)).rebalance(seed=1, now_s=0)[0]
    return before.to_ring(), after.to_ring()


def _device(number: int) -> Device:
    return Device(number, 1, number, "127.0.0.1", 6000 + number, f"d{number}")


class Reports:
    """What devices report, without coordination."""

    def __init__(self, cluster: LoopbackCluster) -> None:
        self._cluster = cluster
        self.late: set[int] = set()  # devices that have not taken over the newest version
        self.told: list[Progress] = []

    async def run(self, work: Callable[[Any], Any]) -> Any:
        """Return what `work` returns when it is given the store."""
        await asyncio.sleep(0)
        return work(self)

    def uses(self) -> dict[str, UseReport]:
        """Return what each device works by."""
        rings = self._cluster.rings
        return {
            device_process(device.id): UseReport(
                rings.version, rings.version, 0 if device.id in self.late else rings.floor
            )
            for device in self._cluster.devices
        }

    def report_progress(self, device_id: int, progress: Progress) -> None:
        """Tell how far a device is."""
        del device_id
        self.told.append(progress)


class MovingCluster(LoopbackCluster):
    """Five devices. The first four have everything; then the fifth comes in, or another goes."""

    def __init__(self, directory: Path) -> None:
        ring, self.goal = grown_ring()
        super().__init__(directory, 5, ring=ring)
        self.reports = Reports(self)

    def stage(self, version: int, stage: Stage, floor: int) -> None:
        """Let all know of this stage of the change to `goal`."""
        if stage is Stage.STABLE:
            self.publish(rings_of(version, stage, floor, self.goal))
        else:
            self.publish(rings_of(version, stage, floor, self.ring, self.goal))

    def joining(self) -> None:
        """Go to where devices may copy."""
        self.stage(2, Stage.JOINING, 1)
        self.stage(3, Stage.JOINING, 2)

    def over(self) -> None:
        """Go to the end of the change."""
        self.stage(5, Stage.SERVING, 4)
        self.stage(7, Stage.STABLE, 6)

    def join(self, device: LoopbackDevice) -> Join:
        """Return the task of a device that copies what moves to it."""
        placement = device.placement
        assert device.service.chunks is not None
        return Join(
            device.id,
            lambda: placement.rings,
            placement.peers,
            device.blobs,
            device.service.copies,
            device.indexes,
            self.reports,
            Throttle(0),
            chunks=device.service.chunks.upkeep,
        )

    def retire(self, device: LoopbackDevice) -> Retire:
        """Return the task of a device that drops what has moved away."""
        return device.retire()



def moving(scenario: Callable[[MovingCluster], Awaitable[None]]) -> Callable[[], None]:
    """Run the decorated test in a cluster of its own."""
    return played_in(MovingCluster, scenario)


async def to_the_end(task: Join | Retire) -> int:
    """Take steps until the task has nothing to do; return how many."""
    for count in range(1, _STEPS_LIMIT):
        if await task.step() >= 3600:
            return count
    raise AssertionError(f"{task} does not end")


async def fill(cluster: MovingCluster, service: ObjectService | None = None) -> dict[str, bytes]:
    """Store something of everything; return the objects by "container/name"."""
    service = service or cluster.proxy().service
    stored = {}
    for number in range(8):
        container = f"c{number}"
        await service.create_container(ACCOUNT, container, {"x": number})
        for index in range(6):
            data = LARGE if index == 0 and number < 3 else b"%d of %d" % (index, number)
            await put(service, ObjectName(ACCOUNT, container, f"o{index}"), data)
            stored[f"{container}/o{index}"] = data
        await service.delete_object(ObjectName(ACCOUNT, container, "o5"))
        del stored[f"{container}/o5"]
    await cluster.quiet()
    for device in cluster.devices:  # all rows are there: their proxies said so
        device.blobs.confirm_rows(device.blobs.unlisted()[0])
    return stored


def held(device: LoopbackDevice) -> dict[bytes, bytes]:
    """Return the newest version of each key that a device has."""
    return {key: timestamp for key, timestamp, _deleted in device.blobs.versions(b"", None, 100_000)}


def partitions_of(ring: Ring, device: LoopbackDevice) -> set[int]:
    """Return the partitions of which a device is a primary."""
    return {
        partition
        for partition in range(ring.partition_count)
        if device.id in [primary.id for primary in ring.primaries(partition)]
    }
