"""A volume as the simplest of NBD clients sees it: blocking, one connection, several requests at a time.

Fixed newstyle handshake, NBD_OPT_EXPORT_NAME, simple replies (NetworkBlockDevice/nbd, doc/proto.md).
"""

import socket
import struct
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from blockgw.nbd.protocol import Command, CommandFlag

_NO_ZEROES = 2
_REQUEST, _REPLY = struct.Struct(">IHHQQI"), struct.Struct(">IIQ")
_REQUEST_MAGIC, _REPLY_MAGIC = 0x25609513, 0x67446698


class DiskError(Exception):
    """The server has answered with an error."""


class NbdDisk:
    """A context. OSError and EOFError when the connection is lost, DiskError when a request fails."""

    def __init__(self, host: str, port: int, name: str, timeout_s: float = 60.0) -> None:
        """Connect. EOFError when there is no such export."""
        self._socket = socket.create_connection((host, port), timeout=timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._take(18)  # "NBDMAGIC", "IHAVEOPT", flags
        export = name.encode()
        self._socket.sendall(struct.pack(">I8sII", 1 | _NO_ZEROES, b"IHAVEOPT", 1, len(export)) + export)
        self.size, self.flags = struct.unpack(">QH", self._take(10))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _take(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            part = self._socket.recv(size - len(found))
            if not part:
                raise EOFError("the server has hung up")
            found += part
        return bytes(found)

    def _ask(self, command: Command, cookie: int, offset: int, length: int, data: bytes, flags: int = 0) -> None:
        self._socket.sendall(_REQUEST.pack(_REQUEST_MAGIC, flags, command, cookie, offset, length) + data)

    def _answer(self) -> int:
        """Return the cookie of the next answer."""
        magic, error, cookie = _REPLY.unpack(self._take(_REPLY.size))
        assert magic == _REPLY_MAGIC
        if error:
            raise DiskError(f"error {error}")
        return int(cookie)

    def write(self, data: Mapping[int, bytes], fua: bool = False) -> None:
        """Write at several offsets, all at the same time."""
        self.write_later(data, fua)
        self.answers(len(data))

    def write_later(self, data: Mapping[int, bytes], fua: bool = False) -> None:
        """Ask for writes, and do not wait for the answers."""
        for offset, part in data.items():
            self._ask(Command.WRITE, offset, offset, len(part), part, CommandFlag.FUA if fua else 0)

    def answers(self, count: int) -> None:
        """Wait for the answers to so many writes."""
        for _ in range(count):
            self._answer()

    def flush(self) -> None:
        """Make durable what was answered."""
        self._ask(Command.FLUSH, 0, 0, 0, b"")
        self._answer()

    def read(self, offsets: Sequence[int], length: int) -> dict[int, bytes]:
        """Return `length` bytes at each of several offsets, read at the same time."""
        for offset in offsets:
            self._ask(Command.READ, offset, offset, length, b"")
        found = {}
        for _ in offsets:
            cookie = self._answer()
            found[cookie] = self._take(length)
        return found
