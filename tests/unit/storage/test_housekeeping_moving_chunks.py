"""storage.housekeeping.join and retire_chunks: chunks of volumes go where the rings say, with a writer at work."""

import asyncio
import os

import pytest

from cluster.wire import RemoteError
from ring.lookup import Ring
from storage.chunks.key import chunk_key
from storage.housekeeping.retire_chunks import Verdict, verdict
from storage.messages import ChunkWrite, Operation, Refusal
from storage.rings.document import Stage
from tests.loopback import LoopbackDevice, LoopbackPeer
from tests.unit.storage.moving import MovingCluster, moving, partitions_of, to_the_end
from tests.unit.storage.volumes import FAMILY, Load, chunks, kill, opened, read

CHUNKS = 24  # so that some of them move


def moved_numbers(cluster: MovingCluster, device: LoopbackDevice) -> set[int]:
    """Return the chunks that come new to a device."""
    own = partitions_of(cluster.goal, device) - partitions_of(cluster.ring, device)
    return {number for number in range(CHUNKS) if partition(cluster, cluster.goal, number) in own}


def partition(cluster: MovingCluster, ring: Ring, number: int) -> int:
    return ring.partition(chunk_key(cluster.names, FAMILY, number))


def foreign(cluster: MovingCluster, device: LoopbackDevice) -> list[int]:
    """Return the chunks that a device has and should not have."""
    own = partitions_of(cluster.goal, device)
    return [number for _family, number, _layer in chunks(device) if partition(cluster, cluster.goal, number) not in own]


async def retire_all(cluster: MovingCluster) -> None:
    for device in cluster.devices:
        await to_the_end(cluster.retire(device))


@moving
async def test_chunks_and_fences_are_copied_and_what_is_left_behind_goes(cluster: MovingCluster) -> None:
    load = Load(await opened(cluster, 7), CHUNKS)
    await load.some(80)
    await load.volume.flush()
    await cluster.quiet()
    kill(load.volume)
    joiner = cluster.devices[4]
    cluster.joining()
    task = cluster.join(joiner)
    await to_the_end(task)
    written = {offset // (4 << 20) for offset in load.blocks}
    assert {number for _family, number, _layer in chunks(joiner)} == moved_numbers(cluster, joiner) & written
    assert task.copied_chunks == len(chunks(joiner)) > 2
    assert joiner.chunks.table.epoch_seen(FAMILY, 1) == 7
    cluster.over()
    assert any(foreign(cluster, device) for device in cluster.devices)
    await retire_all(cluster)
    assert not any(foreign(cluster, device) for device in cluster.devices)
    await load.check(await opened(cluster, 8))
    for device in cluster.devices:  # nothing of it comes back
        await device.crash()
        device.start()
    assert not any(foreign(cluster, device) for device in cluster.devices)


@moving
async def test_a_writer_goes_on_through_all_stages_of_a_change(cluster: MovingCluster) -> None:
    """It learns of each stage only when devices refuse what was placed by the one before."""
    load = Load(await opened(cluster, 1), CHUNKS)
    await load.some(60)
    load.start()
    for step in (
        lambda: cluster.stage(2, Stage.JOINING, 1),
        lambda: cluster.stage(3, Stage.JOINING, 2),
        None,
        lambda: cluster.stage(4, Stage.SERVING, 2),
        lambda: cluster.stage(5, Stage.SERVING, 4),
        None,
        lambda: cluster.stage(6, Stage.STABLE, 4),
        lambda: cluster.stage(7, Stage.STABLE, 6),
    ):
        if step is None:
            await to_the_end(cluster.join(cluster.devices[4]))
        else:
            step()
        await load.some(12)
    await retire_all(cluster)
    await load.some(12)
    await load.stop()
    await load.check()
    assert not any(foreign(cluster, device) for device in cluster.devices)
    await asyncio.sleep(2.5)  # replicas that have missed something are brought to where the others are
    await cluster.quiet()
    kill(load.volume)
    for away in cluster.devices:
        placement = cluster.placement("gateway")
        with cluster.without(away):
            await load.check(await opened(cluster, 10 + away.id, placement=placement))


@moving
async def test_a_late_gateway_finds_no_quorum_among_devices_that_came_new(cluster: MovingCluster) -> None:
    await opened(cluster, 9)
    cluster.joining()
    joiner = cluster.devices[4]
    await to_the_end(cluster.join(joiner))
    cluster.over()
    late = LoopbackPeer(cluster, joiner.id, "gateway")
    message = ChunkWrite(FAMILY, 1, 1, None, 8, 1, (0, 0), ((0, 512),))
    with pytest.raises(RemoteError) as refused:
        await late.call(Operation.CHUNK_WRITE, message, os.urandom(512), 5.0, 7)
    assert (refused.value.code, refused.value.detail) == (Refusal.FENCED, 9)


@moving
async def test_a_chunk_stays_until_every_primary_has_it(cluster: MovingCluster) -> None:
    load = Load(await opened(cluster, 1), CHUNKS)
    await load.some(80)
    await cluster.quiet()
    kill(load.volume)
    joiner = cluster.devices[4]
    cluster.joining()
    await to_the_end(cluster.join(joiner))
    cluster.over()
    leaver = next(device for device in cluster.devices if foreign(cluster, device))
    number = foreign(cluster, leaver)[0]
    await joiner.chunks.drop(FAMILY, 1, (number,))  # as if its copy had gone
    with cluster.without(joiner):
        task = cluster.retire(leaver)
        await task.step()
        assert "is down" in task.waiting
        assert number in foreign(cluster, leaver)
    await to_the_end(task)
    assert chunks(joiner)[FAMILY, number, 1] > (0, 0)
    assert foreign(cluster, leaver) == []


def test_who_has_a_chunk_decides_what_becomes_of_another_copy() -> None:
    here = (2, 5)
    assert verdict(here, [(2, 5), (2, 6), (3, 1)], has_successor=False) is Verdict.DROP
    assert verdict(here, [(2, 5), (2, 5), (2, 4)], has_successor=False) is Verdict.BRING
    assert verdict(here, [(2, 5), (2, 5), (0, 0)], has_successor=True) is Verdict.BRING
    assert verdict(here, [(2, 4), (2, 4), (2, 5)], has_successor=False) is Verdict.BRING
    assert verdict(here, [(2, 4), (2, 4), (2, 4)], has_successor=True) is Verdict.UNDECIDED
    assert verdict(here, [(0, 0), (0, 0), (0, 0)], has_successor=False) is Verdict.BRING


@moving
async def test_a_device_that_holds_a_chunk_no_more_is_not_asked_for_it(cluster: MovingCluster) -> None:
    """Also by reads that come while it is found out who has it now."""
    placement = cluster.placement("gateway")
    load = Load(await opened(cluster, 1, placement=placement), CHUNKS)
    await load.some(80)
    cluster.joining()
    await to_the_end(cluster.join(cluster.devices[4]))
    cluster.over()
    placement.update(cluster.rings)
    lost = 0
    for offset, block in load.blocks.items():
        chunk = load.volume.chunk(offset // (4 << 20))
        before = set(chunk.current)
        load.volume.members(chunk)
        assert chunk.current.keys() <= chunk.members.replicas.keys()
        lost += len(before - chunk.current.keys())
        assert await read(load.volume, offset, len(block)) == block
    assert lost > 0
