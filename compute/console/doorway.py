"""Takes connections of browsers, so many at a time; the others wait in the kernel until one ends.

A connection that has sent no request within `FIRST_S` is closed: who only connects keeps nobody out for long.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

from cluster.telemetry.log import get_logger

FIRST_S = 20.0
IDLE_S = 60.0  # between two requests; then the connection is closed
_LINE = 32_768  # bytes of a request line, or of one header field; presigned requests are long
_TRY_AGAIN_S = 0.2  # when there are no descriptors left

_log = get_logger("console")

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Doorway:
    """Serves `handler` on a listening socket."""

    def __init__(self, handler: Handler, connections: int, first_s: float = FIRST_S) -> None:
        self._first_s = first_s
        self._places = asyncio.Semaphore(connections)
        self._server = _Server(
            self._seen(handler),
            self._came,
            self._left,
            keepalive_timeout=IDLE_S,
            max_line_size=_LINE,
            max_field_size=_LINE,
            access_log=None,
            auto_decompress=False,  # what is uploaded is stored as it comes
            lingering_time=5.0,
        )
        self._quiet: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}  # that have sent no request yet
        self._accepting: asyncio.Task[None] | None = None
        self._listener: socket.socket | None = None

    def start(self, listener: socket.socket) -> None:
        """Begin to accept; the socket is ours from now on."""
        listener.setblocking(False)
        self._listener = listener
        self._accepting = asyncio.create_task(self._accept(listener))

    @property
    def connection_count(self) -> int:
        """How many there are."""
        return len(self._server.connections)

    async def close(self, grace_s: float) -> None:
        """Accept no more, let requests under way end for `grace_s`, and cut the rest."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()
        self._server.pre_shutdown()
        await self._server.shutdown(grace_s)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._places.acquire()
            try:
                connection, _address = await loop.sock_accept(listener)
                connection.setblocking(False)
                await loop.connect_accepted_socket(self._server, connection)
            except OSError as error:
                self._places.release()
                _log.warning("cannot_accept", error=error)
                await asyncio.sleep(_TRY_AGAIN_S)

    def _came(self, transport: asyncio.Transport) -> None:
        self._quiet[transport] = asyncio.get_running_loop().call_later(self._first_s, self._cut, transport)

    def _cut(self, transport: asyncio.Transport) -> None:
        self._quiet.pop(transport, None)
        transport.abort()

    def _seen(self, handler: Handler) -> Handler:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            self._forget(request.transport)
            return await handler(request)

        return handle

    def _left(self, transport: asyncio.BaseTransport | None) -> None:
        self._forget(transport)
        self._places.release()

    def _forget(self, transport: asyncio.BaseTransport | None) -> None:
        timer = self._quiet.pop(transport, None) if transport is not None else None
        if timer is not None:
            timer.cancel()


class _Server(web.Server):
    """Tells when a connection has come, and has ended."""

    def __init__(
        self,
        handler: Handler,
        came: Callable[[asyncio.Transport], None],
        left: Callable[[asyncio.BaseTransport | None], None],
        **options: object,
    ) -> None:
        super().__init__(handler, **options)  # type: ignore[arg-type]
        self._came, self._left = came, left
        self._transports: dict[object, asyncio.BaseTransport] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        self._transports[handler] = transport
        super().connection_made(handler, transport)
        self._came(transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._left(self._transports.pop(handler, None))
