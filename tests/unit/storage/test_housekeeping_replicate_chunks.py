"""storage.housekeeping.replicate_chunks: what a device has missed is copied, of volumes that nobody has open too."""

import os

import pytest

from cluster.wire import RemoteError
from storage.chunks.files import ATTRIBUTE
from storage.chunks.key import chunk_key
from storage.chunks.version import NEVER
from storage.housekeeping.replicate_chunks import Sightings
from storage.messages import ChunkRead, ChunkWrite, Operation, Refusal
from tests.loopback import LoopbackCluster, LoopbackDevice, Loss, in_cluster
from tests.unit.storage.volumes import BLOCK, FAMILY, Load, chunks, comparison, kill, listed, opened

PLACE = (FAMILY, 0, 1)


async def written(cluster: LoopbackCluster) -> Load:
    load = Load(await opened(cluster, 1))
    await load.some(40)
    await cluster.quiet()
    return load


async def missed_writes(cluster: LoopbackCluster, stale: LoopbackDevice) -> Load:
    """Write while a device is away, and leave."""
    load = await written(cluster)
    with cluster.without(stale):
        await load.some(40)
        kill(load.volume)
    return load


@in_cluster
async def test_what_a_device_has_missed_is_copied_without_anybody_opening_the_volume(cluster: LoopbackCluster) -> None:
    load = await missed_writes(cluster, cluster.devices[1])
    task = comparison(cluster, cluster.devices[1])
    await task.step()
    assert task.pulled_count > 0
    assert task.lacking_count == 0
    others = [device for device in cluster.devices if device.id != 1]
    newest = {place: max(chunks(each).get(place, (0, 0)) for each in others) for place in chunks(cluster.devices[1])}
    assert chunks(cluster.devices[1]) == newest
    placement = cluster.placement("gateway")
    with cluster.without(cluster.devices[0]):
        await load.check(await opened(cluster, 2, placement=placement))


@in_cluster
async def test_what_has_just_been_missed_is_left_to_its_writer_for_a_while(cluster: LoopbackCluster) -> None:
    await missed_writes(cluster, cluster.devices[1])
    task = comparison(cluster, cluster.devices[1], grace_s=3600)
    await task.step()
    assert task.pulled_count == 0
    assert task.lacking_count


@in_cluster
async def test_when_nothing_differs_no_chunks_are_listed(cluster: LoopbackCluster) -> None:
    load = await written(cluster)
    await load.volume.flush()
    device = cluster.devices[0]
    await comparison(cluster, device).step()
    asked: list[int] = []

    def note(operation: int) -> Loss | None:
        asked.append(operation)
        return None

    for peer in device.peers.values():
        peer.faults.loss = note
    task = comparison(cluster, device)
    await task.step()
    assert task.lacking_count == 0
    assert set(asked) == {Operation.CHUNK_FENCES, Operation.CHUNK_DIGESTS}
    assert len(asked) == 2 * 3  # others


@in_cluster
async def test_what_fewer_than_a_quorum_have_is_left_to_who_opens_the_volume(cluster: LoopbackCluster) -> None:
    load = Load(await opened(cluster, 1), chunk_count=1)
    await load.some(4)
    await cluster.quiet()
    holder, stale, ahead = cluster.holders(chunk_key(cluster.names, FAMILY, 0))
    epoch, sequence = version = chunks(stale)[PLACE]
    undecided = ChunkWrite(FAMILY, 0, 1, None, epoch, sequence + 1, version, ((0, BLOCK),))
    await stale.peers[ahead.id].call(Operation.CHUNK_WRITE, undecided, bytes(BLOCK))
    assert chunks(ahead)[PLACE] == (epoch, sequence + 1)
    await comparison(cluster, stale).step()
    assert chunks(stale)[PLACE] == version
    await holder.peers[holder.id].call(Operation.CHUNK_WRITE, undecided, bytes(BLOCK))
    await comparison(cluster, stale).step()
    assert chunks(stale)[PLACE] == (epoch, sequence + 1)


