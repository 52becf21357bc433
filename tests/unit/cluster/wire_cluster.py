"""A server and a peer for tests of the wire, on a unix socket, under asyncio or uvloop."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from cluster.wire import Handler, Peer, Reply, Request, Server

KEY = b"k" * 32
RUNNERS = [asyncio.run, uvloop.run]
TEST_LIMIT_S = 20.0


def echo(request: Request) -> Reply:
    """Answer with what was asked."""
    return Reply((request.operation, request.metadata), request.payload)


class Cluster:
    """One server, and a peer that is connected to it."""

    def __init__(self, directory: str) -> None:
        self.address = f"unix:{directory}/s"
        self.server: Server
        self.peer: Peer

    async def start_server(self, handler: Handler, **options: Any) -> Server:
        self.server = Server(options.pop("key", KEY), handler, **options)
        await self.server.start(self.address)
        return self.server


@contextlib.asynccontextmanager
async def cluster(
    handler: Handler = echo, *, server: dict[str, Any] | None = None, **peer_options: Any
) -> AsyncIterator[Cluster]:
    """Give a cluster whose peer is up."""
    with tempfile.TemporaryDirectory(prefix="wire") as directory:
        made = Cluster(directory)
        await made.start_server(handler, **(server or {}))
        made.peer = Peer(made.address, KEY, name="it", **peer_options)
        made.peer.start()
        try:
            assert await made.peer.ready(5.0)
            yield made
        finally:
            await made.peer.close()
            await made.server.close()
        assert list(Path(directory).iterdir()) == []


def run(runner: Callable[[Awaitable[None]], None], scenario: Awaitable[None]) -> None:
    """Run a scenario that must end in time; nothing may be reported to the loop's exception handler."""
    reports: list[dict[str, Any]] = []

    async def bounded() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reports.append(context))
        async with asyncio.timeout(TEST_LIMIT_S):
            await scenario

    runner(bounded())
    assert reports == []


async def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds."""
    while not condition():  # noqa: ASYNC110 (what is waited for knows nothing of tests)
        await asyncio.sleep(0.005)
