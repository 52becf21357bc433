"""A volume read and written through NBD, by threads that wait: what backups read from, and are restored to.

Source: NetworkBlockDevice/nbd, doc/proto.md: fixed newstyle handshake, NBD_OPT_GO, simple replies. Each thread that
reads or writes has a connection of its own, with one request at a time; that is sound where the server says that all
its connections see the same data (NBD_FLAG_CAN_MULTI_CONN), and it is required to. What the server takes no parts of
(NBD_INFO_BLOCK_SIZE, the least) is asked for, and requests are to be of whole ones: those of backups are.

A connection that breaks is made anew, and the request is asked again: reads, and writes of the same bytes to the same
place, may be repeated. A flush is not: what was written before might be lost by then.
"""

import queue
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from blockgw.backup.errors import BackupError
from blockgw.nbd.protocol import Command, TransmissionFlag

TIMEOUT_S = 60.0  # for an answer: the gateway itself gives up after 30
PATIENCE_S = 60.0  # while there is no connection to be had
_PAUSE_S = 0.5
_GREETING = struct.Struct(">8s8sH")
_OPTION = struct.Struct(">8sII")
_OPTION_REPLY = struct.Struct(">QIII")
_REQUEST = struct.Struct(">IHHQQI")
_REPLY = struct.Struct(">IIQ")
_INFO_EXPORT = struct.Struct(">HQH")
_INFO_BLOCK_SIZES = struct.Struct(">HIII")
_MAGIC, _HAVE_OPTION = b"NBDMAGIC", b"IHAVEOPT"
_OPTION_REPLY_MAGIC, _REQUEST_MAGIC, _REPLY_MAGIC = 0x3E889045565A9, 0x25609513, 0x67446698
_FIXED_NEWSTYLE, _NO_ZEROES = 1, 2
_OPT_GO, _REP_ACK, _REP_INFO, _ERROR = 7, 1, 3, 1 << 31
_EXPORT, _BLOCK_SIZE = 0, 3  # kinds of information
_TEXT_LIMIT = 1 << 16  # bytes of a reply to an option


class NbdFailed(BackupError):
    """The volume cannot be read or written."""


class _Broken(Exception):
    """The connection is of no use any more."""


class Connection:
    """One connection to one export."""

    def __init__(self, path: str, export: str) -> None:
        """Connect to the unix socket `path`. Raise NbdFailed when the export is refused, OSError, _Broken."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._cookie = 0
        self.block = 1  # bytes: offsets and lengths of requests are multiples of it
        try:
            self._socket.settimeout(TIMEOUT_S)
            self._socket.connect(path)
            self.size, self.flags = self._negotiate(export)
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Hang up."""
        with suppress(OSError):
            self._socket.sendall(_REQUEST.pack(_REQUEST_MAGIC, 0, Command.DISC, 0, 0, 0))
        self._socket.close()

    def ask(self, command: int, offset: int, length: int, payload: bytes = b"") -> bytes:
        """Ask, and wait for the answer; return what was read. Raise NbdFailed, OSError, _Broken."""
        self._cookie += 1
        self._socket.sendall(_REQUEST.pack(_REQUEST_MAGIC, 0, command, self._cookie, offset, length) + payload)
        magic, errno, cookie = _REPLY.unpack(self._receive(_REPLY.size))
        if magic != _REPLY_MAGIC or cookie != self._cookie:
            raise _Broken("what came is no answer")
        if errno:
            raise NbdFailed(f"the gateway refuses {Command(command).name} of {length} bytes at {offset}: error {errno}")
        return self._receive(length) if command == Command.READ else b""

    def _negotiate(self, export: str) -> tuple[int, int]:
        magic, option_magic, flags = _GREETING.unpack(self._receive(_GREETING.size))
        if magic != _MAGIC or option_magic != _HAVE_OPTION or not flags & _FIXED_NEWSTYLE:
            raise _Broken("it is no server of NBD")
        name = export.encode()
        wanted = struct.pack(">I", len(name)) + name + struct.pack(">HH", 1, _BLOCK_SIZE)
        answered = flags & (_FIXED_NEWSTYLE | _NO_ZEROES)
        self._socket.sendall(struct.pack(">I", answered) + _OPTION.pack(_HAVE_OPTION, _OPT_GO, len(wanted)) + wanted)
        found: tuple[int, int] | None = None
        while True:
            magic, _option, kind, length = _OPTION_REPLY.unpack(self._receive(_OPTION_REPLY.size))
            if magic != _OPTION_REPLY_MAGIC or length > _TEXT_LIMIT:
                raise _Broken("what came is no answer to an option")
            text = self._receive(length)
            if kind & _ERROR:
                raise NbdFailed(f"{export} cannot be opened: {text.decode(errors='replace') or hex(kind)}")
            if kind == _REP_INFO and _is(text, _EXPORT, _INFO_EXPORT):
                _information, size, transmission = _INFO_EXPORT.unpack(text)
                found = size, transmission
            if kind == _REP_INFO and _is(text, _BLOCK_SIZE, _INFO_BLOCK_SIZES):
                self.block = _INFO_BLOCK_SIZES.unpack(text)[1]
            if kind == _REP_ACK:
                if found is None:
                    raise _Broken("it does not tell its size")
                return found

    def _receive(self, length: int) -> bytes:
        buffer = bytearray(length)
        view, at = memoryview(buffer), 0
        while at < length:
            count = self._socket.recv_into(view[at:])
            if not count:
                raise _Broken("the connection was closed")
            at += count
        return bytes(buffer)


