"""blockgw.volumes: all devices lose power under a gateway that goes on, before what it has acknowledged was flushed.

What was not flushed may be lost then; its client, which has seen no power cut, must hear of it: by its next flush.
"""

import asyncio
import random
from collections.abc import Sequence

import pytest

from blockgw.extents import CHUNK
from blockgw.lease import Tenure
from blockgw.volumes.flush import WritesLost
from blockgw.volumes.volume import OpenVolume
from tests.unit.blockgw.fake_replicas import Cluster
from tests.unit.blockgw.test_volume import FOREVER, block, content, opened, simulated


async def written(cluster: Cluster) -> OpenVolume:
    """Return a volume that has a block flushed, and the next write to it only acknowledged, by all devices."""
    volume = await opened(cluster.network(), 1)
    for _ in range(2):  # after one alone the flush would be foreseen the next time
        await volume.write(0, memoryview(block(1)))
    await volume.flush()
    await volume.write(0, memoryview(block(2)))
    await asyncio.sleep(0.1)
    return volume


def lose_power(cluster: Cluster, *numbers: int) -> None:
    for device in cluster.devices:
        if not numbers or device.number in numbers:
            device.lose_power()
    for link in cluster.links:
        link.cut()


def durable(cluster: Cluster) -> list[bytes | None]:
    held = [device.durable.get((1, 0)) for device in cluster.devices]
    return [None if each is None else each.blocks.get(0) for each in held]


def test_the_flush_that_finds_it_fails_once_and_all_goes_on() -> None:
    async def scenario() -> None:
        cluster = Cluster(random.Random(1), count=3)
        volume = await written(cluster)
        lose_power(cluster)
        with pytest.raises(WritesLost):
            await volume.flush()
        await volume.flush()
        assert await content(volume, 0) == block(1)
        await volume.write(0, memoryview(block(3)))
        await volume.flush()
        assert durable(cluster).count(block(3)) >= 2
        await volume.close()

    simulated(scenario)


def test_who_reads_or_writes_in_between_does_not_make_it_forgotten() -> None:
    async def scenario() -> None:
        cluster = Cluster(random.Random(1), count=3)
        volume = await written(cluster)
        lose_power(cluster)
        await volume.write(CHUNK, memoryview(block(7)))
        await volume.write(0, memoryview(block(3)))  # on top of what is there no more
        assert await content(volume, 0) == block(3)
        with pytest.raises(WritesLost):
            await volume.flush()
        await volume.flush()
        assert durable(cluster).count(block(3)) >= 2

    simulated(scenario)


def test_all_that_there_was_of_a_chunk_may_be_lost() -> None:
    async def scenario() -> None:
        cluster = Cluster(random.Random(1), count=3)
        volume = await opened(cluster.network(), 1)
        await volume.write(0, memoryview(block(1)))
        lose_power(cluster)
        writing = [asyncio.ensure_future(volume.write(0, memoryview(block(n)), fua=n == 3)) for n in range(2, 5)]
        await asyncio.gather(*writing)
        with pytest.raises(WritesLost):
            await volume.flush()
        await volume.flush()
        assert await content(volume, 0) == block(4)

    simulated(scenario)


def test_while_somebody_who_may_have_it_is_away_nothing_is_taken_for_lost() -> None:
    async def scenario() -> None:
        cluster = Cluster(random.Random(1), count=3)
        volume = await written(cluster)
        lose_power(cluster, 0, 1)
        cluster.devices[2].up = False
        flushing = asyncio.ensure_future(volume.flush())
        await asyncio.sleep(10)
        assert not flushing.done()
        cluster.devices[2].up = True
        await flushing
        assert await content(volume, 0) == block(2)
        assert durable(cluster).count(block(2)) >= 2

    simulated(scenario)


def test_what_was_taken_for_lost_is_not_found_again() -> None:
    """It comes back on one device after all; the client has gone on from something else."""

    async def scenario() -> None:
        cluster = Cluster(random.Random(1), count=3)
        volume = await written(cluster)
        kept = cluster.devices[2].at(1, 0).copy()
        lose_power(cluster)
        with pytest.raises(WritesLost):
            await volume.flush()
        cluster.devices[2].cached[1, 0] = kept
        lose_power_of_gateway(volume)
        again = await opened(cluster.network(), 2)
        assert await content(again, 0) == block(1)

    simulated(scenario)


def lose_power_of_gateway(volume: OpenVolume) -> None:
    volume.lose(WritesLost("power"))


def test_a_snapshot_is_refused_and_does_not_keep_it_from_the_client() -> None:
    async def scenario() -> None:
        cluster = Cluster(random.Random(1), count=3)
        volume = await written(cluster)
        lose_power(cluster)

        async def change() -> Sequence[int]:
            return (2, 1)

        with pytest.raises(WritesLost):
            await volume.switch(change)
        assert volume.chain == (1,)
        with pytest.raises(WritesLost):
            await volume.flush()
        await volume.switch(change)
        snapshot = OpenVolume((1,), Tenure(1, FOREVER), True, cluster.network())
        assert await content(snapshot, 0) == block(1)

    simulated(scenario)


@pytest.mark.parametrize("seed", range(20))
def test_no_flush_is_answered_for_what_is_lost_whenever_the_power_goes(seed: int) -> None:
    """A client writes and flushes by turns; after each flush that is answered, what it wrote before is there."""

    async def scenario() -> None:
        chance = random.Random(seed)
        cluster = Cluster(chance, count=3)
        volume = await opened(cluster.network(), 1)
        loop, flushed = asyncio.get_running_loop(), 0
        for number in range(1, 30):
            loop.call_later(chance.uniform(0, 0.03), lose_power, cluster)
            await volume.write(0, memoryview(block(number)))
            await asyncio.sleep(chance.uniform(0, 0.02))
            try:
                await volume.flush()
            except WritesLost:
                continue
            assert durable(cluster).count(block(number)) >= 2, number
            flushed = number
        await asyncio.sleep(1)
        lose_power(cluster)
        assert int(await content(volume, 0)) >= flushed

    simulated(scenario)
