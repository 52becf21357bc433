"""blockgw.volumes: an open volume is a disk, whatever happens to its gateway and to the devices under it."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from blockgw.errors import VolumeError
from blockgw.extents import CHUNK
from blockgw.lease import Tenure
from blockgw.volumes.volume import OpenVolume
from tests.sim.loop import SimulatedLoop
from tests.unit.blockgw.fake_replicas import BLOCK, Cluster, Network

FOREVER = 1e9
SEEDS = range(int(os.environ.get("HOLDFAST_VOLUME_SEEDS", "8")))


def simulated(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario in simulated time."""
    loop = SimulatedLoop()
    try:
        loop.run_until_complete(scenario())  # type: ignore[arg-type]
        assert loop.errors == []
    finally:
        loop.close()


async def opened(network: Network, epoch: int, chain: tuple[int, ...] = (1,), settled: bool = False) -> OpenVolume:
    """Open a volume as a gateway does: the devices that can be reached refuse older epochs first."""
    while True:
        calls = [link.fence(chain[0], epoch) for link in network.links.values()]
        await asyncio.wait(calls)
        if sum(call.exception() is None for call in calls) >= len(calls) - 1:  # a quorum of every chunk's members
            return OpenVolume(chain, Tenure(epoch, FOREVER), settled, network)
        await asyncio.sleep(0.1)


def block(number: int) -> bytes:
    return b"%016d" % number


async def content(volume: OpenVolume, offset: int) -> bytes:
    (piece,) = await volume.read(offset, BLOCK)
    return bytes(piece)  # a number is as many zeros


async def written_to() -> tuple[Cluster, OpenVolume]:
    """Return three devices and a volume on them, the first block of which is `block(1)`."""
    cluster = Cluster(random.Random(1), count=3)
    volume = await opened(cluster.network(), 1)
    await volume.write(0, memoryview(block(1)))
    return cluster, volume


def test_what_is_written_is_read_and_the_rest_is_zeros() -> None:
    async def scenario() -> None:
        volume = await opened(Cluster(random.Random(1)).network(), 1)
        await volume.write(5 * BLOCK, memoryview(block(1)))
        await volume.write(CHUNK + 5 * BLOCK, memoryview(block(2)))
        assert await content(volume, 5 * BLOCK) == block(1)
        assert await content(volume, CHUNK + 5 * BLOCK) == block(2)
        assert await content(volume, 0) == bytes(BLOCK)
        await volume.zero(5 * BLOCK, BLOCK, trim=True)
        assert await content(volume, 5 * BLOCK) == bytes(BLOCK)
        await volume.close()

    simulated(scenario)


def test_zeroing_what_was_never_written_sends_nothing() -> None:
    async def scenario() -> None:
        cluster = Cluster(random.Random(1))
        volume = await opened(cluster.network(), 1)
        await volume.zero(0, CHUNK, trim=True)
        assert all(not device.cached for device in cluster.devices)

    simulated(scenario)


def test_one_of_three_may_be_down_and_catches_up_when_it_is_back() -> None:
    async def scenario() -> None:
        cluster, volume = await written_to()
        cluster.devices[2].up = False
        for number in range(2, 10):
            await volume.write(number * BLOCK, memoryview(block(number)))
        await volume.flush()
        cluster.devices[2].up = True
        await asyncio.sleep(5)
        assert len({device.at(1, 0).version for device in cluster.devices}) == 1
        await volume.write(0, memoryview(block(11)))
        await asyncio.sleep(1)
        assert all(device.at(1, 0).blocks[0] == block(11) for device in cluster.devices)

    simulated(scenario)


def test_writes_wait_for_a_quorum_and_then_are_done() -> None:
    async def scenario() -> None:
        cluster, volume = await written_to()
        for device in cluster.devices[1:]:
            device.up = False
        writing = asyncio.ensure_future(volume.write(0, memoryview(block(2))))
        await asyncio.sleep(3)
        assert not writing.done()
        cluster.devices[1].up = True
        await asyncio.wait_for(writing, 5)
        assert await content(volume, 0) == block(2)

    simulated(scenario)


