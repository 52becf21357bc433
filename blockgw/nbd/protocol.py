"""NBD, transmission phase: what a client asks, and which requests may go on to the volume. No I/O.

Source: NetworkBlockDevice/nbd, doc/proto.md, "Transmission phase". Integers are big-endian; offsets and
lengths are bytes. Payload never passes through here. How requests and replies look on the wire is up to
the dialect (`dialect.py`).
"""

from collections.abc import Mapping
from enum import IntEnum, IntFlag
from typing import NamedTuple, Protocol

from blockgw.errors import Errno
from blockgw.interfaces import BlockSizes, Described


class Command(IntEnum):
    """What a request asks for."""

    READ = 0
    WRITE = 1
    DISC = 2
    FLUSH = 3
    TRIM = 4
    CACHE = 5
    WRITE_ZEROES = 6
    BLOCK_STATUS = 7


class CommandFlag(IntFlag):
    """How."""

    FUA = 1 << 0  # answered when durable
    NO_HOLE = 1 << 1  # of WRITE_ZEROES: space stays allocated
    DF = 1 << 2  # of READ: don't fragment, one chunk of data
    REQ_ONE = 1 << 3  # of BLOCK_STATUS: one extent for each context
    FAST_ZERO = 1 << 4  # of WRITE_ZEROES: fail at once if it is no faster than to write zeros
    PAYLOAD_LEN = 1 << 5  # with extended headers: `length` is that of a payload that follows


class TransmissionFlag(IntFlag):
    """What a client is told that an export can do."""

    HAS_FLAGS = 1 << 0
    READ_ONLY = 1 << 1
    SEND_FLUSH = 1 << 2
    SEND_FUA = 1 << 3
    SEND_TRIM = 1 << 5
    SEND_WRITE_ZEROES = 1 << 6
    SEND_DF = 1 << 7
    CAN_MULTI_CONN = 1 << 8
    SEND_CACHE = 1 << 10
    SEND_FAST_ZERO = 1 << 11


class Request(NamedTuple):
    """A request as it is on the wire, without its payload. A tuple, since there is one for each I/O."""

    magic: int
    flags: int  # CommandFlag, and whatever else a client may have set
    command: int  # a Command, or a number that `refusal` turns down
    cookie: int  # the client's; comes back in the reply
    offset: int
    length: int

    def __repr__(self) -> str:
        return f"Request({self.command} {self.offset}+{self.length} flags={self.flags:#x} cookie={self.cookie:#x})"


class Bounds(Protocol):
    """What `refusal` needs to know of an export."""

    @property
    def size(self) -> int: ...
    @property
    def read_only(self) -> bool: ...
    @property
    def block_sizes(self) -> BlockSizes: ...


READ, WRITE, DISC = int(Command.READ), int(Command.WRITE), int(Command.DISC)  # compared for each request
BLOCK_STATUS = int(Command.BLOCK_STATUS)

MUTATING = frozenset({Command.WRITE, Command.TRIM, Command.WRITE_ZEROES})
# past the end: what would need more space, and what asks for nonsense
GROWING = frozenset({Command.WRITE, Command.WRITE_ZEROES})
WITHOUT_RANGE = frozenset({Command.DISC, Command.FLUSH})

# FUA where nothing is written is allowed and means nothing.
SIMPLE_FLAGS: Mapping[int, int] = {
    **{int(command): int(CommandFlag.FUA) for command in Command},
    int(Command.WRITE_ZEROES): int(CommandFlag.FUA | CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO),
    BLOCK_STATUS: int(CommandFlag.FUA | CommandFlag.REQ_ONE),
}
STRUCTURED_FLAGS = {**SIMPLE_FLAGS, READ: int(CommandFlag.FUA | CommandFlag.DF)}
EXTENDED_FLAGS = {**STRUCTURED_FLAGS, WRITE: int(CommandFlag.FUA | CommandFlag.PAYLOAD_LEN)}


def refusal(request: Request, export: Bounds, valid_flags: Mapping[int, int]) -> Errno | None:
    """Return the error that answers `request`, or None if it may go on to the volume."""
    _magic, flags, command, _cookie, offset, length = request
    valid = valid_flags.get(command)
    if valid is None or flags & ~valid:
        return Errno.EINVAL
    if export.read_only and command in MUTATING:
        return Errno.EPERM
    if command in WITHOUT_RANGE:
        return None
    if command <= WRITE:
        if length > export.block_sizes.maximum:
            return Errno.EINVAL
    elif command == BLOCK_STATUS and not length:
        return Errno.EINVAL
    if offset + length > export.size:
        return Errno.ENOSPC if command in GROWING else Errno.EINVAL
    if (offset | length) & (export.block_sizes.minimum - 1):
        return Errno.EINVAL
    return None


def transmission_flags(export: Described, structured: bool) -> TransmissionFlag:
    """Return what a client is told of `export`."""
    flags = (
        TransmissionFlag.HAS_FLAGS
        | TransmissionFlag.SEND_FLUSH
        | TransmissionFlag.SEND_FUA
        | TransmissionFlag.SEND_CACHE
    )
    if export.read_only:
        flags |= TransmissionFlag.READ_ONLY
    else:
        flags |= (
            TransmissionFlag.SEND_TRIM
            | TransmissionFlag.SEND_WRITE_ZEROES
            | TransmissionFlag.SEND_FAST_ZERO
        )
    if export.multi_conn:
        flags |= TransmissionFlag.CAN_MULTI_CONN
    if structured:
        flags |= TransmissionFlag.SEND_DF
    return flags
