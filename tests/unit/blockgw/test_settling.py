"""blockgw.settling: a snapshot reads the same whichever replicas are there, also of a volume whose gateway has died."""

import pytest

from blockgw.gateway import Gateway
from blockgw.interfaces import Export
from storage.messages import ChunkWrite, Operation
from tests.loopback import LoopbackCluster, LoopbackPeer
from tests.unit.blockgw.gateways import CLIENT, MiB, gateways, on_three_devices, read

OLD, LEFT, NEW = b"1" * 512, b"2" * 512, b"3" * 512


async def left_behind(gateway: Gateway, cluster: LoopbackCluster) -> Export:
    """Have a gateway write a block, flush, and die with a write of it on the last device only."""
    await gateway.create("disk", 8 * MiB)
    export = await gateway.open("disk", CLIENT)
    await export.write(0, memoryview(OLD), False)
    await export.flush()
    opened = gateway._open["disk"]
    family, layer = bytes.fromhex(opened.about.family), opened.volume.layer
    epoch, sequence = opened.volume.chunk(0).version
    write = ChunkWrite(family, 0, layer, None, epoch, sequence + 1, (epoch, sequence), ((0, 512),), 0)
    await LoopbackPeer(cluster, 2, "gateway").call(Operation.CHUNK_WRITE, write, LEFT)
    opened.keeper.cancel()
    await gateway._coordinate(lambda coordination: coordination.release(opened.lease))
    return export


@on_three_devices
async def test_a_snapshot_does_not_change_when_a_device_comes_back(cluster: LoopbackCluster) -> None:
    async with gateways(cluster, 2) as (first, second):
        await left_behind(first, cluster)
        await second.snapshot("disk", "monday")
        with cluster.without(cluster.devices[2]):
            before = await read(await second.open("disk@monday", CLIENT), 0, 512)
        assert await read(await second.open("disk@monday", CLIENT), 0, 512) == before
        assert second._open["disk"].volume.settled


@on_three_devices
async def test_what_is_on_a_device_that_is_away_is_not_found_later(cluster: LoopbackCluster) -> None:
    async with gateways(cluster, 2) as (first, second):
        await left_behind(first, cluster)
        with cluster.without(cluster.devices[2]):
            await second.snapshot("disk", "monday")
            assert not second._open["disk"].volume.settled, "it may have chunks that nobody else has"
        assert await read(await second.open("disk@monday", CLIENT), 0, 512) == OLD


@on_three_devices
async def test_what_was_closed_in_order_is_frozen_as_it_is(
    cluster: LoopbackCluster,
) -> None:
    async with gateways(cluster, 2) as (first, second):
        await first.create("disk", 8 * MiB)
        export = await first.open("disk", CLIENT)
        await export.write(0, memoryview(NEW), False)
        first.release(export)
        await first.give_away("disk")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("blockgw.settling.Inventory", None)
            await second.snapshot("disk", "monday")
        assert await read(await second.open("disk@monday", CLIENT), 0, 512) == NEW
