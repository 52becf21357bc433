"""Peers tell each other the time: cluster/wire, docs/wire.md."""

import asyncio

import pytest

from cluster.wire import client
from cluster.wire.connection import stamp_age_s
from tests.unit.cluster.wire_cluster import RUNNERS, cluster, run, until

OFF_US = 300_000_000


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_peer_knows_how_far_the_servers_clock_is_from_its_own(runner: object) -> None:
    ours_us = 1_700_000_000_000_000

    async def scenario() -> None:
        async with cluster(server={"wall": lambda: ours_us + OFF_US}, wall=lambda: ours_us) as c:
            await until(lambda: c.peer.clock_offset_s is not None)
            assert c.peer.clock_offset_s == pytest.approx(300.0, abs=0.5)  # half of the trip is added
            await c.peer.close()
            assert c.peer.clock_offset_s is None

    run(runner, scenario())  # type: ignore[arg-type]


def test_a_clock_that_jumps_is_noticed_on_a_connection_that_is_never_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "CLOCK_INTERVAL_S", 0.1)
    wall = [1_700_000_000_000_000]

    async def scenario() -> None:
        async with cluster(server={"wall": lambda: wall[0]}, wall=lambda: 1_700_000_000_000_000) as c:
            await until(lambda: c.peer.clock_offset_s is not None)
            wall[0] -= OFF_US

            async def chatter() -> None:
                while (c.peer.clock_offset_s or 0.0) > -200.0:
                    await c.peer.call(1, ())
                    await asyncio.sleep(0.01)

            await chatter()

    run(asyncio.run, scenario())


def test_an_answer_that_took_too_long_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "CLOCK_TRIP_LIMIT_S", -1.0)

    async def scenario() -> None:
        async with cluster() as c:
            await c.peer.call(1, ())
            assert c.peer.clock_offset_s is None

    run(asyncio.run, scenario())


def test_stamps_wrap_around() -> None:
    assert stamp_age_s(0xFFFFFFFF, now=(0x1_0000_0000 + 499) / 1000) == pytest.approx(0.5)
