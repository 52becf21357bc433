"""storage.housekeeping.scrub_chunks and storage.chunks.sums: replicas of a chunk that rot are found, and put right."""

import os
from pathlib import Path

import pytest

from cluster.wire import RemoteError
from storage.chunks.key import chunk_key
from storage.chunks.sums import BLOCK_SIZE, content_sum
from storage.chunks.version import CHUNK_SIZE
from storage.disk import RealDisk
from storage.housekeeping.scrub_chunks import ChunkArea, judge_sums
from storage.messages import Operation, Refusal
from tests.loopback import LoopbackCluster, LoopbackDevice, in_cluster
from tests.unit.storage.volumes import BLOCK, FAMILY, Load, chunks, kill, opened, read

PLACE = (FAMILY, 0, 1)


def area(device: LoopbackDevice) -> ChunkArea:
    """Return what scrub reads of the chunks of a device."""
    placement = device.placement
    assert device.service.chunks is not None
    return ChunkArea(device.service.chunks.upkeep, lambda: placement.rings, device.id, placement.peers)


async def scrub(areas: list[ChunkArea]) -> int:
    """Scrub from beginning to end; return how many bytes were read by who leads."""
    size = 0
    for one in areas:
        position: str | None = ""
        while position is not None:
            piece = await one.step(position)
            size, position = size + piece.size, piece.position
    return size


async def written(cluster: LoopbackCluster) -> Load:
    """Have a volume with a few chunks, all at rest."""
    load = Load(await opened(cluster, 1))
    await load.some(40)
    await load.volume.flush()
    for device in cluster.devices:
        await device.chunks.settled()
    return load


