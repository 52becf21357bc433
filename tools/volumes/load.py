"""A load on an export of NBD: so many requests under way on one connection, timed one by one.

Source: NetworkBlockDevice/nbd, doc/proto.md: fixed newstyle handshake, NBD_OPT_GO, simple replies.
"""

import asyncio
import random
import struct
import time
from array import array
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from blockgw.nbd.protocol import Command
from tools.errors import OperatorError

PORT = 10809
CONNECT_S = 40.0  # a gateway takes up to half a minute to open a volume
_GREETING = struct.Struct(">8s8sH")
_OPTION = struct.Struct(">8sII")
_OPTION_REPLY = struct.Struct(">QIII")
_REQUEST = struct.Struct(">IHHQQI")
_REPLY = struct.Struct(">IIQ")
_REQUEST_MAGIC, _REPLY_MAGIC = 0x25609513, 0x67446698
_GO, _ACK, _INFO, _ERROR = 7, 1, 3, 1 << 31
_BLOCK_SIZE = 3  # information that is asked for


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a load."""

    name: str
    command: Command
    block: int  # bytes of a request
    depth: int  # requests under way
    is_random: bool
    flush_each: bool = False


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of it."""

    count: int
    seconds: float
    bytes: int
    latencies_s: "array[float]"  # in order

    def percentile(self, share: float) -> float:
        """Return the latency in seconds that `share` of the requests were within."""
        return self.latencies_s[min(len(self.latencies_s) - 1, int(len(self.latencies_s) * share))]


class Connection:
    """To one export."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int) -> None:
        self._reader = reader
        self._writer = writer
        self.size = size

    @classmethod
    async def open(cls, uri: str) -> Self:
        """Connect. Raise OperatorError."""
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer, name = await _connect(uri)
                return cls(reader, writer, await _negotiate(reader, writer, name))
        except (OSError, TimeoutError, asyncio.IncompleteReadError, struct.error) as error:
            raise OperatorError(f"{uri} cannot be reached: {error or 'no answer'}") from error

    async def close(self) -> None:
        """Hang up."""
        self._writer.write(_REQUEST.pack(_REQUEST_MAGIC, 0, Command.DISC, 0, 0, 0))
        self._writer.close()

    async def run(self, shape: Shape, seconds: float, span: int, seed: int = 0) -> Figures:
        """Keep a load up for a while, on the first `span` bytes. Raise OperatorError when a request fails."""
        chance = random.Random(seed)
        blocks = max(1, span // shape.block)
        payload = chance.randbytes(shape.block) if shape.command is Command.WRITE else b""
        begun: dict[int, float] = {}
        latencies = array("d")
        number = 0

        def ask(command: Command) -> None:
            nonlocal number
            block = chance.randrange(blocks) if shape.is_random else number % blocks
            length = 0 if command is Command.FLUSH else shape.block
            offset = 0 if command is Command.FLUSH else block * shape.block
            begun[number] = time.perf_counter()
            self._writer.write(_REQUEST.pack(_REQUEST_MAGIC, 0, command, number, offset, length))
            if command is Command.WRITE:
                self._writer.write(payload)
            number += 1

        began_s = time.perf_counter()
        flushes: dict[int, float] = {}  # request -> when the write before it was begun
        for _ in range(shape.depth):
            ask(shape.command)
        while begun:
            cookie = await self._answer(shape)
            asked_s = flushes.pop(cookie, None)
            begun_s = begun.pop(cookie)
            now_s = time.perf_counter()
            if shape.flush_each and asked_s is None:
                flushes[number] = begun_s
                ask(Command.FLUSH)
                continue
            latencies.append(now_s - (asked_s or begun_s))
            if now_s - began_s < seconds:
                ask(shape.command)
                await self._writer.drain()
        elapsed_s = time.perf_counter() - began_s
        return Figures(len(latencies), elapsed_s, len(latencies) * shape.block, array("d", sorted(latencies)))

    async def _answer(self, shape: Shape) -> int:
        magic, errno, cookie = _REPLY.unpack(await self._reader.readexactly(_REPLY.size))
        if magic != _REPLY_MAGIC or errno:
            raise OperatorError(f"a request of the load {shape.name} failed: error {errno}")
        if shape.command is Command.READ:
            await self._reader.readexactly(shape.block)
        return int(cookie)


async def _connect(uri: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
    parts = urlsplit(uri)
    name = unquote(parts.path.removeprefix("/"))
    if parts.scheme == "nbd+unix":
        socket = parse_qs(parts.query).get("socket", [""])[0]
        return *await asyncio.open_unix_connection(socket, limit=1 << 20), name
    if parts.scheme != "nbd":
        raise OperatorError(f"{uri} is no URI of NBD without TLS: nbd://HOST/NAME, nbd+unix:///NAME?socket=PATH")
    return *await asyncio.open_connection(parts.hostname, parts.port or PORT, limit=1 << 20), name


async def _negotiate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> int:
    """Choose the export; return its size."""
    _GREETING.unpack(await reader.readexactly(_GREETING.size))
    encoded = name.encode()
    wanted = struct.pack(">I", len(encoded)) + encoded + struct.pack(">HH", 1, _BLOCK_SIZE)  # a load keeps to any
    writer.write(struct.pack(">I", 3) + _OPTION.pack(b"IHAVEOPT", _GO, len(wanted)) + wanted)
    size = 0
    while True:
        _magic, _option, kind, length = _OPTION_REPLY.unpack(await reader.readexactly(_OPTION_REPLY.size))
        text = await reader.readexactly(length)
        if kind & _ERROR:
            raise OperatorError(f"{name} cannot be opened: {text.decode(errors='replace') or hex(kind)}")
        if kind == _INFO and text[:2] == bytes(2):
            size = int.from_bytes(text[2:10], "big")
        if kind == _ACK:
            return size