@in_cluster
async def test_layers_that_were_dropped_while_a_device_was_away_are_dropped(cluster: LoopbackCluster) -> None:
    load = await written(cluster)
    await load.volume.flush()
    kill(load.volume)
    away, *others = cluster.devices
    for device in others:
        await device.chunks.drop(FAMILY, 1, None)
    assert chunks(away)
    await comparison(cluster, away).step()
    assert chunks(away) == {}
    assert away.chunks.table.epoch_seen(FAMILY, 1) == NEVER
    for device in others:  # nothing comes back from where it was
        task = comparison(cluster, device)
        await task.step()
        assert (task.pulled_count, chunks(device)) == (0, {})


@in_cluster
async def test_what_a_crash_has_left_of_a_dropped_layer_goes(cluster: LoopbackCluster) -> None:
    load = await written(cluster)
    await load.volume.flush()
    kill(load.volume)
    device = cluster.devices[0]
    await device.chunks.fence(FAMILY, 1, NEVER)
    await device.crash()
    device.start()
    assert chunks(device)
    await comparison(cluster, device).step()
    assert chunks(device) == {}


@in_cluster
async def test_a_chunk_whose_file_does_not_say_what_it_is_is_replaced(cluster: LoopbackCluster) -> None:
    load = await written(cluster)
    await load.volume.flush()
    kill(load.volume)
    device = cluster.devices[0]
    place, version = next(iter(chunks(device).items()))
    await device.stop()
    os.setxattr(device.chunks.files.path(*place), ATTRIBUTE, b"nonsense")
    device.start()
    assert chunks(device)[place] == (0, 0)
    task = comparison(cluster, device)
    await task.step()
    assert chunks(device)[place] == version
    placement = cluster.placement("gateway")
    with cluster.without(cluster.devices[1]):
        await load.check(await opened(cluster, 2, placement=placement))


def test_only_what_a_quorum_has_is_decided() -> None:
    seen = Sightings()
    seen.add(1, [listed(PLACE, (1, 5)), listed((FAMILY, 1, 1), (1, 2))])
    seen.add(2, [listed(PLACE, (1, 5))])
    seen.add(3, [listed(PLACE, (1, 6)), listed((FAMILY, 1, 1), (1, 2))])
    assert seen.decided(lambda _place: (0, 1, 2)) == {PLACE: ((1, 5), 1)}
    assert seen.decided(lambda _place: (0, 1, 3)) == {(FAMILY, 1, 1): ((1, 2), 1)}


@in_cluster
async def test_a_chunk_that_the_disk_cannot_read_is_replaced(cluster: LoopbackCluster) -> None:
    load = await written(cluster)
    await load.volume.flush()
    await cluster.quiet()
    device = cluster.devices[0]
    place, version = next(iter(chunks(device).items()))
    await device.chunks.settled()
    os.truncate(device.chunks.files.path(*place), 0)
    family, number, layer = place
    peer = device.peers[device.id]
    with pytest.raises(RemoteError) as refused:
        await peer.call(Operation.CHUNK_READ, ChunkRead(family, number, ((layer, version),), 0, BLOCK))
    assert refused.value.code == Refusal.CORRUPT
    assert list(device.chunks.table.damaged) == [place]
    task = comparison(cluster, device)
    await task.step()
    assert (task.mended_count, dict(device.chunks.table.damaged)) == (1, {})
    kill(load.volume)
    placement = cluster.placement("gateway")
    with cluster.without(cluster.devices[1]):
        await load.check(await opened(cluster, 2, placement=placement))


@in_cluster
async def test_a_damaged_chunk_is_not_replaced_by_an_older_one(cluster: LoopbackCluster) -> None:
    stale, device = cluster.holders(chunk_key(cluster.names, FAMILY, 0))[:2]
    load = Load(await opened(cluster, 1), chunk_count=1)
    await load.some(8)
    await cluster.quiet()
    with cluster.without(stale):
        await load.some(8)
        await cluster.quiet()
        kill(load.volume)
    version = chunks(device)[PLACE]
    chunk = device.chunks.table.find(*PLACE)
    assert chunk is not None
    device.chunks.table.note_damage(chunk)
    others = [each for each in cluster.devices if each not in (stale, device)]
    for other in others:
        cluster.take_down(other)
    task = comparison(cluster, device)
    await task.step()
    assert (task.mended_count, chunks(device)[PLACE]) == (0, version)
    assert PLACE in device.chunks.table.damaged
    for other in others:
        cluster.bring_back(other)
    await task.step()
    assert (task.mended_count, chunks(device)[PLACE]) == (1, version)
