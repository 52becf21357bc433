"""blockgw.wide: a discard of a huge sparse volume asks for what is there, and no more."""

import asyncio

import pytest

from blockgw import wide as module
from blockgw.extents import CHUNK
from blockgw.gateway import Gateway
from blockgw.interfaces import Export
from tests.loopback import LoopbackCluster
from tests.unit.blockgw.gateways import CLIENT, MiB, gateways, on_three_devices, read

TiB = 1 << 40
BLOCK = memoryview(b"1" * 4096)


async def written(gateway: Gateway, size: int, chunks: tuple[int, ...]) -> Export:
    await gateway.create("disk", size)
    export = await gateway.open("disk", CLIENT)
    for chunk in chunks:
        await export.write(chunk * CHUNK, BLOCK, False)
    return export


@on_three_devices
async def test_chunks_that_are_not_there_need_no_message(cluster: LoopbackCluster) -> None:
    chunks = (0, 5000, 5001, 262_143)
    async with gateways(cluster) as (gateway,):
        export = await written(gateway, TiB, chunks)
        await gateway.snapshot("disk", "monday")
        await export.write(70 * CHUNK, BLOCK, False)
        async with asyncio.timeout(5):
            await export.trim(0, TiB, False)
        opened = gateway.held("disk")
        assert opened is not None
        assert len(opened.volume._chunks) == len(chunks) + 1
        for chunk in (*chunks, 70):
            assert await read(export, chunk * CHUNK, 4096) == bytes(4096)
        snapshot = await gateway.open("disk@monday", CLIENT)
        for chunk in chunks:
            assert await read(snapshot, chunk * CHUNK, 4096) == BLOCK


@on_three_devices
async def test_to_cut_off_what_is_not_there_needs_no_message(cluster: LoopbackCluster) -> None:
    """Whoever asks for it waits for two minutes at most."""
    async with gateways(cluster) as (gateway,):
        gateway.release(await written(gateway, TiB, (0, 5, 5000, 262_143)))
        async with asyncio.timeout(10):
            await gateway.resize("disk", 5 * CHUNK + 512, True)
        await gateway.resize("disk", TiB, False)
        export = await gateway.open("disk", CLIENT)
        assert await read(export, 0, 4096) == BLOCK
        assert await read(export, 5 * CHUNK, 4096) == b"1" * 512 + bytes(3584)
        for chunk in (5000, 262_143):
            assert await read(export, chunk * CHUNK, 4096) == bytes(4096)


@on_three_devices
async def test_the_edges_of_a_range_are_kept_to(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        export = await written(gateway, 1024 * MiB, (3, 90, 91))
        await export.write_zeroes(3 * CHUNK + 1024, 88 * CHUNK, False, True, False)
        assert await read(export, 3 * CHUNK, 4096) == b"1" * 1024 + bytes(3072)
        assert await read(export, 90 * CHUNK, 4096) == bytes(4096)
        assert await read(export, 91 * CHUNK, 4096) == bytes(1024) + b"1" * 3072


@on_three_devices
async def test_while_a_device_is_away_each_chunk_is_looked_at(cluster: LoopbackCluster) -> None:
    """It may have what the last writer has left nowhere else."""
    async with gateways(cluster) as (gateway,):
        export = await written(gateway, 100 * CHUNK, (3, 90))
        opened = gateway.held("disk")
        assert opened is not None
        with cluster.without(cluster.devices[0]):
            await export.trim(0, 100 * CHUNK, False)
            assert len(opened.volume._chunks) == 100
            assert await read(export, 90 * CHUNK, 4096) == bytes(4096)


@on_three_devices
async def test_no_more_than_a_window_is_under_way(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        export = await written(gateway, 100 * CHUNK, tuple(range(100)))
        opened = gateway.held("disk")
        assert opened is not None
        zero, most, now = opened.volume.zero, 0, 0

        async def counted(offset: int, length: int, fua: bool, trim: bool) -> None:
            nonlocal most, now
            now += 1
            most = max(most, now)
            await zero(offset, length, fua, trim)
            now -= 1

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(opened.volume, "zero", counted)
            await export.trim(0, 100 * CHUNK, False)
        assert 1 < most <= module.WINDOW
        assert await read(export, 99 * CHUNK, 4096) == bytes(4096)