def spoil(device: LoopbackDevice, offset: int, place: tuple[bytes, int, int] = PLACE) -> None:
    """Turn over a bit of what a device has in a file."""
    with open(device.chunks.files.path(*place), "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes((byte ^ 4,)))
        os.fsync(file.fileno())


@in_cluster
async def test_what_has_rotted_on_one_device_is_replaced(cluster: LoopbackCluster) -> None:
    load = await written(cluster)
    holders = cluster.holders(chunk_key(cluster.names, FAMILY, 0))
    kill(load.volume)
    for victim in holders:  # the one that leads among them
        spoil(victim, next(iter(load.blocks)) % CHUNK_SIZE, PLACE)
        areas = [area(device) for device in cluster.devices]
        assert await scrub(areas) == 6 * CHUNK_SIZE
        assert sum(one.found_count for one in areas) == sum(one.healed_count for one in areas) == 1
        again = [area(device) for device in cluster.devices]
        await scrub(again)
        assert sum(one.found_count for one in again) == 0
    with cluster.without(holders[1]):
        await load.check(await opened(cluster, 2, placement=cluster.placement("gateway")))


@in_cluster
async def test_what_a_guest_writes_meanwhile_stays(cluster: LoopbackCluster) -> None:
    load = Load(await opened(cluster, 1), chunk_count=1)
    await load.some(40)
    await load.volume.flush()
    for device in cluster.devices:
        await device.chunks.settled()
    areas = [area(device) for device in cluster.devices]
    victim = cluster.holders(chunk_key(cluster.names, FAMILY, 0))[1]
    load.start()
    for _ in range(5):
        spoil(victim, CHUNK_SIZE - BLOCK)  # where the load does not write
        await scrub(areas)
    await load.stop()
    for device in cluster.devices:
        await device.chunks.settled()
    await scrub(areas)
    await load.check()
    assert await read(load.volume, CHUNK_SIZE - BLOCK, BLOCK) == bytes(BLOCK)
    sums = {await sum_at(device) for device in cluster.holders(chunk_key(cluster.names, FAMILY, 0))}
    assert len(sums) == 1


async def sum_at(device: LoopbackDevice) -> bytes:
    """Return the sum of the first chunk at a device."""
    version = chunks(device)[PLACE]
    reply = await device.peers[device.id].call(Operation.CHUNK_SUM, (*PLACE, version))
    return bytes(reply.metadata[0])


@in_cluster
async def test_where_all_differ_nothing_is_replaced_and_it_is_said_once(cluster: LoopbackCluster) -> None:
    load = await written(cluster)
    kill(load.volume)
    holders = cluster.holders(chunk_key(cluster.names, FAMILY, 0))
    spoil(holders[0], 17)
    spoil(holders[1], 18)
    before = [await sum_at(device) for device in holders]
    areas = [area(device) for device in cluster.devices]
    await scrub(areas)
    await scrub(areas)
    assert (sum(one.found_count for one in areas), sum(one.healed_count for one in areas)) == (1, 0)
    assert [await sum_at(device) for device in holders] == before
    (said,) = [words for one in areas for words in one.amiss()]
    assert f"chunk 0 of {FAMILY.hex()}" in said


@in_cluster
async def test_what_differed_is_said_until_the_chunk_is_gone(cluster: LoopbackCluster) -> None:
    load = await written(cluster)
    kill(load.volume)
    holders = cluster.holders(chunk_key(cluster.names, FAMILY, 0))
    spoil(holders[0], 17)
    spoil(holders[1], 18)
    areas = [area(device) for device in cluster.devices]
    for _ in range(2):
        await scrub(areas)
        assert sum(len(one.amiss()) for one in areas) == 1
    for device in cluster.devices:
        await device.chunks.drop(FAMILY, 1, None)
    await scrub(areas)
    assert [one.amiss() for one in areas] == [[]] * len(areas)


@in_cluster
async def test_a_chunk_that_is_not_at_rest_at_that_version_has_no_sum(cluster: LoopbackCluster) -> None:
    await written(cluster)
    device = cluster.holders(chunk_key(cluster.names, FAMILY, 0))[0]
    epoch, sequence = chunks(device)[PLACE]
    for place in ((*PLACE, (epoch, sequence + 1)), (FAMILY, 99, 1, (epoch, sequence))):
        with pytest.raises(RemoteError) as refused:
            await device.peers[device.id].call(Operation.CHUNK_SUM, place)
        assert refused.value.code == Refusal.STALE_CHUNK


def test_a_quorum_decides_which_are_damaged() -> None:
    assert judge_sums({1: b"a", 2: b"a", 3: b"a"}, (1, 2, 3)).damaged == frozenset()
    assert judge_sums({1: b"a", 2: b"b", 3: b"b"}, (1, 2, 3)).damaged == {1}
    assert judge_sums({1: b"a", 2: b"b", 3: b"b"}, (1, 2, 3)).good == 2
    assert judge_sums({1: b"a", 2: b"b"}, (1, 2, 3)) == judge_sums({}, (1, 2, 3))  # one is away: later
    assert judge_sums({1: b"a", 2: b"b", 3: b"c"}, (1, 2, 3)).undecided
    assert judge_sums({1: b"a", 2: b"b"}, (1, 2)).undecided


def test_holes_and_zeros_are_the_same_and_places_are_not(tmp_path: Path) -> None:
    disk, block = RealDisk(), os.urandom(4096)

    def sum_of(*pieces: tuple[int, bytes]) -> bytes:
        path = tmp_path / "chunk"
        path.unlink(missing_ok=True)
        with open(path, "wb") as file:
            file.truncate(CHUNK_SIZE)
            for offset, data in pieces:
                file.seek(offset)
                file.write(data)
        fd = os.open(path, os.O_RDWR)
        try:
            return content_sum(disk, fd)
        finally:
            os.close(fd)

    whole = bytes(3 * BLOCK_SIZE)
    assert sum_of() == sum_of((0, whole)) == sum_of((CHUNK_SIZE - 4096, bytes(4096)))
    assert sum_of((BLOCK_SIZE, block)) == sum_of((0, whole), (BLOCK_SIZE, block))
    different = {sum_of((offset, block)) for offset in (0, 4096, BLOCK_SIZE, CHUNK_SIZE - 4096)}
    assert len(different) == 4
