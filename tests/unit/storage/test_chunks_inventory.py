"""storage.chunks.inventory and upkeep: what a device says to have of chunks."""

import os
from typing import Any

import pytest

from cluster.wire import RemoteError
from storage.chunks.inventory import EMPTY
from storage.chunks.service import ChunkService
from storage.chunks.version import NEVER
from storage.messages import ChunkFence, ChunkListed, ChunkPull, ChunkWrite, Operation, Refusal
from tests.loopback import PART_POWER, LoopbackCluster, LoopbackDevice, LoopbackPeer, in_cluster
from tests.unit.storage.volumes import BLOCK, FAMILY, Load, chunks, kill, opened

ALL = tuple(range(1 << PART_POWER))


def service(device: LoopbackDevice) -> ChunkService:
    assert device.service.chunks is not None
    return device.service.chunks


async def digests(device: LoopbackDevice, part_power: int = PART_POWER) -> list[bytes]:
    return await service(device).upkeep.digests(part_power, tuple(range(1 << part_power)))


async def listed(device: LoopbackDevice) -> list[ChunkListed]:
    found = []
    for partition in await service(device).upkeep.partitions(PART_POWER):
        found += await service(device).upkeep.listed(PART_POWER, partition, None, 1000)
    return found


async def written(cluster: LoopbackCluster, count: int = 80) -> Load:
    load = Load(await opened(cluster, 1), 40)
    await load.some(count)
    await cluster.quiet()
    return load


@in_cluster
async def test_equal_replicas_have_equal_digests_and_a_write_changes_that_of_its_partition(
    cluster: LoopbackCluster,
) -> None:
    load = await written(cluster)
    before = [await digests(device) for device in cluster.devices]
    for own in zip(*before, strict=True):
        assert len({digest for digest in own if digest != EMPTY}) <= 1
    assert any(digest != EMPTY for digest in before[0])
    assert [await digests(device) for device in cluster.devices] == before
    offset = next(iter(load.blocks))
    await load.volume.write(offset, memoryview(os.urandom(BLOCK)))
    await cluster.quiet()
    after = [await digests(device) for device in cluster.devices]
    pairs = list(zip(before, after, strict=True))
    changed = {partition for partition in ALL if any(old[partition] != new[partition] for old, new in pairs)}
    assert len(changed) == 1
    kill(load.volume)


@in_cluster
async def test_digests_and_lists_are_the_same_after_a_restart(cluster: LoopbackCluster) -> None:
    load = await written(cluster)
    await load.volume.flush()
    kill(load.volume)
    device = cluster.devices[0]
    before = await digests(device), await listed(device), service(device).upkeep.fence_digest()
    assert {each[:3]: each.version for each in before[1]} == chunks(device)
    for end in (device.crash, device.stop):
        await end()
        device.start()
        assert (await digests(device), await listed(device), service(device).upkeep.fence_digest()) == before


@in_cluster
async def test_a_list_comes_in_pages_and_by_any_partition_power(cluster: LoopbackCluster) -> None:
    load = await written(cluster)
    kill(load.volume)
    device = cluster.devices[0]
    peer = LoopbackPeer(cluster, device.id, "a peer")
    whole = list((await peer.call(Operation.CHUNK_LIST, (0, 0, None, 1000))).metadata)
    assert len(whole) == len(chunks(device)) > 10
    found, after = [], None
    while page := (await peer.call(Operation.CHUNK_LIST, (0, 0, after, 3))).metadata:
        assert len(page) <= 3
        found += page
        after = page[-1][:3]
    assert found == whole == sorted(whole)
    total = 0
    for digest in await digests(device):
        total ^= int.from_bytes(digest, "big")
    assert await digests(device, 0) == [total.to_bytes(16, "big")]


