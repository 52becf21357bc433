"""Frames of the peer protocol: bytes <-> frames. No I/O.

A frame is a header of HEADER_SIZE bytes, metadata (msgpack) and payload (raw bytes). All integers are
big-endian. docs/wire.md has the fields.

`Decoder` owns the memory that the transport receives into. Frames are cut from one buffer that is used
again and again, so their payload is copied out once, as bytes. A large payload whose beginning is
there gets memory of its own, which the transport then fills without any further copy.
"""

import struct
from collections.abc import Callable
from enum import IntEnum, IntFlag
from typing import Any

import msgpack

from cluster.wire.errors import ProtocolError
from cluster.wire.memory import BufferPool

Buffer = bytes | bytearray | memoryview
KiB, MiB = 1 << 10, 1 << 20

_HEADER = struct.Struct(">BBHIIII")  # kind, flags, code, stream, argument, metadata and payload length
HEADER_SIZE = _HEADER.size
assert HEADER_SIZE == 20

METADATA_LIMIT = 16 * MiB  # bytes; 10,000 rows of a listing with names of 1 KiB fit
PAYLOAD_LIMIT = 4 * MiB  # bytes
HANDSHAKE_LIMIT = 1 * KiB  # bytes of metadata, from a peer that has proved nothing yet

LARGE = 64 * KiB  # bytes; from here on a copy costs more than another read and an allocation do
BUFFER_SIZE = 256 * KiB
assert HEADER_SIZE + LARGE + LARGE <= BUFFER_SIZE, "a frame that is not large must fit"


class Kind(IntEnum):
    """Numbers on the wire; they are never reused."""

    CHALLENGE = 1
    HELLO = 2
    PROOF = 3
    REQUEST = 4
    REPLY = 5
    REFUSAL = 6
    DATA = 7
    END = 8
    CREDIT = 9
    CANCEL = 10
    PING = 11
    PONG = 12
    TAG = 13  # since version 2


class Flag(IntFlag):
    """Of REQUEST and REPLY."""

    STREAMED = 1  # the body follows in DATA frames
    ONE_WAY = 2  # no answer is wanted


# kind, flags, code, stream, argument, metadata (decoded), payload
Sink = Callable[[int, int, int, int, int, Any, Buffer], None]

encode_header = _HEADER.pack
_decode_header = _HEADER.unpack_from
_decode_metadata = msgpack.unpackb


def encode(
    kind: int,
    stream: int = 0,
    *,
    flags: int = 0,
    code: int = 0,
    argument: int = 0,
    metadata: Any = (),
    payload: Buffer = b"",
) -> bytes:
    """Return a frame in one piece. Where every microsecond counts, `encode_header` is used instead."""
    packed = b"" if metadata == () else msgpack.packb(metadata)
    header = encode_header(kind, flags, code, stream, argument, len(packed), len(payload))
    return b"".join((header, packed, payload))


