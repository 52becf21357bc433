"""Admin server of a daemon: GET or HEAD /healthz and /metrics, and nothing else.

A connection is one request and one answer. What it may cost is bounded: bytes, seconds, connections.
There is no access control, so nothing here changes anything or tells a secret; it listens where the
operator says, by default on the loopback address alone.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, cast

from cluster.telemetry.log import get_logger
from cluster.telemetry.metrics import CONTENT_TYPE, Registry

REQUEST_LIMIT = 8192  # bytes of request line and headers
REQUEST_TIMEOUT_S = 5.0  # for the request to arrive and the answer to leave
CONNECTION_LIMIT = 32

# whether the daemon serves, and what it says about that
Health = Callable[[], tuple[bool, Mapping[str, Any]]]

_log = get_logger("admin")


class AdminServer:
    """Serves the metrics of `registry` and the result of `health`, which must not block."""

    def __init__(self, registry: Registry, health: Health) -> None:
        self._registry = registry
        self._health = health
        self._server: asyncio.Server | None = None
        self.connections: set[asyncio.Transport] = set()

    async def start(self, host: str, port: int) -> None:
        """Listen. Raise OSError when the port is taken. Port 0: any free one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self, loop), host, port, backlog=64)

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None, "not started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stop listening and cut what is under way."""
        for transport in list(self.connections):
            transport.abort()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def answer(self, head: bytes) -> bytes:
        """Return the whole response to the request that begins with `head`."""
        method, path, status = parse_request(head)
        if status is not HTTPStatus.OK:
            return response(status, b"", head_only=method == "HEAD")
        try:
            status, content_type, body = self._content(path)
        except Exception as error:  # a daemon with a broken gauge still serves its clients
            _log.error("admin_request_failed", path=path, error=error)
            status, content_type, body = HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", b""
        return response(status, body, content_type, head_only=method == "HEAD")

    def _content(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        if path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE, self._registry.render().encode()
        if path == "/healthz":
            serves, details = self._health()
            body = json.dumps({"ok": serves, **details}, default=str).encode() + b"\n"
            return HTTPStatus.OK if serves else HTTPStatus.SERVICE_UNAVAILABLE, "application/json", body
        return HTTPStatus.NOT_FOUND, "text/plain", b""


def parse_request(head: bytes) -> tuple[str, str, HTTPStatus]:
    """Return method, path without query, and OK or why the request is refused."""
    line = head.split(b"\r\n", 1)[0].decode("latin-1")
    parts = line.split(" ")
    if len(parts) != 3 or not parts[1].startswith("/") or not parts[2].startswith("HTTP/1."):
        return "", "", HTTPStatus.BAD_REQUEST
    method, target, _version = parts
    status = HTTPStatus.OK if method in ("GET", "HEAD") else HTTPStatus.METHOD_NOT_ALLOWED
    return method, target.split("?", 1)[0], status


def response(
    status: HTTPStatus, body: bytes, content_type: str = "text/plain", head_only: bool = False
) -> bytes:
    """Return a response that closes the connection; without `body` the status stands for it."""
    body = body or f"{status.value} {status.phrase}\n".encode()
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET, HEAD")
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    return head if head_only else head + body


class _Connection(asyncio.Protocol):
    """One client, from its connection to the end of the answer."""

    __slots__ = ("_loop", "_received", "_server", "_timer", "_transport")

    def __init__(self, server: AdminServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, base: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, base)  # uvloop's are none by inheritance
        if len(self._server.connections) >= CONNECTION_LIMIT:
            transport.abort()
            return
        self._transport = transport
        self._server.connections.add(transport)
        self._timer = self._loop.call_later(REQUEST_TIMEOUT_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end >= 0 and end <= REQUEST_LIMIT:
            self._transport.write(self._server.answer(bytes(self._received[:end])))
            self._transport.close()
        elif len(self._received) > REQUEST_LIMIT:
            self._transport.write(response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, b""))
            self._transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._server.connections.discard(self._transport)
