"""A plain NBD client, written from the protocol's text and with nothing of the server's codec, to test that with."""

import asyncio
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

GREETING = b"NBDMAGICIHAVEOPT"
FIXED, NO_ZEROES = 1, 2
EXPORT_NAME, ABORT, LIST, STARTTLS, INFO, GO = 1, 2, 3, 5, 6, 7
STRUCTURED_REPLY, LIST_META_CONTEXT, SET_META_CONTEXT, EXTENDED_HEADERS = 8, 9, 10, 11
ACK, SERVER, REP_INFO, META_CONTEXT = 1, 2, 3, 4
ERR = 1 << 31
ERR_UNSUP, ERR_POLICY, ERR_INVALID, ERR_PLATFORM, ERR_TLS_REQD = (ERR + number for number in range(1, 6))
ERR_UNKNOWN, ERR_SHUTDOWN, ERR_BLOCK_SIZE_REQD, ERR_TOO_BIG, ERR_EXT_HEADER_REQD = (
    ERR + number for number in range(6, 11)
)
READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS = range(8)
FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO, PAYLOAD_LEN = (1 << bit for bit in range(6))
TIMEOUT_S = 10.0


def option(code: int, data: bytes = b"") -> bytes:
    return b"IHAVEOPT" + struct.pack(">II", code, len(data)) + data


def string(text: str) -> bytes:
    return struct.pack(">I", len(text.encode())) + text.encode()


def go_data(name: str, infos: tuple[int, ...] = ()) -> bytes:
    return string(name) + struct.pack(f">H{len(infos)}H", len(infos), *infos)


def contexts_data(name: str, *queries: str) -> bytes:
    return string(name) + struct.pack(">I", len(queries)) + b"".join(map(string, queries))


def request(
    command: int, offset: int = 0, length: int = 0, flags: int = 0, cookie: int = 1, extended: bool = False
) -> bytes:
    if extended:
        return struct.pack(">IHHQQQ", 0x21E41C71, flags, command, cookie, offset, length)
    return struct.pack(">IHHQQI", 0x25609513, flags, command, cookie, offset, length)


@dataclass
class Answer:
    """A whole reply, of whatever kind."""

    cookie: int
    error: int = 0
    text: str = ""
    parts: list[tuple[int, int, bytes | None]] = field(default_factory=list)  # offset, length, None: a hole
    statuses: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # by context id

    @property
    def data(self) -> bytes:
        parts = sorted(self.parts, key=lambda part: part[0])
        return b"".join(bytes(length) if data is None else data for _offset, length, data in parts)


class Reader:
    """Replies out of bytes."""

    async def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        raise NotImplementedError

    async def option_reply(self) -> tuple[int, int, bytes]:
        """Return option, reply type, data."""
        magic, code, kind, length = struct.unpack(">QIII", await self.take(20))
        assert magic == 0x3E889045565A9
        return code, kind, await self.take(length)

    async def answer(self, read_length: int | Mapping[int, int] = 0) -> Answer:
        """Return the next reply. `read_length`: of the READ that it answers, or by cookie; simple replies lack it."""
        (magic,) = struct.unpack(">I", await self.take(4))
        if magic == 0x67446698:
            error, cookie = struct.unpack(">IQ", await self.take(12))
            answer = Answer(cookie, error)
            length = read_length if isinstance(read_length, int) else read_length[cookie]
            if not error and length:
                answer.parts.append((0, length, await self.take(length)))
            return answer
        answer = Answer(-1)
        while True:
            if magic == 0x668E33EF:
                flags, kind, cookie, length = struct.unpack(">HHQI", await self.take(16))
            else:
                assert magic == 0x6E8A278C, hex(magic)
                flags, kind, cookie, _offset, length = struct.unpack(">HHQQQ", await self.take(28))
            assert answer.cookie in (-1, cookie)
            answer.cookie = cookie
            _add_chunk(answer, kind, await self.take(length))
            if flags & 1:
                return answer
            (magic,) = struct.unpack(">I", await self.take(4))


