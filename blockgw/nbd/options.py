"""NBD, handshake phase: greeting, options and their replies, bytes <-> values. No I/O.

Source: NetworkBlockDevice/nbd, doc/proto.md, "Fixed newstyle negotiation", "Option types". Integers are
big-endian. What an option is answered with is decided in `handshake.py`.

    greeting  "NBDMAGIC" | "IHAVEOPT" | handshake flags u16
    client    client flags u32
    option    "IHAVEOPT" | option u32 | length u32 | data
    reply     magic u64 | option u32 | reply type u32 | length u32 | data
"""

import struct
from enum import IntEnum, IntFlag
from typing import NamedTuple

from blockgw.interfaces import BlockSizes
from blockgw.nbd.errors import ProtocolError

MAGIC = b"NBDMAGIC"
OPTION_MAGIC = b"IHAVEOPT"
REPLY_MAGIC = 0x0003E889045565A9
STRING_LIMIT = 4096  # bytes of a name or a query, by the protocol
_ZEROES = bytes(124)  # at the end of the answer to EXPORT_NAME; of use to nobody


class HandshakeFlag(IntFlag):
    """What the server offers, and what the client takes: the same bits."""

    FIXED_NEWSTYLE = 1 << 0
    NO_ZEROES = 1 << 1


class OptionType(IntEnum):
    """What a client asks before it reads and writes."""

    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    STARTTLS = 5
    INFO = 6
    GO = 7
    STRUCTURED_REPLY = 8
    LIST_META_CONTEXT = 9
    SET_META_CONTEXT = 10
    EXTENDED_HEADERS = 11


class ReplyType(IntEnum):
    """What it is answered with."""

    ACK = 1
    SERVER = 2
    INFO = 3
    META_CONTEXT = 4
    ERR_UNSUP = 1 << 31 | 1
    ERR_POLICY = 1 << 31 | 2
    ERR_INVALID = 1 << 31 | 3
    ERR_PLATFORM = 1 << 31 | 4
    ERR_TLS_REQD = 1 << 31 | 5
    ERR_UNKNOWN = 1 << 31 | 6
    ERR_SHUTDOWN = 1 << 31 | 7
    ERR_BLOCK_SIZE_REQD = 1 << 31 | 8
    ERR_TOO_BIG = 1 << 31 | 9
    ERR_EXT_HEADER_REQD = 1 << 31 | 10


class InfoType(IntEnum):
    """What INFO and GO tell of an export."""

    EXPORT = 0
    NAME = 1
    DESCRIPTION = 2
    BLOCK_SIZE = 3


class OptionHeader(NamedTuple):
    """What comes before an option's data."""

    option: int  # an OptionType, or a number that is unknown
    length: int


class ExportRequest(NamedTuple):
    """The data of INFO and GO."""

    name: str
    infos: frozenset[int]  # InfoType, or numbers that are unknown


class ContextRequest(NamedTuple):
    """The data of LIST_META_CONTEXT and SET_META_CONTEXT."""

    name: str
    queries: tuple[str, ...]


class Malformed(Exception):
    """An option's data are not what the protocol says. It is answered, and the handshake goes on."""


_FLAGS = struct.Struct(">I")
_OPTION = struct.Struct(">8sII")
_REPLY = struct.Struct(">QIII")
_EXPORT = struct.Struct(">QH")
_U32 = struct.Struct(">I")
CLIENT_FLAGS_SIZE = _FLAGS.size
OPTION_HEADER_SIZE = _OPTION.size
assert OPTION_HEADER_SIZE == 16
assert _REPLY.size == 20


# from the client


def decode_client_flags(data: bytes) -> HandshakeFlag:
    """Decode CLIENT_FLAGS_SIZE bytes. Raise ProtocolError when a flag is not known: it may change all else."""
    (flags,) = _FLAGS.unpack(data)
    if flags & ~int(HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES):  # int: ~ of a flag knows no other bits
        raise ProtocolError(f"client flags {flags:#x} are not known")
    return HandshakeFlag(flags)


