"""The server over real sockets, on the event loop that runs it in production."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop

from cluster.telemetry.log import Level, Logger, Sink
from proxy.http import server as server_module
from proxy.http.errors import BadRequest, BodyTruncated
from proxy.http.limits import Limits
from proxy.http.message import Buffer, Request, Response
from proxy.http.server import Application, ErrorRenderer, FailureRenderer, HttpServer, plain_error

MIB = 1 << 20
QUICK = Limits(head_s=0.2, body_s=0.2, write_s=0.3, idle_s=0.3, linger_s=0.3)
DEADLINE_S = 10.0


class Client:
    """A client that sends bytes and reads whole responses."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *pieces: bytes | bytearray) -> None:
        for piece in pieces:
            self.writer.write(piece)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:-2])
        return int(lines[0].split()[1]), fields

    async def response(self) -> tuple[int, dict[str, str], bytes]:
        status, fields = await self.head()
        return status, fields, await self.reader.readexactly(int(fields.get("content-length", 0)))

    async def ask(self, *pieces: bytes | bytearray) -> tuple[int, dict[str, str], bytes]:
        await self.send(*pieces)
        return await self.response()

    async def is_closed(self) -> bool:
        """Tell whether the server closes the connection and sends nothing more."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionResetError:
            return True


class World:
    """A server and its clients."""

    def __init__(self, server: HttpServer, port: int, log: io.StringIO) -> None:
        self.server, self.port, self.log = server, port, log
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 22)
        self._writers.append(writer)
        return Client(reader, writer)

    async def ask(self, *pieces: bytes | bytearray) -> tuple[int, dict[str, str], bytes]:
        return await (await self.connect()).ask(*pieces)

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


def run(
    test: Callable[[World], Awaitable[None]],
    application: Application,
    limits: Limits | None = None,
    on_error: ErrorRenderer = plain_error,
    on_failure: FailureRenderer = lambda _request, _error: None,
) -> None:
    async def main() -> None:
        log = io.StringIO()
        server = HttpServer(
            application,
            limits=limits,
            on_error=on_error,
            on_failure=on_failure,
            log=Logger(Sink(Level.DEBUG, stream=log), {}),
        )
        world = World(server, await server.listen("127.0.0.1", 0), log)
        try:
            await asyncio.wait_for(test(world), DEADLINE_S)
        finally:
            world.close()
            await server.close(0.1)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@pytest.fixture
def _quick_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "SWEEP_S", 0.02)


async def echo(request: Request) -> Response:
    """Answer with what came."""
    pieces = []
    while piece := await request.body.read():
        pieces.append(bytes(piece))
    sizes = ",".join(str(len(piece)) for piece in pieces)
    headers = [("X-Pieces", sizes), ("X-Target", f"{request.method} {request.path}?{request.query}")]
    return Response(200, headers, b"".join(pieces))


async def ignore(request: Request) -> Response:
    """Answer without a look at the body."""
    return Response(403, [], b"no")


def request(method: str, *fields: str, path: str = "/", version: str = "1.1", body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: h", *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def put(body: bytes | bytearray, *fields: str) -> tuple[bytes, bytes | bytearray]:
    return request("PUT", f"Content-Length: {len(body)}", *fields), body


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


def test_transaction_ids_differ() -> None:
    async def application(request: Request) -> Response:
        return Response(200, [("X-Id", request.id), ("X-Peer", request.peer)])

    async def test(world: World) -> None:
        answers: list[Any] = [(await world.ask(request("GET")))[1] for _ in range(3)]
        assert len({fields["x-id"] for fields in answers}) == 3
        assert {len(fields["x-id"]) for fields in answers} == {16}
        assert {fields["x-peer"] for fields in answers} == {"127.0.0.1"}

    run(test, application)
