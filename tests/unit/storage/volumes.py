"""Volumes over a loopback cluster, for tests of what devices do with their chunks behind a writer's back."""

import asyncio
import os
import random
from collections.abc import Sequence

from blockgw.errors import VolumeError
from blockgw.extents import CHUNK
from blockgw.lease import Tenure
from blockgw.tenancy import fence
from blockgw.volumes.devices import DevicePlacing
from blockgw.volumes.volume import OpenVolume
from storage.chunks.table import number_and_layer
from storage.client import Placement
from storage.housekeeping.replicate_chunks import ReplicateChunks
from storage.messages import ChunkListed
from tests.loopback import LoopbackCluster, LoopbackDevice

FAMILY = bytes(range(16))
KiB = 1 << 10
BLOCK = 4 * KiB


async def opened(
    cluster: LoopbackCluster, epoch: int, chain: Sequence[int] = (1,), placement: Placement | None = None
) -> OpenVolume:
    """Open a volume as a gateway does that has just been given this epoch."""
    placement = placement or cluster.placement(f"gateway {epoch}")
    placing = DevicePlacing(placement, FAMILY, epoch)
    await fence(placement, placing, chain[0], epoch)
    return OpenVolume(chain, Tenure(epoch, float("inf")), False, placing)


async def read(volume: OpenVolume, offset: int, length: int) -> bytes:
    """Return what a volume holds."""
    return b"".join([bytes(piece) for piece in await volume.read(offset, length)])  # a number is as many zeros


def kill(volume: OpenVolume) -> None:
    """End a gateway without its leaving."""
    volume.lose(VolumeError("killed"))


def chunks(device: LoopbackDevice) -> dict[tuple[bytes, int, int], tuple[int, int]]:
    """Return the versions of all chunks that a device has, by family, number and layer."""
    store = device.chunks
    places = [(family, *number_and_layer(place)) for family, own in store.table._families.items() for place in own]
    assert device.service.chunks is not None
    upkeep = device.service.chunks.upkeep
    return {place: upkeep.version(*place) for place in places}


def comparison(cluster: LoopbackCluster, device: LoopbackDevice, grace_s: float = 0.0) -> ReplicateChunks:
    """Return the task of a device that compares its chunks with others'."""
    placement = device.placement
    assert device.service.chunks is not None
    return ReplicateChunks(
        device.service.chunks.upkeep,
        cluster.names,
        lambda: placement.rings,
        device.id,
        placement.peers,
        3600.0,
        grace_s=grace_s,
    )


class Load:
    """Writes blocks of some chunks at random, one after the other, and knows what they hold."""

    def __init__(self, volume: OpenVolume, chunk_count: int = 6, seed: int = 1) -> None:
        self.volume = volume
        self._chance = random.Random(seed)
        self._chunk_count = chunk_count
        self.blocks: dict[int, bytes] = {}  # offset -> what was acknowledged last
        self.count = 0
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    def start(self) -> None:
        """Begin to write, until `stop`."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End after the write that is under way."""
        task, self._task = self._task, None
        assert task is not None
        await task

    async def _run(self) -> None:
        while True:
            await self.some(4)
            if self._task is None:
                return

    async def some(self, count: int) -> None:
        """Write that many blocks at once; flush now and then; read one back."""
        async with self._turn:  # of two at once nobody knows which block is there in the end
            offsets = {
                self._chance.randrange(self._chunk_count) * CHUNK + self._chance.randrange(16) * BLOCK
                for _ in range(count)
            }
            data = {offset: os.urandom(BLOCK) for offset in offsets}
            await asyncio.gather(*(self.volume.write(offset, memoryview(block)) for offset, block in data.items()))
            self.blocks |= data
            self.count += len(data)
            if self._chance.random() < 0.2:
                await self.volume.flush()
            offset = self._chance.choice(list(self.blocks))
            assert await read(self.volume, offset, BLOCK) == self.blocks[offset]

    async def check(self, volume: OpenVolume | None = None) -> None:
        """Read everything back."""
        for offset, block in self.blocks.items():
            assert await read(volume or self.volume, offset, BLOCK) == block, f"block at {offset:#x}"


def listed(place: tuple[bytes, int, int], version: tuple[int, int]) -> ChunkListed:
    """Return a chunk as devices list it."""
    return ChunkListed(*place, version)