def _add_chunk(answer: Answer, kind: int, payload: bytes) -> None:
    if kind == 1:
        answer.parts.append((int.from_bytes(payload[:8], "big"), len(payload) - 8, payload[8:]))
    elif kind == 2:
        answer.parts.append((*struct.unpack(">QI", payload), None))
    elif kind == 5:
        numbers = struct.unpack(f">{len(payload) // 4}I", payload)
        answer.statuses[numbers[0]] = list(zip(numbers[1::2], numbers[2::2], strict=True))
    elif kind == 6:
        context, count = struct.unpack(">II", payload[:8])
        numbers = struct.unpack(f">{2 * count}Q", payload[8:])
        answer.statuses[context] = list(zip(numbers[::2], numbers[1::2], strict=True))
    elif kind == 1 << 15 | 1:
        answer.error, size = struct.unpack(">IH", payload[:6])
        answer.text = payload[6:].decode()
        assert len(payload) == 6 + size
    else:
        assert kind == 0
        assert not payload


class Whole(Reader):
    """Of bytes that are all there."""

    def __init__(self, data: bytes) -> None:
        self.left = data

    async def take(self, size: int) -> bytes:
        taken, self.left = self.left[:size], self.left[size:]
        assert len(taken) == size
        return taken

    def answer_now(self, read_length: int = 0) -> Answer:
        """Return the next reply. No event loop is needed."""
        coroutine = self.answer(read_length)
        try:
            coroutine.send(None)
        except StopIteration as end:
            answer: Answer = end.value
            return answer
        raise AssertionError("it waits")


class NbdClient(Reader):
    """One connection."""

    def __init__(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.stream = stream
        self.writer = writer
        self.extended = False
        self.size = 0
        self.flags = 0

    @classmethod
    async def connect(cls, path: str, flags: int = FIXED | NO_ZEROES) -> "NbdClient":
        client = cls(*await asyncio.open_unix_connection(path))
        assert await client.take(16) == GREETING
        assert int.from_bytes(await client.take(2), "big") & FIXED
        client.send(struct.pack(">I", flags))
        return client

    @classmethod
    async def use(cls, path: str, name: str, *agreed: int, contexts: tuple[str, ...] = ()) -> "NbdClient":
        """Return a client that has `name` in use, after the options in `agreed` and the choice of contexts."""
        client = await cls.connect(path)
        for code in agreed:
            assert [kind for kind, _data in await client.ask(code)] == [ACK]
        client.extended = EXTENDED_HEADERS in agreed
        if contexts:
            replies = await client.ask(SET_META_CONTEXT, contexts_data(name, *contexts))
            assert [kind for kind, _data in replies] == [META_CONTEXT] * len(contexts) + [ACK]
        replies = await client.ask(GO, go_data(name))
        assert replies[-1][0] == ACK
        infos = {data[:2]: data[2:] for kind, data in replies if kind == REP_INFO}
        client.size, client.flags = struct.unpack(">QH", infos[b"\0\0"])
        return client

    async def take(self, size: int) -> bytes:
        return await asyncio.wait_for(self.stream.readexactly(size), TIMEOUT_S)

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def ask(self, code: int, data: bytes = b"") -> list[tuple[int, bytes]]:
        """Send an option; return what it is answered with, up to the end."""
        self.send(option(code, data))
        replies = []
        while True:
            answered, kind, content = await self.option_reply()
            assert answered == code
            replies.append((kind, content))
            if kind == ACK or kind >= ERR:
                return replies

    async def do(
        self, command: int, offset: int = 0, length: int = 0, flags: int = 0, payload: bytes = b"", cookie: int = 1
    ) -> Answer:
        """Send one request; return its answer."""
        self.send(request(command, offset, length or len(payload), flags, cookie, self.extended) + payload)
        answer = await self.answer(length if command == READ else 0)
        assert answer.cookie == cookie
        return answer

    async def is_hung_up_on(self) -> bool:
        """Wait for the server to close."""
        try:
            return await asyncio.wait_for(self.stream.read(), TIMEOUT_S) == b""
        except ConnectionResetError:
            return True

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()