def test_without_a_quorum_for_long_clients_are_told_so() -> None:
    async def scenario() -> None:
        cluster = Cluster(random.Random(1), count=3)
        volume = await opened(cluster.network(), 1)
        for device in cluster.devices[1:]:
            device.up = False
        with pytest.raises(VolumeError):
            await volume.write(0, memoryview(block(2)))
        with pytest.raises(VolumeError):
            await volume.read(0, BLOCK)

    simulated(scenario)


def test_what_was_flushed_survives_the_power_and_the_rest_is_old_or_new() -> None:
    async def scenario() -> None:
        cluster, volume = await written_to()
        await volume.flush()
        await volume.write(0, memoryview(block(2)))
        await volume.write(BLOCK, memoryview(block(3)), fua=True)
        await volume.write(BLOCK, memoryview(block(4)))
        volume.lose(VolumeError("power"))
        for device in cluster.devices:
            device.lose_power()
        again = await opened(cluster.network(), 2)
        assert await content(again, 0) in (block(1), block(2))
        assert await content(again, BLOCK) in (block(3), block(4))

    simulated(scenario)


def test_where_each_write_was_flushed_the_next_is_durable_when_it_is_answered_and_its_flush_asks_nobody() -> None:
    async def scenario() -> None:
        cluster = Cluster(random.Random(1), count=3)
        volume = await opened(cluster.network(), 1)
        await volume.write(0, memoryview(block(1)))
        await volume.flush()
        await volume.write(0, memoryview(block(2)))
        durable = [held.blocks.get(0) for device in cluster.devices for held in device.durable.values()]
        assert durable.count(block(2)) >= 2
        await asyncio.sleep(1)
        flushed = [device.flush_count for device in cluster.devices]
        await volume.flush()
        assert [device.flush_count for device in cluster.devices] == flushed

    simulated(scenario)


def test_a_flush_is_not_answered_for_what_a_device_lost_meanwhile() -> None:
    """Two of three lose power between the write and the flush; the third has it, and brings it to them."""

    async def scenario() -> None:
        cluster, volume = await written_to()
        await asyncio.sleep(0.1)
        for device in cluster.devices[:2]:
            device.lose_power()
        await volume.flush()
        durable = [device.durable.get((1, 0)) for device in cluster.devices]
        assert sum(held is not None and held.blocks.get(0) == block(1) for held in durable) >= 2

    simulated(scenario)


def test_who_was_fenced_off_writes_nothing_any_more() -> None:
    async def scenario() -> None:
        cluster = Cluster(random.Random(1))
        first = await opened(cluster.network(), 1)
        await first.write(0, memoryview(block(1)))
        lost: list[bool] = []
        first.on_lost = lambda: lost.append(True)
        second = await opened(cluster.network(), 2)
        with pytest.raises(VolumeError):
            await first.write(0, memoryview(block(2)))
        assert lost == [True]
        assert await content(second, 0) == block(1)
        with pytest.raises(VolumeError):
            await first.flush()

    simulated(scenario)


def test_who_cannot_be_sure_of_his_lease_sends_nothing_until_he_is() -> None:
    async def scenario() -> None:
        cluster = Cluster(random.Random(1))
        volume = await opened(cluster.network(), 1)
        await volume.write(0, memoryview(block(1)))
        volume.renewed(Tenure(1, asyncio.get_running_loop().time() + 1))
        await asyncio.sleep(2)
        writing = asyncio.ensure_future(volume.write(0, memoryview(block(2))))
        await asyncio.sleep(1)
        assert not writing.done()
        assert all(device.at(1, 0).blocks.get(0) != block(2) for device in cluster.devices)
        volume.renewed(Tenure(1, FOREVER))
        await writing
        assert await content(volume, 0) == block(2)

    simulated(scenario)


def test_writes_that_are_held_back_for_long_are_an_error_and_made_later() -> None:
    async def scenario() -> None:
        volume = await opened(Cluster(random.Random(1), count=3).network(), 1)
        await volume.write(0, memoryview(block(1)))
        volume.renewed(Tenure(1, 0.0))
        for number in (2, 3):
            with pytest.raises(VolumeError):
                await asyncio.wait_for(volume.write(0, memoryview(block(number))), 62)
        volume.renewed(Tenure(1, FOREVER))
        await volume.flush()
        assert await content(volume, 0) in (block(1), block(3))
        await volume.write(0, memoryview(block(4)))
        assert await content(volume, 0) == block(4)

    simulated(scenario)