def decode_option_header(data: bytes) -> OptionHeader:
    """Decode OPTION_HEADER_SIZE bytes. Raise ProtocolError when they do not start an option."""
    magic, option, length = _OPTION.unpack(data)
    if magic != OPTION_MAGIC:
        raise ProtocolError(f"option magic is {magic.hex()}, not {OPTION_MAGIC.hex()}")
    return OptionHeader(option, length)


def decode_name(data: bytes) -> str:
    """Decode an export's name. Raise Malformed."""
    if len(data) > STRING_LIMIT:
        raise Malformed(f"a string is longer than {STRING_LIMIT} bytes")
    try:
        name = data.decode()
    except UnicodeDecodeError:
        raise Malformed("a string is not UTF-8") from None
    if "\0" in name:
        raise Malformed("a string has a zero byte")
    return name


def decode_export_request(data: bytes) -> ExportRequest:
    """Decode the data of INFO or GO. Raise Malformed."""
    name, position = _take_string(data, 0)
    if len(data) < position + 2:
        raise Malformed("the data end too early")
    count = int.from_bytes(data[position : position + 2], "big")
    position += 2
    if len(data) != position + 2 * count:
        raise Malformed("the count of information requests does not fit the length")
    return ExportRequest(name, frozenset(struct.unpack_from(f">{count}H", data, position)))


def decode_context_request(data: bytes) -> ContextRequest:
    """Decode the data of LIST_META_CONTEXT or SET_META_CONTEXT. Raise Malformed."""
    name, position = _take_string(data, 0)
    count, position = _take_u32(data, position)
    queries = []
    for _ in range(count):  # each takes at least the 4 bytes of its length: bounded by the data
        query, position = _take_string(data, position)
        queries.append(query)
    if position != len(data):
        raise Malformed("there are data behind the last query")
    return ContextRequest(name, tuple(queries))


def _take_u32(data: bytes, position: int) -> tuple[int, int]:
    if len(data) < position + _U32.size:
        raise Malformed("the data end too early")
    return _U32.unpack_from(data, position)[0], position + _U32.size


def _take_string(data: bytes, position: int) -> tuple[str, int]:
    length, position = _take_u32(data, position)
    if len(data) < position + length:
        raise Malformed("a string is longer than the data")
    return decode_name(data[position : position + length]), position + length


# to the client


def encode_greeting(flags: HandshakeFlag) -> bytes:
    """Return what the server sends first."""
    return MAGIC + OPTION_MAGIC + flags.to_bytes(2, "big")


def encode_reply(option: int, reply: ReplyType, data: bytes = b"") -> bytes:
    """Return a reply to `option`."""
    return _REPLY.pack(REPLY_MAGIC, option, reply, len(data)) + data


def encode_error(option: int, reply: ReplyType, reason: str) -> bytes:
    """Return a reply that refuses `option`; people may read the reason."""
    assert reply >= ReplyType.ERR_UNSUP
    return encode_reply(option, reply, reason.encode(errors="replace")[:STRING_LIMIT])


def encode_server(option: int, name: str) -> bytes:
    """Return the reply that tells of one export."""
    encoded = name.encode()
    return encode_reply(option, ReplyType.SERVER, _U32.pack(len(encoded)) + encoded)


def encode_context(option: int, context_id: int, name: str) -> bytes:
    """Return the reply that tells of one metadata context."""
    return encode_reply(option, ReplyType.META_CONTEXT, _U32.pack(context_id) + name.encode())


def encode_info(option: int, info: InfoType, data: bytes) -> bytes:
    """Return one piece of information on an export."""
    return encode_reply(option, ReplyType.INFO, info.to_bytes(2, "big") + data)


def encode_export(size: int, flags: int) -> bytes:
    """Return size and transmission flags, as INFO, GO and EXPORT_NAME tell them."""
    return _EXPORT.pack(size, flags)


def encode_block_sizes(sizes: BlockSizes) -> bytes:
    """Return the data of BLOCK_SIZE."""
    return struct.pack(">III", *sizes)


def encode_old_answer(size: int, flags: int, with_zeroes: bool) -> bytes:
    """Return the answer to EXPORT_NAME, which has no header."""
    return encode_export(size, flags) + (_ZEROES if with_zeroes else b"")
