"""Extended headers: 64 bits for lengths, in requests and in replies.

Source: doc/proto.md, "Extended header" of requests and replies. All replies are chains of chunks with the
header below. A payload follows a request when its flag PAYLOAD_LEN says so; every WRITE has one. The
filter of contexts in a BLOCK_STATUS's payload is not offered, so such a request is refused.

    request  magic u32 | flags u16 | command u16 | cookie u64 | offset u64 | length u64 | payload
    chunk    magic u32 | flags u16 | type u16 | cookie u64 | offset u64 | length u64 | payload of that length:
      OFFSET_DATA, OFFSET_HOLE, ERROR  as in structured replies
      BLOCK_STATUS_EXT                 context id u32 | count u32 | (length u64 | flags u64) for each extent
    The offset in a chunk's header is the request's.
"""

import struct
from collections.abc import Mapping, Sequence

from blockgw.errors import Errno
from blockgw.interfaces import Buffer, Extent, Pieces
from blockgw.nbd.errors import ProtocolError
from blockgw.nbd.pieces import filled, runs
from blockgw.nbd.protocol import EXTENDED_FLAGS, CommandFlag, Request
from blockgw.nbd.structured import DONE, ChunkType, encode_error

REQUEST_MAGIC = 0x21E41C71
CHUNK_MAGIC = 0x6E8A278C

_REQUEST = struct.Struct(">IHHQQQ")
_CHUNK = struct.Struct(">IHHQQQ")
_OFFSET = struct.Struct(">Q")
_HOLE = struct.Struct(">QI")
_STATUS = struct.Struct(">II")
_EXTENT_SIZE = 16
_DF = int(CommandFlag.DF)
assert _REQUEST.size == 32
assert _CHUNK.size == 32


def decode_request(buffer: Buffer, position: int) -> Request:
    """Decode a request. Raise ProtocolError."""
    request = Request._make(_REQUEST.unpack_from(buffer, position))
    if request.magic != REQUEST_MAGIC:
        raise ProtocolError(f"request magic is {request.magic:#010x}, not {REQUEST_MAGIC:#010x}")
    return request


class ExtendedDialect:
    """See `Dialect`."""

    request_size = _REQUEST.size
    valid_flags: Mapping[int, int] = EXTENDED_FLAGS
    payload_flag = int(CommandFlag.PAYLOAD_LEN)
    decode_request = staticmethod(decode_request)

    def done(self, request: Request) -> bytes:
        """Return the answer to what was done and has no result."""
        return _header(request, DONE, ChunkType.NONE, 0)

    def failed(self, request: Request, error: Errno, reason: str) -> bytes:
        """Return the answer to what was not done."""
        payload = encode_error(error, reason)
        return _header(request, DONE, ChunkType.ERROR, len(payload)) + payload

    def data(self, request: Request, pieces: Pieces) -> list[Buffer]:
        """Return the answer to a READ: a chunk for each run of data, and for each hole."""
        if request.flags & _DF:
            return [_data_header(request, DONE, 0, request.length), *filled(pieces)]
        buffers: list[Buffer] = []
        for offset, length, data in runs(pieces):
            flags = DONE if offset + length == request.length else 0
            if data:
                buffers += (_data_header(request, flags, offset, length), *data)
            else:
                header = _header(request, flags, ChunkType.OFFSET_HOLE, _HOLE.size)
                buffers.append(header + _HOLE.pack(request.offset + offset, length))
        return buffers or [self.done(request)]

    def block_status(self, request: Request, statuses: Sequence[tuple[int, Sequence[Extent]]]) -> list[Buffer]:
        """Return the answer to a BLOCK_STATUS: a chunk for each context."""
        chunks: list[Buffer] = []
        for context_id, extents in statuses:
            flags = DONE if len(chunks) == len(statuses) - 1 else 0
            size = _STATUS.size + _EXTENT_SIZE * len(extents)
            numbers = [number for extent in extents for number in extent]
            chunks.append(
                _header(request, flags, ChunkType.BLOCK_STATUS_EXT, size)
                + _STATUS.pack(context_id, len(extents))
                + struct.pack(f">{len(numbers)}Q", *numbers)
            )
        return chunks


def _header(request: Request, flags: int, chunk_type: ChunkType, size: int) -> bytes:
    return _CHUNK.pack(CHUNK_MAGIC, flags, chunk_type, request.cookie, request.offset, size)


def _data_header(request: Request, flags: int, offset: int, length: int) -> bytes:
    header = _header(request, flags, ChunkType.OFFSET_DATA, _OFFSET.size + length)
    return header + _OFFSET.pack(request.offset + offset)
