"""The server's end: accepts connections, lets the handler answer, streams bodies both ways.

A request whose handler returns a Reply is answered in the same turn of the loop, without a task.
When a connection dies, or the client takes a request back, its coroutine is cancelled and its
body raises PeerUnavailable; a future that a handler has returned is the handler's, and is only forgotten.
"""

import asyncio
import functools
import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from cluster.clock import wall_us
from cluster.telemetry.log import get_logger
from cluster.wire import handshake
from cluster.wire.connection import Connection
from cluster.wire.errors import (
    INTERNAL,
    OVERLOADED,
    UNAUTHENTICATED,
    HandshakeError,
    PeerUnavailable,
    ProtocolError,
    RemoteError,
)
from cluster.wire.flow import WINDOW, BodyReader, Inflow, Outflow
from cluster.wire.frame import METADATA_LIMIT, PAYLOAD_LIMIT, Buffer, Flag, Kind, encode_header
from cluster.wire.liveness import SERVER as PATIENCE
from cluster.wire.message import Handler, Later, Reply, Request
from cluster.wire.network import Listener, Network, SocketNetwork

REQUEST_LIMIT = 4096  # under way at once on one connection
CONNECTION_LIMIT = 1024
HANDSHAKE_TIMEOUT_S = 5.0
SWEEP_S = 1.0  # between looks for dead clients
POLL_S = 0.02  # between looks for requests under way, while closing
LOG_INTERVAL_S = 1.0  # between lines about refused peers: a stranger must not fill the disk

_REQUEST, _REPLY, _DATA = int(Kind.REQUEST), int(Kind.REPLY), int(Kind.DATA)
_SPECIAL = int(Flag.STREAMED | Flag.ONE_WAY)
_log = get_logger("wire")


class _Download:
    """A reply's body on its way."""

    __slots__ = ("flow", "task")

    def __init__(self, flow: Outflow, task: "asyncio.Task[None]") -> None:
        self.flow = flow
        self.task = task


