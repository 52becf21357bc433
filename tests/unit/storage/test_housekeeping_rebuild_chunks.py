"""storage.housekeeping.rebuild and chunks: a device that lost chunks of volumes does no harm, and gets them back."""

import asyncio
import os

import pytest

from blockgw.agreement import NOTHING, ChunkVersion
from blockgw.extents import CHUNK
from blockgw.volumes import volume as volumes
from blockgw.volumes.chunk import Chunk, Pending
from blockgw.volumes.replica import Kind, Members, Write
from cluster.wire import RemoteError
from storage.chunks.version import NEVER
from storage.membership.votes import Votes
from storage.messages import Operation, Refusal
from storage.quorum import Majority
from tests.loopback import LoopbackDevice, LoopbackPeer
from tests.unit.storage.losing import LosingCluster, losing, rebuilt
from tests.unit.storage.volumes import BLOCK, FAMILY, Load, chunks, kill, opened, read

OLD, NEW = b"o" * BLOCK, b"n" * BLOCK


async def missed_by_one(cluster: LosingCluster) -> tuple[LoopbackDevice, LoopbackDevice, LoopbackDevice]:
    """Write a block, and over it while a device is away; return who holds that, who is stale, and who holds it too."""
    holder, stale, keeper = cluster.devices
    volume = await opened(cluster, 1)
    await volume.write(0, memoryview(OLD))
    await cluster.quiet()
    with cluster.without(stale):
        await volume.write(0, memoryview(NEW))
        await volume.write(3 * CHUNK, memoryview(NEW))
        kill(volume)
    return holder, stale, keeper


@losing(3)
async def test_a_write_that_was_acknowledged_is_read_after_one_of_its_devices_was_replaced(
    cluster: LosingCluster,
) -> None:
    lost, _stale, keeper = await missed_by_one(cluster)
    await cluster.lose(lost)
    await rebuilt(cluster.rebuild(lost))
    placement = cluster.placement("gateway")
    with cluster.without(keeper):
        again = await opened(cluster, 2, placement=placement)
        assert await read(again, 0, BLOCK) == NEW
        assert await read(again, 3 * CHUNK, BLOCK) == NEW


@losing(3)
async def test_an_emptied_device_has_no_say_in_chunks_before_it_is_rebuilt(cluster: LosingCluster) -> None:
    lost, _stale, keeper = await missed_by_one(cluster)
    await cluster.lose(lost)
    peer = LoopbackPeer(cluster, lost.id, "gateway")
    for operation, arguments in (
        (Operation.CHUNK_STAT, (FAMILY, (1,), 0)),
        (Operation.CHUNK_FENCE, (FAMILY, 1, 2)),
        (Operation.CHUNK_EXTENTS, (FAMILY, 0, 1)),
    ):
        with pytest.raises(RemoteError) as refused:
            await peer.call(operation, arguments)
        assert refused.value.code == Refusal.REBUILDING
    lost.service.votes = Votes()  # as if it were what it was: this is what the rest is for
    placement = cluster.placement("another gateway")
    with cluster.without(keeper):
        again = await opened(cluster, 2, placement=placement)
        assert await read(again, 0, BLOCK) == OLD


@losing(3)
async def test_fences_are_promises_that_a_device_gets_back(cluster: LosingCluster) -> None:
    """A gateway that was stopped and goes on too late finds no quorum, whoever was replaced meanwhile."""
    late, lost, fenced = cluster.devices
    first = await opened(cluster, 1)
    await first.write(0, memoryview(OLD))
    await cluster.quiet()
    placement = cluster.placement("gateway")
    with cluster.without(late):
        await opened(cluster, 2, placement=placement)
    await cluster.lose(lost)
    await rebuilt(cluster.rebuild(lost))
    with cluster.without(fenced), pytest.MonkeyPatch.context() as patch:
        patch.setattr(volumes, "PATIENCE_S", 0.5)
        with pytest.raises(volumes.Fenced):
            await first.write(0, memoryview(NEW))
    assert lost.chunks.table.epoch_seen(FAMILY, 1) == 2