def _is(text: bytes, information: int, form: struct.Struct) -> bool:
    return len(text) == form.size and int.from_bytes(text[:2], "big") == information


class NbdVolume:
    """An export, for several threads; a Source and a Sink. Used in a `with` block.

    Offsets and lengths are multiples of `block` bytes.
    """

    def __init__(self, path: str, export: str, connect: Callable[[str, str], Connection] = Connection) -> None:
        """`path`: of the gateway's unix socket. Raise NbdFailed."""
        self._path, self._export, self._connect = path, export, connect
        self._idle: queue.LifoQueue[Connection] = queue.LifoQueue()
        first = self._reach()
        self.size, self.block = first.size, first.block
        self._is_shared = bool(first.flags & TransmissionFlag.CAN_MULTI_CONN)
        self._idle.put(first)
        if not self._is_shared:
            self.close()
            raise NbdFailed(f"{export} may not be read through several connections, and backups do")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        while not self._idle.empty():
            self._idle.get_nowait().close()

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes. Raise NbdFailed."""
        return self._ask(Command.READ, offset, length)

    def write(self, offset: int, data: bytes) -> None:
        """Write. Raise NbdFailed."""
        self._ask(Command.WRITE, offset, len(data), data)

    def zero(self, offset: int, length: int) -> None:
        """Have a range read as zeros. Raise NbdFailed."""
        self._ask(Command.WRITE_ZEROES, offset, length)

    def flush(self) -> None:
        """Make durable what was written. Raise NbdFailed."""
        try:
            with self._connection() as connection:
                connection.ask(Command.FLUSH, 0, 0)
        except (OSError, _Broken) as error:
            raise NbdFailed(f"it is not known whether what was written to {self._export} is durable") from error

    def _ask(self, command: int, offset: int, length: int, payload: bytes = b"") -> bytes:
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                with self._connection() as connection:
                    return connection.ask(command, offset, length, payload)
            except (OSError, _Broken) as error:
                if time.monotonic() > deadline_s:
                    raise NbdFailed(f"{self._export} cannot be reached: {error}") from error

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = self._reach()
        try:
            yield connection
        except NbdFailed:
            self._idle.put(connection)
            raise
        except BaseException:
            connection.close()
            raise
        self._idle.put(connection)

    def _reach(self) -> Connection:
        """Connect; try again for a while, as a gateway that is started anew takes a moment."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._connect(self._path, self._export)
            except (OSError, _Broken) as error:
                if time.monotonic() > deadline_s:
                    raise NbdFailed(f"the gateway cannot be reached: {error}") from error
                time.sleep(_PAUSE_S)