class ServerConnection(Connection):
    """One client."""

    def __init__(self, server: "Server", loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop, PATIENCE, server.wall_us)
        self._server = server
        self._handler = server.handler
        self._request_limit = server.request_limit
        self._challenge = b""
        self._name = ""
        self._window = 0  # the client's
        self._tag = 0  # of the requests that come next
        self._timer: asyncio.TimerHandle | None = None  # of the handshake
        self._trusted = False
        # by stream; a task is ours to cancel, another future is not
        self._running: dict[int, asyncio.Future[Any]] = {}
        self._inflows: dict[int, tuple[Inflow, Request, float]] = {}  # bodies of requests, with s to reply
        self._downloads: dict[int, _Download] = {}

    def __repr__(self) -> str:
        bodies = len(self._inflows) + len(self._downloads)
        return f"ServerConnection({self._name}, running={len(self._running)}, bodies={bodies})"

    # handshake

    def _on_connected(self) -> None:
        if not self._server.admit(self):
            self.close("too many connections")
            return
        challenge = handshake.Challenge(
            handshake.OLDEST_VERSION,
            handshake.NEWEST_VERSION,
            self._server.entropy(handshake.NONCE_SIZE),
            WINDOW,
            self._request_limit,
        )
        self._challenge = handshake.pack_challenge(challenge)
        self._write_frame(Kind.CHALLENGE, metadata=(self._challenge,))
        self._timer = self._loop.call_later(HANDSHAKE_TIMEOUT_S, self.close, "no handshake in time")

    def _on_handshake(
        self, kind: int, flags: int, code: int, stream: int, argument: int, metadata: Any, payload: Buffer
    ) -> None:
        if kind != Kind.HELLO or not isinstance(metadata, tuple) or len(metadata) < 2:
            raise HandshakeError(f"a frame of kind {kind} in the handshake")
        packed, proof = metadata[:2]
        hello = handshake.unpack_hello(packed)
        self._name = hello.name
        if not handshake.OLDEST_VERSION <= hello.version <= handshake.NEWEST_VERSION:
            raise HandshakeError(f"version {hello.version} is not spoken here")
        handshake.check_proof(self._server.key, handshake.CLIENT, self._challenge, packed, proof)
        self._window = hello.window
        own_proof = handshake.prove(self._server.key, handshake.SERVER, self._challenge, packed)
        self._write_frame(Kind.PROOF, metadata=(own_proof,))
        self._trust()
        self._trusted = True
        assert self._timer is not None
        self._timer.cancel()

    def _on_violation(self, error: ProtocolError) -> None:
        if self._trusted:
            _log.warning("client_cut_off", client=self._name, reason=str(error))
        else:
            self._server.log_refusal(self, error)
            self._write_frame(Kind.REFUSAL, code=UNAUTHENTICATED, metadata=(str(error),))
        self.close(str(error), flush=not self._trusted)

    def origin(self) -> str:
        """Return where the client is, for logs."""
        address = self._transport.get_extra_info("peername") if self._transport else None
        return f"{self._name} {address or 'on this host'}".strip()

    # frames

    def _on_frame(
        self, kind: int, flags: int, code: int, stream: int, argument: int, metadata: Any, payload: Buffer
    ) -> None:
        if kind == _REQUEST:
            deadline = self._loop.time() + argument / 1000
            if flags & _SPECIAL:
                self._on_special_request(flags, code, stream, argument / 1000, metadata)
            elif self._may_run(stream):
                self._run(stream, Request(code, metadata, payload, None, deadline, self, self._tag))
        elif kind == _DATA:
            inflow = self._inflows.get(stream)
            if inflow is not None:
                inflow[0].feed(payload)
        else:
            self._on_rarer_frame(kind, stream, argument)

    def _on_rarer_frame(self, kind: int, stream: int, argument: int) -> None:
        if kind == Kind.CREDIT:
            download = self._downloads.get(stream)
            if download is not None:
                download.flow.add_credit(argument)
        elif kind == Kind.END:
            self._on_end(stream)
        elif kind == Kind.CANCEL:
            self._cancel(stream, "cancelled by the client")
        elif kind == Kind.TAG:
            self._tag = argument
        elif kind == Kind.PING:
            self._pong(argument)
        elif kind != Kind.PONG:
            raise ProtocolError(f"a frame of kind {kind} from a client")

    def _on_special_request(
        self, flags: int, operation: int, stream: int, timeout_s: float, metadata: Any
    ) -> None:
        """Take a request that has a streamed body, or wants no answer."""
        if flags & Flag.ONE_WAY:
            self._run_one_way(Request(operation, metadata, b"", None, math.inf, self, self._tag))
        elif self._may_run(stream):
            inflow = Inflow(self, stream, WINDOW, math.inf)
            request = Request(operation, metadata, b"", BodyReader(inflow), math.inf, self, self._tag)
            self._inflows[stream] = (inflow, request, timeout_s)
            self._run(stream, request)

    def _on_end(self, stream: int) -> None:
        """Take the end of a request's body: from now on the client waits for the reply."""
        entry = self._inflows.pop(stream, None)
        if entry is not None:
            inflow, request, timeout_s = entry
            request.deadline = self._loop.time() + timeout_s
            inflow.finish()

    # handlers

    def _may_run(self, stream: int) -> bool:
        """Tell whether a request may begin; refuse it when too many are under way."""
        if stream in self._running or stream in self._downloads:
            raise ProtocolError(f"stream {stream} is in use")
        if len(self._running) + len(self._downloads) < self._request_limit:
            return True
        self._refuse(stream, OVERLOADED, None)
        return False

    def _run(self, stream: int, request: Request) -> None:
        try:
            outcome = self._handler(request)
        except Exception as error:
            self._fail(stream, error)
            return
        if type(outcome) is Reply:
            self._answer(stream, outcome)
            return
        if type(outcome) is Later:
            self._running[stream] = outcome.future
            outcome.future.add_done_callback(functools.partial(self._finished, stream, outcome.reply))
            return
        future = self._as_future(outcome)
        self._running[stream] = future
        future.add_done_callback(functools.partial(self._finished, stream, None))

    def _as_future(self, outcome: Any) -> "asyncio.Future[Reply]":
        return outcome if asyncio.isfuture(outcome) else self._loop.create_task(outcome)

    def _finished(self, stream: int, reply: Reply | None, future: "asyncio.Future[Any]") -> None:
        error: BaseException | None
        error = PeerUnavailable("the handler was cancelled") if future.cancelled() else future.exception()
        if self._running.get(stream) is not future:  # taken back, or the connection is gone
            if error is None and reply is None and future.result().body is not None:
                self._server.close_body(future.result().body)
            return
        del self._running[stream]
        if error is None:
            self._answer(stream, future.result() if reply is None else reply)
        else:
            self._fail(stream, error)

    def _answer(self, stream: int, reply: Reply) -> None:
        if self._inflows:
            self._drop_inflow(stream)
        payload, body = reply.payload, reply.body
        try:
            packed = b"" if reply.metadata == () else self._pack(reply.metadata)
        except (TypeError, ValueError, OverflowError) as error:
            self._fail(stream, error)
            return
        length = len(payload)
        if length > PAYLOAD_LIMIT or len(packed) > METADATA_LIMIT:
            self._fail(stream, ValueError(f"a reply of {len(packed)} + {length} bytes"))
            return
        flags = 0 if body is None else Flag.STREAMED
        self._write(encode_header(_REPLY, flags, 0, stream, 0, len(packed), length) + packed, payload, length)
        if body is not None:
            self._begin_download(stream, body)

    def _fail(self, stream: int, error: BaseException) -> None:
        self._drop_inflow(stream)
        if isinstance(error, RemoteError):
            self._refuse(stream, error.code, error.detail)
        else:
            _log.error("request_failed", client=self._name, error=error)
            self._refuse(stream, INTERNAL, "internal")

    def _refuse(self, stream: int, code: int, detail: Any) -> None:
        try:
            self._write_frame(Kind.REFUSAL, stream, code=code, metadata=detail)
        except (TypeError, ValueError, OverflowError):  # msgpack has no such thing
            self._write_frame(Kind.REFUSAL, stream, code=code, metadata=repr(detail))

    def _run_one_way(self, request: Request) -> None:
        if len(self._server.background) >= self._request_limit:
            return
        try:
            outcome = self._handler(request)
        except Exception as error:
            _log.error("request_failed", client=self._name, error=error)
            return
        if type(outcome) is not Reply:
            self._server.watch(self._as_future(outcome))

    # bodies

    def _begin_download(self, stream: int, body: AsyncIterator[Buffer]) -> None:
        flow = Outflow(self, stream, self._window)
        task = self._loop.create_task(_send_all(body, flow))
        self._downloads[stream] = _Download(flow, task)
        task.add_done_callback(functools.partial(self._download_ended, stream, body))

    def _download_ended(self, stream: int, body: AsyncIterator[Buffer], task: "asyncio.Task[None]") -> None:
        error = PeerUnavailable("cancelled") if task.cancelled() else task.exception()
        if error is not None:
            self._server.close_body(body)
        download = self._downloads.get(stream)
        if download is None or download.task is not task:  # taken back, or the connection is gone
            return
        del self._downloads[stream]
        if error is None:
            self._write_frame(Kind.END, stream)
        else:
            self._fail(stream, error)

    def _drop_inflow(self, stream: int) -> None:
        """Let what is still to come of a request's body come to nothing."""
        entry = self._inflows.pop(stream, None)
        if entry is not None:
            entry[0].finish(PeerUnavailable("the request has been answered"))

    def abandon(self, stream: int) -> None:
        """Forget a request's body that the handler has closed; the client learns from the reply."""
        self._inflows.pop(stream, None)

    def _outflows(self) -> Iterable[Outflow]:
        return [download.flow for download in self._downloads.values()]

    def _cancel(self, stream: int, reason: str) -> None:
        """End all that belongs to a request."""
        entry = self._inflows.pop(stream, None)
        if entry is not None:
            entry[0].finish(PeerUnavailable(reason))
        future = self._running.pop(stream, None)
        if isinstance(future, asyncio.Task):
            future.cancel()
        download = self._downloads.pop(stream, None)
        if download is not None:
            download.flow.end(PeerUnavailable(reason))
            download.task.cancel()

    # the connection

    @property
    def busy(self) -> bool:
        """Tell whether requests are under way."""
        return bool(self._running or self._downloads)

    def look_for_life(self, now: float) -> None:
        """Hang up on a client that has died without a word."""
        if self._trusted and not self.closed:
            self._decoder.trim()
            self._look_for_life(now, SWEEP_S, False)

    def pause_writing(self) -> None:
        """Read no more requests while the client does not read our replies.

        That cannot lock both sides up: a client always reads.
        """
        super().pause_writing()
        if not self.closed and self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        if not self.closed and self._transport is not None:
            self._transport.resume_reading()
        super().resume_writing()

    def _on_closed(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for stream in [*self._running, *self._inflows, *self._downloads]:
            self._cancel(stream, self.reason)
        self._server.forget(self)


async def _send_all(body: AsyncIterator[Buffer], flow: Outflow) -> None:
    async for piece in body:
        await flow.send(piece)


class Server:
    """Listens, and gives every request to `handler`."""

    def __init__(
        self,
        key: bytes,
        handler: Handler,
        *,
        request_limit: int = REQUEST_LIMIT,
        connection_limit: int = CONNECTION_LIMIT,
        network: Network | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
        wall: Callable[[], int] = wall_us,
        on_client_lost: Callable[[object], None] | None = None,
    ) -> None:
        self.key = key
        self.handler = handler
        self._on_client_lost = on_client_lost  # gets the `client` of its requests
        self.request_limit = request_limit  # of one connection
        self.entropy = entropy
        self.wall_us = wall
        self.background: dict[asyncio.Future[Any], None] = {}  # nobody waits for them; in order
        self._connection_limit = connection_limit
        self._network = network or SocketNetwork()
        self._connections: dict[ServerConnection, None] = {}  # in order
        self._listener: Listener | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last_refusal = -math.inf  # loop time of the last line about one

    def __repr__(self) -> str:
        return f"Server({self.address or 'closed'}, connections={len(self._connections)})"

    @property
    def address(self) -> str:
        """Return where the server listens, with the port that it got; empty when it does not."""
        return self._listener.address if self._listener is not None else ""

    async def start(self, address: str) -> None:
        """Listen. Raise OSError when the address is taken."""
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._listener = await self._network.listen(address, lambda: ServerConnection(self, loop))
        self._timer = loop.call_later(SWEEP_S, self._sweep)

    async def close(self, grace_s: float = 0.0) -> None:
        """Accept nothing more, wait up to `grace_s` for the requests under way, and hang up."""
        if self._listener is None or self._timer is None:
            return
        self._listener.close()
        self._listener = None
        self._timer.cancel()
        deadline = self._loop.time() + grace_s
        while self._loop.time() < deadline:
            if not any(connection.busy for connection in self._connections):
                break
            await asyncio.sleep(POLL_S)
        for connection in list(self._connections):
            connection.close("the server stops", flush=True)
        for future in list(self.background):
            future.cancel()
        await asyncio.sleep(0)  # what was cancelled runs its clean-up

    # for its connections

    def admit(self, connection: ServerConnection) -> bool:
        """Take a new connection, unless there are too many."""
        if len(self._connections) >= self._connection_limit:
            return False
        self._connections[connection] = None
        return True

    def forget(self, connection: ServerConnection) -> None:
        """Note that a connection is gone."""
        self._connections.pop(connection, None)
        if self._on_client_lost is not None:
            self._on_client_lost(connection)

    def log_refusal(self, connection: ServerConnection, error: Exception) -> None:
        """Tell of a peer that has not proved itself, at most once a second."""
        now = self._loop.time()
        if now - self._last_refusal >= LOG_INTERVAL_S:
            self._last_refusal = now
            _log.warning("client_refused", client=connection.origin(), reason=str(error))

    def close_body(self, body: Any) -> None:
        """Close the iterator of a body that is not read to its end."""
        close = getattr(body, "aclose", None)
        if close is not None:
            self.watch(self._loop.create_task(_close(close)))

    def watch(self, future: "asyncio.Future[Any]") -> None:
        """Keep `future` until it is done, and tell when it fails."""
        self.background[future] = None
        future.add_done_callback(self._background_done)

    def _background_done(self, future: "asyncio.Future[Any]") -> None:
        self.background.pop(future, None)
        error = None if future.cancelled() else future.exception()
        if error is not None:
            _log.error("request_failed", error=error)

    def _sweep(self) -> None:
        now = self._loop.time()
        for connection in list(self._connections):
            connection.look_for_life(now)
        self._timer = self._loop.call_later(SWEEP_S, self._sweep)


async def _close(close: Callable[[], Awaitable[None]]) -> None:
    await close()
