"""Requests that are wrong, or end early."""

import asyncio

import pytest

from proxy.http.errors import BodyTruncated
from proxy.http.message import Request, Response
from tests.unit.proxy.http_server.world import MIB, World, echo, request, run


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("PUT", "Content-Length: 3", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
        (request("PUT", "Content-Length: 3", "Content-Length: 4", body=b"abcd"), 400),
        (request("PUT", "Transfer-Encoding: chunked", body=b"3\nabc\n0\n\n"), 400),
        (request("GET", "A: b", " folded"), 400),
        (b"GET / HTTP/1.1\nHost: h\n\n", 400),
        (request("GET", *[f"X-{number}: {'v' * 1000}" for number in range(100)]), 431),
        (request("GET", *[f"X-{number}: v" for number in range(300)]), 431),
        (b"\r\n" + request("GET", path="/" + "x" * 20_000), 414),
    ],
)
def test_a_request_that_is_wrong_is_answered_and_the_worker_lives_on(data: bytes, status: int) -> None:
    async def test(world: World) -> None:
        client = await world.connect()
        answer, fields, _body = await client.ask(data)
        assert (answer, fields["connection"]) == (status, "close")
        assert await client.is_closed()
        assert (await world.ask(request("GET")))[0] == 200

    run(test, echo)


def test_an_empty_line_before_a_request_is_ignored() -> None:
    async def test(world: World) -> None:
        client = await world.connect()
        for _ in range(2):
            assert (await client.ask(b"\r\n" + request("GET")))[0] == 200

    run(test, echo)


def test_a_body_that_ends_early_is_truncated_and_answered_if_anybody_listens() -> None:
    gone = asyncio.Event()

    async def application(request: Request) -> Response:
        try:
            return await echo(request)
        except BodyTruncated:
            if request.body.length != 10:
                gone.set()
            raise

    async def test(world: World) -> None:
        client = await world.connect()
        await client.send(request("PUT", "Content-Length: 10", body=b"abc"))
        client.writer.write_eof()
        assert (await client.response())[0] == 400
        client = await world.connect()
        await client.send(request("PUT", f"Content-Length: {5 * MIB}"), bytes(3 * MIB))
        client.writer.transport.abort()
        await asyncio.wait_for(gone.wait(), 2)

    run(test, application)
