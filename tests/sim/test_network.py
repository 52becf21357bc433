"""tests.sim.network: the wire's own client and server over it, whole and cut."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import pytest

from cluster.wire import Peer, PeerUnavailable, Reply, Request, Server
from tests.sim.network import Fabric
from tests.sim.process import Process
from tests.sim.test_loop import play

KEY = b"k" * 32
LARGE = random.Random(3).randbytes(3 << 20)
ADDRESS = "unix:server"


class Ends:
    """A server and a client, each a process on a host of its own."""

    def __init__(self) -> None:
        self.fabric = Fabric(random.Random(1))
        self.chance = random.Random(2)
        self.server_process = Process("s", "s.1")
        self.client_process = Process("c", "c.1")
        self.peer: Peer

    async def start_server(self, handler: Any) -> None:
        server = Server(
            KEY, handler, network=self.fabric.network(self.server_process), entropy=self.chance.randbytes
        )
        await self.server_process.spawn(server.start(ADDRESS))

    async def start_peer(self) -> Peer:
        async def start() -> Peer:
            peer = Peer(
                ADDRESS, KEY, network=self.fabric.network(self.client_process), entropy=self.chance.randbytes
            )
            peer.start()
            return peer

        self.peer = await self.client_process.spawn(start())
        return self.peer

    async def call(self, payload: bytes = b"", timeout_s: float = 5.0) -> Reply:
        async def call() -> Reply:
            return await self.peer.call(1, (7,), payload, timeout_s)

        reply: Reply = await self.client_process.spawn(call())
        return reply

    async def up(self, wanted: bool, limit_s: float) -> None:
        async with asyncio.timeout(limit_s):
            while self.peer.up != wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def echo(request: Request) -> Reply:
    return Reply(request.metadata, bytes(request.payload))


ResultT = TypeVar("ResultT")
Scenario = Callable[[Ends], Awaitable[ResultT]]


def connected(handler: Any = echo) -> Callable[[Scenario[ResultT]], Callable[[], ResultT]]:
    """Make what plays a scenario between two ends that are connected, and returns what it does."""

    def decorate(scenario: Scenario[ResultT]) -> Callable[[], ResultT]:
        async def main() -> ResultT:
            ends = Ends()
            await ends.start_server(handler)
            await ends.start_peer()
            await ends.up(True, 2)
            return await scenario(ends)

        def played() -> ResultT:
            result: ResultT = play(main())
            return result

        return played

    return decorate


@connected()
async def _calls(ends: Ends) -> bytes:
    return bytes((await ends.call(LARGE)).payload)


def test_calls_and_large_payloads_arrive() -> None:
    assert _calls() == LARGE


@connected()
async def _cut(ends: Ends) -> Any:
    ends.fabric.cut("s", "c")
    with pytest.raises(PeerUnavailable):
        await ends.call(timeout_s=10)
    await ends.up(False, 3)
    ends.fabric.heal()
    await ends.up(True, 8)
    return (await ends.call()).metadata


def test_a_link_that_is_cut_one_way_is_noticed_and_heals() -> None:
    assert _cut() == (7,)


@connected()
async def _short_cut(ends: Ends) -> Any:
    ends.fabric.cut("c", "s")
    call = asyncio.ensure_future(ends.call())
    await asyncio.sleep(0.3)
    ends.fabric.heal()
    return (await call).metadata


def test_what_a_short_cut_held_up_arrives() -> None:
    assert _short_cut() == (7,)


@connected()
async def _killed(ends: Ends) -> float:
    began = asyncio.get_running_loop().time()
    ends.server_process.kill()
    await ends.up(False, 1)
    return asyncio.get_running_loop().time() - began


def test_the_kernel_tells_when_a_process_is_killed() -> None:
    assert _killed() < 0.1


@connected()
async def _power(ends: Ends) -> tuple[bool, float]:
    ends.fabric.dark.add("s")
    ends.server_process.kill(power_lost=True)
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(0.2)
    up = ends.peer.up
    await ends.up(False, 4)
    return up, asyncio.get_running_loop().time() - began


def test_nobody_tells_when_the_power_is_lost() -> None:
    up_after_a_while, noticed_s = _power()
    assert up_after_a_while
    assert 0.5 < noticed_s < 4


async def _bytes(_request: Request) -> Reply:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(40):
            yield bytes([number]) * 100_000

    return Reply((), b"", pieces())


@connected(_bytes)
async def _stream(ends: Ends) -> bytes:
    async def read() -> bytes:
        reply = await ends.peer.call(1, ())
        assert reply.body is not None
        found = bytearray()
        while piece := await reply.body.read():
            found += piece
            await asyncio.sleep(0.01)
        return bytes(found)

    found: bytes = await ends.client_process.spawn(read())
    return found


def test_streams_come_in_order_and_whole() -> None:
    assert _stream() == b"".join(bytes([n]) * 100_000 for n in range(40))
