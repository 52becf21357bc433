"""Requests with their bodies, one after the other on a connection."""

import asyncio

import pytest

from proxy.http.message import Request, Response
from tests.unit.proxy.http_server.world import MIB, World, echo, ignore, put, request, run


def test_one_connection_carries_many_requests() -> None:
    async def test(world: World) -> None:
        client = await world.connect()
        for number in range(3):
            body = b"x" * number
            status, fields, answer = await client.ask(*put(body))
            assert (status, answer, fields["content-length"]) == (200, body, str(number))
            assert "connection" not in fields
            assert fields["date"].endswith("gmt")

    run(test, echo)


@pytest.mark.parametrize("size", [1, 4096, MIB - 1, MIB])
def test_a_body_of_up_to_a_mebibyte_is_one_buffer_of_its_length(size: int) -> None:
    async def one(request: Request) -> Response:
        piece = await request.body.read()
        assert isinstance(piece, bytearray)
        assert request.body.length == len(piece) == size
        assert await request.body.read() == b""
        return Response(200, [], piece)

    async def test(world: World) -> None:
        body = bytearray(b"%d," % size * (size // 3 + 1))[:size]
        head, _body = put(body)
        client = await world.connect()
        await client.send(head)
        await asyncio.sleep(0.01)
        assert await client.ask(body) == await client.ask(head, body)

    run(test, one)


def test_a_longer_body_comes_in_pieces() -> None:
    async def test(world: World) -> None:
        body = bytes(range(256)) * (10 * 1024) + b"end"
        status, fields, answer = await world.ask(*put(body))
        assert (status, answer) == (200, body)
        assert fields["x-pieces"] == f"{MIB},{MIB},{len(body) - 2 * MIB}"

    run(test, echo)


def test_requests_may_come_byte_by_byte() -> None:
    async def test(world: World) -> None:
        client = await world.connect()
        chunked = request("PUT", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\nA: b\r\n\r\n")
        for whole in (b"".join(put(b"abc")), chunked):
            for index in range(len(whole)):
                await client.send(whole[index : index + 1])
                await asyncio.sleep(0)
            assert (await client.response())[::2] == (200, b"abc")

    run(test, echo)


def test_pipelined_requests_are_answered_in_order() -> None:
    async def test(world: World) -> None:
        client = await world.connect()
        bodies = [b"%d" % number * 5000 for number in range(20)]
        sending = asyncio.ensure_future(client.send(*[b"".join(put(body)) for body in bodies]))
        for body in bodies:
            assert (await client.response())[2] == body
        await sending

    run(test, echo)


def test_pipelined_requests_are_answered_after_the_client_has_half_closed() -> None:
    async def test(world: World) -> None:
        client = await world.connect()
        await client.send(request("GET", path="/1") + request("GET", path="/2"))
        client.writer.write_eof()
        assert [(await client.response())[1]["x-target"] for _ in "12"] == ["get /1?", "get /2?"]
        assert await client.is_closed()

    run(test, echo)


@pytest.mark.parametrize("size", [0, 1, 300_000, 5 * MIB])
def test_a_chunked_body_is_decoded_and_the_next_request_found(size: int) -> None:
    async def test(world: World) -> None:
        data = bytes(range(251)) * (size // 251 + 1)
        data = data[:size]
        chunks = [data[i : i + 70_000] for i in range(0, size, 70_000)]
        body = b"".join(b"%x;a=b\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
        body += b"0\r\nTrailer: ignored\r\n\r\n"
        client = await world.connect()
        head = request("PUT", "Transfer-Encoding: chunked")
        sending = asyncio.ensure_future(client.send(head + body + request("GET", path="/next")))
        assert (await client.response())[2] == data
        assert (await client.response())[1]["x-target"] == "get /next?"
        await sending

    run(test, echo)


def test_a_body_is_not_read_faster_than_the_application_takes_it() -> None:
    async def slow(request: Request) -> Response:
        taken = 0
        await asyncio.sleep(0.3)
        while piece := await request.body.read():
            taken += len(piece)
        return Response(200, [], str(taken).encode())

    async def test(world: World) -> None:
        client = await world.connect()
        size = 64 * MIB
        client.writer.write(request("PUT", f"Content-Length: {size}"))
        client.writer.transport.set_write_buffer_limits(high=0)
        for _ in range(size // MIB):
            client.writer.write(bytes(MIB))
        await asyncio.sleep(0.2)
        unsent = client.writer.transport.get_write_buffer_size()
        assert unsent > 32 * MIB, "all of it went somewhere"
        assert (await client.response())[2] == str(size).encode()

    run(test, slow)


def test_a_client_is_told_to_continue_when_the_body_is_read() -> None:
    async def test(world: World) -> None:
        client = await world.connect()
        head, body = put(b"abc", "Expect: 100-continue")
        await client.send(head)
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await client.ask(body))[::2] == (200, b"abc")

    run(test, echo)


def test_a_client_that_waits_to_send_nothing_is_told_to_continue() -> None:
    """botocore takes the status of the request before it for the answer when no interim response comes."""

    async def test(world: World) -> None:
        client = await world.connect()
        await client.send(put(b"", "Expect: 100-continue")[0])
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await client.response())[0] == 200

    run(test, echo)


def test_a_client_that_does_not_wait_is_not_told_to_continue() -> None:
    async def test(world: World) -> None:
        head, body = put(b"abc", "Expect: 100-continue")
        assert (await world.ask(head + bytes(body)))[::2] == (200, b"abc")

    run(test, echo)


def test_a_refused_body_is_never_asked_for() -> None:
    async def test(world: World) -> None:
        client = await world.connect()
        status, fields, _body = await client.ask(put(b"abc", "Expect: 100-continue")[0])
        assert (status, fields["connection"]) == (403, "close")
        assert await client.is_closed()

    run(test, ignore)


def test_a_short_body_that_nobody_reads_is_skipped() -> None:
    async def test(world: World) -> None:
        client = await world.connect()
        for _ in range(2):
            status, fields, _body = await client.ask(*put(bytes(300_000)))
            assert (status, fields.get("connection")) == (403, None)

    run(test, ignore)


@pytest.mark.parametrize("fields", [[f"Content-Length: {20 * MIB}"], ["Transfer-Encoding: chunked"]])
def test_a_long_body_that_nobody_reads_ends_the_connection_after_the_answer(fields: list[str]) -> None:
    async def test(world: World) -> None:
        client = await world.connect()
        status, answer, _body = await client.ask(request("PUT", *fields), b"1000\r\n", bytes(4 * MIB))
        assert (status, answer["connection"]) == (403, "close")
        assert await client.is_closed()

    run(test, ignore)
