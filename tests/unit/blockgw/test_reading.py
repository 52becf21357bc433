"""blockgw.volumes.reading over the devices' own code: files of this host, and the cache, never show what is old."""

import asyncio
import functools
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from blockgw.extents import CHUNK
from blockgw.interfaces import Pieces
from blockgw.lease import Tenure
from blockgw.volumes.cache import BLOCK, ReadCache
from blockgw.volumes.devices import DevicePlacing
from blockgw.volumes.readahead import FIRST, ReadAhead
from blockgw.volumes.volume import OpenVolume
from storage.chunks import near
from storage.chunks.near import NearFiles
from tests.loopback import LoopbackCluster, in_cluster

FAMILY = bytes(range(16))
KiB = 1 << 10
REST_S = 0.4  # until what was written is in the files
on_three_devices = functools.partial(in_cluster, device_count=3)


def joined(pieces: Pieces) -> bytes:
    return b"".join([bytes(piece) for piece in pieces])


async def opened(
    cluster: LoopbackCluster, *, near_by: bool = False, cache: ReadCache | None = None, tenure: Tenure | None = None
) -> OpenVolume:
    """Open the volume; with `near_by` the first device is on this host."""
    directories = {cluster.devices[0].id: str(cluster.devices[0].directory)} if near_by else {}
    files = NearFiles(directories, limit=2) if near_by else None
    placing = DevicePlacing(cluster.placement("gateway"), FAMILY, 1, files)
    await asyncio.gather(*(replica.fence(1, 1) for replica in placing.devices().values()))
    return OpenVolume((1,), tenure or Tenure(1, float("inf")), True, placing, cache)


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of these tests may be on a tmpfs, which never waits, and does not know how to be told not to."""
    monkeypatch.setattr(near, "NOWAIT", 0)


@contextmanager
def calls_counted(volume: OpenVolume) -> Iterator[list[int]]:
    """Count the reads that devices are asked for."""
    counts = [0]
    for chunk in volume._chunks.values():
        for replica in chunk.members.replicas.values():
            before = replica._peer.call  # type: ignore[attr-defined]

            def call(*arguments: object, before: object = before) -> object:
                counts[0] += 1
                return before(*arguments)  # type: ignore[operator]

            replica._peer.call = call  # type: ignore[attr-defined]
    yield counts


@on_three_devices
async def test_a_chunk_at_rest_is_read_from_the_file_without_asking(cluster: LoopbackCluster) -> None:
    volume = await opened(cluster, near_by=True)
    data = os.urandom(64 * KiB)
    await volume.write(0, memoryview(data))
    await asyncio.sleep(REST_S)
    assert volume.read_now(0, 4 * KiB) is None, "nobody has said yet that the chunk is at rest"
    assert joined(await volume.read(0, 64 * KiB)) == data
    found = volume.read_now(4 * KiB, 8 * KiB)
    assert found is not None
    assert joined(found) == data[4 * KiB : 12 * KiB]


async def at_rest(cluster: LoopbackCluster) -> OpenVolume:
    """Return a volume that begins with 4 KiB of ones and reads them from the file."""
    volume = await opened(cluster, near_by=True)
    await volume.write(0, memoryview(b"1" * 4096))
    await asyncio.sleep(REST_S)
    await volume.read(0, 4096)
    assert volume.read_now(0, 4096) is not None
    return volume


@on_three_devices
async def test_a_write_ends_the_reading_of_the_file_until_it_is_at_rest_again(cluster: LoopbackCluster) -> None:
    volume = await at_rest(cluster)
    written = volume.write(0, memoryview(b"2" * 4096))
    assert volume.read_now(0, 4096) is None
    await written
    assert joined(await volume.read(0, 4096)) == b"2" * 4096
    assert volume.read_now(0, 4096) is None, "it is in the journal, and not in the file"
    await asyncio.sleep(REST_S)
    await volume.read(0, 4096)
    found = volume.read_now(0, 4096)
    assert found is not None
    assert joined(found) == b"2" * 4096


@on_three_devices
async def test_no_file_is_read_when_the_right_to_write_is_not_certain(cluster: LoopbackCluster) -> None:
    volume = await at_rest(cluster)
    volume.renewed(Tenure(1, 0.0))
    assert volume.read_now(0, 4096) is None


@on_three_devices
async def test_a_file_that_was_replaced_is_read_no_more(cluster: LoopbackCluster) -> None:
    volume = await at_rest(cluster)
    (path,) = (cluster.devices[0].directory / "chunks" / FAMILY.hex()).iterdir()
    path.unlink()
    assert volume.read_now(0, 4096) is None


@on_three_devices
async def test_a_file_that_a_device_makes_anew_is_read_no_more(cluster: LoopbackCluster) -> None:
    """One that starts again begins with an empty file, and writes to it what its journal has, from the oldest on."""
    volume = await at_rest(cluster)
    (path,) = (cluster.devices[0].directory / "chunks" / FAMILY.hex()).iterdir()
    os.truncate(path, 0)
    os.truncate(path, CHUNK)
    assert volume.read_now(0, 4096) is None


@on_three_devices
async def test_no_more_files_are_open_than_may_be(cluster: LoopbackCluster) -> None:
    volume = await opened(cluster, near_by=True)
    for number in range(4):
        await volume.write(number * CHUNK, memoryview(b"%d" % number * 4096))
    await asyncio.sleep(REST_S)
    for number in range(4):
        await volume.read(number * CHUNK, 4096)
    assert [volume.read_now(number * CHUNK, 4096) is not None for number in range(4)] == [False, False, True, True]


@on_three_devices
async def test_reads_and_writes_in_any_order_agree(cluster: LoopbackCluster) -> None:
    """Of one who writes and reads by turns, with a file, with a cache, and with neither."""
    for near_by, cache in ((True, None), (False, ReadCache(256 * KiB)), (False, None)):
        chance = random.Random(7)
        volume = await opened(cluster, near_by=near_by, cache=cache)
        await volume.zero(0, 2 * CHUNK, trim=True)
        expected = bytearray(1 << 20)
        start = CHUNK - len(expected) // 2
        for step in range(300):
            offset = chance.randrange(0, len(expected) - 64 * KiB, 512)
            length = chance.choice((512, 4 * KiB, 40 * KiB))
            if chance.random() < 0.3:
                data = chance.randbytes(length)
                expected[offset : offset + length] = data
                await volume.write(start + offset, memoryview(data))
            else:
                found = volume.read_now(start + offset, length) or await volume.read(start + offset, length)
                assert joined(found) == expected[offset : offset + length], step
            if chance.random() < 0.02:
                await asyncio.sleep(REST_S)
        volume.lose(RuntimeError("done"))  # type: ignore[arg-type]


@on_three_devices
async def test_what_was_read_once_is_not_asked_for_again(cluster: LoopbackCluster) -> None:
    cache = ReadCache(1 << 20)
    volume = await opened(cluster, cache=cache)
    data = os.urandom(256 * KiB)
    await volume.write(0, memoryview(data))
    assert joined(await volume.read(100, 5000)) == data[100:5100]
    with calls_counted(volume) as counts:
        assert joined(await volume.read(5000, 5000)) == data[5000:10000]
        assert counts == [0]
        await volume.write(4096, memoryview(bytes(4096)))
        assert joined(await volume.read(4096, 8192)) == bytes(4096) + data[8192 : 8192 + 4096]


@on_three_devices
async def test_reads_that_follow_each_other_ask_for_more_than_they_need(cluster: LoopbackCluster) -> None:
    volume = await opened(cluster, cache=ReadCache(8 << 20))
    data = os.urandom(2 << 20)
    await volume.write(0, memoryview(data))
    with calls_counted(volume) as counts:
        for offset in range(0, len(data), 16 * KiB):
            assert joined(await volume.read(offset, 16 * KiB)) == data[offset : offset + 16 * KiB]
    assert 0 < counts[0] < 12, "of 128 reads"


def test_the_cache_holds_no_more_than_its_limit_and_what_was_used_last() -> None:
    cache, content = ReadCache(4 * BLOCK), object()
    for number in range(4):
        cache.add(content, number * BLOCK, bytes([number]) * BLOCK)
    assert cache.find(content, 0, BLOCK) == [bytes(BLOCK)]
    cache.add(content, 4 * BLOCK, b"\4" * BLOCK)
    assert cache.size == 4 * BLOCK
    assert cache.find(content, 0, BLOCK) is not None
    assert cache.find(content, BLOCK, BLOCK) is None
    assert cache.find(object(), 0, BLOCK) is None


def test_a_part_of_a_block_is_not_kept_and_what_is_written_is_dropped() -> None:
    cache, content = ReadCache(8 * BLOCK), object()
    cache.add(content, 0, bytes(3 * BLOCK + 100))
    assert cache.size == 3 * BLOCK
    cache.drop(content, BLOCK - 1, 2)
    assert cache.find(content, 0, 1) is None
    assert cache.find(content, BLOCK, 1) is None
    assert cache.find(content, 2 * BLOCK, 1) is not None


def test_only_reads_that_go_on_where_others_have_stopped_are_read_ahead_of() -> None:
    ahead = ReadAhead()
    assert ahead.ahead(0, 4096) == 0
    assert ahead.ahead(4096, 4096) == FIRST
    assert ahead.ahead(1 << 30, 4096) == 0
    assert ahead.ahead(8192, 4096) == 2 * FIRST
    assert ahead.ahead((1 << 30) + 4096, 4096) == FIRST
