"""blockgw.volumes.spares: what is to be durable is so on a quorum, whoever was asked for it, and whoever is slow."""

import asyncio
import random

import pytest

from blockgw.volumes.spares import HEDGE_S
from blockgw.volumes.volume import OpenVolume
from tests.unit.blockgw.fake_replicas import Cluster, Network
from tests.unit.blockgw.test_lost_writes import durable
from tests.unit.blockgw.test_volume import block, opened, simulated

SLOW_S = 1.0  # later than any of the waits here
WELL_S = 0.005  # for devices that answer as usual
assert WELL_S < HEDGE_S < SLOW_S


async def known(cluster: Cluster, network: Network) -> tuple[OpenVolume, list[int]]:
    """Return a volume whose first chunk is known, and its devices: those that are asked to sync, then the spare."""
    volume = await opened(network, 1)
    await volume.write(0, memoryview(block(1)), fua=True)
    await asyncio.sleep(0.1)
    (chunk,) = volume._chunks.values()
    return volume, list(chunk.current)


def flushed(cluster: Cluster) -> list[int]:
    return [device.flush_count for device in cluster.devices]


def test_only_a_quorum_is_asked_to_sync() -> None:
    async def scenario() -> None:
        cluster = Cluster(random.Random(1), count=3)
        volume, order = await known(cluster, cluster.network())
        before = flushed(cluster)
        await volume.write(0, memoryview(block(2)), fua=True)
        assert durable(cluster).count(block(2)) == 2
        await asyncio.sleep(0.1)
        syncs = [after - count for after, count in zip(flushed(cluster), before, strict=True)]
        assert [syncs[device] for device in order] == [1, 1, 0]
        await volume.flush()  # there is nothing to do
        assert [after - count for after, count in zip(flushed(cluster), before, strict=True)] == syncs

    simulated(scenario)


def test_a_spare_that_has_it_does_not_count_before_it_is_durable() -> None:
    async def scenario() -> None:
        cluster = Cluster(random.Random(1), count=3)
        network = cluster.network()
        volume, order = await known(cluster, network)
        network.links[order[1]].slow_s = SLOW_S
        writing = asyncio.ensure_future(volume.write(0, memoryview(block(2)), fua=True))
        await asyncio.sleep(WELL_S)
        assert durable(cluster).count(block(2)) == 1
        assert not writing.done()
        await asyncio.wait_for(writing, 5 * HEDGE_S)  # the spare was flushed
        assert durable(cluster)[order[2]] == block(2)

    simulated(scenario)


def test_a_spare_that_has_lost_it_does_not_count_when_it_is_flushed() -> None:
    async def scenario() -> None:
        cluster = Cluster(random.Random(1), count=3)
        network = cluster.network()
        volume, order = await known(cluster, network)
        network.links[order[1]].slow_s = SLOW_S
        writing = asyncio.ensure_future(volume.write(0, memoryview(block(2)), fua=True))
        await asyncio.sleep(WELL_S)
        cluster.devices[order[2]].lose_power()  # and nobody notices, but by its run
        await writing
        assert durable(cluster).count(block(2)) >= 2

    simulated(scenario)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_acknowledged_with_fua_is_durable_on_a_quorum_whoever_is_slow(seed: int) -> None:
    async def scenario() -> None:
        chance = random.Random(seed)
        cluster = Cluster(chance, count=3)
        network = cluster.network()
        volume, order = await known(cluster, network)
        for number in range(2, 30):
            network.links[chance.choice(order)].slow_s = chance.choice((0.0, 0.0, 0.02, 0.3))
            if chance.random() < 0.2:
                network.links[chance.choice(order)].cut()
            if chance.random() < 0.2:
                cluster.devices[chance.choice(order)].lose_power()  # one at a time: a quorum keeps what is flushed
            await volume.write(0, memoryview(block(number)), fua=True)
            assert durable(cluster).count(block(number)) >= 2, number

    simulated(scenario)