@losing(4)
async def test_devices_are_replaced_one_after_the_other_under_a_writer(cluster: LosingCluster) -> None:
    volume = await opened(cluster, 1)
    load = Load(volume)
    await load.some(64)
    for lost in cluster.devices[:3]:
        await cluster.quiet()
        before = chunks(lost)
        load.start()
        await cluster.lose(lost)
        task = cluster.rebuild(lost)
        await rebuilt(task)
        await load.some(20)
        await load.stop()
        assert task.copied_chunks > 0
        assert chunks(lost).keys() >= before.keys()
        assert all(chunks(lost)[place] >= version for place, version in before.items())
    kill(volume)
    for away in cluster.devices:
        placement = cluster.placement("gateway")
        with cluster.without(away):
            await load.check(await opened(cluster, 10 + away.id, placement=placement))


@losing(3)
async def test_layers_that_were_dropped_stay_so_when_a_device_is_rebuilt(cluster: LosingCluster) -> None:
    missed, lost, _other = cluster.devices
    volume = await opened(cluster, 1)
    await volume.write(0, memoryview(OLD))
    await volume.flush()
    await cluster.quiet()
    kill(volume)
    for device in cluster.devices:
        if device is not missed:
            await device.chunks.drop(FAMILY, 1, None)
    await cluster.lose(lost)
    await rebuilt(cluster.rebuild(lost))
    assert chunks(missed) != {}
    assert chunks(lost) == {}
    assert lost.chunks.table.epoch_seen(FAMILY, 1) == NEVER


@losing(3)
async def test_a_partition_whose_chunks_nobody_can_give_is_not_whole(cluster: LosingCluster) -> None:
    lost, _stale, keeper = await missed_by_one(cluster)
    await cluster.lose(lost)
    task = cluster.rebuild(lost)
    with cluster.without(keeper):
        for _ in range(20):
            await task.step()
        assert cluster.members[lost.id].rebuilding
        assert "must be up" in task.status()["waiting"]
    await rebuilt(task)
    assert task.status().get("chunks") is None  # of what is over nothing is told


@losing(3)
async def test_what_was_copied_survives_a_crash(cluster: LosingCluster) -> None:
    volume = await opened(cluster, 1)
    data = os.urandom(BLOCK)
    await volume.write(CHUNK, memoryview(data), fua=True)
    await cluster.quiet()
    lost = cluster.devices[0]
    await cluster.lose(lost)
    await rebuilt(cluster.rebuild(lost))
    copied = chunks(lost)
    await lost.crash()
    lost.start()
    assert copied == chunks(lost)
    assert lost.chunks.table.epoch_seen(FAMILY, 1) == 1
    kill(volume)


def test_what_a_device_took_before_it_was_lost_does_not_acknowledge_a_write() -> None:
    """A write that finds no quorum at first is sent again; who took it then may have lost it since."""

    async def scenario() -> None:
        chunk = Chunk(0, Members(dict.fromkeys(range(3)), Majority.of((0, 1, 2))))  # type: ignore[arg-type]
        chunk.found(NOTHING, dict.fromkeys(range(3), 1))
        write = Write(0, ChunkVersion(1, 1), NOTHING, None, Kind.WRITE, 0, BLOCK, NEW, False)
        pending = Pending(write, asyncio.get_running_loop().create_future())
        chunk.add(pending)
        assert chunk.unsent() == [pending]
        assert chunk.took(0, pending, 1) == []
        chunk.found(NOTHING, {1: 1, 2: 1})  # 0 does not answer: it may have been replaced
        assert chunk.unsent() == [pending]
        assert chunk.took(1, pending, 1) == []
        assert chunk.took(2, pending, 1) == [pending]

    asyncio.run(scenario())
