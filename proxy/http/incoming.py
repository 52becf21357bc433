"""Request bodies on their way in: what the application reads, and how the connection fills it.

A body of known length goes from the kernel straight into the bytearrays that the application
gets, 1 MiB each, or one of exactly its length when it is shorter. A chunked one is decoded and copied once.
The queue between the two is bounded: when it is full, the connection stops reading.
"""

import asyncio
from collections import deque
from typing import Protocol

from proxy.http.chunked import BodyEnd, ChunkDecoder
from proxy.http.errors import BadBody
from proxy.http.message import Buffer

PIECE_BYTES = 1 << 20
FIXED_QUEUE = 2  # pieces of PIECE_BYTES
CHUNKED_QUEUE = 8  # pieces of one receive each


class Flow(Protocol):
    """What a body asks of its connection."""

    def send_continue(self) -> None:
        """Tell the client to go on with the body."""

    def resume(self) -> None:
        """Read again."""


class EmptyBody:
    """The body of a request that has none."""

    __slots__ = ()
    length = 0
    done = True
    failed = False

    async def read(self) -> Buffer:
        """Return the end."""
        return b""


class IncomingBody:
    """A body as the application sees it; the connection delivers, ends or fails it."""

    __slots__ = (
        "_ended",
        "_error",
        "_flow",
        "_loop",
        "_pieces",
        "_queue_length",
        "_waiter",
        "awaits_continue",
        "length",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, flow: Flow, length: int | None, awaits_continue: bool
    ) -> None:
        self.length = length
        self.awaits_continue = awaits_continue  # the client sends nothing before it is told to
        self._loop = loop
        self._flow = flow
        self._queue_length = CHUNKED_QUEUE if length is None else FIXED_QUEUE
        self._pieces: deque[Buffer] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._ended = False

    async def read(self) -> Buffer:
        """Return the next piece, empty at the end; see `proxy.http.message.Body`."""
        if self.awaits_continue:
            self.awaits_continue = False
            self._flow.send_continue()
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        was_full = self.is_full
        piece = self._pieces.popleft()
        if was_full and not self._ended:
            self._flow.resume()
        return piece

    @property
    def done(self) -> bool:
        """Tell whether all has come and been read: the connection is ready for another request."""
        return self._ended and not self._pieces

    @property
    def failed(self) -> bool:
        """Tell whether the end of the body cannot be found any more."""
        return self._error is not None

    @property
    def is_full(self) -> bool:
        """Tell whether the application is to read before more may be delivered."""
        return len(self._pieces) >= self._queue_length

    def deliver(self, piece: Buffer) -> None:
        """Add a piece, which is not empty."""
        self.awaits_continue = False
        self._pieces.append(piece)
        self._wake()

    def end(self) -> None:
        """All of the body has been delivered."""
        self._ended = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """No more will come. What is queued is worth nothing without the rest."""
        if not self._ended and self._error is None:
            self._error = error
            self._pieces.clear()
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class FixedFraming:
    """Fills a body whose length is known; `buffer` is where the kernel writes."""

    __slots__ = ("_filled", "_missing", "_piece", "body", "ended")

    def __init__(self, body: IncomingBody, length: int) -> None:
        assert length > 0
        self.body = body
        self.ended = False
        self._missing = length  # of the body, what has been delivered left out
        self._piece: bytearray | None = None
        self._filled = 0  # bytes of it

    def buffer(self) -> memoryview:
        """Return where the next bytes of the body go."""
        if self._piece is None:
            self._piece = bytearray(min(PIECE_BYTES, self._missing))
        return memoryview(self._piece)[self._filled :]

    def advance(self, count: int) -> None:
        """Take note of `count` bytes in `buffer()`."""
        assert self._piece is not None
        self.body.awaits_continue = False
        self._filled += count
        if self._filled == len(self._piece):
            piece, self._piece, self._filled = self._piece, None, 0
            self._missing -= len(piece)
            self.ended = self._missing == 0
            self.body.deliver(piece)
            if self.ended:
                self.body.end()

    def feed(self, data: memoryview) -> int:
        """Copy the bytes of the body that came with the head; return how many those are."""
        taken = 0
        while taken < len(data) and not self.ended:
            room = self.buffer()
            count = min(len(room), len(data) - taken)
            room[:count] = data[taken : taken + count]
            self.advance(count)
            taken += count
        return taken


class ChunkedFraming:
    """Fills a body that comes in chunks. Trailers are read and ignored."""

    __slots__ = ("_decoder", "body", "ended")

    def __init__(self, body: IncomingBody) -> None:
        self.body = body
        self.ended = False
        self._decoder = ChunkDecoder()

    def feed(self, data: memoryview) -> int:
        """Decode what came; return how many bytes of it belong to the body."""
        try:
            events, taken = self._decoder.feed(data)
        except BadBody as error:
            self.body.fail(error)
            self.ended = True
            return len(data)
        piece = b"".join([event for event in events if isinstance(event, memoryview)])
        if piece:
            self.body.deliver(piece)
        if events and isinstance(events[-1], BodyEnd):
            self.ended = True
            self.body.end()
        return taken
