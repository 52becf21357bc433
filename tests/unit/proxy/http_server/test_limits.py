"""Who takes too long or is too many, and how the server stops."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy.http import server as server_module
from proxy.http.limits import Limits
from proxy.http.message import Buffer, Request, Response
from tests.unit.proxy.http_server.world import MIB, World, echo, put, request, run

QUICK = Limits(head_s=0.2, body_s=0.2, write_s=0.3, idle_s=0.3, linger_s=0.3)


@pytest.fixture
def _quick_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "SWEEP_S", 0.02)


@pytest.mark.usefixtures("_quick_sweep")
@pytest.mark.parametrize("drip", [b"X-A: b\r\n", b""])
def test_a_head_that_never_ends_is_given_up(drip: bytes) -> None:
    async def test(world: World) -> None:
        client = await world.connect()
        await client.send(b"GET / HTTP/1.1\r\n")
        response = asyncio.ensure_future(client.response())
        while drip and not response.done():
            await client.send(drip)
            await asyncio.sleep(0.05)
        assert (await response)[0] == 408
        assert (await world.ask(request("GET")))[0] == 200

    run(test, echo, QUICK)


@pytest.mark.usefixtures("_quick_sweep")
def test_a_body_that_stands_still_is_given_up() -> None:
    async def test(world: World) -> None:
        client = await world.connect()
        for _ in range(4):
            await client.send(request("PUT", "Content-Length: 100", body=b"abc") if not _ else b"d")
            await asyncio.sleep(0.1)
        status, fields, _body = await client.response()
        assert (status, fields["connection"]) == (408, "close")

    run(test, echo, QUICK)


@pytest.mark.usefixtures("_quick_sweep")
def test_a_slow_application_is_not_the_clients_fault() -> None:
    async def slow(request: Request) -> Response:
        await asyncio.sleep(0.6)
        return await echo(request)

    async def test(world: World) -> None:
        assert (await world.ask(*put(bytes(8 * MIB))))[0] == 200
        client = await world.connect()
        await client.send(put(b"abc", "Expect: 100-continue")[0])
        await client.head()
        assert (await client.ask(b"abc"))[2] == b"abc"

    run(test, slow, QUICK)


@pytest.mark.usefixtures("_quick_sweep")
def test_a_client_that_does_not_take_its_response_is_cut_off() -> None:
    finished = asyncio.Event()

    async def application(request: Request) -> Response:
        async def endless() -> AsyncIterator[Buffer]:
            try:
                while True:
                    yield bytes(MIB)
            finally:
                finished.set()

        return Response(200, [], endless())

    async def test(world: World) -> None:
        client = await world.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(request("GET"))
        await asyncio.wait_for(finished.wait(), 3)

    run(test, application, QUICK)


@pytest.mark.usefixtures("_quick_sweep")
def test_an_idle_connection_is_closed() -> None:
    async def test(world: World) -> None:
        client = await world.connect()
        assert (await client.ask(request("GET")))[0] == 200
        assert await client.is_closed()

    run(test, echo, QUICK)


def test_connections_past_the_limit_are_closed() -> None:
    async def test(world: World) -> None:
        clients = [await world.connect() for _ in range(2)]
        for client in clients:
            await client.ask(request("GET"))
        assert await (await world.connect()).is_closed()
        clients[0].writer.close()
        assert await clients[0].is_closed()
        await asyncio.sleep(0.1)
        assert "connections=1" in repr(world.server)
        assert (await world.ask(request("GET")))[0] == 200

    run(test, echo, Limits(connections=2))


def test_a_stop_lets_running_requests_finish_and_closes_idle_connections() -> None:
    started = asyncio.Event()

    async def application(request: Request) -> Response:
        if request.path == "/slow":
            started.set()
            await asyncio.sleep(0.2)
        return Response(200, [], b"done")

    async def test(world: World) -> None:
        idle, busy = await world.connect(), await world.connect()
        await idle.ask(request("GET"))
        await busy.send(request("GET", path="/slow"))
        await started.wait()
        stopping = asyncio.ensure_future(world.server.close(5.0))
        assert await idle.is_closed()
        status, fields, body = await busy.response()
        assert (status, fields["connection"], body) == (200, "close", b"done")
        await stopping
        with pytest.raises(ConnectionRefusedError):
            await world.connect()

    run(test, application)


def test_a_stop_cuts_off_what_does_not_finish() -> None:
    cancelled = asyncio.Event()

    async def application(request: Request) -> Response:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Response(200)

    async def test(world: World) -> None:
        client = await world.connect()
        await client.send(request("GET"))
        await asyncio.sleep(0.05)
        await world.server.close(0.1)
        assert await client.is_closed()
        await asyncio.wait_for(cancelled.wait(), 1)

    run(test, application)
