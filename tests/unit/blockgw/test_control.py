"""blockgw.control: what is asked of one gateway is done by the one that has the volume."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from blockgw import control
from blockgw.catalog.volume import to_be_flattened
from blockgw.client import Volumes
from blockgw.control import PAGE_BYTES, Control
from blockgw.errors import HeldElsewhere
from blockgw.extents import CHUNK
from blockgw.gateway import Gateway
from blockgw.interfaces import Export
from cluster.supervision.control import MESSAGE_LIMIT, decode, encode
from tests.loopback import LoopbackCluster
from tests.unit.blockgw.gateways import CLIENT, MiB, gateways, on_three_devices, read

BLOCK = memoryview(b"1" * 4096)


@asynccontextmanager
async def controlled(made: list[Gateway]) -> AsyncIterator[list[Path]]:
    """Yield the control sockets of gateways that know of each other."""
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory) / f"{number}.sock" for number in range(len(made))]
        controls = []
        for number, gateway in enumerate(made):
            others = {f"gateway {other}": path for other, path in enumerate(paths) if other != number}
            controls.append(Control(gateway, others))
            await controls[-1].start(paths[number])
        yield paths
        for control in controls:
            await control.close()


async def ask(path: Path, do: str, **about: Any) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(path, limit=MESSAGE_LIMIT)
    writer.write(encode({"do": do, **about}))
    answer = decode(await reader.readline())
    writer.close()
    return answer


def client_of(path: Path) -> Volumes:
    """Return what asks this socket."""
    volumes = Volumes(path.parent)
    volumes._control = path
    return volumes


@on_three_devices
async def test_what_is_asked_of_the_wrong_gateway_is_done_by_the_right_one(cluster: LoopbackCluster) -> None:
    async with gateways(cluster, 2) as made, controlled(made) as (first, second):
        await ask(first, "create", name="disk", size=8 * MiB)
        export = await made[0].open("disk", CLIENT)
        await export.write(0, BLOCK, False)
        assert (await ask(second, "snapshot", name="disk", snapshot="s"))["volume"]["snapshots"][0]["name"] == "s"
        assert (await ask(second, "limit", name="disk", iops=1000))["volume"]["limits"]["iops"] == 1000
        opened = made[0].held("disk")
        assert opened is not None
        assert opened.export.throttle is not None, "clients that are there are limited"
        assert (await ask(second, "resize", name="disk", size=16 * MiB))["volume"]["size"] == 16 * MiB
        assert opened.export.size == 16 * MiB, "clients that come back are told"
        assert "error" in await ask(second, "rollback", name="disk", snapshot="nothing")
        await ask(second, "dismiss", name="disk", holder="lost")
        assert opened.about.dismissed == ("lost",)
        await ask(second, "clone", parent="disk", snapshot="s", name="copy")
        copy = await made[0].open("copy", CLIENT)
        assert (await ask(second, "flatten", name="copy"))["job"]["volume"] == "copy"
        jobs = (await ask(second, "jobs"))["jobs"]
        assert [(each["kind"], each["volume"]) for each in jobs] == [("flatten", "copy")]
        assert await read(copy, 0, 4096) == BLOCK


@on_three_devices
async def test_who_waits_for_a_flatten_hears_of_the_one_that_is_done(cluster: LoopbackCluster) -> None:
    """Every gateway finds that it is due, and tries; those that do not have the volume have not failed at it."""
    async with gateways(cluster, 2) as made, controlled(made) as (first, second):
        await ask(first, "create", name="disk", size=8 * MiB)
        await ask(first, "snapshot", name="disk", snapshot="s")
        await ask(first, "clone", parent="disk", snapshot="s", name="copy")
        copy = await made[0].open("copy", CLIENT)
        await copy.write(0, BLOCK, False)
        await made[0].catalog(lambda catalog: catalog.change("copy", to_be_flattened))
        async with asyncio.timeout(20):
            for gateway in reversed(made):
                await gateway.upkeep.step()
                job = gateway.jobs.find("flatten", "copy")
                assert job is not None
                assert job.task is not None
                await job.task
        for path in (first, second):
            assert [job["state"] for job in (await ask(path, "jobs"))["jobs"]] == ["done"]


@on_three_devices
async def test_a_volume_moves_with_all_that_was_written(cluster: LoopbackCluster) -> None:
    async with gateways(cluster, 2) as made, controlled(made) as (first, second):
        away: list[str] = []

        async def send_away(name: str, _deadline_s: float) -> None:
            away.append(name)

        made[0].send_away = send_away
        await ask(first, "create", name="disk", size=8 * MiB)
        for number in range(6):
            here = made[number % 2]
            export = await here.open("disk", CLIENT)
            await export.write(4096 * number, BLOCK, False)
            assert await read(export, 0, 4096 * (number + 1)) == bytes(BLOCK) * (number + 1)
            answer = await ask((second, first)[number % 2], "take", name="disk")
            assert answer["volume"]["name"] == "disk"
            assert here.held("disk") is None
        assert away == ["disk"] * 3


@on_three_devices
async def test_a_client_that_comes_back_at_once_does_not_stop_a_move(cluster: LoopbackCluster) -> None:
    """As guests do whose disk connects again."""
    async with gateways(cluster, 2) as made, controlled(made) as (first, second):
        await ask(first, "create", name="disk", size=8 * MiB)
        export = await made[0].open("disk", CLIENT)
        back: list[asyncio.Future[Export]] = []

        async def send_away(name: str, _deadline_s: float) -> None:
            made[0].release(export)
            back.append(asyncio.ensure_future(made[0].open(name, CLIENT)))

        made[0].send_away = send_away
        assert (await ask(second, "take", name="disk")).get("volume"), "it was given back to who had it"
        with pytest.raises(HeldElsewhere):
            await back[0]
        assert made[1].held("disk") is not None


@on_three_devices
async def test_what_nobody_uses_elsewhere_is_taken_over(cluster: LoopbackCluster) -> None:
    async with gateways(cluster, 2) as (first, second):
        await first.create("disk", 8 * MiB)
        export = await first.open("disk", CLIENT)
        await export.write(0, BLOCK, False)
        first.release(export)
        taken = await second.open("disk", CLIENT)
        assert await read(taken, 0, 4096) == BLOCK


@on_three_devices
async def test_a_gateway_that_does_not_answer_is_said_so(cluster: LoopbackCluster) -> None:
    async with gateways(cluster, 2) as made, controlled(made) as (first, second):
        await ask(first, "create", name="disk", size=8 * MiB)
        await made[0].open("disk", CLIENT)
        first.unlink()
        assert "does not answer" in (await ask(second, "snapshot", name="disk", snapshot="s"))["error"]
        assert "does not answer" in (await ask(second, "take", name="disk"))["error"]
        assert made[0].held("disk") is not None


@on_three_devices
async def test_what_is_no_request_is_answered_with_the_reason(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as made, controlled(made) as (path,):
        assert "nothing is called" in (await ask(path, "explode"))["error"]
        assert "not a request" in (await ask(path, "create", name="disk"))["error"]
        assert "no volume" in (await ask(path, "show", name="disk"))["error"]
        assert (await ask(path, "list")) == {"volumes": [], "next": None}


@on_three_devices
async def test_more_volumes_than_an_answer_has_room_for_are_listed_by_pages(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as made, controlled(made) as (path,):
        names = [f"disk-{number:04d}" for number in range(12)]
        await made[0].catalog(lambda catalog: [catalog.create(name, 8 * MiB, "d" * 100_000) for name in names])
        found: list[str] = []
        first: str | None = ""
        while first is not None:
            answer = await ask(path, "list", first=first)
            assert len(encode(answer)) < PAGE_BYTES + 200_000
            found += [each["name"] for each in answer["volumes"]]
            first = answer["next"]
        assert found == names
        assert [each.name for each in await asyncio.to_thread(client_of(path).list)] == names


@on_three_devices
async def test_chunks_of_many_layers_are_told_by_pages(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as made, controlled(made) as (path,):
        await ask(path, "create", name="disk", size=40 * MiB)
        export = await made[0].open("disk", CLIENT)
        for number in (7, 0, 4, 2, 9):
            await export.write(number * CHUNK, BLOCK, False)
        pages, first = [], 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(control, "PAGE_CHUNKS", 3)
            while first is not None:
                answer = await ask(path, "changed", name="disk", first=first)
                pages.append(answer["chunks"])
                first = answer["next"]
        assert pages == [[0, 2, 4], [7, 9]]
