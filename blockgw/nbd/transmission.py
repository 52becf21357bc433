"""A connection after its handshake: takes requests, hands them to the volume, sends what answers them.

No task and no timer: requests are taken when bytes arrive, as many as there are, and what was answered by
then leaves in one write. Answers go out in the order in which the volume gives them.

Invariants:
- a request that was taken is answered, unless the client leaves, or the volume is lost to us: an error would be final
  to a client, and what is not answered it asks for again where the volume is then. One that was not taken is by nobody;
- memory is bounded: no request is taken while too much is held, here or on all connections together, or while
  the client does not take its answers. What a request holds is given back when its answer has left;
- the export is released once, when nothing of this connection is under way.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, cast

from blockgw.errors import Errno, ShuttingDown, VolumeError
from blockgw.interfaces import Buffer, Client, Export, MiB, Pieces
from blockgw.nbd.contexts import Context
from blockgw.nbd.dialect import Dialect
from blockgw.nbd.errors import ProtocolError
from blockgw.nbd.hold import Hold
from blockgw.nbd.incoming import Incoming
from blockgw.nbd.operations import FUA, OPERATIONS, block_status
from blockgw.nbd.pieces import size_of
from blockgw.nbd.protocol import BLOCK_STATUS, DISC, READ, WRITE, Request, refusal
from blockgw.nbd.shared import Shared

REQUEST_COST = 1024  # bytes that a request is taken to hold besides its payload
LINGER_S = 1.0  # for the client to close, after we have said that we send no more
STATUS_COST = 1 * MiB  # the same of a BLOCK_STATUS: its answer's extents


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """What the handshake has led to."""

    client: Client
    export: Export
    dialect: Dialect
    contexts: tuple[Context, ...]


class Transmission(asyncio.BufferedProtocol):
    """The protocol of one connection, from the end of the handshake on."""

    __slots__ = (
        "_batch", "_counters", "_dialect", "_draining", "_export", "_hold",
        "_incoming", "_left", "_lost", "_moved", "_moved_at", "_parted", "_reading_paused", "_running",
        "_send_scheduled", "_session", "_shared", "_transport", "_unsent", "_writing", "_writing_paused",
    )  # fmt: skip

    def __init__(
        self, shared: Shared, transport: asyncio.Transport, session: Session, received: bytes
    ) -> None:
        self._shared = shared
        self._transport = transport
        self._session = session
        self._export = session.export
        self._dialect = session.dialect
        self._incoming = Incoming(session.dialect, received, shared.pool)
        self._counters = shared.counters.of(session.export.name)
        self._counters.connections.value += 1
        self._batch: list[Buffer] = []  # answers that have not been handed to the transport
        self._send_scheduled = False
        self._writing: Request | None = None  # a WRITE whose payload is not whole
        self._running = 0  # requests that the volume is at
        self._hold = Hold(shared.budget, shared.limits.connection_bytes, self._on_room)
        self._reading_paused = False
        self._writing_paused = False
        self._draining = False  # no more requests are taken
        self._parted = False  # the client has said that it sends no more
        self._left = False  # all is answered, and the export released
        self._lost = False  # the connection is closed
        self._unsent = 0  # bytes at the last sweep
        self._moved = False  # something was received since then
        self._moved_at = shared.loop.time()  # when the client was last seen to do what it had to
        transport.set_write_buffer_limits(high=shared.limits.unsent_bytes)

    def __repr__(self) -> str:
        state = "lost" if self._lost else "left" if self._left else "draining" if self._draining else "open"
        return f"Transmission({self._export.name}, {self._session.client}, {state}, running={self._running})"

    @property
    def export_name(self) -> str | None:
        """The export that it serves."""
        return self._export.name

    @property
    def holder(self) -> str:
        """For whom."""
        return self._session.client.holder

    # what the transport calls

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the kernel shall write."""
        return self._incoming.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """Use what the kernel has written."""
        if not self._left:
            self._moved = True
            self._incoming.advance(nbytes)
            self.take()

    def pause_writing(self) -> None:
        """The client does not take its answers."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """It does again."""
        self._writing_paused = False
        self._hold.settle()
        self.take()

    def eof_received(self) -> bool:
        """The client sends no more; what it has asked for is answered. Returns whether we keep our side open."""
        self._parted = True
        self.drain()
        return not self._left and self._transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone. What the volume is at goes on, since nobody can tell how far it has got."""
        self._lost = True
        self._batch.clear()
        self.drain()
        self._hold.settle()
        if not self._running:
            self._end()

    # what the server calls

    def drain(self) -> None:
        """Take no more requests; answer those that were taken, then hang up."""
        if self._draining:
            return
        self._draining = True
        if self._writing is not None:
            self._hold.give(_cost(self._writing))
            self._writing = None
        self._hold.stop_waiting()
        if not self._lost and not self._transport.is_closing():
            self._pause_reading()
            if not self._running:
                self._send()

    def abort(self) -> None:
        """Hang up now."""
        self._transport.abort()

    def sweep(self, now: float) -> None:
        """Give up on a client that has stopped in the middle of a request, or does not take its answers."""
        unsent = self._transport.get_write_buffer_size()
        keeps_answers = unsent and unsent == self._unsent
        owes_bytes = self._incoming.is_partial and not self._reading_paused and not self._draining
        moved, self._moved, self._unsent = self._moved, False, unsent
        if moved or not (keeps_answers or owes_bytes):
            self._moved_at = now
        elif now - self._moved_at > self._shared.limits.stall_s:
            self._shared.log.warning("nbd_client_stalled", export=self._export.name, client=str(self._session.client))
            self._transport.abort()

    # requests

    def take(self) -> None:
        """Take requests as long as there are any, and room for them. Send what was answered meanwhile."""
        self._hold.stop_waiting()
        incoming = self._incoming
        try:
            while not self._draining:
                request = self._writing
                if request is None:
                    if self._is_full() or (request := incoming.take_request()) is None:
                        break
                    self._receive(request)
                else:
                    payload = incoming.take_payload()
                    if payload is None:
                        break
                    self._writing = None
                    self._write(request, payload)
        except ProtocolError as error:
            self._hang_up(error)
        self._adjust_reading()
        self._send()

    def _receive(self, request: Request) -> None:
        """Take a request, of which the payload may be still to come."""
        _magic, flags, command, _cookie, _offset, length = request
        dialect = self._dialect
        error = refusal(request, self._export, dialect.valid_flags)
        if error is not None:
            if command == WRITE or flags & dialect.payload_flag:
                self._incoming.skip(length)
            self._refuse(request, error)
        elif command == DISC:
            self._parted = True
            self.drain()
        else:
            self._hold.take(_cost(request))
            if command == WRITE:
                self._incoming.expect(length)
                self._writing = request
            elif command == READ:
                self._read(request)
            else:
                self._operate(request)

    def _refuse(self, request: Request, error: Errno) -> None:
        self._counters.errors.value += 1
        self._batch.append(self._dialect.failed(request, error, "this can't be asked for"))

    # the volume. Whatever it raises, the client gets an answer.

    def _read(self, request: Request) -> None:
        begun_at = perf_counter()
        self._running += 1
        try:
            found = self._export.read(request.offset, request.length)
        except Exception as error:
            self._fail(request, begun_at, error)
            return
        if isinstance(found, (list, tuple)):
            self._succeed(request, begun_at, found)
        else:
            self._follow(request, begun_at, found)

    def _write(self, request: Request, payload: memoryview) -> None:
        begun_at = perf_counter()
        self._running += 1
        try:
            awaitable = self._export.write(request.offset, payload, bool(request.flags & FUA))
        except Exception as error:
            self._fail(request, begun_at, error)
            return
        self._follow(request, begun_at, awaitable)

    def _operate(self, request: Request) -> None:
        begun_at = perf_counter()
        self._running += 1
        awaitable: Awaitable[Any]
        try:
            if request.command == BLOCK_STATUS:
                awaitable = block_status(self._export, request, self._session.contexts)
            else:
                awaitable = OPERATIONS[request.command](self._export, request)
        except Exception as error:
            self._fail(request, begun_at, error)
            return
        self._follow(request, begun_at, awaitable)

    def _follow(self, request: Request, begun_at: float, awaitable: Awaitable[Any]) -> None:
        """Answer when it is done; at once if it is."""
        future: asyncio.Future[Any]
        if isinstance(awaitable, asyncio.Future):
            future = awaitable
        else:
            future = asyncio.ensure_future(awaitable, loop=self._shared.loop)
        if future.done():
            self._take_outcome(request, begun_at, future)
        else:
            future.add_done_callback(partial(self._on_done, request, begun_at))

    def _on_done(self, request: Request, begun_at: float, future: "asyncio.Future[Any]") -> None:
        """An operation is done that was not done at once."""
        self._take_outcome(request, begun_at, future)
        if self._lost:
            self._batch.clear()
            self._hold.settle()
            if not self._running:
                self._end()
        elif not self._running:
            self._send()  # nothing else can be answered in this turn
        elif not self._send_scheduled:
            self._send_scheduled = True
            self._shared.loop.call_soon(self._on_send)

    def _take_outcome(self, request: Request, begun_at: float, future: "asyncio.Future[Any]") -> None:
        if future.cancelled():
            self._fail(request, begun_at, ShuttingDown("the request was cancelled"))
        elif (error := future.exception()) is not None:
            self._fail(request, begun_at, error)
        else:
            self._succeed(request, begun_at, future.result())

    # answers

    def _succeed(self, request: Request, begun_at: float, result: Any) -> None:
        command, length = request.command, request.length
        counters = self._counters
        if command == READ:
            pieces = cast(Pieces, result)
            if size_of(pieces) != length:  # would be taken for the next answer
                self._fail(request, begun_at, RuntimeError(f"{size_of(pieces)} bytes were read, not {length}"))
                return
            counters.read_bytes.value += length
            self._batch += self._dialect.data(request, pieces)
        elif command == WRITE:
            counters.written_bytes.value += length
            self._batch.append(self._dialect.done(request))
        elif command == BLOCK_STATUS:
            self._batch += self._dialect.block_status(request, result)
        else:
            self._batch.append(self._dialect.done(request))
        if request.flags & FUA:
            counters.fua.value += 1
        self._count(request, begun_at)

    def _fail(self, request: Request, begun_at: float, error: BaseException) -> None:
        errno, reason = Errno.EIO, "internal error"
        if isinstance(error, ShuttingDown):
            self._abandon(error)
            self._count(request, begun_at)
            return
        if isinstance(error, VolumeError):
            errno, reason = error.errno, str(error)
        else:
            self._shared.log.error("nbd_request_failed", export=self._export.name, request=repr(request), error=error)
        self._counters.errors.value += 1
        self._batch.append(self._dialect.failed(request, errno, reason))
        self._count(request, begun_at)

    def _count(self, request: Request, begun_at: float) -> None:
        self._counters.seconds[request.command].observe(perf_counter() - begun_at)
        self._running -= 1
        self._hold.answer(_cost(request))

    def _on_send(self) -> None:
        self._send_scheduled = False
        self._send()

    def _send(self) -> None:
        """Hand all answers to the transport; hang up after the last one if that is wanted."""
        if self._batch and not self._lost:
            batch, self._batch = self._batch, []
            if not self._transport.is_closing():
                self._transport.writelines(batch)
        if not self._writing_paused:
            self._hold.settle()
        if self._draining and not self._running and not self._lost:
            self._leave()
        elif self._reading_paused and not self._draining and not self._is_full():
            self._shared.loop.call_soon(self.take)  # not called: it may answer at once, and come back here

    # reading, and room

    def _is_full(self) -> bool:
        """Whether no request may be taken."""
        return self._writing_paused or self._hold.is_full()

    def _on_room(self) -> None:
        self._shared.loop.call_soon(self.take)

    def _adjust_reading(self) -> None:
        """Read as long as there is room for a request, or for the rest of one."""
        if self._draining or (self._writing is None and self._is_full()):
            self._pause_reading()
        elif self._reading_paused and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    # the end

    def _hang_up(self, error: ProtocolError) -> None:
        client, export = str(self._session.client), self._export.name
        self._shared.log.warning("nbd_client_hung_up_on", client=client, export=export, reason=str(error))
        self.drain()

    def _abandon(self, error: ShuttingDown) -> None:
        """Hang up without an answer, so that the client connects again and asks once more."""
        if not self._transport.is_closing():
            client, export = str(self._session.client), self._export.name
            self._shared.log.info("nbd_volume_lost", client=client, export=export, reason=str(error))
        self._batch.clear()
        self._parted = True
        self._transport.abort()
        self.drain()

    def _leave(self) -> None:
        """All is answered: close. A client that may still send is given the time to read, before a reset is sent."""
        if self._left:
            return
        self._left = True
        self._shared.exports.release(self._export)
        if self._parted or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._incoming = Incoming(self._dialect)  # for what nobody looks at
        self._transport.write_eof()
        self._transport.resume_reading()
        self._shared.loop.call_later(LINGER_S, self._transport.abort)

    def _end(self) -> None:
        """The connection is closed, and nothing of it under way."""
        assert self._hold.size == 0, f"{self._hold.size} bytes are still held"
        if not self._left:
            self._left = True
            self._shared.exports.release(self._export)
        self._counters.connections.value -= 1
        self._shared.connections.remove(self)


def _cost(request: Request) -> int:
    """Return how many bytes a request is taken to hold until its answer has left."""
    if request.command <= WRITE:
        return REQUEST_COST + request.length
    return STATUS_COST if request.command == BLOCK_STATUS else REQUEST_COST
