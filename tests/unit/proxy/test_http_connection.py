"""A connection without sockets: however its input is cut, it answers the same."""

import asyncio
import io
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.telemetry.log import Level, Logger, Sink
from proxy.http.connection import Connection
from proxy.http.limits import Limits
from proxy.http.message import Request, Response
from proxy.http.server import HttpServer

TURNS = 20  # of the event loop, in which all that can happen has happened


class Transport(asyncio.Transport):
    """Takes what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.closed = self.ended = self.paused = False

    def write(self, data: Any) -> None:
        assert not self.closed
        assert not self.ended
        self.sent += data

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closed = True

    abort = close


async def answer(request: Request) -> Response:
    body = b""
    if request.method != "GET":
        while piece := await request.body.read():
            body += piece
    return Response(200, [("X-Path", request.path)], body)


async def converse(pieces: Sequence[bytes]) -> tuple[Transport, str]:
    """Return what a connection sent and logged after these pieces came, and then the end."""
    log = io.StringIO()
    server = HttpServer(answer, limits=Limits(drain_bytes=100), log=Logger(Sink(Level.DEBUG, stream=log), {}))
    server.loop = asyncio.get_running_loop()
    server.date = lambda: "now"  # type: ignore[method-assign]
    transport = Transport()
    connection = Connection(server)
    connection.connection_made(transport)
    for piece in pieces:
        await feed(connection, transport, piece)
    if not transport.closed:
        connection.eof_received()
    for _ in range(TURNS):
        await asyncio.sleep(0)
    connection.connection_lost(None)
    await server.close(0.0)
    return transport, log.getvalue()


async def feed(connection: Connection, transport: Transport, piece: bytes) -> None:
    rest = memoryview(piece)
    for _ in range(TURNS * (1 + len(piece))):
        while rest and not transport.paused and not transport.closed:
            buffer = connection.get_buffer(-1)
            count = min(len(buffer), len(rest))
            assert count
            buffer[:count] = rest[:count]
            rest = rest[count:]
            connection.buffer_updated(count)
        if not rest or transport.closed:
            return
        await asyncio.sleep(0)
    raise AssertionError("the connection has stopped to read")


def rendered(path: str, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nX-Path: %s\r\nDate: now\r\nContent-Length: %d\r\n\r\n%s" % (
        path.encode(),
        len(body),
        body,
    )


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[i:j] for i, j in pairwise(bounds)]


bodies = st.binary(max_size=40) | st.integers(1, 60_000).map(lambda size: b"x" * size)
requests = st.tuples(st.sampled_from(["fixed", "chunked", "none"]), bodies)


@settings(max_examples=60, deadline=None)
@given(st.lists(requests, min_size=1, max_size=5), st.lists(st.integers(0, 1 << 20), max_size=12))
def test_however_requests_are_cut_the_answers_are_the_same(
    wanted: list[tuple[str, bytes]], places: list[int]
) -> None:
    sent, expected = b"", b""
    for number, (framing, body) in enumerate(wanted):
        head = f"PUT /{number} HTTP/1.1\r\nHost: h\r\n"
        if framing == "fixed":
            sent += f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        elif framing == "chunked":
            chunks = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
            sent += f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n"
        else:
            body = b""
            sent += f"{head}\r\n".encode()
        expected += rendered(f"/{number}", body)
    transport, log = asyncio.run(converse(cut(sent, places)))
    assert bytes(transport.sent).replace(b"Connection: close\r\n", b"") == expected
    assert log == ""


fragments = st.sampled_from(
    [
        *(b"GET / HTTP/1.1\r\n", b"PUT /a HTTP/1.1\r\n", b"Host: h\r\n", b"Expect: 100-continue\r\n", b"\r\n"),
        *(b"Content-Length: 5\r\n", b"Content-Length: 5000\r\n", b"hello", b"HTTP/1.0\r\n"),
        *(b"Transfer-Encoding: chunked\r\n", b"5\r\n", b"0\r\n", b"\n", b" ", b"\0"),
        *(b"Connection: close\r\n", b"x" * 20_000),
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(fragments | st.binary(max_size=20), max_size=14), st.lists(st.integers(0, 1 << 17), max_size=5))
def test_garbage_is_answered_or_ignored_and_breaks_nothing(parts: list[bytes], places: list[int]) -> None:
    transport, log = asyncio.run(converse(cut(b"".join(parts), places)))
    assert transport.closed or transport.ended
    assert not transport.sent or transport.sent.startswith(b"HTTP/1.1 ")
    assert log == ""