def test_who_cannot_be_sure_of_his_lease_reads_nothing_that_another_has_overwritten() -> None:
    """One replica may not know of it: it was away when the other gateway opened the volume, and when it wrote."""

    async def scenario() -> None:
        cluster = Cluster(random.Random(1), count=3)
        first = await opened(cluster.network(), 1)
        await first.write(0, memoryview(block(1)))
        assert await content(first, 0) == block(1)
        cluster.devices[0].up = False
        second = await opened(cluster.network(), 2)
        await second.write(0, memoryview(block(2)))
        cluster.devices[0].up = True
        cluster.devices[0].fences[1] = 1
        first.renewed(Tenure(1, 0.0))  # its time is over
        first.chunk(0).current = dict(sorted(first.chunk(0).current.items()))  # the one that was away is read first
        with pytest.raises(VolumeError):
            await content(first, 0)
        assert await content(second, 0) == block(2)

    simulated(scenario)


def test_who_is_sure_of_nothing_reads_all_the_same_when_nobody_else_has_come() -> None:
    async def scenario() -> None:
        volume = await opened(Cluster(random.Random(1), count=3).network(), 1)
        await volume.write(0, memoryview(block(1)))
        volume.renewed(Tenure(1, 0.0))
        assert await asyncio.gather(*(content(volume, 0) for _ in range(5))) == [block(1)] * 5

    simulated(scenario)


def test_a_replica_that_a_read_finds_behind_is_brought_up() -> None:
    async def scenario() -> None:
        cluster, volume = await written_to()
        await volume.flush()
        await volume.write(0, memoryview(block(2)))
        await asyncio.sleep(0.1)
        cluster.devices[volume.chunk(0).preferred].lose_power()
        assert await content(volume, 0) == block(2)
        await asyncio.sleep(3)
        assert len(volume.chunk(0).current) == 3
        assert [device.at(1, 0).blocks[0] for device in cluster.devices] == [block(2)] * 3

    simulated(scenario)


def test_a_snapshot_is_the_volume_as_it_was_and_costs_no_copy() -> None:
    async def scenario() -> None:
        cluster = Cluster(random.Random(1))
        network = cluster.network()
        volume = await opened(network, 1)
        for number in range(8):
            await volume.write(number * CHUNK, memoryview(block(number)))
        before = [dict(device.cached) for device in cluster.devices]

        async def take() -> tuple[int, ...]:
            return (2, 1)

        await volume.switch(take)
        assert [dict(device.cached) for device in cluster.devices] == before
        await volume.write(0, memoryview(block(100)))
        await volume.write(BLOCK, memoryview(block(101)))
        assert [await content(volume, offset) for offset in (0, BLOCK, CHUNK)] == [block(100), block(101), block(1)]
        snapshot = OpenVolume((1,), Tenure(1, FOREVER), True, network)
        assert [await content(snapshot, offset) for offset in (0, BLOCK, CHUNK)] == [block(0), bytes(BLOCK), block(1)]
        again = await opened(cluster.network(), 2, (2, 1))
        assert [await content(again, offset) for offset in (0, BLOCK, CHUNK)] == [block(100), block(101), block(1)]

    simulated(scenario)


# at random


@dataclass
class Model:
    """What a block may be found to be: one of `writes[low:]`."""

    writes: list[bytes] = field(default_factory=lambda: [bytes(BLOCK)])
    acknowledged: int = 0  # index; what was read counts, too
    flushed: int = 0
    exact: bool = False  # after it was read under a new epoch, nothing but a new write changes it

    def check(self, found: bytes, where: object) -> None:
        allowed = self.writes[self.acknowledged :]
        if self.exact:
            allowed = self.writes[self.acknowledged : self.acknowledged + 1]
        assert found in allowed, f"{where}: {found!r} and not one of {allowed}"
        self.acknowledged = len(self.writes) - 1 - self.writes[::-1].index(found)


