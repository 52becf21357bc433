"""Is everything where it should be, once, and nothing else anywhere? Asked of a cluster that has been left in peace.

By the rings in force: all primaries of a partition have the same objects and the same databases; nobody else has any;
nobody rebuilds, no change of rings is under way. On the disks: a file for each version that is kept in one, no
uploads, logs that are not much larger than what lives in them, no parts that no manifest names.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from ring.hashing import partition_of
from ring.lookup import Ring
from storage.blobs import entry as entries
from storage.messages import DatabaseKind
from storage.rings.document import ACCOUNT, CONTAINER, OBJECT
from tests.sim.shape import PART_POWER
from tests.sim.world import DeviceHost, World

LOG_LIMIT = 6 << 20  # bytes of a device's log in the end: segments of 1 MiB, mostly live ones
_RING_OF = {DatabaseKind.CONTAINER: CONTAINER, DatabaseKind.ACCOUNT: ACCOUNT}
_LIMIT = 100_000


def lost_objects(devices: Iterable[DeviceHost]) -> set[bytes]:
    """Return the keys of objects whose newest version is lost, and said to be.

    It came to one device only, and rotted there: nobody was promised it, and nobody can copy it. Its row stays.
    """
    return {key for device in devices if device.ready for key, _timestamp in _of(device)._heal._lost}


class Convergence:
    """Looks at all devices of a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def reached(self, limit_s: float) -> list[str]:
        """Wait until all is well, or for so long; return what is not."""
        deadline = self._world.loop.time() + limit_s
        while True:
            wrong = await self.look()
            if not wrong or self._world.loop.time() > deadline:
                return wrong
            await asyncio.sleep(1.0)

    async def look(self) -> list[str]:
        """Return what is wrong now."""
        world = self._world
        document = world.rings().document()
        if not document.settled:
            return [f"a change of the rings is still under way: {document.stage.value}, version {document.version}"]
        rings = world.rings().rings_of(document).current
        devices = [device for device in world.devices if device.ready]
        if missing := world.in_ring - {device.id for device in devices}:
            return [f"devices {sorted(missing)} are not up"]
        wrong = self._objects(rings[OBJECT], devices)
        for kind, name in _RING_OF.items():
            wrong += await self._databases(kind, rings[name], devices)
        for device in devices:
            wrong += self._space(device)
        return wrong

    def _objects(self, ring: Ring, devices: list[DeviceHost]) -> list[str]:
        held: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
        for device in devices:
            for key, timestamp, deleted in _of(device)._blobs.versions(b"", None, _LIMIT):
                held.setdefault(key, {})[device.id] = (timestamp, deleted)
        lost = lost_objects(devices)
        wrong = _unequal("object", ring, {key: found for key, found in held.items() if key not in lost})
        for partition in set(range(1 << PART_POWER)) - {partition_of(key, PART_POWER) for key in lost}:
            digests = {
                device.id: _of(device)._blobs.digests(PART_POWER, [partition])[0]
                for device in devices
                if device.id in _primaries(ring, partition)
            }
            if len(set(digests.values())) > 1:
                wrong.append(f"digests of partition {partition} differ: {_shown(digests)}")
        return wrong

    async def _databases(self, kind: DatabaseKind, ring: Ring, devices: list[DeviceHost]) -> list[str]:
        held: dict[bytes, dict[int, bytes]] = {}
        for device in devices:
            found = await self._as(device, _of(device)._indexes.inventory(kind, b"", None, _LIMIT))
            for key, digest in found:
                held.setdefault(key, {})[device.id] = digest
        return _unequal(kind.name.lower(), ring, held)

    async def _as(self, device: DeviceHost, work: Coroutine[Any, Any, Any]) -> Any:
        assert device.process is not None
        return await device.process.spawn(work)

    def _space(self, device: DeviceHost) -> list[str]:
        """Return what takes space and should not."""
        blobs = _of(device)._blobs
        wrong = []
        names = device.storage.names
        files = sum("/blobs/files/" in path for path in names)
        values = blobs.index.dump()["entries"].values()
        wanted = len({entries.data_id_of(value) for value in values} - {b""})
        if files != wanted:
            wrong.append(f"{device.name} has {files} files, and {wanted} versions that are kept in files")
        if count := blobs.index.unlisted_count:
            wrong.append(f"{device.name} has {count} versions whose rows nobody has confirmed")
        if count := len(blobs._uploads):
            wrong.append(f"{device.name} has {count} uploads")
        temporary = [path for path in names if "/tmp/" in path or path.endswith(".new")]
        if temporary:
            wrong.append(f"{device.name} has {temporary}")
        size = sum(len(file.data) for path, file in names.items() if "/log/" in path)  # not what is set aside
        if size > LOG_LIMIT:
            wrong.append(f"{device.name} has a log of {size >> 20} MiB")
        return wrong


def _of(device: DeviceHost) -> Any:
    assert device.device is not None
    return device.device


def _primaries(ring: Ring, partition: int) -> set[int]:
    return {device.id for device in ring.primaries(partition)}


def _unequal(what: str, ring: Ring, held: dict[bytes, dict[int, Any]]) -> list[str]:
    wrong = []
    for key, by_device in held.items():
        partition = partition_of(key, PART_POWER)
        primaries = _primaries(ring, partition)
        if strangers := sorted(by_device.keys() - primaries):
            wrong.append(f"{what} {key.hex()[:8]} of partition {partition} is on {strangers}, which do not hold it")
        values = {device: by_device.get(device) for device in sorted(primaries)}
        if len(set(values.values())) > 1:
            wrong.append(f"{what} {key.hex()[:8]} of partition {partition} differs: {_shown(values)}")
    return wrong


def _shown(values: dict[int, Any]) -> str:
    return ", ".join(f"{device}: {_short(value)}" for device, value in sorted(values.items()))


def _short(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()[:24]
    if isinstance(value, tuple):
        return f"{value[0].hex()[:24]}{' deleted' * value[1]}"
    return str(value)


