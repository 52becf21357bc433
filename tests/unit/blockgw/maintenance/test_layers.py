"""blockgw.maintenance: flatten, merge and garbage change nothing that is read, and give back what nobody reads."""

import asyncio
import os
import random
from collections.abc import Callable, Collection

import pytest

from blockgw.catalog.errors import InvalidRequest, SnapshotInUse
from blockgw.errors import VolumeError
from blockgw.extents import CHUNK
from blockgw.gateway import Gateway
from blockgw.interfaces import Export
from blockgw.maintenance import claims
from blockgw.maintenance.garbage import sweep
from blockgw.maintenance.jobs import Job, JobState
from blockgw.maintenance.merge import merge
from blockgw.volumes.volume import OpenVolume
from tests.loopback import LoopbackCluster
from tests.unit.blockgw.gateways import CLIENT, MiB, gateways, on_three_devices, read

SIZE = 40 * MiB
BLOCK = 4096
# one block of each chunk: nothing else is ever written, or looked at
PLACES = [chunk * CHUNK + random.Random(chunk).randrange(CHUNK // BLOCK) * BLOCK for chunk in range(SIZE // CHUNK)]
KNOWN = len(PLACES) * BLOCK  # bytes of what is remembered of a volume: these blocks


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have chunks be brought up one by one, so that something can come between."""
    monkeypatch.setattr(claims, "WIDTH", 1)


async def fill(export: Export, content: bytearray, chunks: list[int]) -> None:
    """Write a block into each of these chunks, and remember it."""
    for chunk in chunks:
        block = os.urandom(BLOCK)
        content[chunk * BLOCK : (chunk + 1) * BLOCK] = block
        await export.write(PLACES[chunk], memoryview(block), False)


async def found(export: Export) -> bytes:
    return b"".join([await read(export, place, BLOCK) for place in PLACES])


async def whole(gateway: Gateway, name: str) -> bytes:
    export = await gateway.open(name, CLIENT)
    try:
        return await found(export)
    finally:
        gateway.release(export)


def layers_on(cluster: LoopbackCluster) -> set[int]:
    """Return the layers that any device has something of."""
    return {
        place & ((1 << 64) - 1)
        for device in cluster.devices
        for chunks in device.chunks.table._families.values()
        for place in chunks
    }


async def done(job: Job) -> None:
    assert job.task is not None
    async with asyncio.timeout(20):
        await job.task
    assert job.state is JobState.DONE, job.error


async def chain_of(gateway: Gateway, name: str) -> tuple[int, ...]:
    return (await gateway.catalog(lambda catalog: catalog.find(name))).chain


async def golden_and_guest(gateway: Gateway) -> tuple[bytes, bytearray, Export]:
    """Make a volume with two layers, and a clone that has written to some chunks; return both contents."""
    await gateway.create("golden", SIZE)
    content = bytearray(KNOWN)
    export = await gateway.open("golden", CLIENT)
    await fill(export, content, [0, 1, 2, 3])
    await gateway.snapshot("golden", "v0")
    await fill(export, content, [2, 3, 4])
    await gateway.snapshot("golden", "v1")
    await gateway.clone("golden", "v1", "guest")
    parents = bytes(content)
    guest = await gateway.open("guest", CLIENT)
    await fill(guest, content, [3, 6])
    return parents, content, guest


@on_three_devices
async def test_a_flattened_clone_reads_as_before_and_does_not_need_its_parent(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        _parents, content, guest = await golden_and_guest(gateway)
        await done(await gateway.flatten("guest"))
        about = await gateway.catalog(lambda catalog: catalog.find("guest"))
        assert (len(about.chain), about.parent, about.flattening) == (1, None, False)
        assert await found(guest) == content
        await gateway.delete_snapshot("golden", "v1")
        await gateway.delete_snapshot("golden", "v0")
        golden = gateway.held("golden")
        assert golden is not None
        golden.users = 0
        await gateway.delete("golden")
        assert layers_on(cluster) == {about.layer}
        assert await found(guest) == content
        with pytest.raises(InvalidRequest):
            await gateway.flatten("guest")


@on_three_devices
async def test_what_is_written_and_snapshotted_during_a_flatten_is_kept(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        _parents, content, guest = await golden_and_guest(gateway)
        job = await gateway.flatten("guest")
        await fill(guest, content, [0, 4])
        await gateway.snapshot("guest", "midway")
        midway = bytes(content)
        await fill(guest, content, [1, 3, 7])
        await done(job)
        assert await found(guest) == content
        assert await whole(gateway, "guest@midway") == midway
        assert not set(await chain_of(gateway, "guest")) & set(await chain_of(gateway, "golden"))


@on_three_devices
async def test_snapshots_of_a_flattened_clone_still_need_its_parent(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        _parents, content, guest = await golden_and_guest(gateway)
        await gateway.snapshot("guest", "early")
        early = bytes(content)
        await done(await gateway.flatten("guest"))
        with pytest.raises(SnapshotInUse):
            await gateway.delete_snapshot("golden", "v1")
        assert await whole(gateway, "guest@early") == early
        await gateway.delete_snapshot("guest", "early")
        await gateway.delete_snapshot("golden", "v1")
        assert await found(guest) == content


@on_three_devices
async def test_a_flatten_that_was_broken_off_is_taken_up_by_another_gateway(cluster: LoopbackCluster) -> None:
    async with gateways(cluster, 2) as (first, second):
        _parents, content, guest = await golden_and_guest(first)
        job = await first.flatten("guest")
        while job.done < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await first.jobs.close()
        assert job.state is JobState.FAILED
        assert len(await chain_of(first, "guest")) > 1
        first.release(guest)
        await first.close()
        await second.upkeep.step()
        (again,) = second.jobs.all()
        await done(again)
        assert len(await chain_of(second, "guest")) == 1
        assert await whole(second, "guest") == content


@on_three_devices
async def test_a_clone_that_is_rolled_back_meanwhile_is_flattened_anew(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        _parents, content, guest = await golden_and_guest(gateway)
        await gateway.snapshot("guest", "early")
        gateway.release(guest)
        job = await gateway.flatten("guest")
        while job.done < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await gateway.rollback("guest", "early")
        await done(job)
        assert await whole(gateway, "guest") == content
        assert not set(await chain_of(gateway, "guest")) & set(await chain_of(gateway, "golden"))


@on_three_devices
async def test_what_was_brought_into_a_layer_that_a_rollback_gave_up_at_once_is_brought_up_anew(
    cluster: LoopbackCluster,
) -> None:
    """The layer came with a snapshot, and went with the rollback to it, while one batch of chunks was under way."""
    async with gateways(cluster) as (gateway,):
        _parents, content, guest = await golden_and_guest(gateway)
        gateway.release(guest)
        claim, claimed = OpenVolume.claim, []

        async def claim_between(self: OpenVolume, number: int, layers: Collection[int]) -> int:
            claimed.append(number)
            if len(claimed) > 1:
                return await claim(self, number, layers)
            await gateway.snapshot("guest", "early")
            layer = await claim(self, number, layers)
            await gateway.rollback("guest", "early")
            return layer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(OpenVolume, "claim", claim_between)
            await done(await gateway.flatten("guest"))
        assert await whole(gateway, "guest") == content
        assert not set(await chain_of(gateway, "guest")) & set(await chain_of(gateway, "golden"))


async def three_snapshots(gateway: Gateway) -> tuple[Export, dict[str, bytes], bytearray]:
    """Make a volume with snapshots a, b and c; return what each is, and what the volume is now."""
    await gateway.create("disk", SIZE)
    export = await gateway.open("disk", CLIENT)
    content, kept = bytearray(KNOWN), {}
    for name, chunks in (("a", [0, 1, 2, 3]), ("b", [1, 2, 5]), ("c", [2, 3, 6])):
        await fill(export, content, chunks)
        await gateway.snapshot("disk", name)
        kept[name] = bytes(content)
    await fill(export, content, [3, 8])
    return export, kept, content


@pytest.mark.parametrize("order", ["abc", "cba", "bac", "bca"])
def test_deleted_snapshots_give_their_layers_back_and_nothing_else_changes(order: str) -> None:
    @on_three_devices
    async def play(cluster: LoopbackCluster) -> None:
        await delete_in_order(cluster, order)

    play()


async def delete_in_order(cluster: LoopbackCluster, order: str) -> None:
    async with gateways(cluster) as (gateway,):
        export, kept, content = await three_snapshots(gateway)
        readers = {name: await gateway.open(f"disk@{name}", CLIENT) for name in kept}
        for name, reader in readers.items():
            assert await found(reader) == kept[name]
        for count, name in enumerate(order, 1):
            await gateway.delete_snapshot("disk", name)
            del kept[name]
            assert await merge(gateway, "disk", Job("merge", "disk", 0)) == 1
            await sweep(gateway)
            assert len(await chain_of(gateway, "disk")) == 4 - count
            assert len(layers_on(cluster)) == 4 - count
            assert await found(export) == content
            for left, expected in kept.items():
                assert await found(readers[left]) == expected, "who had it open notices nothing"
                assert await whole(gateway, f"disk@{left}") == expected
            await fill(export, content, [0, count, 9])


@on_three_devices
async def test_clones_of_later_snapshots_read_the_same_and_write_on(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        _export, kept, _content = await three_snapshots(gateway)
        await gateway.clone("disk", "b", "copy")
        copied = bytearray(kept["b"])
        copy = await gateway.open("copy", CLIENT)
        assert await found(copy) == copied, "it knows by now which layers have what"
        await gateway.delete_snapshot("disk", "a")
        assert await merge(gateway, "disk", Job("merge", "disk", 0)) == 1
        await sweep(gateway)
        await fill(copy, copied, [0, 1, 2, 5])
        assert await found(copy) == copied
        assert await whole(gateway, "disk@b") == kept["b"]
        assert len(await chain_of(gateway, "copy")) == 2


@on_three_devices
async def test_a_layer_that_two_branches_build_on_stays(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        export, kept, _content = await three_snapshots(gateway)
        gateway.release(export)
        await gateway.rollback("disk", "a")
        await gateway.delete_snapshot("disk", "a")
        assert await merge(gateway, "disk", Job("merge", "disk", 0)) == 0
        await sweep(gateway)
        assert await whole(gateway, "disk") == kept["a"]
        assert await whole(gateway, "disk@b") == kept["b"]
        for name in "cb":
            await gateway.delete_snapshot("disk", name)
        await merge(gateway, "disk", Job("merge", "disk", 0))
        await sweep(gateway)
        assert len(layers_on(cluster)) == 1
        assert await whole(gateway, "disk") == kept["a"]


@on_three_devices
async def test_a_merge_waits_while_a_clone_is_open_at_another_gateway(cluster: LoopbackCluster) -> None:
    """It may copy up from the layer that goes."""
    async with gateways(cluster, 2) as (first, second):
        _export, kept, _content = await three_snapshots(first)
        await first.clone("disk", "b", "copy")
        copy = await second.open("copy", CLIENT)
        await first.delete_snapshot("disk", "a")
        with pytest.raises(VolumeError, match="another gateway"):
            await merge(first, "disk", Job("merge", "disk", 0))
        copied = bytearray(kept["b"])
        await fill(copy, copied, [0, 1])
        assert await found(copy) == copied
        second.release(copy)
        await second.close()
        assert await merge(first, "disk", Job("merge", "disk", 0)) == 1
        assert await whole(first, "copy") == copied


@on_three_devices
async def test_a_merge_that_dies_at_any_point_is_done_by_the_next(cluster: LoopbackCluster) -> None:
    async with gateways(cluster, 2) as (first, second):
        export, kept, content = await three_snapshots(first)
        await first.clone("disk", "b", "copy")
        await first.delete_snapshot("disk", "a")
        first.release(export)
        for name in ("copy", "disk"):  # in the midst of it, and at its end
            await fails_after_catalog_change(first, name)
            assert await whole(first, "disk") == content
            assert await whole(first, "disk@b") == kept["b"]
            assert await whole(first, "copy") == kept["b"]
        await first.close()
        await merge(second, "disk", Job("merge", "disk", 0))
        await sweep(second)
        assert len(await chain_of(second, "copy")) == 2
        assert await whole(second, "disk") == content
        assert await whole(second, "disk@b") == kept["b"]
        assert await whole(second, "copy") == kept["b"]
        assert len(layers_on(cluster)) == 3


async def fails_after_catalog_change(gateway: Gateway, last: str) -> None:
    """Merge until the chain of `last` was changed."""
    switch = gateway.switch

    async def dying(opened: object, change: Callable[..., object], ready: object = None) -> object:
        changed = await switch(opened, change, ready)  # type: ignore[arg-type]
        if changed.name == last:
            raise VolumeError("killed")
        return changed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway, "switch", dying)
        with pytest.raises(VolumeError, match="killed"):
            await merge(gateway, "disk", Job("merge", "disk", 0))


@on_three_devices
async def test_a_device_that_was_away_drops_what_is_nobodys_when_it_is_back(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", SIZE)
        export = await gateway.open("disk", CLIENT)
        await fill(export, bytearray(KNOWN), [0, 1])
        gateway.release(export)
        with cluster.without(cluster.devices[0]):
            await gateway.delete("disk")
            assert len(layers_on(cluster)) == 1
        assert await sweep(gateway) == 1
        assert layers_on(cluster) == set()
        assert await gateway.catalog(lambda catalog: catalog.doomed()) == {}