class Guest:
    """Writes blocks of its own one after the other, reads them, and flushes."""

    def __init__(self, number: int, chance: random.Random) -> None:
        self.number = number
        self.chance = chance
        self.models = {
            chunk * CHUNK + (number * 4 + index) * BLOCK: Model() for chunk in range(3) for index in range(2)
        }
        self.count = 0
        self.done = 0

    async def run(self, volume: OpenVolume, until: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            offset, model = self.chance.choice(list(self.models.items()))
            try:
                await self._step(volume, offset, model)
                self.done += 1
            except VolumeError:
                return
            await asyncio.sleep(self.chance.choice((0, 0, 0.001, 0.01)))

    async def _step(self, volume: OpenVolume, offset: int, model: Model) -> None:
        what = self.chance.random()
        if what < 0.5:
            self.count += 1
            value = block(self.number * 1_000_000 + self.count)
            model.writes.append(value)
            model.exact = False
            index = len(model.writes) - 1
            fua = self.chance.random() < 0.1
            await volume.write(offset, memoryview(value), fua=fua)
            model.acknowledged = index
            if fua:
                model.flushed = index
        elif what < 0.9:
            model.check(await content(volume, offset), (self.number, offset))
        else:
            before = {each: each.acknowledged for each in self.models.values()}
            await volume.flush()
            for each, index in before.items():
                each.flushed = max(each.flushed, index)

    __hash__ = object.__hash__


Model.__hash__ = object.__hash__  # type: ignore[method-assign,assignment]


async def break_things(cluster: Cluster, chance: random.Random, until: float) -> None:
    """Take one device at a time away, in one way or another."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        await asyncio.sleep(chance.uniform(0.01, 0.5))
        device = chance.choice(cluster.devices)
        links = [link for link in cluster.links if link.device is device]
        what = chance.randrange(5)
        if what == 0:
            device.up = False
        elif what == 1:
            device.kill()
        elif what == 2:
            device.lose_power()
        elif what == 3:
            for link in links:
                link.slow_s = chance.uniform(0, 0.3)
        for link in links:
            link.cut()
        await asyncio.sleep(chance.uniform(0.01, 1.0))
        device.up = True
        for link in links:
            link.slow_s = 0.0


@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_a_disk_whatever_happens(seed: int) -> None:
    async def scenario() -> None:
        chance = random.Random(seed)
        cluster = Cluster(chance, count=chance.choice((3, 4)))
        guests = [Guest(number, chance) for number in range(3)]
        chain: tuple[int, ...] = (1,)
        loop = asyncio.get_running_loop()
        for epoch in range(1, 6):
            network = cluster.network()
            volume = await opened(network, epoch, chain)
            until = loop.time() + chance.uniform(1, 6)
            breaking = asyncio.ensure_future(break_things(cluster, chance, until))
            playing = [asyncio.ensure_future(guest.run(volume, until + 60)) for guest in guests]
            await asyncio.sleep(max(0.0, until - loop.time()) * chance.random())
            if chance.random() < 0.5:
                chain = await snapshot_of(volume, chain)
            await breaking
            await crash(cluster, chance, volume, network, guests, playing)
            for guest in guests:
                assert guest.done > 0
        volume = await opened(cluster.network(), 9, chain)
        for guest in guests:
            for offset, model in guest.models.items():
                model.check(await content(volume, offset), (guest.number, offset))

    simulated(scenario)


async def snapshot_of(volume: OpenVolume, chain: tuple[int, ...]) -> tuple[int, ...]:
    """Put a layer in front, and return the chain that counts then: a crash may come in between."""
    longer = (max(chain) + 1, *chain)

    async def change() -> tuple[int, ...]:
        return longer

    await volume.switch(change)
    return longer


async def crash(
    cluster: Cluster,
    chance: random.Random,
    volume: OpenVolume,
    network: Network,
    guests: list[Guest],
    playing: list["asyncio.Future[None]"],
) -> None:
    """End a gateway, without a word; in half of all cases the power of all devices goes as well."""
    for link in network.links.values():
        if chance.random() < 0.5:
            link.frozen = []  # what it sends from here on arrives after somebody else has opened the volume
    await asyncio.sleep(chance.uniform(0, 0.02))
    volume.lose(VolumeError("killed"))
    await asyncio.wait(playing)
    for played in playing:
        played.result()
    if chance.random() < 0.5:
        for device in cluster.devices:
            device.lose_power()
        for guest in guests:
            for model in guest.models.values():
                model.acknowledged = min(model.acknowledged, model.flushed)
    for link in network.links.values():
        asyncio.get_running_loop().call_later(chance.uniform(0, 2), link.thaw)
