"""blockgw.gateway: who has lost a volume without knowing changes nothing of it; what came of a change is looked up."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from blockgw.catalog import volume as volumes
from blockgw.catalog.errors import CatalogError, InvalidRequest, Overtaken
from blockgw.errors import UnknownExport, VolumeError
from blockgw.gateway import Gateway
from blockgw.interfaces import Export
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.coordination.errors import Unavailable
from cluster.coordination.lease import Lease
from tests.loopback import LoopbackCluster
from tests.unit.blockgw.gateways import CLIENT, MiB, gateways, on_three_devices, read


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
        assert await read(await first.open("disk@tuesday", CLIENT), 0, 1) == b"3"


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
        assert await read(taken, 0, 1) == b"1"


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
    assert await read(again, 0, 1) == b"1"
    await again.write(0, memoryview(b"3" * 512), False)
    return again


@on_three_devices
async def test_a_snapshot_that_was_taken_without_an_answer_is_there_and_exact(cluster: LoopbackCluster) -> None:
    async with gateways(cluster, kind=Doubtful) as (gateway,):
        await snapshot_without_an_answer(gateway, made=True)
        assert await read(await gateway.open("disk@monday", CLIENT), 0, 1) == b"1"
        with pytest.raises(InvalidRequest):
            await gateway.snapshot("disk", "monday")


@on_three_devices
async def test_a_snapshot_that_was_not_taken_without_an_answer_can_be_taken_again(cluster: LoopbackCluster) -> None:
    async with gateways(cluster, kind=Doubtful) as (gateway,):
        await snapshot_without_an_answer(gateway, made=False)
        await gateway.snapshot("disk", "monday")
        assert await read(await gateway.open("disk@monday", CLIENT), 0, 1) == b"3"


async def opened_while(first: Gateway, meanwhile: Callable[[], Awaitable[object]]) -> None:
    """Have a gateway open a volume, and something be done between its lease and its note in the catalog."""
    coordinate = first._coordinate

    async def slow(work: Callable[[Any], Any]) -> Any:
        found = await coordinate(work)
        if isinstance(found, Lease):
            first._coordinate = coordinate  # type: ignore[method-assign]
            await meanwhile()
        return found

    first._coordinate = slow  # type: ignore[method-assign]
    await first.open("disk", CLIENT)


@on_three_devices
async def test_what_goes_to_the_trash_while_it_is_being_opened_is_not_opened(cluster: LoopbackCluster) -> None:
    async with gateways(cluster, 2) as (first, second):
        await first.create("disk", 8 * MiB)
        change: Callable[[Any], Any] = lambda catalog: catalog.change("disk", volumes.trashed)  # noqa: E731
        with pytest.raises(UnknownExport, match="trashed"):
            await opened_while(first, lambda: second.catalog(change))
        await second.restore("disk")
        await second.open("disk", CLIENT)


@on_three_devices
async def test_a_volume_is_not_opened_by_the_lease_of_one_that_had_its_name(cluster: LoopbackCluster) -> None:
    """Its own lease may be somebody else's, with the same number."""
    async with gateways(cluster, 2) as (first, second):
        await first.create("disk", 8 * MiB)

        async def replaced() -> None:
            await second.catalog(lambda catalog: catalog.remove(catalog.find("disk")))
            await second.create("disk", 4 * MiB)

        with pytest.raises(UnknownExport, match="another volume"):
            await opened_while(first, replaced)
        assert (await second.catalog(lambda catalog: catalog.find("disk"))).epoch == 0
