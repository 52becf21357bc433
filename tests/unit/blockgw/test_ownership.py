"""blockgw.gateway: who has lost a volume without knowing changes nothing of it; what came of a change is looked up."""

import functools
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from blockgw.catalog.errors import CatalogError, InvalidRequest, Overtaken
from blockgw.errors import VolumeError
from blockgw.gateway import Gateway
from blockgw.interfaces import Client, Export
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.coordination.errors import Unavailable
from storage.rings.background import BackgroundStore
from tests.loopback import LoopbackCluster, in_cluster

CLIENT = Client("")
MiB = 1 << 20
on_three_devices = functools.partial(in_cluster, device_count=3)


class Doubtful(EmbeddedCoordination):
    """Coordination that does not answer a change: it was made, or it was not."""

    made: bool | None = None  # None: it answers

    def put(self, key: str, data: bytes, expect: int | None = None) -> int:
        """See `interface.Coordination`."""
        if Doubtful.made is not None and key.startswith("volumes/"):
            if Doubtful.made:
                super().put(key, data, expect)
            raise Unavailable("no answer")
        return super().put(key, data, expect)


@asynccontextmanager
async def gateways(
    cluster: LoopbackCluster, count: int = 1, kind: type[EmbeddedCoordination] = EmbeddedCoordination
) -> AsyncIterator[list[Gateway]]:
    """Yield gateways that share coordination."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "coordination.db"
        made = []
        for number in range(count):
            background = BackgroundStore(lambda: kind(path))
            made.append(Gateway(cluster.placement(f"gateway {number}"), background, f"gateway {number}"))
        yield made
        for gateway in made:
            await gateway.close()
            await gateway._background.close()


async def read(export: Export) -> bytes:
    """Return the first byte."""
    found: Any = export.read(0, 512)
    pieces = await found
    return b"".join([bytes(piece) for piece in pieces])[:1]


async def overtaken(first: Gateway, second: Gateway) -> tuple[Export, Export]:
    """Have a volume opened by two gateways one after the other; the first does not learn of it."""
    await first.create("disk", 8 * MiB)
    export = await first.open("disk", CLIENT)
    await export.write(0, memoryview(b"1" * 512), False)
    opened = first._open["disk"]
    opened.keeper.cancel()
    await first._coordinate(lambda coordination: coordination.release(opened.lease))  # as if its time were over
    return export, await second.open("disk", CLIENT)


@on_three_devices
async def test_who_has_lost_a_volume_takes_no_snapshot_of_what_another_one_writes(cluster: LoopbackCluster) -> None:
    """It would not be one: the layer is written to by the new owner, who knows nothing of it."""
    async with gateways(cluster, 2) as (first, second):
        export, taken = await overtaken(first, second)
        with pytest.raises(Overtaken):
            await first.snapshot("disk", "monday")
        with pytest.raises(VolumeError):
            await export.write(0, memoryview(b"2" * 512), False)
        assert (await second.catalog(lambda catalog: catalog.find("disk"))).snapshots == ()
        await taken.write(0, memoryview(b"3" * 512), False)
        await second.snapshot("disk", "tuesday")
        await taken.write(0, memoryview(b"4" * 512), False)
        assert await read(await first.open("disk@tuesday", CLIENT)) == b"3"


@on_three_devices
async def test_who_has_lost_a_volume_does_not_cut_it_off_or_call_it_settled(cluster: LoopbackCluster) -> None:
    async with gateways(cluster, 2) as (first, second):
        export, taken = await overtaken(first, second)
        first.release(export)
        with pytest.raises((CatalogError, VolumeError)):
            await first.resize("disk", 4 * MiB, may_shrink=True)
        await first.close()
        about = await second.catalog(lambda catalog: catalog.find("disk"))
        assert (about.size, about.settled) == (8 * MiB, False)
        assert await read(taken) == b"1"


@on_three_devices
async def test_an_older_epoch_does_not_open_what_a_newer_one_has_opened(cluster: LoopbackCluster) -> None:
    async with gateways(cluster, 2) as (first, second):
        await overtaken(first, second)
        epoch = second._open["disk"].lease.epoch
        find: Callable[[Any], Any] = lambda catalog: catalog.find("disk")  # noqa: E731
        assert (await first.catalog(find)).epoch == epoch
        with pytest.raises(Overtaken):
            await first.catalog(lambda catalog: catalog.owned(epoch - 1).change("disk", lambda about: about))


async def snapshot_without_an_answer(gateway: Gateway, made: bool) -> Export:
    """Have a snapshot taken, or not, without an answer; return the volume as it is found afterwards."""
    await gateway.create("disk", 8 * MiB)
    export = await gateway.open("disk", CLIENT)
    await export.write(0, memoryview(b"1" * 512), False)
    Doubtful.made = made
    try:
        with pytest.raises(VolumeError):
            await gateway.snapshot("disk", "monday")
    finally:
        Doubtful.made = None
    with pytest.raises(VolumeError):
        await export.write(0, memoryview(b"2" * 512), False)
    again = await gateway.open("disk", CLIENT)
    assert await read(again) == b"1"
    await again.write(0, memoryview(b"3" * 512), False)
    return again


@on_three_devices
async def test_a_snapshot_that_was_taken_without_an_answer_is_there_and_exact(cluster: LoopbackCluster) -> None:
    async with gateways(cluster, kind=Doubtful) as (gateway,):
        await snapshot_without_an_answer(gateway, made=True)
        assert await read(await gateway.open("disk@monday", CLIENT)) == b"1"
        with pytest.raises(InvalidRequest):
            await gateway.snapshot("disk", "monday")


@on_three_devices
async def test_a_snapshot_that_was_not_taken_without_an_answer_can_be_taken_again(cluster: LoopbackCluster) -> None:
    async with gateways(cluster, kind=Doubtful) as (gateway,):
        await snapshot_without_an_answer(gateway, made=False)
        await gateway.snapshot("disk", "monday")
        assert await read(await gateway.open("disk@monday", CLIENT)) == b"3"
