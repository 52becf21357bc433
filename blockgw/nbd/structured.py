"""Structured replies: a READ tells holes, errors say why, BLOCK_STATUS has an answer.

Source: doc/proto.md, "Structured reply message". A reply is a chain of chunks, the last of which has the
flag DONE. What has neither result nor error is still answered by a simple reply, which the protocol
allows, and which is shorter.

    chunk  magic u32 | flags u16 | type u16 | cookie u64 | length u32 | payload of that length:
      OFFSET_DATA   offset u64 | data
      OFFSET_HOLE   offset u64 | length u32
      BLOCK_STATUS  context id u32 | (length u32 | flags u32) for each extent
      ERROR         error u32 | length of text u16 | text
"""

import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum

from blockgw.errors import Errno
from blockgw.interfaces import Buffer, Extent, Pieces
from blockgw.nbd import simple
from blockgw.nbd.pieces import filled, runs
from blockgw.nbd.protocol import STRUCTURED_FLAGS, CommandFlag, Request

CHUNK_MAGIC = 0x668E33EF
DONE = 1  # flag of the last chunk
TEXT_LIMIT = 4096  # bytes of any text, by the protocol


class ChunkType(IntEnum):
    """What a chunk is."""

    NONE = 0
    OFFSET_DATA = 1
    OFFSET_HOLE = 2
    BLOCK_STATUS = 5
    BLOCK_STATUS_EXT = 6
    ERROR = 1 << 15 | 1


_CHUNK = struct.Struct(">IHHQI")
_DATA = struct.Struct(">IHHQIQ")  # a chunk's header and the offset
_HOLE = struct.Struct(">IHHQIQI")
_STATUS = struct.Struct(">IHHQII")
_ERROR = struct.Struct(">IH")
_OFFSET_SIZE = 8
_HOLE_SIZE = 12
_CONTEXT_SIZE = 4
_EXTENT_SIZE = 8
_OFFSET_DATA, _OFFSET_HOLE = int(ChunkType.OFFSET_DATA), int(ChunkType.OFFSET_HOLE)  # packed for each READ
_DF = int(CommandFlag.DF)
assert _CHUNK.size == 20
assert _DATA.size == _CHUNK.size + _OFFSET_SIZE


def encode_error(error: Errno, reason: str) -> bytes:
    """Return the payload of an ERROR chunk."""
    text = reason.encode(errors="replace")[:TEXT_LIMIT]
    text = text.decode(errors="ignore").encode()  # not cut within a character
    return _ERROR.pack(error, len(text)) + text


class StructuredDialect:
    """See `Dialect`."""

    request_size = simple.SimpleDialect.request_size
    valid_flags: Mapping[int, int] = STRUCTURED_FLAGS
    payload_flag = 0
    decode_request = staticmethod(simple.decode_request)

    def done(self, request: Request) -> bytes:
        """Return the answer to what was done and has no result."""
        return simple.encode_reply(request.cookie, 0)

    def failed(self, request: Request, error: Errno, reason: str) -> bytes:
        """Return the answer to what was not done."""
        payload = encode_error(error, reason)
        return _CHUNK.pack(CHUNK_MAGIC, DONE, ChunkType.ERROR, request.cookie, len(payload)) + payload

    def data(self, request: Request, pieces: Pieces) -> list[Buffer]:
        """Return the answer to a READ: a chunk for each run of data, and for each hole."""
        if request.flags & _DF or (len(pieces) == 1 and not isinstance(pieces[0], int)):
            return [self._data_header(request, DONE, 0, request.length), *filled(pieces)]
        buffers: list[Buffer] = []
        for offset, length, data in runs(pieces):
            flags = DONE if offset + length == request.length else 0
            if data:
                buffers += (self._data_header(request, flags, offset, length), *data)
            else:
                buffers.append(self._hole(request, flags, offset, length))
        return buffers or [_CHUNK.pack(CHUNK_MAGIC, DONE, ChunkType.NONE, request.cookie, 0)]

    def block_status(self, request: Request, statuses: Sequence[tuple[int, Sequence[Extent]]]) -> list[Buffer]:
        """Return the answer to a BLOCK_STATUS: a chunk for each context."""
        chunks: list[Buffer] = []
        for context_id, extents in statuses:
            flags = DONE if len(chunks) == len(statuses) - 1 else 0
            size = _CONTEXT_SIZE + _EXTENT_SIZE * len(extents)
            header = _STATUS.pack(CHUNK_MAGIC, flags, ChunkType.BLOCK_STATUS, request.cookie, size, context_id)
            numbers = [number for extent in extents for number in extent]
            chunks.append(header + struct.pack(f">{len(numbers)}I", *numbers))
        return chunks

    def _data_header(self, request: Request, flags: int, offset: int, length: int) -> bytes:
        size = _OFFSET_SIZE + length
        return _DATA.pack(CHUNK_MAGIC, flags, _OFFSET_DATA, request.cookie, size, request.offset + offset)

    def _hole(self, request: Request, flags: int, offset: int, length: int) -> bytes:
        begin = request.offset + offset
        return _HOLE.pack(CHUNK_MAGIC, flags, _OFFSET_HOLE, request.cookie, _HOLE_SIZE, begin, length)
