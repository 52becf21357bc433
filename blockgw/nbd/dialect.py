"""How requests and replies look on the wire: what a simple, a structured and an extended dialect have in common.

A client chooses one in the handshake; from then on all goes through it. Whatever a dialect returns is
sent as it is, in order, nothing in between.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Protocol

from blockgw.errors import Errno
from blockgw.interfaces import Buffer, Extent, Pieces
from blockgw.nbd.protocol import Request


class Mode(IntEnum):
    """Which dialect is spoken; each includes what those before it can say."""

    SIMPLE = 0
    STRUCTURED = 1
    EXTENDED = 2


class Dialect(Protocol):
    """One of them. Has no state: connections share it."""

    request_size: int  # bytes of a request without its payload
    valid_flags: Mapping[int, int]  # by command
    payload_flag: int  # a request with this flag has a payload of `length` bytes, as every WRITE has

    def decode_request(self, buffer: Buffer, position: int) -> Request:
        """Decode the `request_size` bytes at `position`. Raise ProtocolError when they start no request."""

    def done(self, request: Request) -> bytes:
        """Return the answer to what was done and has no result."""

    def failed(self, request: Request, error: Errno, reason: str) -> bytes:
        """Return the answer to what was not done."""

    def data(self, request: Request, pieces: Pieces) -> list[Buffer]:
        """Return the answer to a READ. `pieces` stand for exactly `request.length` bytes."""

    def block_status(self, request: Request, statuses: Sequence[tuple[int, Sequence[Extent]]]) -> list[Buffer]:
        """Return the answer to a BLOCK_STATUS: for each context its id and extents; at least one of each."""
