"""blockgw.inventory: what enough devices list is all that was acknowledged."""

import asyncio
from collections.abc import Sequence

import pytest

from blockgw import inventory as module
from blockgw.errors import VolumeError
from blockgw.extents import CHUNK
from blockgw.gateway import Gateway
from blockgw.inventory import Inventory, between
from tests.loopback import LoopbackCluster
from tests.unit.blockgw.gateways import CLIENT, MiB, gateways, on_three_devices

BLOCK = memoryview(b"1" * 4096)


async def changed(gateway: Gateway, snapshot: str | None = None, since: str | None = None) -> list[int]:
    return [number async for page in gateway.changed("disk", snapshot, since) for number in page]


def test_chains_differ_by_the_layers_that_one_of_them_has() -> None:
    assert between((5, 3, 1), (3, 1)) == [5]
    assert between((7, 3, 1), (5, 3, 1)) == [7, 5], "rolled back since"
    assert between((3, 1), (3, 1)) == []
    assert between((3, 1), None) == [3, 1]


@on_three_devices
async def test_what_changed_since_a_snapshot_is_what_was_written_since(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 40 * MiB)
        export = await gateway.open("disk", CLIENT)
        for chunk in (0, 4, 9):
            await export.write(chunk * CHUNK, BLOCK, False)
        await gateway.snapshot("disk", "monday")
        assert await changed(gateway, None, "monday") == []
        await export.write(4 * CHUNK, BLOCK, False)
        await export.trim(9 * CHUNK, CHUNK, False)
        await gateway.snapshot("disk", "tuesday")
        await export.write(7 * CHUNK, BLOCK, False)
        assert await changed(gateway, "tuesday", "monday") == [4, 9]
        assert await changed(gateway, "monday", "tuesday") == [4, 9]
        assert await changed(gateway, None, "monday") == [4, 7, 9]
        assert await changed(gateway, "monday") == [0, 4, 9]
        assert await changed(gateway) == [0, 4, 7, 9]


@on_three_devices
async def test_after_a_rollback_what_was_given_up_is_changed_too(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 40 * MiB)
        await gateway.snapshot("disk", "monday")
        export = await gateway.open("disk", CLIENT)
        await export.write(4 * CHUNK, BLOCK, False)
        await gateway.snapshot("disk", "tuesday")
        gateway.release(export)
        await gateway.rollback("disk", "monday")
        assert await changed(gateway, None, "tuesday") == [4]
        assert await changed(gateway, None, "monday") == []


@on_three_devices
async def test_pages_are_in_order_and_whole_whatever_their_size(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 64 * MiB)
        export = await gateway.open("disk", CLIENT)
        below, above = (0, 1, 2, 3, 5, 8, 13), (1, 2, 7, 14)
        for chunk in below:
            await export.write(chunk * CHUNK, BLOCK, False)
        await gateway.snapshot("disk", "monday")
        for chunk in above:
            await export.write(chunk * CHUNK, BLOCK, False)
        about = await gateway.catalog(lambda catalog: catalog.find("disk"))
        inventory = Inventory(gateway.placement, bytes.fromhex(about.family))
        for page in (1, 2, 3, 100):
            rows = [row async for rows in inventory.pages(about.chain, 0, page) for row in rows]
            assert [row.number for row in rows] == sorted({*below, *above})
            assert [row.number for row in rows if about.chain[0] in row.layers] == list(above)
            assert [row.number for row in rows if about.chain[1] in row.layers] == list(below)
        late = [row.number async for rows in inventory.pages(about.chain, 6, 2) for row in rows]
        assert late == [7, 8, 13, 14]


@on_three_devices
async def test_one_device_may_be_away_and_two_may_not(
    cluster: LoopbackCluster,
) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 40 * MiB)
        export = await gateway.open("disk", CLIENT)
        with cluster.without(cluster.devices[0]):
            await export.write(3 * CHUNK, BLOCK, False)
        with cluster.without(cluster.devices[1]):
            assert await changed(gateway) == [3]
            with cluster.without(cluster.devices[2]):
                await _fails(gateway)


async def _fails(gateway: Gateway) -> None:
    module_patience, module.PATIENCE_S = module.PATIENCE_S, 0.3
    try:
        with pytest.raises(VolumeError, match="too few devices"):
            await changed(gateway)
    finally:
        module.PATIENCE_S = module_patience


@on_three_devices
async def test_a_device_that_does_not_vote_is_not_believed(cluster: LoopbackCluster) -> None:
    """It may have lost what it should list."""
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 40 * MiB)
        export = await gateway.open("disk", CLIENT)
        await export.write(3 * CHUNK, BLOCK, False)
        for device in cluster.devices[:2]:
            device.service.votes.restrict()
        asked: asyncio.Task[Sequence[int]] = asyncio.create_task(changed(gateway))
        await asyncio.sleep(0.5)
        assert not asked.done(), "one device that votes is no quorum"
        cluster.devices[0].service.votes.allow_all()
        assert await asked == [3]
