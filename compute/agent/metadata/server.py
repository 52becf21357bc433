"""Answers guests' requests for what they are told. Guests are strangers: all that they can take is bounded.

One thread waits for connections of all listeners, a few answer. A connection is one request. What a guest can hold at a
time are a few connections, each for seconds.
"""

import contextlib
import os
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from cluster.telemetry.log import get_logger
from compute.agent.guest import Guest
from compute.agent.metadata.paths import TEXT, Content, content

WORKERS = 16
CONNECTIONS = 4  # of one guest at a time
HEAD_LIMIT = 8192  # bytes
REQUEST_S = 10.0  # for the whole of a request and its answer
_BODY_LIMIT = 65_536  # of what is sent, and not read by anybody
_log = get_logger("metadata")

Asking = Callable[[str], Guest | None]  # whose request it is, by the source address


class MetadataServer:
    """Serves any number of listeners."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(WORKERS, "metadata")
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._changes: list[Callable[[], None]] = []
        self._busy: Counter[object] = Counter()
        self._stopping = False
        self.answered = 0
        self._thread = threading.Thread(target=self._run, name="metadata", daemon=True)

    def start(self) -> None:
        """Take connections from now on."""
        self._thread.start()

    def listen(self, listener: socket.socket, asking: Asking) -> None:
        """Serve a listening socket, which is the server's from now on."""
        listener.setblocking(False)
        self._change(lambda: self._selector.register(listener, selectors.EVENT_READ, asking) and None)

    def forget(self, listener: socket.socket) -> None:
        """Serve a socket no more, and close it."""

        def close() -> None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(listener)
            listener.close()

        self._change(close)

    def close(self) -> None:
        """Answer nobody any more."""
        self._stopping = True
        self._change(lambda: None)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _change(self, change: Callable[[], None]) -> None:
        with self._lock:
            self._changes.append(change)
        os.write(self._wake_write, b"!")

    def _run(self) -> None:
        while not self._stopping:
            for key, _mask in self._selector.select():
                if key.fd == self._wake_read:
                    self._changed()
                else:
                    self._accept(key.fileobj, key.data)  # type: ignore[arg-type]

    def _changed(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
        with self._lock:
            changes, self._changes = self._changes, []
        for change in changes:
            change()

    def _accept(self, listener: socket.socket, asking: Asking) -> None:
        try:
            connection, address = listener.accept()
        except OSError:
            return  # it went away, or the listener did
        source = address[0] if isinstance(address, tuple) else ""
        whose = (id(listener), source)
        with self._lock:
            is_much = self._busy[whose] >= CONNECTIONS
            self._busy[whose] += not is_much
        if is_much:
            connection.close()
            return
        try:
            self._pool.submit(self._serve, connection, source, asking, whose)
        except RuntimeError:  # it is being stopped
            connection.close()

    def _serve(self, connection: socket.socket, source: str, asking: Asking, whose: object) -> None:
        try:
            with connection:
                self._answer(connection, source, asking)
        except OSError:
            pass  # it hung up, or was too slow
        except Exception as error:
            _log.error("metadata_failed", source=source, error=error)
        finally:
            with self._lock:
                self._busy[whose] -= 1
                if not self._busy[whose]:
                    del self._busy[whose]

    def _answer(self, connection: socket.socket, source: str, asking: Asking) -> None:
        head, rest = _head(connection, time.monotonic() + REQUEST_S)
        method, path, length = parsed(head)
        _discard(connection, min(length, _BODY_LIMIT) - len(rest))
        guest = asking(source)
        status, found = answer_of(guest, method, path)
        self.answered += 1
        _log.info("metadata", guest=guest.id if guest else "", method=method, path=path[:200], status=int(status))
        connection.settimeout(REQUEST_S)
        connection.sendall(response(status, found, head_only=method == "HEAD"))


def answer_of(guest: Guest | None, method: str, path: str) -> tuple[HTTPStatus, Content]:
    """Return what a request is answered. Pure."""
    if not method:
        return HTTPStatus.BAD_REQUEST, Content(b"this is no request of HTTP/1\n")
    if guest is None:
        return HTTPStatus.NOT_FOUND, Content(b"no server has this address\n")
    if method not in ("GET", "HEAD"):
        return HTTPStatus.FORBIDDEN, Content(b"what is told here cannot be changed; passwords are not kept\n")
    found = content(guest, path)
    return (HTTPStatus.OK, found) if found is not None else (HTTPStatus.NOT_FOUND, Content(b"there is no such path\n"))


def parsed(head: bytes) -> tuple[str, str, int]:
    """Return method, path and the length of the body of a request; all empty when it is none. Pure."""
    lines = head.split(b"\r\n") if b"\r\n" in head else head.split(b"\n")
    words = lines[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[1].startswith("/") or not words[2].startswith("HTTP/1."):
        return "", "", 0
    length = 0
    for line in lines[1:]:
        name, _colon, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            length = int(value.strip()[:10])
    return words[0].upper()[:16], words[1], length


def response(status: HTTPStatus, found: Content, head_only: bool = False) -> bytes:
    """Return an answer after which the connection ends. Pure."""
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {found.kind or TEXT}",
        f"Content-Length: {len(found.data)}",
        "Connection: close",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head_only else found.data)


def _head(connection: socket.socket, until_s: float) -> tuple[bytes, bytes]:
    """Return a request's head, and what came behind it. Raise OSError when it does not come in time."""
    received = b""
    while True:
        for mark in (b"\r\n\r\n", b"\n\n"):
            head, found, rest = received.partition(mark)
            if found:
                return head, rest
        left_s = until_s - time.monotonic()
        if left_s <= 0 or len(received) > HEAD_LIMIT:
            raise TimeoutError
        connection.settimeout(left_s)
        data = connection.recv(4096)
        if not data:
            return (received, b"") if received else (b"", b"")
        received += data


def _discard(connection: socket.socket, size: int) -> None:
    """Read what was sent, so that the answer is not lost with the connection."""
    connection.settimeout(1.0)
    while size > 0:
        data = connection.recv(min(size, 65_536))
        if not data:
            return
        size -= len(data)
