"""blockgw.volumes over the devices' own code: what `test_volume` shows with devices that are made up."""

import asyncio
import functools
import os
import random
from collections.abc import Sequence

import pytest

from blockgw.errors import VolumeError
from blockgw.extents import CHUNK
from blockgw.interfaces import Pieces
from blockgw.lease import Tenure
from blockgw.volumes.devices import DevicePlacing
from blockgw.volumes.volume import OpenVolume
from tests.loopback import LoopbackCluster, in_cluster

FAMILY = bytes(range(16))
KiB = 1 << 10
on_three_devices = functools.partial(in_cluster, device_count=3)


async def opened(cluster: LoopbackCluster, epoch: int, chain: Sequence[int] = (1,)) -> OpenVolume:
    placing = DevicePlacing(cluster.placement("gateway"), FAMILY, epoch)
    await asyncio.gather(
        *(replica.fence(chain[0], epoch) for replica in placing.devices().values()), return_exceptions=True
    )
    return OpenVolume(chain, Tenure(epoch, float("inf")), False, placing)


def joined(pieces: Pieces) -> bytes:
    return b"".join([bytes(piece) for piece in pieces])  # a number is as many zeros


@on_three_devices
async def test_bytes_come_back_across_chunks_and_what_is_not_there_is_zeros(cluster: LoopbackCluster) -> None:
    volume = await opened(cluster, 1)
    data = os.urandom(300 * KiB)
    offset = 3 * CHUNK - 100 * KiB
    await volume.write(offset, memoryview(data))
    assert joined(await volume.read(offset - 5, len(data) + 10)) == bytes(5) + data + bytes(5)
    assert joined(await volume.read(9 * CHUNK, 4 * KiB)) == bytes(4 * KiB)
    await volume.zero(offset, 4 * KiB)
    await volume.zero(offset + 8 * KiB, 4 * KiB, trim=True)
    expected = bytes(4 * KiB) + data[4 * KiB : 8 * KiB] + bytes(4 * KiB) + data[12 * KiB :]
    assert joined(await volume.read(offset, len(data))) == expected
    await volume.flush()


@on_three_devices
async def test_many_small_writes_at_once_are_all_there(cluster: LoopbackCluster) -> None:
    volume = await opened(cluster, 1)
    blocks = {number: os.urandom(4 * KiB) for number in random.Random(1).sample(range(3 * 1024), 300)}
    await asyncio.gather(*(volume.write(number * 4 * KiB, memoryview(data)) for number, data in blocks.items()))
    await volume.flush()
    for number, data in blocks.items():
        assert joined(await volume.read(number * 4 * KiB, 4 * KiB)) == data


@on_three_devices
async def test_what_was_flushed_is_there_after_a_crash_of_everything(cluster: LoopbackCluster) -> None:
    volume = await opened(cluster, 1)
    data = os.urandom(64 * KiB)
    await volume.write(CHUNK - 32 * KiB, memoryview(data))
    await volume.flush()
    volume.lose(VolumeError("killed"))
    for device in cluster.devices:
        await device.crash()
        device.start()
    again = await opened(cluster, 2)
    assert joined(await again.read(CHUNK - 32 * KiB, 64 * KiB)) == data


@on_three_devices
async def test_a_device_that_missed_writes_catches_up_and_serves(cluster: LoopbackCluster) -> None:
    volume = await opened(cluster, 1)
    data = os.urandom(128 * KiB)
    await volume.write(0, memoryview(bytes(128 * KiB)))
    with cluster.without(cluster.devices[2]):
        await volume.write(0, memoryview(data))
        await volume.write(5 * CHUNK, memoryview(data))
        await volume.flush()
    await asyncio.sleep(2.5)
    with cluster.without(cluster.devices[0]):
        again = await opened(cluster, 2)
        assert joined(await again.read(0, 128 * KiB)) == data
        assert joined(await again.read(5 * CHUNK, 128 * KiB)) == data


@on_three_devices
async def test_an_older_gateway_is_refused(cluster: LoopbackCluster) -> None:
    first = await opened(cluster, 1)
    await first.write(0, memoryview(b"1" * 512))
    second = await opened(cluster, 2)
    with pytest.raises(VolumeError):
        await first.write(0, memoryview(b"2" * 512))
    assert joined(await second.read(0, 512)) == b"1" * 512
    await second.write(0, memoryview(b"3" * 512))
    assert joined(await second.read(0, 512)) == b"3" * 512


@on_three_devices
async def test_snapshots_are_read_while_the_volume_is_written(cluster: LoopbackCluster) -> None:
    volume = await opened(cluster, 1)
    before = os.urandom(256 * KiB)
    await volume.write(CHUNK - 128 * KiB, memoryview(before))

    async def take() -> tuple[int, ...]:
        return (2, 1)

    await volume.switch(take)
    after = os.urandom(64 * KiB)
    await volume.write(CHUNK - 128 * KiB, memoryview(after))
    assert joined(await volume.read(CHUNK - 128 * KiB, 256 * KiB)) == after + before[64 * KiB :]
    snapshot = await opened(cluster, 1, (1,))
    assert joined(await snapshot.read(CHUNK - 128 * KiB, 256 * KiB)) == before
