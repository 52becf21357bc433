"""The HTTP server: listeners, the connections they made, and the sweep that gives up on slow clients.

    server = HttpServer(application, on_error=render_error)
    port = await server.listen("0.0.0.0", 9000)
    ...
    await server.close(deadline_s=10.0)
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

from cluster.telemetry.log import Logger, get_logger
from proxy.http.connection import Connection
from proxy.http.dates import http_date
from proxy.http.limits import Limits
from proxy.http.message import Request, Response

Application = Callable[[Request], Awaitable[Response]]
# Renders an error of the protocol itself: request (None when there is none that could be read), status, reason.
ErrorRenderer = Callable[[Request | None, int, str], Response]
# Renders an error that the application expects, which a body raised before any of it was sent; None: it does not.
FailureRenderer = Callable[[Request, Exception], Response | None]

SWEEP_S = 1.0
SCRATCH_BYTES = 64 * 1024


def plain_error(request: Request | None, status: int, reason: str) -> Response:
    """Render an error as a line of text."""
    return Response(status, [("Content-Type", "text/plain")], f"{reason}\n".encode())


class HttpServer:
    """Serves one application on any number of sockets."""

    def __init__(
        self,
        application: Application,
        *,
        limits: Limits | None = None,
        on_error: ErrorRenderer = plain_error,
        on_failure: FailureRenderer = lambda _request, _error: None,
        log: Logger | None = None,
    ) -> None:
        self.application = application
        self.limits = limits or Limits()
        self.on_error = on_error
        self._on_failure = on_failure
        self.now = 0.0  # the loop's time at the last sweep
        self.stopping = False
        self.scratch = memoryview(bytearray(SCRATCH_BYTES))  # for what nobody reads
        self.loop: asyncio.AbstractEventLoop
        self._log = log or get_logger("http")
        self._listeners: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty: asyncio.Event = asyncio.Event()
        self._id_prefix = os.urandom(4).hex().upper()
        self._id_counter = 0
        self._date = ""
        self._date_second = 0

    def __repr__(self) -> str:
        return f"HttpServer(connections={len(self._connections)}, stopping={self.stopping})"

    @property
    def connection_count(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    async def listen(
        self, host: str | None, port: int, *, reuse_port: bool = True, backlog: int = 1024
    ) -> int:
        """Accept connections on an address; return the port, which the system chose if `port` is 0."""
        self.loop = asyncio.get_running_loop()
        listener = await self.loop.create_server(
            lambda: Connection(self), host, port, reuse_port=reuse_port, backlog=backlog
        )
        self._listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    async def close(self, deadline_s: float = 10.0) -> None:
        """Stop listening, let running requests finish, cut off what is left after `deadline_s`."""
        self.stopping = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self._connections):
            connection.close_if_idle()
        self._empty.clear()
        if self._connections:
            try:
                await asyncio.wait_for(self._empty.wait(), deadline_s)
            except TimeoutError:
                self._log.warning("requests_cut_off", connections=len(self._connections))
        for connection in list(self._connections):
            connection.cancel()
        if self._sweeper is not None:
            self._sweeper.cancel()

    # What connections call

    def admit(self, connection: Connection) -> bool:
        """Add a connection, unless there are too many."""
        if self.stopping or len(self._connections) >= self.limits.connections:
            return False
        self._connections.add(connection)
        if self._sweeper is None:
            self._schedule_sweep()
        return True

    def forget(self, connection: Connection) -> None:
        """Remove a connection that is closed."""
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def next_id(self) -> str:
        """Return a transaction id: 8 characters of this process, 8 of the request."""
        self._id_counter += 1
        return f"{self._id_prefix}{self._id_counter:08X}"

    def date(self) -> str:
        """Return the Date of a response sent now."""
        second = int(time.time())
        if second != self._date_second:
            self._date_second, self._date = second, http_date(second * 1_000_000)
        return self._date

    def report_failure(self, request: Request, error: Exception) -> Response:
        """Log an application's error, unless it is one that it expects; return what the client is told."""
        expected = self._on_failure(request, error)
        if expected is not None:
            return expected
        self._log.error(
            "request_failed", error=error, id=request.id, method=request.method, path=request.path
        )
        return self.on_error(request, 500, "internal error")

    def report_cut(self, error: BaseException | None) -> None:
        """Log why a response could not be completed."""
        self._log.warning("response_cut", error=error)

    def _schedule_sweep(self) -> None:
        self.now = self.loop.time()
        self._sweeper = self.loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Look after all connections, and again as long as there are any."""
        self._sweeper = None
        if self._connections:
            self._schedule_sweep()
        for connection in list(self._connections):
            connection.sweep(self.now)