@in_cluster
async def test_what_is_answered_is_listed(cluster: LoopbackCluster) -> None:
    device = cluster.devices[0]
    peer = LoopbackPeer(cluster, device.id, "a gateway")
    assert await listed(device) == []
    for sequence in range(1, 40):
        previous = (1, sequence - 1) if sequence > 1 else (0, 0)
        message = ChunkWrite(FAMILY, 5, 1, None, 1, sequence, previous, ((0, 512),))
        await peer.call(Operation.CHUNK_WRITE, message, bytes(512))
        assert await listed(device) == [(FAMILY, 5, 1, (1, sequence))]


@in_cluster
async def test_fences_are_told_unless_they_are_known(cluster: LoopbackCluster) -> None:
    one, other = cluster.devices[:2]
    peer = LoopbackPeer(cluster, one.id, "a peer")
    fences = [ChunkFence(FAMILY, layer, layer * 10) for layer in range(1, 8)]
    await service(one).upkeep.raise_fences(fences)
    reply = await peer.call(Operation.CHUNK_FENCES, (service(other).upkeep.fence_digest(), None, 5))
    assert [tuple(each) for each in reply.metadata] == fences[:5]
    reply = await peer.call(Operation.CHUNK_FENCES, (b"", tuple(fences[4][:2]), 5))
    assert [tuple(each) for each in reply.metadata] == fences[5:]
    await service(other).upkeep.raise_fences(reversed(fences))
    reply = await peer.call(Operation.CHUNK_FENCES, (service(other).upkeep.fence_digest(), None, 5))
    assert reply.metadata is None
    await one.crash()
    one.start()
    assert {tuple(each) for each in fences} == {(*place, epoch) for place, epoch in one.chunks.table.fences.items()}


@in_cluster
async def test_what_is_forgotten_is_at_the_version_that_was_named_and_may_come_back(cluster: LoopbackCluster) -> None:
    load = Load(await opened(cluster, 1), 2)
    await load.some(16)
    await cluster.quiet()
    kill(load.volume)
    device = next(each for each in cluster.devices if chunks(each))
    (place, version), *_others = chunks(device).items()
    upkeep = service(device).upkeep
    assert await upkeep.forget([ChunkListed(*place, (version[0], version[1] + 1))]) == 0
    assert await upkeep.forget([ChunkListed(*place, version)]) == 1
    assert place not in chunks(device)
    assert place not in [each[:3] for each in await listed(device)]
    holder = next(each for each in cluster.devices if each is not device and place in chunks(each))
    assert await upkeep.fetch(ChunkListed(*place, version), holder.id) > 0
    assert chunks(device)[place] == version


@in_cluster
async def test_a_copy_of_a_layer_that_is_dropped_meanwhile_does_not_stay(cluster: LoopbackCluster) -> None:
    load = Load(await opened(cluster, 1), 1)
    await load.some(8)
    await cluster.quiet()
    kill(load.volume)
    lacking = next(each for each in cluster.devices if not chunks(each))
    holder = next(each for each in cluster.devices if chunks(each))
    (place, version), *_others = chunks(holder).items()
    install = lacking.chunks.files.install_copy

    def install_late(*arguments: Any) -> None:
        install(*arguments)
        lacking.chunks.table.raise_fence(FAMILY, 1, NEVER)  # the layer is dropped at this moment

    lacking.chunks.files.install_copy = install_late  # type: ignore[method-assign]
    wanted = ChunkPull(*place[:2], place[2], version, holder.id)
    with pytest.raises(RemoteError) as refused:
        await service(lacking).pulls.copy(wanted)
    assert refused.value.code == Refusal.FENCED
    assert chunks(lacking) == {}
    assert not os.path.exists(lacking.chunks.files.path(*place))
    lacking.chunks.table.fences.clear()
    await lacking.chunks.fence(FAMILY, 1, NEVER)
    with pytest.raises(RemoteError) as refused:
        await service(lacking).pulls.copy(ChunkPull(FAMILY, 0, 1, version, holder.id))
    assert refused.value.code == Refusal.FENCED
