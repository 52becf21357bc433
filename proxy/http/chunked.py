"""The chunked transfer coding, bytes to events; also the frame of S3's aws-chunked. No I/O.

Source: RFC 9112 §7.1. Strict: lines end with CRLF, sizes are plain hexadecimal, so that nobody in
front of us can see other chunks than we do. `lenient_trailers` is for aws-chunked, which no intermediary
parses, and whose older clients end trailers with a bare LF. Payload is never copied: data events are slices
of what was fed.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

from proxy.http.errors import BadBody

MAX_LINE = 4096  # of a chunk's head or a trailer
MAX_TRAILERS = 32

_CHUNK_HEAD = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;([^\r\n\x00]*))?")
_TRAILER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\r\n\x00]*)")


@dataclass(frozen=True, slots=True)
class ChunkStart:
    """A chunk of `size` bytes follows; 0 is the last one."""

    size: int
    extension: str


class ChunkEnd:
    """All bytes of the chunk have been seen."""


@dataclass(frozen=True, slots=True)
class BodyEnd:
    """The body is over; the trailers' names are lower-case."""

    trailers: list[tuple[str, str]]


Event = ChunkStart | memoryview | ChunkEnd | BodyEnd
_CHUNK_END = ChunkEnd()


class _Expect(Enum):
    HEAD = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    NOTHING = auto()


class ChunkDecoder:
    """Decodes one body, fed in pieces of any size."""

    __slots__ = ("_expect", "_lenient", "_line", "_missing", "_trailers")

    def __init__(self, *, lenient_trailers: bool = False) -> None:
        self._expect = _Expect.HEAD
        self._line = bytearray()  # the part of an unfinished line that came with earlier pieces
        self._missing = 0  # bytes of the current chunk
        self._trailers: list[tuple[str, str]] = []
        self._lenient = lenient_trailers

    @property
    def done(self) -> bool:
        """Tell whether the end of the body has been seen."""
        return self._expect is _Expect.NOTHING

    def feed(self, data: memoryview) -> tuple[list[Event], int]:
        """Return the events in `data`, and how many bytes of it belong to this body. Raise BadBody."""
        events: list[Event] = []
        position = 0
        while position < len(data) and self._expect is not _Expect.NOTHING:
            if self._expect is _Expect.DATA:
                piece = data[position : position + self._missing]
                position += len(piece)
                self._missing -= len(piece)
                events.append(piece)
                if not self._missing:
                    events.append(_CHUNK_END)
                    self._expect = _Expect.DATA_END
            else:
                line, position = self._take_line(data, position)
                if line is not None:
                    self._interpret(line, events)
        return events, position

    def _take_line(self, data: memoryview, position: int) -> tuple[bytes | None, int]:
        """Return the line that ends in `data`, without its end, and the position after it."""
        room = MAX_LINE - len(self._line)
        ahead = bytes(data[position : position + room])
        end = ahead.find(b"\n") + 1
        if not end:
            if len(ahead) == room:
                raise BadBody("a line of the chunked body is too long")
            self._line += ahead
            return None, position + len(ahead)
        line = bytes(self._line) + ahead[:end] if self._line else ahead[:end]
        self._line.clear()
        if line.endswith(b"\r\n"):
            return line[:-2], position + end
        if self._lenient and self._expect is _Expect.TRAILER:
            return line[:-1], position + end
        raise BadBody("a line of the chunked body does not end with CRLF")

    def _interpret(self, line: bytes, events: list[Event]) -> None:
        if self._expect is _Expect.DATA_END:
            if line:
                raise BadBody("a chunk is longer than it says")
            self._expect = _Expect.HEAD
        elif self._expect is _Expect.HEAD:
            events.append(self._start_chunk(line))
        elif line:
            self._add_trailer(line)
        else:
            self._expect = _Expect.NOTHING
            events.append(BodyEnd(self._trailers))

    def _start_chunk(self, line: bytes) -> ChunkStart:
        match = _CHUNK_HEAD.fullmatch(line)
        if match is None:
            raise BadBody("malformed chunk head")
        self._missing = int(match[1], 16)
        self._expect = _Expect.DATA if self._missing else _Expect.TRAILER
        return ChunkStart(self._missing, (match[2] or b"").decode("latin-1"))

    def _add_trailer(self, line: bytes) -> None:
        match = _TRAILER.fullmatch(line)
        if match is None:
            raise BadBody("malformed trailer")
        if len(self._trailers) == MAX_TRAILERS:
            raise BadBody("too many trailers")
        self._trailers.append((match[1].decode("ascii").lower(), match[2].decode("latin-1").strip(" \t")))
