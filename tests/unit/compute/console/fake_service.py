"""A service behind the console that says what it was asked, and can be slow, long, or rude."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

HEAD_END = b"\r\n\r\n"


@dataclass
class FakeService:
    """Listens on `port`; answers every request with `answer`, after `reads` bytes of its body (None: all)."""

    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    reads: int | None = None
    port: int = 0
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    received: int = 0  # bytes of bodies, of what was read
    hold: asyncio.Event | None = None  # waited for after the head, before the body is read

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and hang up."""
        head = (await reader.readuntil(HEAD_END)).decode("latin-1")
        self.heads.append(head)
        length = next(
            (int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length")), 0
        )
        if self.hold is not None:
            await self.hold.wait()
        body, left = bytearray(), length if self.reads is None else min(length, self.reads)
        while left:
            piece = await reader.read(min(left, 65536))
            if not piece:
                break
            self.received += len(piece)
            left -= len(piece)
            body += piece
        self.bodies.append(bytes(body))
        writer.write(self.answer)
        await writer.drain()
        writer.close()

    def header(self, name: str) -> str | None:
        """Return what the last request said in a field."""
        for line in self.heads[-1].split("\r\n")[1:]:
            key, _colon, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return None


@asynccontextmanager
async def serving(service: FakeService) -> AsyncIterator[FakeService]:
    """Have it listen."""
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    service.port = server.sockets[0].getsockname()[1]
    async with server:
        yield service
