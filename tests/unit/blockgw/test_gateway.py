"""blockgw.gateway: who may open what, and what operators may do meanwhile. On devices of a loopback cluster."""

import asyncio
from dataclasses import fields

import pytest

from blockgw import export as exporting
from blockgw import holders
from blockgw import openings as module
from blockgw.catalog.errors import InvalidRequest, SnapshotInUse, VolumeInUse
from blockgw.catalog.record import decode, encode
from blockgw.catalog.volume import Volume
from blockgw.errors import HeldElsewhere, NotAllowed, NotPermitted, UnknownExport, VolumeError
from blockgw.extents import CHUNK
from blockgw.interfaces import Client, Description
from blockgw.maintenance.garbage import sweep
from blockgw.maintenance.jobs import Job
from blockgw.maintenance.merge import merge
from blockgw.nbd.contexts import DIRTY, DIRTY_SINCE
from tests.loopback import LoopbackCluster
from tests.unit.blockgw.gateways import CLIENT, MiB, gateways, on_three_devices, read


@on_three_devices
async def test_all_connections_share_one_open_volume(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 8 * MiB, "of a guest")
        assert list(gateway.list(CLIENT)) == ["disk"]
        one, other = await gateway.open("disk", CLIENT), await gateway.open("disk", CLIENT)
        assert one is other
        assert (one.size, one.read_only, one.description) == (8 * MiB, False, "of a guest")
        await one.write(5, memoryview(b"hello"), False)
        await other.flush()
        assert await read(other, 0, 12) == bytes(5) + b"hello" + bytes(2)


@on_three_devices
async def test_what_is_not_there_is_not_opened(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        for name in ("disk", "disk@monday", "", "@", "a/b"):
            for asked in (gateway.open, gateway.describe):
                with pytest.raises(UnknownExport):
                    await asked(name, CLIENT)
        assert len(gateway._locks) == 0, "nothing is remembered of what strangers ask for"


@on_three_devices
async def test_two_gateways_do_not_have_a_volume_at_the_same_time(cluster: LoopbackCluster) -> None:
    async with gateways(cluster, 2) as (first, second):
        await first.create("disk", 8 * MiB)
        export = await first.open("disk", CLIENT)
        await export.write(0, memoryview(b"1" * 512), False)
        with pytest.raises(VolumeError, match="another gateway"):
            await second.open("disk", CLIENT)
        assert (await second.describe("disk", CLIENT)).size == 8 * MiB
        assert not first._open["disk"].volume.is_lost
        await first.close()
        taken = await second.open("disk", CLIENT)
        assert await read(taken, 0, 512) == b"1" * 512


@on_three_devices
async def test_who_lost_the_lease_hangs_up_and_writes_nothing(cluster: LoopbackCluster) -> None:
    async with gateways(cluster, 2) as (first, second):
        away: list[str] = []

        async def send_away(name: str, _deadline_s: float) -> None:
            away.append(name)

        first.send_away = send_away
        await first.create("disk", 8 * MiB)
        export = await first.open("disk", CLIENT)
        await export.write(0, memoryview(b"1" * 512), False)
        opened = first._open["disk"]
        opened.keeper.cancel()
        await first._coordinate(lambda coordination: coordination.release(opened.lease))  # as if its time were over
        taken = await second.open("disk", CLIENT)
        with pytest.raises(VolumeError):
            await export.write(0, memoryview(b"2" * 512), False)
        assert await read(taken, 0, 512) == b"1" * 512
        async with asyncio.timeout(5):
            while not away:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (away, first._open) == (["disk"], {})


@on_three_devices
async def test_who_is_dismissed_comes_to_no_gateway_any_more(cluster: LoopbackCluster) -> None:
    async with gateways(cluster, 2) as (first, second):
        cut: list[tuple[str, str]] = []

        async def cut_off(name: str, holder: str, _deadline_s: float) -> None:
            with pytest.raises(NotAllowed):  # or it would be back at once
                await first.describe(name, Client("", holder=holder))
            cut.append((name, holder))

        first.cut_off = cut_off
        await first.create("disk", 8 * MiB)
        lost, kept = Client("10.0.0.1", holder="lost"), Client("10.0.0.1", holder="kept")
        for client in (lost, kept):
            await first.open("disk", client)
        with pytest.raises(HeldElsewhere):
            await second.dismiss("disk", "lost")
        await first.dismiss("disk", "lost")
        await first.dismiss("disk", "lost")
        await first.snapshot("disk", "monday")
        for asked in (first.open, first.describe, second.describe):
            for name in ("disk", "disk@monday"):
                with pytest.raises(NotAllowed):
                    await asked(name, lost)
        for client in (kept, CLIENT):
            assert await first.open("disk", client)
        assert cut == [("disk", "lost")] * 2
        await first.close()
        with pytest.raises(NotAllowed):
            await second.open("disk", lost)
        assert await second.open("disk", kept)


@on_three_devices
async def test_somebody_is_dismissed_from_what_is_in_the_trash(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 8 * MiB)
        await gateway.trash("disk")
        assert (await gateway.dismiss("disk", "lost")).dismissed == ("lost",)
        await gateway.restore("disk")
        with pytest.raises(NotAllowed):
            await gateway.open("disk", Client("", holder="lost"))
        assert await gateway.open("disk", CLIENT)


def test_the_last_who_were_dismissed_are_remembered() -> None:
    volume = Volume("0" * 32, "disk", 512, "0" * 32, (1,), 1)
    for number in range(holders.REMEMBERED + 1):
        volume = holders.without(volume, str(number))
    assert volume.dismissed == tuple(map(str, range(1, holders.REMEMBERED + 1)))
    assert decode(encode(volume)) == volume
    for holder in ("", "a~b", "a@b", "a" * 65):
        with pytest.raises(InvalidRequest):
            holders.without(volume, holder)


@on_three_devices
async def test_after_the_last_client_a_volume_is_closed_in_order(
    cluster: LoopbackCluster,
) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 8 * MiB)
        export = await gateway.open("disk", CLIENT)
        assert not (await gateway.catalog(lambda catalog: catalog.find("disk"))).settled
        await export.write(0, memoryview(b"1" * 512), False)
        gateway.release(export)
        async with asyncio.timeout(module.LINGER_S + 5):
            while gateway._open:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (await gateway.catalog(lambda catalog: catalog.find("disk"))).settled


