"""What operators ask of a gateway: groups of snapshots, the trash, limits, what was written to since a snapshot."""

import asyncio
import time
from typing import Any

import pytest

from blockgw.catalog.errors import InvalidRequest, NoSuchVolume, SnapshotInUse
from blockgw.catalog.volume import Volume
from blockgw.errors import VolumeError
from blockgw.extents import CHUNK
from blockgw.gateway import Gateway
from blockgw.holding import Opened
from blockgw.interfaces import Export
from blockgw.nbd.contexts import DIRTY, DIRTY_SINCE
from tests.loopback import LoopbackCluster
from tests.unit.blockgw.gateways import CLIENT, MiB, gateways, on_three_devices, read

BLOCK = memoryview(b"1" * 4096)


@on_three_devices
async def test_a_group_is_kept_at_one_moment(cluster: LoopbackCluster) -> None:
    """A writer goes from one volume to the other: no snapshot has a write without those before it."""
    async with gateways(cluster) as (gateway,):
        for name in ("log", "data"):
            await gateway.create(name, 8 * MiB)
        log, data = await gateway.open("log", CLIENT), await gateway.open("data", CLIENT)
        written = 0

        async def write() -> None:
            nonlocal written
            while True:
                number = (written + 1).to_bytes(8, "big")
                await log.write(0, memoryview(number), False)
                await data.write(0, memoryview(number), False)
                written += 1

        writer = asyncio.create_task(write())
        for snapshot in ("one", "two", "three"):
            before = written
            while written < before + 5:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            await gateway.snapshot_together(["log", "data"], snapshot)
            in_log, in_data = await number_at(gateway, f"log@{snapshot}"), await number_at(gateway, f"data@{snapshot}")
            assert before < in_data <= in_log <= in_data + 1
        writer.cancel()


async def number_at(gateway: Gateway, name: str) -> int:
    export = await gateway.open(name, CLIENT)
    return int.from_bytes(await read(export, 0, 8), "big")


@on_three_devices
async def test_none_of_a_group_is_kept_when_one_cannot_be(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        for name in ("log", "data"):
            await gateway.create(name, 8 * MiB)
        await gateway.snapshot("data", "monday")
        with pytest.raises(InvalidRequest):
            await gateway.snapshot_together(["log", "data"], "monday")
        opened = gateway.held("data")
        assert opened is not None
        restless = asyncio.create_task(fails_to_rest(opened))
        with pytest.raises(VolumeError):
            await gateway.snapshot_together(["log", "data"], "tuesday")
        await restless
        assert (await find(gateway, "log")).snapshots == ()


@on_three_devices
async def test_a_volume_that_is_named_twice_is_kept_once(cluster: LoopbackCluster) -> None:
    """It does not wait for itself, with its clients behind it."""
    async with gateways(cluster) as (gateway,):
        for name in ("log", "data"):
            await gateway.create(name, 8 * MiB)
        async with asyncio.timeout(20):
            kept = await gateway.snapshot_together(["log", "data", "log"], "monday")
        assert [each.name for each in kept] == ["log", "data"]
        assert [len((await find(gateway, name)).snapshots) for name in ("log", "data")] == [1, 1]


async def fails_to_rest(opened: Opened) -> None:
    async def commit() -> tuple[int, ...]:
        await asyncio.sleep(0.2)
        opened.volume.lose(VolumeError("its lease is lost"))
        return opened.volume.chain

    await opened.volume.switch(commit)


async def find(gateway: Gateway, name: str) -> Volume:
    return await gateway.catalog(lambda catalog: catalog.find(name))


@on_three_devices
async def test_the_trash_is_emptied_when_the_time_has_come(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        for name in ("kept", "old", "parent"):
            await gateway.create(name, 8 * MiB)
            for snapshot in ("sunday", "monday"):
                await gateway.snapshot(name, snapshot)
        await gateway.clone("parent", "monday", "child")
        await gateway.trash("kept")
        await gateway.trash("old", 0.05)
        await gateway.trash("parent", 0.05)
        await asyncio.sleep(0.1)
        await gateway.upkeep.step()
        names = {each.name: each.state.value for each in await gateway.catalog(lambda catalog: catalog.all())}
        assert names == {"kept": "trashed", "parent": "trashed", "child": "available"}
        with pytest.raises(SnapshotInUse):
            await gateway.purge("parent")
        left = [snapshot.name for snapshot in (await gateway.restore("parent")).snapshots]
        assert left == ["sunday", "monday"], "what a clone reads is still there, and what it does not read is, too"
        await gateway.purge("kept")
        with pytest.raises(NoSuchVolume):
            await find(gateway, "kept")


@on_three_devices
async def test_what_was_taken_out_of_the_trash_is_not_purged(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 8 * MiB)
        await gateway.trash("disk", 0.01)
        await gateway.restore("disk")
        await asyncio.sleep(0.05)
        await gateway.upkeep.step()
        assert (await find(gateway, "disk")).purge_us == 0


@on_three_devices
async def test_limits_hold_at_once_for_clients_that_are_there(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 8 * MiB)
        export = await gateway.open("disk", CLIENT)
        await export.write(0, BLOCK, False)
        for wanted in ({"iops": -1}, {"burst_s": 0.0}):
            with pytest.raises(InvalidRequest):
                await gateway.limit("disk", wanted)
        await gateway.limit("disk", {"write_iops": 50, "burst_s": 0.1})
        assert await timed(export, 25) >= 0.35
        await gateway.limit("disk", {"write_iops": 0})
        assert (await find(gateway, "disk")).limits.rates == (0,) * 6
        opened = gateway.held("disk")
        assert opened is not None
        assert opened.export is export
        assert opened.export.throttle is None
        assert await read(export, 0, 4096) == bytes(BLOCK)


async def timed(export: Export, count: int) -> float:
    began_s = time.monotonic()
    writes: list[Any] = [export.write(4096 * number, BLOCK, False) for number in range(count)]
    await asyncio.gather(*writes)
    return time.monotonic() - began_s


@on_three_devices
async def test_clients_see_what_was_written_to_since_a_snapshot(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 40 * MiB)
        export = await gateway.open("disk", CLIENT)
        await export.write(0, BLOCK, False)
        await gateway.snapshot("disk", "monday")
        await export.write(2 * CHUNK + 5, BLOCK, False)
        await export.write(3 * CHUNK, BLOCK, False)
        await gateway.snapshot("disk", "tuesday")
        await export.write(7 * CHUNK, BLOCK, False)
        since = DIRTY_SINCE + "monday"
        assert since in export.contexts
        assert list(await export.block_status(since, 0, 40 * MiB)) == [
            (2 * CHUNK, 0), (2 * CHUNK, DIRTY), (3 * CHUNK, 0), (CHUNK, DIRTY), (2 * CHUNK, 0)
        ]
        assert list(await export.block_status(since, 3 * CHUNK + 100, CHUNK)) == [(CHUNK - 100, DIRTY), (100, 0)]
        snapshot = await gateway.open("disk@tuesday", CLIENT)
        assert list(await snapshot.block_status(since, 0, 40 * MiB)) == [
            (2 * CHUNK, 0), (2 * CHUNK, DIRTY), (6 * CHUNK, 0)
        ]
        assert list(await export.block_status(DIRTY_SINCE + "tuesday", 6 * CHUNK, CHUNK)) == [(CHUNK, 0)]
        with pytest.raises(VolumeError):
            await export.block_status(DIRTY_SINCE + "sunday", 0, CHUNK)
