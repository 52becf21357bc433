"""blockgw.volumes: what comes while a volume goes over to another layer, and flushes that somebody gives up."""

import asyncio
import random
from collections.abc import Sequence

from blockgw.errors import VolumeError
from blockgw.extents import CHUNK
from blockgw.lease import Tenure
from blockgw.volumes.volume import OpenVolume
from tests.unit.blockgw.fake_replicas import BLOCK, Cluster
from tests.unit.blockgw.test_volume import FOREVER, block, content, opened, simulated, written_to


class Change:
    """A change of the chain that takes until it is let go on."""

    def __init__(self, chain: Sequence[int]) -> None:
        self._chain = chain
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()

    async def __call__(self) -> Sequence[int]:
        self.begun.set()
        await self.may_end.wait()
        return self._chain


def test_reads_and_writes_wait_for_a_switch_and_belong_to_what_comes_after() -> None:
    async def scenario() -> None:
        network = Cluster(random.Random(1)).network()
        volume = await opened(network, 1)
        await volume.write(0, memoryview(block(1)))
        change = Change((2, 1))
        switching = asyncio.ensure_future(volume.switch(change))
        await change.begun.wait()
        known = asyncio.ensure_future(content(volume, 0))
        unknown = asyncio.ensure_future(content(volume, 5 * CHUNK))
        writing = asyncio.ensure_future(volume.write(BLOCK, memoryview(block(2))))
        touching = asyncio.ensure_future(volume.write(7 * CHUNK, memoryview(block(3))))
        await asyncio.sleep(2)
        assert not any(each.done() for each in (known, unknown, writing, touching, switching))
        change.may_end.set()
        await asyncio.gather(switching, writing, touching)
        assert (await known, await unknown) == (block(1), bytes(BLOCK))
        assert [await content(volume, at) for at in (0, BLOCK, 7 * CHUNK)] == [block(1), block(2), block(3)]
        snapshot = OpenVolume((1,), Tenure(1, FOREVER), True, network)
        found = [await content(snapshot, at) for at in (0, BLOCK, 7 * CHUNK)]
        assert found == [block(1), bytes(BLOCK), bytes(BLOCK)]

    simulated(scenario)


def test_a_chunk_that_is_being_opened_when_a_switch_begins_is_known_as_it_is_then() -> None:
    """Its opening began in the old chain: what it finds must not be taken for what the new layer has."""

    async def scenario() -> None:
        cluster = Cluster(random.Random(1), count=3)
        before = await opened(cluster.network(), 1)
        await before.write(0, memoryview(block(1)))
        await before.close()
        network = cluster.network()
        volume = await opened(network, 2)
        for link in network.links.values():
            link.slow_s = 0.2
        reading = asyncio.ensure_future(content(volume, 0))
        await asyncio.sleep(0.01)
        change = Change((2, 1))
        change.may_end.set()
        await volume.switch(change)
        assert await reading == block(1)
        await volume.write(BLOCK, memoryview(block(2)))
        assert [await content(volume, at) for at in (0, BLOCK)] == [block(1), block(2)]
        assert all(device.at(1, 0).blocks == {0: block(1)} for device in cluster.devices)

    simulated(scenario)


def test_a_device_that_comes_back_during_a_switch_goes_over_with_the_others() -> None:
    async def scenario() -> None:
        cluster, volume = await written_to()
        cluster.devices[2].up = False
        await volume.write(0, memoryview(block(2)))
        change = Change((2, 1))
        switching = asyncio.ensure_future(volume.switch(change))
        await change.begun.wait()
        cluster.devices[2].up = True
        await asyncio.sleep(5)
        change.may_end.set()
        await switching
        await volume.write(BLOCK, memoryview(block(3)))
        await asyncio.sleep(5)
        for device in cluster.devices:
            assert device.at(1, 0).blocks == {0: block(2)}, "what is frozen stays"
            assert device.at(2, 0).blocks == {0: block(2), BLOCK: block(3)}

    simulated(scenario)


def test_a_switch_that_fails_leaves_the_volume_as_it_was() -> None:
    async def scenario() -> None:
        volume = await opened(Cluster(random.Random(1)).network(), 1)
        await volume.write(0, memoryview(block(1)))

        async def refused() -> Sequence[int]:
            raise ValueError("no")

        switching = asyncio.ensure_future(volume.switch(refused))
        writing = asyncio.ensure_future(volume.write(0, memoryview(block(2))))
        outcome, _written = await asyncio.gather(switching, writing, return_exceptions=True)
        assert isinstance(outcome, ValueError)
        assert volume.chain == (1,)
        assert await content(volume, 0) == block(2)

    simulated(scenario)


def test_nobody_writes_to_the_old_layer_when_the_new_one_cannot_be_gone_on_in() -> None:
    """The chain is changed, and a device that hangs keeps the volume from coming to rest: the layer is a snapshot's."""

    async def scenario() -> None:
        cluster, volume = await written_to()
        change = Change((2, 1))
        switching = asyncio.ensure_future(volume.switch(change))
        await change.begun.wait()
        volume.chunk(0).opening = hanging = asyncio.ensure_future(asyncio.sleep(100))
        writing = asyncio.ensure_future(volume.write(0, memoryview(block(2))))
        change.may_end.set()
        outcomes = await asyncio.gather(switching, writing, return_exceptions=True)
        assert all(isinstance(outcome, VolumeError) for outcome in outcomes)
        assert volume.is_lost
        assert all(device.at(1, 0).blocks == {0: block(1)} for device in cluster.devices)
        hanging.cancel()

    simulated(scenario)


def test_a_chunk_of_a_chain_that_is_no_more_is_not_brought_to_anybody() -> None:
    async def scenario() -> None:
        cluster, volume = await written_to()
        cluster.devices[2].up = False
        await volume.write(0, memoryview(block(2)))
        change = Change((3,))  # another branch
        change.may_end.set()
        await volume.switch(change)
        cluster.devices[2].up = True
        await asyncio.sleep(5)
        assert cluster.devices[2].at(1, 0).blocks == {0: block(1)}
        assert volume._opening._resyncing is None, "nobody lacks anything any more"

    simulated(scenario)


def test_who_cancels_a_flush_ends_it_for_nobody_else() -> None:
    async def scenario() -> None:
        cluster = Cluster(random.Random(1), count=3)
        network = cluster.network()
        volume = await opened(network, 1)
        await volume.write(0, memoryview(block(1)))
        for link in network.links.values():
            link.slow_s = 0.1
        flushes = [asyncio.ensure_future(volume.flush()) for _ in range(4)]  # the first alone, the others share one
        await asyncio.sleep(0.01)
        flushes[0].cancel()
        flushes[2].cancel()
        done = await asyncio.gather(*flushes, return_exceptions=True)
        assert [isinstance(each, asyncio.CancelledError) for each in done] == [True, False, True, False]
        assert _durable(cluster) >= 2

    simulated(scenario)


def test_what_a_cancelled_flush_was_for_is_durable_after_the_next() -> None:
    async def scenario() -> None:
        cluster, volume = await written_to()
        flushing = asyncio.ensure_future(volume.flush())
        await asyncio.sleep(0)
        flushing.cancel()
        for device in cluster.devices[1:]:
            device.kill()  # what they say of the flush that was under way does not count
        await volume.flush()
        assert _durable(cluster) >= 2

    simulated(scenario)


def _durable(cluster: Cluster) -> int:
    """Return how many devices have the first block durably."""
    held = [device.durable.get((1, 0)) for device in cluster.devices]
    return sum(each is not None and each.blocks.get(0) == block(1) for each in held)
