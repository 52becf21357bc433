"""blockgw.volumes: devices that have no room."""

import asyncio

import pytest

from blockgw.errors import OutOfSpace
from blockgw.extents import CHUNK
from blockgw.volumes.opening import PATIENCE_S
from tests.unit.blockgw.fake_replicas import Cluster
from tests.unit.blockgw.test_volume import block, content, simulated, written_to


def fill(cluster: Cluster, count: int) -> None:
    """Leave no room on so many devices, and room on the others."""
    for device in cluster.devices:
        device.full = device.number < count


def test_a_write_waits_for_room_and_is_not_sent_again_and_again() -> None:
    async def scenario() -> None:
        cluster, volume = await written_to()
        fill(cluster, 3)
        writing = asyncio.ensure_future(volume.write(0, memoryview(block(2))))
        await asyncio.sleep(10)
        assert not writing.done()
        assert 5 < max(device.refused_count for device in cluster.devices) < 25, "once a second, in the end"
        fill(cluster, 0)
        await asyncio.wait_for(writing, 3)
        assert await content(volume, 0) == block(2)
        await volume.close()

    simulated(scenario)


def test_a_chunk_is_read_while_a_write_to_it_waits_for_room() -> None:
    async def scenario() -> None:
        cluster, volume = await written_to()
        fill(cluster, 3)
        writing = asyncio.ensure_future(volume.write(0, memoryview(block(2))))
        await asyncio.sleep(10)
        for _ in range(10):
            before = asyncio.get_running_loop().time()
            assert await content(volume, 0) == block(1)
            assert asyncio.get_running_loop().time() - before < 0.2
            await asyncio.sleep(0.25)
        fill(cluster, 0)
        await writing

    simulated(scenario)


def test_who_waits_for_long_is_told_and_what_was_written_may_be_there_later() -> None:
    async def scenario() -> None:
        cluster, volume = await written_to()
        fill(cluster, 3)
        with pytest.raises(OutOfSpace):
            await asyncio.wait_for(volume.write(0, memoryview(block(2))), PATIENCE_S + 5)
        fill(cluster, 0)
        await asyncio.sleep(3)
        assert await content(volume, 0) == block(2)
        await volume.write(0, memoryview(block(3)))
        await volume.flush()
        assert await content(volume, 0) == block(3)
        await volume.close()

    simulated(scenario)


def test_a_chunk_that_nobody_has_touched_before_waits_the_same() -> None:
    async def scenario() -> None:
        cluster, volume = await written_to()
        fill(cluster, 3)
        with pytest.raises(OutOfSpace):
            await asyncio.wait_for(volume.write(CHUNK, memoryview(block(2))), PATIENCE_S + 5)
        assert max(device.refused_count for device in cluster.devices) < 50
        fill(cluster, 0)
        await volume.write(CHUNK, memoryview(block(3)))
        assert await content(volume, CHUNK) == block(3)

    simulated(scenario)


@pytest.mark.parametrize("count", [1, 2])
def test_as_long_as_one_device_has_room_writes_go_on(count: int) -> None:
    """The others copy the chunk from it: that takes no more room than they have for it."""

    async def scenario() -> None:
        cluster, volume = await written_to()
        fill(cluster, count)
        for number in range(2, 12):
            await asyncio.wait_for(volume.write(0, memoryview(block(number))), 1)
        fill(cluster, 0)
        await asyncio.sleep(5)
        await volume.flush()
        assert [device.cached[1, 0].blocks[0] for device in cluster.devices] == [block(11)] * 3

    simulated(scenario)
