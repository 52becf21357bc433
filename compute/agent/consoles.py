"""Guests' serial lines: what they wrote, and an open line to who has a ticket.

What a guest writes is appended to a file by qemu, whoever else listens; the file is cut when it has grown too large,
and what was in it before is kept in one other. A line is open to one at a time: whoever comes last has it.
"""

import contextlib
import hmac
import os
import selectors
import socket
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path

from cluster.telemetry.log import get_logger
from compute.stored import Refused

LOG_LIMIT = 1 << 20  # bytes of a file; there are two
READ_LIMIT = 256 << 10  # bytes of what is told of it
TICKET_S = 300.0
_TICKETS = 1000
_LINE_LIMIT = 256  # bytes of a ticket
_GREETING_S = 10.0
_CHUNK = 16_384
_log = get_logger("agent")


def read_log(path: Path, lines: int | None) -> str:
    """Return the end of what a guest wrote; with `lines`, that many lines at most."""
    data = b"".join(_tail(each, READ_LIMIT) for each in (_older(path), path))[-READ_LIMIT:]
    text = data.decode(errors="replace").replace("\r\n", "\n").replace("\x00", "")
    if lines is None:
        return text
    parts = text.splitlines(keepends=True)
    return "".join(parts[-lines:]) if lines > 0 else ""


def cut_log(path: Path) -> None:
    """Cut a file that has grown too large. qemu appends to it, so that it goes on at its new end."""
    try:
        if path.stat().st_size <= LOG_LIMIT:
            return
        older = _older(path)
        part = older.with_suffix(".part")
        part.write_bytes(_tail(path, LOG_LIMIT))
        os.replace(part, older)
        os.truncate(path, 0)
    except FileNotFoundError:
        return


def _older(path: Path) -> Path:
    return path.with_suffix(".older")


def _tail(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            return file.read(size)
    except FileNotFoundError:
        return b""


class SerialLines:
    """A port where whoever sends a ticket, as a line, has a guest's serial line from then on."""

    def __init__(self, host: str, path_of: Callable[[str], str]) -> None:
        """`path_of`: the terminal of a guest's serial line; empty: it has none now."""
        self._path_of = path_of
        self._listener = socket.create_server((host, 0))
        self._lock = threading.Lock()
        self._tickets: dict[str, tuple[str, float]] = {}  # guest, until when
        self._open: dict[str, socket.socket] = {}
        self.host, self.port = host, int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="serial lines", daemon=True).start()

    def admit(self, guest_id: str, ticket: str) -> None:
        """Let who has the ticket in, once."""
        now_s = time.monotonic()
        with self._lock:
            self._tickets = {each: about for each, about in self._tickets.items() if about[1] > now_s}
            if len(self._tickets) >= _TICKETS:
                raise Refused("too many serial lines wait to be opened")
            self._tickets[ticket] = (guest_id, now_s + TICKET_S)

    def close(self) -> None:
        """Let nobody in any more."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(connection,), name="serial line", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            guest_id = self._admitted(_line(connection))
            path = self._path_of(guest_id) if guest_id else ""
            if not path:
                return
            with self._lock:
                before = self._open.pop(guest_id, None)
                self._open[guest_id] = connection
            if before is not None:
                with contextlib.suppress(OSError):
                    before.shutdown(socket.SHUT_RDWR)
            _log.info("serial_line_opened", guest=guest_id)
            try:
                _join(connection, path)
            finally:
                with self._lock:
                    if self._open.get(guest_id) is connection:
                        del self._open[guest_id]

    def _admitted(self, said: str) -> str:
        with self._lock:
            for ticket, (guest_id, until_s) in self._tickets.items():
                if hmac.compare_digest(ticket.encode(), said.encode()) and until_s > time.monotonic():
                    del self._tickets[ticket]
                    return guest_id
        return ""


def _line(connection: socket.socket) -> str:
    connection.settimeout(_GREETING_S)
    received = b""
    while not received.endswith(b"\n") and len(received) < _LINE_LIMIT:
        data = connection.recv(1)  # what is behind the line is the guest's
        if not data:
            break
        received += data
    connection.settimeout(None)
    return received.decode(errors="replace").strip()


def _join(connection: socket.socket, path: str) -> None:
    """Carry bytes both ways until one side ends."""
    terminal = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(terminal)
        with selectors.DefaultSelector() as ready:
            ready.register(connection, selectors.EVENT_READ)
            ready.register(terminal, selectors.EVENT_READ)
            while True:
                for key, _mask in ready.select():
                    data = os.read(key.fd, _CHUNK)
                    if not data:
                        return
                    if key.fd == terminal:
                        connection.sendall(data)
                    else:
                        while data:
                            data = data[os.write(terminal, data) :]
    finally:
        os.close(terminal)
