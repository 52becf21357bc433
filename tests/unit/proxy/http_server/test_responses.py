"""Responses, their bodies, and what becomes of an application's mistakes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.http.errors import BadRequest
from proxy.http.message import Buffer, Request, Response
from tests.unit.proxy.http_server.world import MIB, World, echo, request, run


def test_head_gets_the_length_and_no_body() -> None:
    async def application(request: Request) -> Response:
        return Response(200, [], b"abc") if request.path == "/b" else Response(200, length=1 << 40)

    async def test(world: World) -> None:
        client = await world.connect()
        await client.send(request("HEAD") + request("HEAD", path="/b") + request("GET", path="/b"))
        assert (await client.head())[1]["content-length"] == str(1 << 40)
        assert (await client.head())[1]["content-length"] == "3"
        assert (await client.response())[2] == b"abc"

    run(test, application)


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_that_may_not_have_a_body_says_no_length(status: int) -> None:
    async def application(request: Request) -> Response:
        return Response(status)

    async def test(world: World) -> None:
        client = await world.connect()
        for _ in range(2):
            answer, fields, _body = await client.ask(request("GET"))
            assert answer == status
            assert "content-length" not in fields

    run(test, application)


def test_http_1_0_closes_unless_it_is_asked_to_stay() -> None:
    async def test(world: World) -> None:
        client = await world.connect()
        status, fields, _body = await client.ask(request("GET", "Connection: keep-alive", version="1.0"))
        assert (status, fields["connection"]) == (200, "keep-alive")
        status, fields, _body = await client.ask(request("GET", version="1.0"))
        assert (status, fields["connection"]) == (200, "close")
        assert await client.is_closed()

    run(test, echo)


def pieces_of(*pieces: Buffer, error: Exception | None = None) -> AsyncIterator[Buffer]:
    async def generate() -> AsyncIterator[Buffer]:
        for piece in pieces:
            await asyncio.sleep(0)
            yield piece
        if error is not None:
            raise error

    return generate()


def test_an_iterator_of_known_length_is_sent_piece_by_piece() -> None:
    data = bytes(range(256)) * 4096

    async def application(request: Request) -> Response:
        pieces = [bytearray(data[:10]), b"", memoryview(data)[10:200_000], data[200_000:]]
        return Response(200, [], pieces_of(*pieces), len(data))

    async def test(world: World) -> None:
        client = await world.connect()
        for _ in range(2):
            assert (await client.ask(request("GET")))[2] == data

    run(test, application)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_an_iterator_of_unknown_length_is_chunked_or_ends_with_the_connection(version: str) -> None:
    async def application(request: Request) -> Response:
        return Response(200, [], pieces_of(b"abc", b"", b"0123456789abcdef"))

    async def test(world: World) -> None:
        client = await world.connect()
        await client.send(request("GET", "Connection: keep-alive", version=version))
        _status, fields = await client.head()
        if version == "1.1":
            assert fields["transfer-encoding"] == "chunked"
            expected = b"3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
            assert await client.reader.readexactly(len(expected)) == expected
            assert (await client.ask(request("HEAD")))[0] == 200
        else:
            assert fields["connection"] == "close"
            assert await client.reader.read() == b"abc0123456789abcdef"

    run(test, application)


@pytest.mark.parametrize(
    ("pieces", "error", "length"),
    [
        ([b"abc"], OSError("disk"), 10),
        ([b"abc"], OSError("disk"), None),
        ([b"abc"], None, 10),
        ([b"abc", b"def"], None, 4),
    ],
)
def test_a_body_that_fails_in_the_middle_never_looks_whole(
    pieces: list[bytes], error: Exception | None, length: int | None
) -> None:
    async def application(request: Request) -> Response:
        return Response(200, [], pieces_of(*pieces, error=error), length)

    async def test(world: World) -> None:
        client = await world.connect()
        await client.send(request("GET"))
        _status, _fields = await client.head()
        try:
            rest = await client.reader.read()
        except ConnectionResetError:
            rest = b""
        assert not rest.endswith(b"0\r\n\r\n")
        assert length is None or len(rest) < length
        assert "response_cut" in world.log.getvalue()

    run(test, application)


def test_a_body_that_fails_at_once_is_an_internal_error() -> None:
    async def application(request: Request) -> Response:
        return Response(200, [], pieces_of(error=OSError("disk")), 10)

    async def test(world: World) -> None:
        assert (await world.ask(request("GET")))[0] == 500

    run(test, application)


def test_what_an_application_expects_of_a_body_is_told_in_its_words_and_not_logged() -> None:
    async def application(request: Request) -> Response:
        return Response(200, [], pieces_of(error=TimeoutError("too few replicas")), 10)

    def told(request: Request, error: Exception) -> Response | None:
        return Response(503, [], str(error).encode()) if isinstance(error, TimeoutError) else None

    async def test(world: World) -> None:
        status, _fields, body = await world.ask(request("GET"))
        assert (status, body) == (503, b"too few replicas")
        assert "request_failed" not in world.log.getvalue()

    run(test, application, on_failure=told)


def test_an_iterator_is_closed_when_the_client_goes_away() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[Buffer]:
        try:
            while True:
                yield bytes(MIB)
        finally:
            closed.set()

    async def application(request: Request) -> Response:
        return Response(200, [], endless())

    async def test(world: World) -> None:
        client = await world.connect()
        await client.send(request("GET"))
        await client.head()
        client.writer.transport.abort()
        await asyncio.wait_for(closed.wait(), 2)

    run(test, application)


def test_a_mistake_of_the_application_is_logged_and_told_as_500() -> None:
    async def application(request: Request) -> Response:
        if request.path == "/split":
            return Response(200, [("Content-Disposition", "a\r\nSet-Cookie: b")])
        raise RuntimeError("a secret")

    async def test(world: World) -> None:
        client = await world.connect()
        for path in ("/", "/split"):
            status, _fields, body = await client.ask(request("GET", path=path))
            assert status == 500
            assert b"secret" not in body
            if path == "/":
                assert "RuntimeError: a secret" in world.log.getvalue()

    run(test, application)


def test_what_an_application_refuses_is_rendered_by_the_dialect() -> None:
    def on_error(request: Request | None, status: int, reason: str) -> Response:
        return Response(status, [("X-Dialect", request.method if request else "none")], reason.encode())

    async def application(request: Request) -> Response:
        raise BadRequest(414, "too long")

    async def test(world: World) -> None:
        client = await world.connect()
        assert (await client.ask(request("GET")))[1]["x-dialect"] == "get"
        status, fields, _body = await client.ask(b"nonsense\r\n\r\n")
        assert (status, fields["x-dialect"], fields["connection"]) == (400, "none", "close")
        assert await client.is_closed()

    run(test, application, on_error=on_error)


def test_transaction_ids_differ() -> None:
    async def application(request: Request) -> Response:
        return Response(200, [("X-Id", request.id), ("X-Peer", request.peer)])

    async def test(world: World) -> None:
        answers: list[Any] = [(await world.ask(request("GET")))[1] for _ in range(3)]
        assert len({fields["x-id"] for fields in answers}) == 3
        assert {len(fields["x-id"]) for fields in answers} == {16}
        assert {fields["x-peer"] for fields in answers} == {"127.0.0.1"}

    run(test, application)
