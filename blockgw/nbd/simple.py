"""The dialect of every client: requests of 28 bytes, simple replies.

Source: doc/proto.md, "Request message", "Simple reply message". BLOCK_STATUS has no answer in it: nobody
can have chosen a context. A hole is sent as zeros.

    request  magic u32 | flags u16 | command u16 | cookie u64 | offset u64 | length u32 | payload of a WRITE
    reply    magic u32 | error u32 | cookie u64 | what was READ, if error is 0
"""

import struct
from collections.abc import Mapping, Sequence

from blockgw.errors import Errno
from blockgw.interfaces import Buffer, Extent, Pieces
from blockgw.nbd.errors import ProtocolError
from blockgw.nbd.pieces import filled
from blockgw.nbd.protocol import SIMPLE_FLAGS, Request

REQUEST_MAGIC = 0x25609513
REPLY_MAGIC = 0x67446698

_REQUEST = struct.Struct(">IHHQQI")
_REPLY = struct.Struct(">IIQ")
assert _REQUEST.size == 28
assert _REPLY.size == 16


def decode_request(buffer: Buffer, position: int) -> Request:
    """Decode a request. Raise ProtocolError."""
    request = Request._make(_REQUEST.unpack_from(buffer, position))
    if request.magic != REQUEST_MAGIC:
        raise ProtocolError(f"request magic is {request.magic:#010x}, not {REQUEST_MAGIC:#010x}")
    return request


def encode_reply(cookie: int, error: int) -> bytes:
    """Return a simple reply."""
    return _REPLY.pack(REPLY_MAGIC, error, cookie)


class SimpleDialect:
    """See `Dialect`."""

    request_size = _REQUEST.size
    valid_flags: Mapping[int, int] = SIMPLE_FLAGS
    payload_flag = 0
    decode_request = staticmethod(decode_request)

    def done(self, request: Request) -> bytes:
        """Return the answer to what was done and has no result."""
        return _REPLY.pack(REPLY_MAGIC, 0, request.cookie)

    def failed(self, request: Request, error: Errno, reason: str) -> bytes:
        """Return the answer to what was not done. The reason can't be told."""
        return _REPLY.pack(REPLY_MAGIC, error, request.cookie)

    def data(self, request: Request, pieces: Pieces) -> list[Buffer]:
        """Return the answer to a READ."""
        return [_REPLY.pack(REPLY_MAGIC, 0, request.cookie), *filled(pieces)]

    def block_status(self, request: Request, statuses: Sequence[tuple[int, Sequence[Extent]]]) -> list[Buffer]:
        """Return an error: nobody can have asked."""
        return [self.failed(request, Errno.EINVAL, "")]
