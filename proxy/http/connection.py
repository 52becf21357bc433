"""One client's connection: receives requests, hands them out one after the other, sends what answers them.

One task lives as long as the connection. The protocol callbacks parse heads and fill bodies; the
task waits for a request, runs the application, sends the response. While a request is being served,
what the client has pipelined behind it stays in the receive buffer, and when that is full, in the kernel.
Times are those of the server's sweep, a second apart.
"""

import asyncio
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple, cast

from proxy.http.errors import BadRequest, BodyTimeout, BodyTruncated
from proxy.http.head import Head, head_size, parse_head
from proxy.http.incoming import ChunkedFraming, EmptyBody, FixedFraming, IncomingBody
from proxy.http.message import Request, Response
from proxy.http.outgoing import ResponseCut, ResponseWriter
from proxy.http.render import CONTINUE

if TYPE_CHECKING:
    from proxy.http.server import HttpServer

HEAD_BUFFER = 16 * 1024
CHUNKED_BUFFER = 256 * 1024

_EMPTY_BODY = EmptyBody()
_BUFFERS = (bytes, bytearray, memoryview)


class _Phase(Enum):
    """What the connection waits for; decides which of the limits counts."""

    IDLE = auto()  # a request
    SERVING = auto()  # the application, or the rest of the body, or the client to take the response
    LINGERING = auto()  # the client to notice that it has been answered; what it sends is thrown away
    CLOSED = auto()


class _Exchange(NamedTuple):
    head: Head
    request: Request
    body: IncomingBody | EmptyBody


