"""A server with its clients, and applications for it."""

import asyncio
import io
from collections.abc import Awaitable, Callable

import uvloop

from cluster.telemetry.log import Level, Logger, Sink
from proxy.http.limits import Limits
from proxy.http.message import Request, Response
from proxy.http.server import Application, ErrorRenderer, FailureRenderer, HttpServer, plain_error

MIB = 1 << 20
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
