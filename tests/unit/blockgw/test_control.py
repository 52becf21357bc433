"""blockgw.control: what is asked of one gateway is done by the one that has the volume."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from blockgw.control import Control
from blockgw.gateway import Gateway
from cluster.supervision.control import decode, encode
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
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(encode({"do": do, **about}))
    answer = decode(await reader.readline())
    writer.close()
    return answer


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
        await ask(second, "clone", parent="disk", snapshot="s", name="copy")
        copy = await made[0].open("copy", CLIENT)
        assert (await ask(second, "flatten", name="copy"))["job"]["volume"] == "copy"
        jobs = (await ask(second, "jobs"))["jobs"]
        assert [(each["kind"], each["volume"]) for each in jobs] == [("flatten", "copy")]
        assert await read(copy, 0, 4096) == BLOCK


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
        assert (await ask(path, "list")) == {"volumes": []}