class Connection(asyncio.BufferedProtocol):
    """The protocol of one connection; made by HttpServer."""

    __slots__ = (
        "_buffer",
        "_end",
        "_framing",
        "_lost",
        "_paused_reading",
        "_peer",
        "_phase",
        "_scanned",
        "_server",
        "_since",
        "_task",
        "_transport",
        "_unsent",
        "_waiter",
        "_writer",
    )

    def __init__(self, server: "HttpServer") -> None:
        self._server = server
        self._transport: asyncio.Transport
        self._writer: ResponseWriter
        self._task: asyncio.Task[None] | None = None
        self._peer = ""
        self._phase = _Phase.IDLE
        self._since = server.now  # of the last sign of life that counts in this phase
        self._lost = False  # there will be no more input
        self._paused_reading = False
        self._buffer = bytearray(HEAD_BUFFER)
        self._end = 0  # of what has been received and not been used
        self._scanned = 0  # of it, what holds no end of a head
        self._framing: FixedFraming | ChunkedFraming | None = None  # of a body under way
        self._waiter: asyncio.Future[_Exchange | None] | None = None  # of the task, for a request
        self._unsent = 0  # bytes at the last sweep

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to serve, unless there are too many connections."""
        self._transport = cast(asyncio.Transport, transport)
        if not self._server.admit(self):
            self._lost = True
            self._phase = _Phase.CLOSED
            self._transport.abort()
            return
        self._since = self._server.now
        self._writer = ResponseWriter(self._server.loop, self._transport)
        address = transport.get_extra_info("peername")
        self._peer = str(address[0]) if isinstance(address, tuple) else ""
        self._task = self._server.loop.create_task(self._run())

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the kernel shall write: into the body's own buffer when one of known length is due."""
        framing = self._framing
        if self._phase is _Phase.LINGERING:
            return self._server.scratch
        if isinstance(framing, FixedFraming):
            return framing.buffer()
        return memoryview(self._buffer)[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        """Use what the kernel has written."""
        framing = self._framing
        if self._phase is _Phase.LINGERING:
            return
        if framing is None:
            if self._end == 0 or self._phase is not _Phase.IDLE:
                self._since = self._server.now  # a head has a limit as a whole, from its first byte
            self._end += nbytes
            self._look_for_request()
        else:
            self._since = self._server.now
            if isinstance(framing, FixedFraming):
                framing.advance(nbytes)
                self._after_body_bytes(framing)
            else:
                self._end += nbytes
                self._feed_body(framing)

    def eof_received(self) -> bool:
        """Note that the client sends no more; return whether it may still want an answer."""
        refused = self._waiter is not None and self._waiter.done()
        self._stop_input()
        return self._phase is _Phase.SERVING or refused

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything that waits."""
        admitted, self._phase = self._task is not None, _Phase.CLOSED
        if admitted:
            self._stop_input()
            self._writer.resume()
            self._server.forget(self)

    def pause_writing(self) -> None:
        """Note that the client is slow."""
        self._writer.pause()

    def resume_writing(self) -> None:
        """Note that the client has caught up."""
        self._writer.resume()

    # What the server calls

    def sweep(self, now: float) -> None:
        """Give up on a client that has not moved for too long."""
        limits = self._server.limits
        waited = now - self._since
        if self._phase is _Phase.CLOSED:
            return
        if self._phase is _Phase.LINGERING:
            if waited > limits.linger_s:
                self._abort()
        elif self._unsent or self._transport.get_write_buffer_size():
            self._sweep_writing(now)
        elif self._phase is _Phase.IDLE:
            if self._end and waited > limits.head_s:
                self._refuse_input(BadRequest(408, "the request took too long to arrive"))
            elif not self._end and waited > limits.idle_s:
                self.close_if_idle()
        elif self._framing is not None and waited > limits.body_s and self._awaits_body(self._framing.body):
            self._framing.body.fail(BodyTimeout("no byte of the body came for too long"))

    def _awaits_body(self, body: IncomingBody) -> bool:
        """Tell whether it is the client's turn, rather than the application's."""
        return not (self._paused_reading or body.awaits_continue)

    def _sweep_writing(self, now: float) -> None:
        unsent = self._transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._since = unsent, now
        elif now - self._since > self._server.limits.write_s:
            self._abort()

    def close_if_idle(self) -> None:
        """Close the connection when it is between two requests."""
        if self._phase is _Phase.IDLE and not self._end:
            self._stop_input()

    def cancel(self) -> None:
        """Cut off whatever goes on."""
        self._abort()
        if self._task is not None:
            self._task.cancel()

    # Flow: what a body calls

    def send_continue(self) -> None:
        """Send the interim response that the client waits for."""
        if not self._transport.is_closing():
            self._since = self._server.now
            self._transport.write(CONTINUE)

    def resume(self) -> None:
        """Read again after the application has made room."""
        if self._paused_reading and not self._transport.is_closing():
            self._paused_reading = False
            self._since = self._server.now
            self._transport.resume_reading()

    # Input

    def _pause(self) -> None:
        if not self._paused_reading and not self._transport.is_closing():
            self._paused_reading = True
            self._transport.pause_reading()

    def _stop_input(self) -> None:
        """Nothing more comes: a body under way is truncated, a waiting task has no request."""
        self._lost = True
        if self._framing is not None:
            self._framing.body.fail(BodyTruncated("the client closed the connection"))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _refuse_input(self, error: BadRequest) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    def _look_for_request(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            try:
                exchange = self._take_request()
            except BadRequest as error:
                self._waiter.set_exception(error)
            else:
                if exchange is not None:
                    self._waiter.set_result(exchange)
        if self._end == len(self._buffer):
            self._pause()

    def _take_request(self) -> _Exchange | None:
        """Return the request that the buffer begins with, None while its head is not whole. Raise BadRequest."""
        if self._end > 1 and self._buffer.startswith(b"\r\n"):
            self._consume(2)  # an empty line before a request line is ignored (RFC 9112 §2.2)
        size = head_size(self._buffer, self._end, self._scanned, self._server.limits)
        if not size:
            self._scanned = self._end
            if self._end == len(self._buffer):
                self._replace_buffer(4 * self._end)
            return None
        self._scanned = 0
        head = parse_head(bytes(memoryview(self._buffer)[:size]))
        self._phase = _Phase.SERVING
        body = self._begin_body(head)
        self._consume(size)
        self._shrink_buffer()
        request = Request(
            head.method, head.path, head.query, head.headers, body, self._server.next_id(), self._peer
        )
        if self._framing is not None:
            self._feed_body(self._framing)
        return _Exchange(head, request, body)

    def _begin_body(self, head: Head) -> IncomingBody | EmptyBody:
        if not (head.chunked or head.length):
            if head.expects_continue:
                self.send_continue()  # nothing is to come, but there are clients that wait for it all the same
            return _EMPTY_BODY
        body = IncomingBody(self._server.loop, self, head.length, head.expects_continue)
        if head.length:
            self._framing = FixedFraming(body, head.length)
        else:
            self._framing = ChunkedFraming(body)
        return body

    def _feed_body(self, framing: FixedFraming | ChunkedFraming) -> None:
        """Give the body what is in the receive buffer."""
        if self._end:
            self._consume(framing.feed(memoryview(self._buffer)[: self._end]))
        if isinstance(framing, ChunkedFraming) and not framing.ended and len(self._buffer) < CHUNKED_BUFFER:
            self._replace_buffer(CHUNKED_BUFFER)
        self._after_body_bytes(framing)

    def _after_body_bytes(self, framing: FixedFraming | ChunkedFraming) -> None:
        if framing.ended:
            self._framing = None
            self._shrink_buffer()
        elif framing.body.is_full:
            self._pause()

    def _consume(self, count: int) -> None:
        rest = self._end - count
        if rest:
            self._buffer[:rest] = self._buffer[count : self._end]
        self._end = rest

    def _shrink_buffer(self) -> None:
        """Give back what a large head or a chunked body needed; leave room behind what is in use."""
        if len(self._buffer) > HEAD_BUFFER and 2 * self._end < len(self._buffer):
            self._replace_buffer(max(HEAD_BUFFER, 2 * self._end))

    def _replace_buffer(self, size: int) -> None:
        # not resized: the transport may hold a view of it
        buffer = bytearray(size)
        buffer[: self._end] = memoryview(self._buffer)[: self._end]
        self._buffer = buffer

    # The task

    async def _run(self) -> None:
        try:
            await self._serve_all()
        except ConnectionResetError:
            self._abort()
        except Exception as error:
            self._server.report_cut(error.__cause__ if isinstance(error, ResponseCut) else error)
            self._abort()
        finally:
            if self._phase not in (_Phase.LINGERING, _Phase.CLOSED):
                self._transport.close()

    async def _serve_all(self) -> None:
        try:
            while (exchange := await self._next_exchange()) is not None:
                if not await self._serve(exchange):
                    break
        except BadRequest as error:
            await self._refuse(error)

    async def _next_exchange(self) -> _Exchange | None:
        """Return the next request, None when there will be none. Raise BadRequest."""
        self._phase = _Phase.IDLE
        self._since = self._server.now
        self.resume()
        exchange = self._take_request() if self._end else None
        if exchange is None and not self._lost and not self._server.stopping:
            self._waiter = self._server.loop.create_future()
            try:
                exchange = await self._waiter
            finally:
                self._waiter = None
        return exchange

    async def _serve(self, exchange: _Exchange) -> bool:
        """Answer one request; return whether the connection is good for another one."""
        head, request, body = exchange
        response = await self._answer(request)
        close = self._must_close(head, body, response)
        try:
            await self._writer.send(response, head.method, head.http_1_0, self._server.date(), close)
        except (ConnectionResetError, ResponseCut):
            raise
        except Exception as error:
            response, close = self._server.report_failure(request, error), True
            await self._writer.send(response, head.method, head.http_1_0, self._server.date(), close)
        if not body.done and (close or not await self._drain(body)):
            self._linger()
        return not close and body.done

    async def _answer(self, request: Request) -> Response:
        server = self._server
        try:
            return await server.application(request)
        except BodyTimeout:
            return server.on_error(request, 408, "no byte of the body came for too long")
        except BodyTruncated:
            return server.on_error(request, 400, "the body ended before it was complete")
        except BadRequest as error:
            return server.on_error(request, error.status, error.reason)
        except Exception as error:
            return server.report_failure(request, error)

    async def _drain(self, body: IncomingBody | EmptyBody) -> bool:
        """Read the rest of a body that the application did not want; return whether it came."""
        try:
            while await body.read():
                pass
        except (BodyTruncated, BadRequest):
            return False
        return True

    def _must_close(self, head: Head, body: IncomingBody | EmptyBody, response: Response) -> bool:
        """Tell whether this exchange is the last: asked for, or the next request could not be found."""
        if not head.keep_alive or self._server.stopping or (self._lost and not self._end):
            return True
        if head.http_1_0 and response.length is None and not isinstance(response.body, _BUFFERS):
            return True  # its end is the only way to tell where the body ends
        if body.done or not isinstance(body, IncomingBody):
            return False
        undrainable = body.length is None or body.length > self._server.limits.drain_bytes
        return body.failed or body.awaits_continue or undrainable

    async def _refuse(self, error: BadRequest) -> None:
        """Answer what is no request, and close."""
        response = self._server.on_error(None, error.status, error.reason)
        await self._writer.send(response, "GET", http_1_0=False, date=self._server.date(), close=True)
        self._linger()

    def _linger(self) -> None:
        """Close our direction; throw away what still comes, lest a reset overtakes the answer."""
        if self._lost or self._transport.is_closing():
            return
        self._phase = _Phase.LINGERING
        self._framing = None
        self._since = self._server.now
        self.resume()
        self._transport.write_eof()

    def _abort(self) -> None:
        if self._phase is not _Phase.CLOSED:
            self._transport.abort()