@on_three_devices
async def test_snapshots_of_an_open_volume_are_exact_and_read_only(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 8 * MiB)
        export = await gateway.open("disk", CLIENT)
        await export.write(CHUNK - 512, memoryview(b"1" * 1024), False)
        await gateway.snapshot("disk", "monday")
        await export.write(CHUNK, memoryview(b"2" * 512), False)
        snapshot = await gateway.open("disk@monday", CLIENT)
        assert snapshot.read_only
        assert await read(snapshot, CHUNK - 512, 1024) == b"1" * 1024
        assert await read(export, CHUNK - 512, 1024) == b"1" * 512 + b"2" * 512
        with pytest.raises(NotPermitted):
            await snapshot.write(0, memoryview(b"x"), False)
        with pytest.raises(NotPermitted):
            await snapshot.trim(0, 512, False)
        with pytest.raises(NotPermitted):
            await snapshot.write_zeroes(0, 512, False, True, False)
        await gateway.clone("disk", "monday", "copy")
        clone = await gateway.open("copy", CLIENT)
        await clone.write(0, memoryview(b"3" * 512), False)
        assert await read(clone, CHUNK, 512) == b"1" * 512
        assert await read(snapshot, 0, 512) == bytes(512)
        with pytest.raises(SnapshotInUse):
            await gateway.delete_snapshot("disk", "monday")


@on_three_devices
async def test_what_is_told_of_a_volume_is_what_is_found_when_it_is_opened(cluster: LoopbackCluster) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LINGER_S", 0.05)
        await descriptions_are_compared(cluster)


async def descriptions_are_compared(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 8 * MiB, "of a guest")
        await gateway.create("secrets", 4 * MiB, encrypted=True)
        await gateway.snapshot("disk", "monday")
        await gateway.resize("disk", 16 * MiB, may_shrink=False)
        await asyncio.sleep(0.3)
        for name in ("disk", "secrets", "disk@monday"):
            told = await gateway.describe(name, CLIENT)
            assert gateway.open_count == 0, "to look at it takes no lease"
            export = await gateway.open(name, CLIENT)
            found = [getattr(export, field.name) for field in fields(Description)]
            assert [getattr(told, field.name) for field in fields(Description)] == found
            gateway.release(export)
            await asyncio.sleep(0.3)
        await gateway.trash("secrets")
        with pytest.raises(UnknownExport):
            await gateway.describe("secrets", CLIENT)


