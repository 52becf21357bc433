"""What both ends of a connection share: bytes in, frames out, signs of life, and how it ends.

Frames of one turn of the loop are gathered, and go out at its end: one system call, and the peer wakes up once
(measured, 32 calls at a time: 14 us each, 25 when each frame is handed to the transport by itself). A large payload
goes at once.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from typing import Any, cast

import msgpack

from cluster.clock import wall_us
from cluster.wire.errors import ProtocolError
from cluster.wire.flow import Outflow
from cluster.wire.frame import (
    HANDSHAKE_LIMIT,
    METADATA_LIMIT,
    PAYLOAD_LIMIT,
    Buffer,
    Decoder,
    KiB,
    Kind,
    MiB,
    encode_header,
)
from cluster.wire.liveness import Liveness, Patience, Verdict

COPY_LIMIT = 32 * KiB  # bytes; up to here a copy is cheaper than more entries in a writev
WRITE_HIGH = 2 * MiB  # bytes the transport holds before bodies wait (and a server reads no more)
WRITE_LOW = 512 * KiB
UNIX_SEND_BUFFER = 1 * MiB  # a whole piece goes out in one system call; with the default it takes ten


class Connection(asyncio.BufferedProtocol):
    """One end. `closed` is set when it is over, whoever ended it; `_on_closed` runs once."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, patience: Patience, wall: Callable[[], int] = wall_us
    ) -> None:
        self._loop = loop
        self._wall_us = wall
        self._decoder = Decoder(self._on_handshake, HANDSHAKE_LIMIT, 0)
        self._pack = msgpack.Packer().pack
        self._transport: asyncio.Transport | None = None
        self._liveness = Liveness(patience, loop.time())
        self._sent = 0  # bytes handed to the transport, or gathered for it
        self._gathered: list[Buffer] = []  # frames of this turn of the loop
        self.writing_paused = False
        self.closed = False
        self.reason = "not connected yet"  # why nothing can be sent

    def _on_connected(self) -> None:
        """Begin the handshake."""
        raise NotImplementedError

    def _on_handshake(
        self, kind: int, flags: int, code: int, stream: int, argument: int, metadata: Any, payload: Buffer
    ) -> None:
        """Take a frame before both sides have proved themselves. Raise ProtocolError."""
        raise NotImplementedError

    def _on_frame(
        self, kind: int, flags: int, code: int, stream: int, argument: int, metadata: Any, payload: Buffer
    ) -> None:
        """Take a frame after that. Raise ProtocolError."""
        raise NotImplementedError

    def _on_closed(self) -> None:
        """Let everyone know who waits for something."""
        raise NotImplementedError

    def _outflows(self) -> Iterable[Outflow]:
        """Return the bodies that are being sent."""
        raise NotImplementedError

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        transport.set_write_buffer_limits(high=WRITE_HIGH, low=WRITE_LOW)
        connected = transport.get_extra_info("socket")
        if connected is not None:
            _tune(connected)
        if self.closed:  # by who gave up waiting
            transport.abort()
        else:
            self._on_connected()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the transport is gone."""
        self.close(f"connection lost: {exc}" if exc else "connection lost")

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the memory for the next bytes."""
        return self._decoder.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes."""
        self._liveness.heard = True
        try:
            self._decoder.received(nbytes)
        except ProtocolError as error:
            self._on_violation(error)

    def eof_received(self) -> bool:
        """Let the transport close: a peer that sends no more has gone."""
        return False

    def pause_writing(self) -> None:
        """Note that the transport holds a lot."""
        self.writing_paused = True

    def resume_writing(self) -> None:
        """Note that the transport takes more."""
        self.writing_paused = False
        for flow in list(self._outflows()):
            flow.wake()

    # for both ends

    def close(self, reason: str, flush: bool = False) -> None:
        """End the connection now. What is queued is lost, unless `flush`."""
        if self.closed:
            return
        if flush:
            self._flush()
        self.closed, self.reason = True, reason
        self._decoder.stop()
        if self._transport is not None:
            self._transport.close() if flush else self._transport.abort()
        self._on_closed()

    def _trust(self) -> None:
        """End the handshake: from now on `_on_frame` gets the frames."""
        self._decoder.switch(self._on_frame, METADATA_LIMIT, PAYLOAD_LIMIT)

    def _on_violation(self, error: ProtocolError) -> None:
        """Hang up on a peer that breaks the rules."""
        self.close(f"protocol error: {error}")

    def _write(self, head: bytes, payload: Buffer, length: int) -> None:
        """Send a frame: header and metadata, and `length` bytes of payload."""
        if self.closed:
            return
        assert self._transport is not None
        self._sent += len(head) + length
        self._gathered.append(head)
        if length > COPY_LIMIT:
            self._gathered.append(payload)
            self._flush()
        else:
            if length:
                self._gathered.append(payload)
            if len(self._gathered) == 1 + bool(length):
                self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Send what was gathered in this turn of the loop: one system call, and the peer wakes up once."""
        gathered = self._gathered
        if not gathered or self.closed:
            return
        assert self._transport is not None
        self._gathered = []
        if len(gathered) == 1:
            self._transport.write(gathered[0])
        elif sum(map(len, gathered)) <= COPY_LIMIT:
            self._transport.write(b"".join(gathered))
        else:
            self._transport.writelines(gathered)

    def _write_frame(
        self,
        kind: int,
        stream: int = 0,
        flags: int = 0,
        code: int = 0,
        argument: int = 0,
        metadata: Any = (),
        payload: Buffer = b"",
    ) -> None:
        """Send any frame."""
        packed = b"" if metadata == () else self._pack(metadata)
        length = len(payload)
        head = encode_header(kind, flags, code, stream, argument, len(packed), length) + packed
        self._write(head, payload, length)

    def _ping(self) -> None:
        """Ask for a sign of life, and for the time: the argument comes back, so that we know how long it took."""
        self._write_frame(Kind.PING, argument=_stamp(self._loop.time()))

    def _pong(self, argument: int) -> None:
        """Answer a PING with our wall clock."""
        self._write_frame(Kind.PONG, argument=argument, metadata=(self._wall_us(),))

    def _look_for_life(self, now: float, interval_s: float, busy: bool) -> Verdict:
        """Send a PING, or hang up, when the other side has been silent for too long."""
        assert self._transport is not None
        flushed = self._sent - self._transport.get_write_buffer_size()
        verdict = self._liveness.look(now, interval_s, busy, self._sent, flushed)
        if verdict is Verdict.PING:
            self._ping()
        elif verdict is Verdict.DEAD:
            self.close("no answer to a heartbeat")
        return verdict

    # flow.Carrier

    def now(self) -> float:
        """Return the loop's time."""
        return self._loop.time()

    def new_waiter(self) -> "asyncio.Future[None]":
        """Return a future of the loop."""
        return self._loop.create_future()

    def defer(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Call back on the loop, soon. May be called in any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(callback, *arguments)

    def write_data(self, stream: int, piece: Buffer, length: int) -> None:
        """Send a DATA frame."""
        self._write(encode_header(Kind.DATA, 0, 0, stream, 0, 0, length), piece, length)

    def give_credit(self, stream: int, length: int) -> None:
        """Send a CREDIT frame."""
        self._write(encode_header(Kind.CREDIT, 0, 0, stream, length, 0, 0), b"", 0)


def _stamp(now: float) -> int:
    """Return a time in milliseconds as a PING carries it; never 0, which says that there is none."""
    return int(now * 1000) & 0xFFFFFFFF or 1


def stamp_age_s(stamp: int, now: float) -> float:
    """Return how long ago a PING was stamped."""
    return ((_stamp(now) - stamp) & 0xFFFFFFFF) / 1000


def _tune(connected: socket.socket) -> None:
    if connected.family == socket.AF_UNIX:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNIX_SEND_BUFFER)
    elif connected.family in (socket.AF_INET, socket.AF_INET6):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def failed(loop: asyncio.AbstractEventLoop, error: Exception) -> "asyncio.Future[Any]":
    """Return a future that has failed."""
    future: asyncio.Future[Any] = loop.create_future()
    fail(future, error)
    return future


def fail(future: "asyncio.Future[Any]", error: Exception) -> None:
    """Fail `future`. Who asks several peers may never look at the slowest: no mistake to be logged."""
    if not future.done():
        future.set_exception(error)
        future.exception()
