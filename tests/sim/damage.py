"""What is lost or spoilt for good: a disk replaced by an empty one, bits turned over. On one device of a seed only."""

import asyncio
import random
from collections.abc import Callable

from storage.blobs import entry as entries
from storage.log.interface import offset_of, segment_of
from tests.sim.disk import File
from tests.sim.world import DeviceHost, World

_MARGIN = 64 << 10  # bytes at the end of a log where nobody can tell a flipped bit from a write cut short: some batches
_TARGETS = 12  # versions that are spoilt at a time


class Damage:
    """Spoils one device."""

    def __init__(self, world: World, chance: random.Random, note: Callable[[str], None]) -> None:
        self._world = world
        self._chance = chance
        self._note = note

    def _spoilt(self) -> DeviceHost:
        """Return the device whose data may be lost."""
        world = self._world
        if world.spoilt is None:
            world.spoilt = world.devices[self._chance.choice(sorted(world.in_ring))]
        return world.spoilt

    async def wipe(self) -> None:
        """Put an empty disk in place of the device's."""
        device = self._spoilt()
        self._note(f"disk replaced: {device.name}")
        device.kill()
        device.replace_disk()
        await asyncio.sleep(self._chance.choice([0.2, 2.0]))
        device.start()

    async def lose_witness(self) -> None:
        """Wipe one of those that know of the last writes, while another one of them is away, and a third knows nothing.

        Nobody but the second can tell then what was written: until it is back there is no quorum.
        """
        lost, chance, fabric = self._spoilt(), self._chance, self._world.fabric
        others = [number for number in sorted(self._world.in_ring) if number != lost.id]
        ignorant, away = (self._world.devices[number] for number in chance.sample(others, 2))
        self._note(f"{ignorant.name} is cut off; then {away.name} dies, and the disk of {lost.name} is replaced")
        for host in self._world.hosts:
            fabric.cut(host.name, ignorant.name)
            fabric.cut(ignorant.name, host.name)
        await asyncio.sleep(chance.choice([0.6, 1.5, 2.5]))
        away.kill(power_lost=chance.random() < 0.5)
        lost.kill()
        lost.replace_disk()
        lost.start()
        fabric.heal()
        await asyncio.sleep(chance.choice([1.5, 3.0]))
        away.start()

    async def flip(self) -> None:
        """Turn over bits anywhere in what has been stored for a while."""
        device = self._spoilt()
        self._note(f"bits turned over: {device.storage.flip(self._chance.choice([1, 5]))}")

    async def rot(self) -> None:
        """Turn over bits in versions that are in force: who reads them now would be served those."""
        device = self._spoilt()
        hit = [self._turn(file, start, end) for file, start, end in self._stored(device)]
        self._note(f"rot on {device.name}: {len(hit)} versions")

    def _stored(self, device: DeviceHost) -> list[tuple[File, int, int]]:
        """Return where some versions are: bytes [start, end) of files."""
        if device.device is None or not device.ready:
            return []
        blobs, log = device.device._blobs, device.device._log
        found: list[tuple[File, int, int]] = []
        for value in blobs.index.dump()["entries"].values():
            entry = entries.decode(value)
            start = offset_of(entry.position)
            end = start + entry.record_length
            near_end = segment_of(entry.position) == segment_of(log.end) and end > offset_of(log.end) - _MARGIN
            path = log._files.path(segment_of(entry.position))
            if data_id := entries.data_id_of(value):
                path, start, end, near_end = blobs._files.path(data_id), 0, entry.size, False
            file = device.storage.names.get(path)
            if file is not None and not near_end and end <= len(file.durable):
                found.append((file, start, end))
        return self._chance.sample(found, min(_TARGETS, len(found)))

    def _turn(self, file: File, start: int, end: int) -> int:
        offset = self._chance.randrange(start, end)
        file.data[offset] ^= 1 << self._chance.randrange(8)
        file.durable[offset] = file.data[offset]
        return offset
