"""What can only be seen in the moment when it happens.

- A device drops what others lack. What moved away is forgotten by `storage.housekeeping.retire`, through what stands
  here between it and the objects.
- A device says at its start that it has lost data, and nothing has been taken from it. Who believes that of too many
  waits for ever.
"""

from collections.abc import Callable, Sequence
from typing import Any

from cluster.clock import Timestamp
from ring.hashing import partition_of
from storage.membership.record import State
from storage.rings.document import OBJECT
from tests.sim.shape import PART_POWER
from tests.sim.world import DeviceHost, World


class ForgettingObjects:
    """The objects of a device, as Retire sees them."""

    def __init__(self, world: World, host: DeviceHost, objects: Any, primaries: Callable[[int], set[int]]) -> None:
        self._world = world
        self._host = host
        self._objects = objects
        self._primaries = primaries

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    async def forget(self, versions: Sequence[tuple[bytes, Timestamp]]) -> None:
        """Forget, if every primary has what is forgotten, or something newer."""
        for key, timestamp in versions:
            for number in sorted(self._primaries(partition_of(key, PART_POWER))):
                self._look(self._world.devices[number], key, timestamp)
        await self._objects.forget(versions)

    def _look(self, primary: DeviceHost, key: bytes, timestamp: Timestamp) -> None:
        """Note a version that is not on a primary. Of tombstones nobody can tell: they are given up some time."""
        here = self._objects.stat(key)
        if primary.device is None or not primary.ready or here is None or here.deleted:
            return
        if self._world.spoilt is not None:
            return
        there = primary.device._blobs.stat(key)
        if there is None or there.timestamp < timestamp:
            text = f"{self._host.name} forgets a version of {key.hex()[:8]} that {primary.name} has not"
            self._world.violations.append(text)


def look_at(world: World, host: DeviceHost) -> None:
    """Look at a device that has just started, and at what it forgets from now on."""
    assert host.device is not None
    member = host.device._membership.member
    if member.state is State.REBUILDING and host is not world.spoilt and not host.storage.had_errors:
        world.violations.append(f"{host.name} says that it has lost data: {member.reason}")
    if world.spoilt is not None:
        return  # who has lost data lacks what others forget
    retire = host.device._retire

    def primaries(partition: int) -> set[int]:
        ring = retire._rings().current[OBJECT]
        return {device.id for device in ring.primaries(partition)}

    retire._objects = ForgettingObjects(world, host, retire._objects, primaries)
