"""A loopback cluster whose devices have identities in coordination, for tests of devices that lose their data."""

import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from cluster.clock import wall_us
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.threads import WaiterThreads
from storage.copying import UNLIMITED
from storage.disk import RealDisk
from storage.housekeeping.rebuild import Rebuild
from storage.housekeeping.retire import Retire
from storage.housekeeping.stand_in import StandIn
from storage.membership.local import LocalFile
from storage.membership.membership import Membership
from storage.membership.votes import Votes
from storage.rings.background import BackgroundStore
from tests.loopback import LoopbackCluster, LoopbackDevice, played_in

_STEPS_LIMIT = 2000


class LosingCluster(LoopbackCluster):
    """Devices that can be emptied, and set back to a copy."""

    def __init__(self, directory: Path, device_count: int) -> None:
        super().__init__(directory, device_count)
        self.directory = directory
        self.path = directory / "coordination.db"
        self.coordination = EmbeddedCoordination(self.path)
        self.background = BackgroundStore(lambda: EmbeddedCoordination(self.path), WaiterThreads(1))
        self.members: dict[int, Membership] = {}
        self.changes = 0  # of memberships, that anybody has heard of

    def votes(self, device: LoopbackDevice) -> Votes:
        """Enter, as a device does after recovery."""
        known = self.members.get(device.id)
        if known is not None:
            known.roster.close()
        local = LocalFile(RealDisk(), str(device.directory))
        member = Membership(
            device.id, self.coordination, self.background, local, wall_us, os.urandom, self._changed
        )
        member.enter(device.log.log_id, device.log.end, device.blobs.lost_data)
        device.blobs.loss_is_known()
        member.on_floor = device.blobs.raise_floor
        device.blobs.raise_floor(member.floor)
        member.start()
        self.members[device.id] = member
        return member.votes

    def _changed(self) -> None:
        self.changes += 1

    async def __aexit__(self, *exception: object) -> None:
        for member in self.members.values():
            await member.close()
        await super().__aexit__(*exception)
        await self.background.close()
        self.coordination.close()

    async def lose(self, device: LoopbackDevice) -> None:
        """Put an empty disk into the place of a device's."""
        await self.replace(device, None)

    async def replace(self, device: LoopbackDevice, copy: Path | None) -> None:
        """Put a copy of its disk, or an empty one, into its place."""
        await device.crash()
        shutil.rmtree(device.directory)
        if copy is not None:
            shutil.copytree(copy, device.directory)
        device.start()

    def copy(self, device: LoopbackDevice) -> Path:
        """Return a copy of a device's disk."""
        target = self.directory / f"copy-{device.id}"
        shutil.copytree(device.directory, target)
        return target

    def rebuild(self, device: LoopbackDevice, settle_s: float = 0.0) -> Rebuild:
        """Return the task of a device that gets back what it lost."""
        placement = device.placement
        assert device.service.chunks is not None
        return Rebuild(
            self.members[device.id],
            lambda: placement.rings,
            placement.peers,
            device.blobs,
            device.service.copies,
            device.indexes,
            UNLIMITED,
            settle_s=settle_s,
            chunks=device.service.chunks.upkeep,
        )

    def stand_in(self, device: LoopbackDevice, after_s: float = 0.001) -> StandIn:
        """Return the task of a device that stands in for others."""
        placement = device.placement
        assert device.service.chunks is not None
        return StandIn(
            device.id,
            lambda: placement.rings,
            placement.peers,
            device.blobs,
            device.service.copies,
            device.indexes,
            UNLIMITED,
            after_s,
            0.0,
            self.members[device.id].roster.votes,
            chunks=device.service.chunks.upkeep,
        )

    def retire(self, device: LoopbackDevice) -> Retire:
        """Return the task of a device that drops what it should not have."""
        return device.retire(self.members[device.id].roster.votes)


def losing(device_count: int) -> Callable[[Callable[[LosingCluster], Awaitable[None]]], Callable[[], None]]:
    """Run the decorated test in a cluster of its own, of so many devices and three replicas."""

    def decorate(scenario: Callable[[LosingCluster], Awaitable[None]]) -> Callable[[], None]:
        return played_in(lambda directory: LosingCluster(directory, device_count), scenario)

    return decorate


async def rebuilt(task: Rebuild) -> None:
    """Take steps until a device is whole."""
    for _ in range(_STEPS_LIMIT):
        if await task.step() >= 3600:
            return
    raise AssertionError(f"it is not rebuilt: {task.status()}")
