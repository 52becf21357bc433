"""Tags of requests: what the handler is told, and what it costs. docs/wire.md, "Requests"."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cluster.wire import Reply, Request, handshake
from tests.unit.cluster.wire_cluster import RUNNERS, cluster, run, until

pytestmark = pytest.mark.parametrize("runner", RUNNERS, ids=["asyncio", "uvloop"])
Runner = Callable[[Any], None]


def tell(request: Request) -> Reply:
    """Answer with the tag."""
    return Reply((request.operation, request.tag))


def test_a_request_has_the_tag_that_it_was_given_or_none(runner: Runner) -> None:
    async def scenario() -> None:
        async with cluster(tell) as c:
            tags = [0, 1, 1, 0, 7, (1 << 32) - 1, 0, 3]
            calls = [c.peer.call(number, (), b"", 5.0, tag) for number, tag in enumerate(tags)]
            assert [reply.metadata for reply in await asyncio.gather(*calls)] == list(enumerate(tags))
            assert (await c.peer.call(9, ())).metadata == (9, 0)

    run(runner, scenario())


def test_requests_with_bodies_and_without_answers_have_tags_too(runner: Runner) -> None:
    heard: list[int] = []

    def handler(request: Request) -> Any:
        heard.append(request.tag)
        return drained(request)

    async def drained(request: Request) -> Reply:
        while request.body is not None and await request.body.read():
            continue
        return Reply()

    async def scenario() -> None:
        async with cluster(handler) as c:
            upload = c.peer.open(1, (), 5.0, 4)
            c.peer.send(2, (), 5)
            await upload.send(b"piece")
            await upload.finish()
            await c.peer.call(3, (), b"", 5.0, 4)
            await until(lambda: len(heard) == 3)
            assert heard == [4, 5, 4]

    run(runner, scenario())


def test_a_new_connection_begins_without_a_tag(runner: Runner) -> None:
    async def scenario() -> None:
        async with cluster(tell) as c:
            assert (await c.peer.call(1, (), b"", 5.0, 6)).metadata == (1, 6)
            for connection in list(c.server._connections):
                connection.close("cut")
            await until(lambda: not c.peer.up)
            assert await c.peer.ready(5.0)
            assert (await c.peer.call(1, (), b"", 5.0, 6)).metadata == (1, 6)
            assert (await c.peer.call(1, ())).metadata == (1, 0)

    run(runner, scenario())


def test_in_version_one_there_are_no_tags(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with cluster(tell) as c:
            assert (await c.peer.call(1, (), b"", 5.0, 6)).metadata == (1, 0)
            assert (await c.peer.call(1, (), b"", 5.0, 7)).metadata == (1, 0)

    monkeypatch.setattr(handshake, "NEWEST_VERSION", 1)
    run(runner, scenario())


def test_a_tag_that_stays_costs_no_bytes(runner: Runner) -> None:
    async def scenario() -> None:
        async with cluster(tell) as c:
            connection = c.peer._connection
            await c.peer.call(1, (), b"", 5.0, 6)
            sent = connection._sent
            await c.peer.call(1, (), b"", 5.0, 6)
            tagged = connection._sent - sent
            await c.peer.call(1, ())
            sent = connection._sent
            await c.peer.call(1, ())
            assert connection._sent - sent == tagged

    run(runner, scenario())