@on_three_devices
async def test_a_snapshot_that_is_deleted_while_it_is_read_is_an_error_not_zeros(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 16 * MiB)
        export = await gateway.open("disk", CLIENT)
        for number in range(2):
            await export.write(number * CHUNK, memoryview(b"1" * 512), False)
        await gateway.snapshot("disk", "monday")
        snapshot = await gateway.open("disk@monday", CLIENT)
        assert await read(snapshot, 0, 512) == b"1" * 512
        await gateway.delete_snapshot("disk", "monday")
        await merge(gateway, "disk", Job("merge", "disk", 0))
        assert await sweep(gateway) == 1
        with pytest.raises(VolumeError):
            await read(snapshot, CHUNK, 512)
        with pytest.raises(VolumeError):
            await read(snapshot, 0, 512)
        assert await read(export, CHUNK, 512) == b"1" * 512


@on_three_devices
async def test_what_is_open_is_not_deleted_or_rolled_back_from_under_its_clients(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 8 * MiB)
        await gateway.snapshot("disk", "monday")
        export = await gateway.open("disk", CLIENT)
        for change in (gateway.delete("disk"), gateway.trash("disk"), gateway.rollback("disk", "monday")):
            with pytest.raises(VolumeInUse):
                await change
        gateway.release(export)
        await gateway.trash("disk")
        with pytest.raises(UnknownExport, match="trashed"):
            await gateway.open("disk", CLIENT)
        await gateway.restore("disk")
        with pytest.raises(SnapshotInUse):
            await gateway.delete("disk")
        await gateway.delete_snapshot("disk", "monday")
        await gateway.delete("disk")
        assert list(gateway.list(CLIENT)) == []


@on_three_devices
async def test_what_is_deleted_gives_its_space_back_but_not_what_clones_read(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("golden", 8 * MiB)
        export = await gateway.open("golden", CLIENT)
        await export.write(0, memoryview(b"1" * 4096), False)
        await gateway.snapshot("golden", "v1")
        await gateway.clone("golden", "v1", "copy")
        clone = await gateway.open("copy", CLIENT)
        await clone.write(CHUNK, memoryview(b"2" * 4096), False)
        gateway.release(clone)
        await gateway.delete("copy")
        assert await read(export, 0, 4096) == b"1" * 4096
        assert await read(await gateway.open("golden@v1", CLIENT), 0, 4096) == b"1" * 4096


@on_three_devices
async def test_what_was_cut_off_is_zeros_when_a_volume_grows_again(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 8 * MiB)
        export = await gateway.open("disk", CLIENT)
        await export.write(0, memoryview(b"1" * (8 * MiB)), False)
        gateway.release(export)
        with pytest.raises(InvalidRequest):
            await gateway.resize("disk", 6 * MiB, may_shrink=False)
        await gateway.resize("disk", 6 * MiB, may_shrink=True)
        await gateway.resize("disk", 8 * MiB, may_shrink=False)
        again = await gateway.open("disk", CLIENT)
        assert again.size == 8 * MiB
        assert await read(again, 6 * MiB - 4, 8) == b"1" * 4 + bytes(4)
        assert await read(again, 8 * MiB - 4, 4) == bytes(4)


@on_three_devices
async def test_block_status_tells_data_from_holes(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 16 * MiB)
        export = await gateway.open("disk", CLIENT)
        await export.write(CHUNK + 64 * 1024, memoryview(b"1" * 65536), False)
        await export.flush()
        extents = await export.block_status("base:allocation", 0, 16 * MiB)
        assert sum(size for size, _flags in extents) == 16 * MiB
        assert extents[0] == (CHUNK + 64 * 1024, 3)
        assert extents[1][1] == 0
        assert 65536 <= extents[1][0] <= 2 * 65536


@on_three_devices
async def test_block_status_looks_at_so_much_at_a_time_however_much_it_is_asked_for(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 1 << 50)
        export = await gateway.open("disk", CLIENT)
        await gateway.snapshot("disk", "monday")
        for number in range(0, 64, 2):
            await export.write(number * 65536, memoryview(b"1" * 65536), False)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(exporting, "LOOK", 3 * CHUNK)
            found = await export.block_status("base:allocation", 0, 1 << 50)
            assert sum(size for size, _flags in found) == 3 * CHUNK
            patch.setattr(exporting, "EXTENTS_LIMIT", 4)
            found = await export.block_status("base:allocation", 0, 1 << 50)
            assert sum(size for size, _flags in found) == CHUNK
            await export.cache(0, 1 << 50)
        (dirty, clean) = await export.block_status(DIRTY_SINCE + "monday", 0, 1 << 50)
        assert (dirty, clean[1]) == ((CHUNK, DIRTY), 0)
