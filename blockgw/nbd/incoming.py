"""The stream of requests: what has been received, cut into requests and their payloads. No I/O.

Headers and short payloads are received into one buffer, many at a time. A payload of which a good deal
is still to come, or that does not fit, is received straight into memory of its own, which goes to the volume
as it is.
"""

from collections.abc import Callable

from blockgw.interfaces import Buffer, KiB
from blockgw.nbd.dialect import Dialect
from blockgw.nbd.protocol import Request
from cluster.wire.memory import BufferPool

BUFFER_SIZE = 64 * KiB
DIRECT = 16 * KiB  # to come of a payload, for which a receive of its own costs less than to copy it


class Incoming:
    """What one client sends. In turn: `buffer`, fill it, `advance`; then take until there is nothing.

    After `take_request` comes `expect`, then `take_payload` until it returns something, or `skip`; if the
    request has a payload.
    """

    __slots__ = (
        "_begin", "_buffer", "_decode", "_end", "_expected", "_filled", "_header_size", "_own", "_pool", "_skip",
        "_view",
    )  # fmt: skip

    def __init__(self, dialect: Dialect, received: Buffer = b"", pool: BufferPool | None = None) -> None:
        """`pool` has the memory for long payloads."""
        self._decode: Callable[[Buffer, int], Request] = dialect.decode_request
        self._header_size = dialect.request_size
        self._buffer = bytearray(max(BUFFER_SIZE, len(received)))
        self._buffer[: len(received)] = received
        self._view = memoryview(self._buffer)
        self._begin = 0  # of what was received and not taken
        self._end = len(received)
        self._skip = 0  # bytes that nobody wants
        self._expected = 0  # length of the payload that is due
        self._own: memoryview | None = None  # its memory, when it is received straight
        self._filled = 0  # of that
        self._pool = pool or BufferPool()

    def __repr__(self) -> str:
        return f"Incoming({self._end - self._begin} received, {self._expected} expected, {self._skip} to skip)"

    @property
    def is_partial(self) -> bool:
        """Whether the client is in the middle of something."""
        return bool(self._end > self._begin or self._expected or self._skip)

    def buffer(self) -> memoryview:
        """Return where to receive; never empty."""
        if self._own is not None:
            return self._own[self._filled :]
        if self._begin:
            self._compact()
        return self._view[self._end :]

    def advance(self, count: int) -> None:
        """Note that `count` bytes were received into `buffer()`."""
        if self._own is not None:
            self._filled += count
        elif self._skip:
            self._end += count
            self._skip_received()
        else:
            self._end += count

    def take_request(self) -> Request | None:
        """Return the next request, None when it is not whole. Raise ProtocolError when it is none."""
        begin = self._begin
        if self._end - begin < self._header_size or self._skip:
            return None
        self._begin = begin + self._header_size
        return self._decode(self._buffer, begin)

    def expect(self, length: int) -> None:
        """A payload of `length` bytes comes next, and is wanted."""
        self._expected = length
        received = self._end - self._begin
        if length - received >= DIRECT or length > max(received, BUFFER_SIZE):
            self._own = memoryview(self._pool.take(length))[:length]
            self._own[:received] = self._view[self._begin : self._end]
            self._filled = received
            self._begin = self._end = 0

    def skip(self, length: int) -> None:
        """A payload of `length` bytes comes next, and is not wanted."""
        self._skip = length
        self._skip_received()

    def take_payload(self) -> memoryview | None:
        """Return the payload that was expected, None when it is not whole. It is the caller's to keep."""
        length = self._expected
        if self._own is not None:
            if self._filled < length:
                return None
            own, self._own, self._expected = self._own, None, 0
            return own
        begin = self._begin
        if self._end - begin < length:
            return None
        self._begin, self._expected = begin + length, 0
        return memoryview(bytes(self._view[begin : begin + length]))

    def _skip_received(self) -> None:
        skipped = min(self._skip, self._end - self._begin)
        self._skip -= skipped
        self._begin += skipped

    def _compact(self) -> None:
        """Move what was not taken to the front."""
        left = self._end - self._begin
        self._view[:left] = bytes(self._view[self._begin : self._end])
        self._begin, self._end = 0, left