class Decoder:
    """Cuts what is received into frames and hands each to `sink`.

    Use: fill a part of `get_buffer()`, then tell `received` how much. `sink` may call `stop`.
    """

    __slots__ = (
        "_buffer",
        "_end",
        "_large",
        "_metadata_limit",
        "_payload_limit",
        "_pool",
        "_sink",
        "_stopped",
        "_view",
    )

    def __init__(self, sink: Sink, metadata_limit: int, payload_limit: int) -> None:
        self._sink = sink
        self._buffer = bytearray()  # made when there is something to receive
        self._view = memoryview(self._buffer)
        self._end = 0  # of what is in the buffer and is not yet a whole frame
        self._large: _LargeFrame | None = None
        self._pool = BufferPool()
        self._stopped = False
        self._metadata_limit, self._payload_limit = metadata_limit, payload_limit

    def __repr__(self) -> str:
        return f"Decoder({self._large or f'{self._end} bytes of a frame'})"

    def switch(self, sink: Sink, metadata_limit: int, payload_limit: int) -> None:
        """Hand the frames after this one to `sink`, and refuse those with more than so many bytes."""
        self._sink = sink
        self._metadata_limit, self._payload_limit = metadata_limit, payload_limit

    def stop(self) -> None:
        """Hand out no more frames, not even those that are in the buffer; let go of its memory, and of the sink.

        Who has ended is in a cycle with its transport, and may lie about until the collector comes.
        """
        self._stopped = True
        self._sink = _ignore
        self._buffer, self._large, self._pool = bytearray(), None, BufferPool()
        self._view = memoryview(self._buffer)

    def trim(self) -> None:
        """Give back memory that is kept for the next large payloads."""
        self._pool.trim()

    def get_buffer(self) -> memoryview:
        """Return the memory, never empty, that the next bytes go to."""
        if self._large is not None:
            return self._large.vacant()
        if not self._view:
            self._buffer = bytearray(BUFFER_SIZE)
            self._view = memoryview(self._buffer)
        return self._view[self._end :] if self._end else self._view

    def received(self, count: int) -> None:
        """Take `count` more bytes, which lie in the last `get_buffer()`. Raise ProtocolError on damage."""
        large = self._large
        if large is None:
            self._end = self._hand_out(self._end + count)
        elif large.fill(count):
            self._large = None
            if not self._stopped:
                large.hand_out(self._sink)

    def _hand_out(self, end: int) -> int:
        """Hand out the frames that end before `end`, move the rest to the front, return its length."""
        buffer, view, start = self._buffer, self._view, 0
        while end - start >= HEADER_SIZE and not self._stopped:
            header = _decode_header(buffer, start)
            kind, flags, code, stream, argument, metadata_length, payload_length = header
            if metadata_length > self._metadata_limit or payload_length > self._payload_limit:
                raise ProtocolError(f"a frame of {metadata_length} + {payload_length} bytes")
            metadata_start = start + HEADER_SIZE
            payload_start = metadata_start + metadata_length
            stop = payload_start + payload_length
            if stop > end:
                if metadata_length > LARGE or (payload_length >= LARGE and payload_start <= end):
                    self._large = _LargeFrame(self._pool, header, view[metadata_start:end])
                    return 0
                break
            metadata = unpack(view[metadata_start:payload_start]) if metadata_length else ()
            payload = view[payload_start:stop].tobytes() if payload_length else b""
            self._sink(kind, flags, code, stream, argument, metadata, payload)
            start = stop
        rest = end - start
        if start and rest:
            view[:rest] = view[start:end]
        return rest


def _ignore(*_frame: object) -> None:
    """Take a frame that nobody waits for."""


class _LargeFrame:
    """A frame whose tail is received straight into memory of its own."""

    __slots__ = ("_fields", "_filled", "_length", "_memory", "_metadata", "_metadata_length", "_view")

    def __init__(self, pool: BufferPool, header: tuple[int, ...], begun: memoryview) -> None:
        kind, flags, code, stream, argument, metadata_length, payload_length = header
        self._fields = (kind, flags, code, stream, argument)
        self._metadata: Any = ()
        self._metadata_length = 0  # within the memory: metadata that is large itself is received there too
        if metadata_length > LARGE:
            self._metadata_length = metadata_length
        elif metadata_length:
            self._metadata = unpack(begun[:metadata_length])
            begun = begun[metadata_length:]
        self._length = self._metadata_length + payload_length
        self._memory = pool.take(self._length)
        self._view = memoryview(self._memory)[: self._length]
        self._filled = len(begun)
        self._view[: self._filled] = begun

    def __repr__(self) -> str:
        return f"{self._filled} of {self._length} bytes of a large frame"

    def vacant(self) -> memoryview:
        """Return the memory that is still to be filled."""
        return self._view[self._filled :]

    def fill(self, count: int) -> bool:
        """Take `count` more bytes; tell whether the frame is complete."""
        self._filled += count
        return self._filled == self._length

    def hand_out(self, sink: Sink) -> None:
        """Give the frame to `sink`."""
        if not self._metadata_length:
            whole = self._length == len(self._memory)
            sink(*self._fields, self._metadata, self._memory if whole else self._view)
            return
        metadata = unpack(self._view[: self._metadata_length])
        sink(*self._fields, metadata, self._view[self._metadata_length :])


def unpack(packed: Buffer) -> Any:
    """Return the value in `packed`, arrays as tuples. Raise ProtocolError when it is not one value."""
    try:
        return _decode_metadata(packed, use_list=False)
    except (ValueError, TypeError, OverflowError) as error:
        raise ProtocolError(f"metadata: {error}") from None
