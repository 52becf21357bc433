"""Bodies in pieces, under credit: the receiver says how many bytes may come, and holds no more than that.

Per stream and direction WINDOW bytes may be sent before credit is given; the reader gives it
back in steps as it reads. `Inflow` and `Outflow` are the two ends of that; a connection keeps them in
its tables. `BodyReader` is an Inflow in its reader's hand: when it is dropped, the body is abandoned.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from cluster.wire.errors import PeerUnavailable, ProtocolError
from cluster.wire.frame import Buffer, MiB

DATA_LIMIT = 1 * MiB  # bytes of one DATA frame: the longest that a small call waits behind a body
WINDOW = 2 * MiB  # bytes: measured as fast as 4 MiB; more would only be more memory per stalled reader
CREDIT_STEPS = 2  # a CREDIT frame per half of the window: one piece is read, one is on its way
assert DATA_LIMIT + WINDOW // CREDIT_STEPS <= WINDOW, "a whole piece must fit into what is left when credit comes back"


class Carrier(Protocol):
    """What a flow needs of its connection."""

    writing_paused: bool

    def now(self) -> float:
        """Return the loop's time."""

    def new_waiter(self) -> "asyncio.Future[None]":
        """Return a future of the loop."""

    def defer(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Call back on the loop, soon. May be called in any thread, as the garbage collector does."""

    def write_data(self, stream: int, piece: Buffer, length: int) -> None:
        """Send a DATA frame; the buffer belongs to the connection from here on."""

    def give_credit(self, stream: int, length: int) -> None:
        """Send a CREDIT frame."""

    def abandon(self, stream: int) -> None:
        """Forget an inflow that nobody reads any more, and let the other side know."""


class Inflow:
    """The receiving end of a body."""

    __slots__ = (
        "_allowed",
        "_carrier",
        "_error",
        "_owed",
        "_pieces",
        "_step",
        "_stream",
        "_waiter",
        "finished",
        "timeout_s",
        "waiting_since",
    )

    def __init__(self, carrier: Carrier, stream: int, window: int, timeout_s: float) -> None:
        self._carrier = carrier
        self._stream = stream
        self._pieces: deque[Buffer] = deque()
        self._allowed = window  # bytes that may still come
        self._owed = 0  # bytes read, and not given back as credit yet
        self._step = window // CREDIT_STEPS
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self.finished = False  # nothing more will come
        self.timeout_s = timeout_s  # the longest wait for a piece
        self.waiting_since: float | None = None

    def __repr__(self) -> str:
        return f"Inflow(stream={self._stream}, pieces={len(self._pieces)}, finished={self.finished})"

    def feed(self, piece: Buffer) -> None:
        """Take a piece that has come. Raise ProtocolError when there was no credit for it."""
        self._allowed -= len(piece)
        if self._allowed < 0:
            raise ProtocolError(f"{-self._allowed} bytes more than credit on stream {self._stream}")
        if piece:
            self._pieces.append(piece)
            self._wake()

    def finish(self, error: Exception | None = None) -> None:
        """Let the reader have what came, then the end, or `error`."""
        if not self.finished:
            self.finished, self._error = True, error
            self._wake()

    async def read(self) -> Buffer:
        """Return the next piece; empty at the end."""
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self.finished:
                return b""
            await self._wait()
        piece = self._pieces.popleft()
        self._owed += len(piece)
        if self._owed >= self._step and not self.finished:
            self._carrier.give_credit(self._stream, self._owed)
            self._allowed += self._owed
            self._owed = 0
        return piece

    def abandon(self) -> None:
        """Read no more."""
        self._pieces.clear()
        if not self.finished:
            self.finish(PeerUnavailable("the body was closed"))
            self._carrier.abandon(self._stream)

    def abandon_soon(self) -> None:
        """Read no more. May be called in any thread."""
        self._carrier.defer(self.abandon)

    async def _wait(self) -> None:
        assert self._waiter is None, "two readers of one body"
        self._waiter, self.waiting_since = self._carrier.new_waiter(), self._carrier.now()
        try:
            await self._waiter
        finally:
            self._waiter = self.waiting_since = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class BodyReader:
    """A body that arrives in pieces. Read it to the end or close it; one that is dropped is closed."""

    __slots__ = ("_flow",)

    def __init__(self, flow: Inflow) -> None:
        self._flow = flow

    def __repr__(self) -> str:
        return f"BodyReader({self._flow!r})"

    def __del__(self) -> None:
        if not self._flow.finished:
            self._flow.abandon_soon()

    async def read(self) -> Buffer:
        """Return the next piece (up to 1 MiB), which is the caller's; empty at the end.

        Raise PeerUnavailable when the connection is lost or nothing comes in time, RemoteError when the
        other side gave up in the middle.
        """
        return await self._flow.read()

    def close(self) -> None:
        """Abandon what has not been read."""
        self._flow.abandon()

    # a reader can be handed on as the body of another reply

    def __aiter__(self) -> "BodyReader":
        return self

    async def __anext__(self) -> Buffer:
        piece = await self._flow.read()
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Do what `close` does."""
        self._flow.abandon()


class Outflow:
    """The sending end of a body."""

    __slots__ = ("_carrier", "_credit", "_error", "_waiter", "_window", "ended", "stream", "waiting_since")

    def __init__(self, carrier: Carrier, stream: int, window: int) -> None:
        self._carrier = carrier
        self._credit = self._window = window
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self.stream = stream
        self.ended = False  # nothing more is sent: it was all, or the other side wants no more
        self.waiting_since: float | None = None

    def __repr__(self) -> str:
        return f"Outflow(stream={self.stream}, credit={self._credit}, ended={self.ended})"

    def try_send(self, piece: Buffer) -> bool:
        """Send `piece` if it can go at once; else return False. Raise what has ended the stream."""
        length = len(piece)
        if length > self._credit or length > DATA_LIMIT or self.ended or self._carrier.writing_paused:
            return self._is_unwanted() or not length
        if length:
            self._credit -= length
            self._carrier.write_data(self.stream, piece, length)
        return True

    async def send(self, piece: Buffer) -> None:
        """Send `piece`, which belongs to the connection from here on; wait for credit when there is none."""
        if not self.try_send(piece):
            await self._send_in_parts(memoryview(piece))

    async def _send_in_parts(self, rest: memoryview) -> None:
        while rest:
            if self._is_unwanted():
                return
            worthwhile = min(len(rest), self._window // CREDIT_STEPS, DATA_LIMIT)
            if self._carrier.writing_paused or self._credit < worthwhile:
                await self._wait()
                continue
            length = min(len(rest), self._credit, DATA_LIMIT)
            self._credit -= length
            self._carrier.write_data(self.stream, rest[:length], length)
            rest = rest[length:]

    def _is_unwanted(self) -> bool:
        """Tell whether the other side has answered before it had all. Raise what has ended the stream."""
        if self._error is not None:
            raise self._error
        return self.ended

    def add_credit(self, length: int) -> None:
        """Take credit that the other side gives. Raise ProtocolError when it is more than was used."""
        self._credit += length
        if self._credit > self._window:
            raise ProtocolError(f"{self._credit} bytes of credit on stream {self.stream}")
        self.wake()

    def end(self, error: Exception | None = None) -> None:
        """Send nothing more; who sends nevertheless gets `error`, or is ignored."""
        if not self.ended:
            self.ended, self._error = True, error
            self.wake()

    def wake(self) -> None:
        """Let a waiting `send` look again: credit came, or the transport takes more."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        assert self._waiter is None, "two senders of one body"
        self._waiter, self.waiting_since = self._carrier.new_waiter(), self._carrier.now()
        try:
            await self._waiter
        finally:
            self._waiter = self.waiting_since = None
