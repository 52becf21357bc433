"""A screen that is made up: it greets as VNC does, and says what it is told; or says more than anybody reads."""

import asyncio
from types import TracebackType

GREETING = b"RFB 003.008\n"  # RFC 6143, 7.1.1
_PIECE = bytes(1 << 16)
_STALLED_S = 1.0


class Screen:
    """Listens on a port of this host."""

    def __init__(self, endless: bool = False) -> None:
        self._endless = endless
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0
        self.sent = 0
        self.left = asyncio.Event()  # somebody has

    async def __aenter__(self) -> "Screen":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.end()

    def end(self) -> None:
        """Be off."""
        for each in self._writers:
            each.transport.abort()

    async def stalled(self) -> None:
        """Return when nothing more is taken for a while."""
        before = -1
        while before != self.sent or not self.sent:
            before = self.sent
            await asyncio.sleep(_STALLED_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            writer.write(GREETING)
            while self._endless:
                writer.write(_PIECE)
                await writer.drain()
                self.sent += len(_PIECE)
            while data := await reader.read(100):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self.left.set()
            writer.close()
