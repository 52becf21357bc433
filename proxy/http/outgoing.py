"""Responses on their way out: the sending half of a connection, with backpressure.

Buffers go to the kernel as they are; a small body is joined to the head. Pieces of an iterator are sent
as they come, the next one when the client has taken enough of those before.
"""

import asyncio
from collections.abc import AsyncIterator

from proxy.http.message import Buffer, Response
from proxy.http.render import has_body, render_head

JOIN_LIMIT = 64 * 1024  # bytes; copying a body this small is cheaper than a second buffer
HIGH_WATER = 1 << 20  # bytes that the transport holds before the sender waits


class ResponseCut(Exception):
    """A body failed after part of it was sent: only closing the connection tells the client."""


class ResponseWriter:
    """Sends responses over one transport, one at a time."""

    __slots__ = ("_drained", "_loop", "_transport")

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        transport.set_write_buffer_limits(high=HIGH_WATER)
        self._loop = loop
        self._transport = transport
        self._drained: asyncio.Future[None] | None = None  # while the client is slow

    def pause(self) -> None:
        """The transport holds enough."""
        if self._drained is None:
            self._drained = self._loop.create_future()

    def resume(self) -> None:
        """The client has caught up, or is gone."""
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    async def send(self, response: Response, method: str, http_1_0: bool, date: str, close: bool) -> None:
        """Send a response, which is the connection's last if `close`.

        Raise ResponseCut when the body failed in the middle, ConnectionResetError when the client is
        gone, and what the application raised when nothing has been sent yet.
        """
        body = response.body
        framing = "Connection: close\r\n" if close else "Connection: keep-alive\r\n" if http_1_0 else ""
        if not isinstance(body, bytes | bytearray | memoryview):
            await self._send_pieces(response, body, method, http_1_0, date, framing)
            return
        size = body.nbytes if isinstance(body, memoryview) else len(body)
        if method == "HEAD" and response.length is not None:
            size = response.length
        if response.status not in (204, 304):
            framing += f"Content-Length: {size}\r\n"
        head = render_head(response, date, framing)
        if not size or not has_body(method, response.status):
            await self._write(head)
        elif size <= JOIN_LIMIT:
            await self._write(b"".join((head, body)))
        else:
            await self._write(head, body)

    async def _send_pieces(
        self,
        response: Response,
        pieces: AsyncIterator[Buffer],
        method: str,
        http_1_0: bool,
        date: str,
        framing: str,
    ) -> None:
        length = response.length
        chunked = length is None and not http_1_0
        if response.status not in (204, 304):
            if length is not None:
                framing += f"Content-Length: {length}\r\n"
            elif chunked:
                framing += "Transfer-Encoding: chunked\r\n"
        try:
            head = render_head(response, date, framing)
            if not has_body(method, response.status):
                await self._write(head)
            elif chunked:
                await self._send_chunked(head, pieces)
            else:
                await self._send_plain(head, pieces, length)
        finally:
            aclose = getattr(pieces, "aclose", None)
            if aclose is not None:
                await aclose()

    async def _send_plain(self, head: bytes, pieces: AsyncIterator[Buffer], length: int | None) -> None:
        sent = 0
        begun = False
        try:
            async for piece in pieces:
                sent += len(piece)
                if length is not None and sent > length:
                    raise ValueError("the body is longer than it says")
                await (self._write(piece) if begun else self._write(head, piece))
                begun = True
            if length is not None and sent < length:
                raise ValueError("the body is shorter than it says")
            if not begun:
                await self._write(head)
        except Exception as error:
            if begun and not isinstance(error, ConnectionResetError):
                raise ResponseCut from error
            raise

    async def _send_chunked(self, head: bytes, pieces: AsyncIterator[Buffer]) -> None:
        begun = False
        try:
            async for piece in pieces:
                if piece:
                    chunk_head = b"%x\r\n" % len(piece)
                    if not begun:
                        chunk_head = head + chunk_head
                    begun = True
                    await self._write(chunk_head, piece, b"\r\n")
            await self._write(b"0\r\n\r\n" if begun else head + b"0\r\n\r\n")
        except Exception as error:
            if begun and not isinstance(error, ConnectionResetError):
                raise ResponseCut from error
            raise

    async def _write(self, *buffers: Buffer) -> None:
        """Hand buffers to the transport, which keeps them until they are sent; wait while it holds too much."""
        if self._transport.is_closing():
            raise ConnectionResetError("the client closed the connection")
        if len(buffers) == 1:
            self._transport.write(buffers[0])
        else:
            self._transport.writelines(buffers)
        if self._drained is not None:
            await self._drained
            if self._transport.is_closing():
                raise ConnectionResetError("the client closed the connection")
