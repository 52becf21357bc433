"""Guests' screens and serial lines, carried to who has a ticket: a console may be on another machine than the host.

    displays = Displays(where)
    displays.start(listener)
    ticket = displays.admit(Kind.SCREEN, guest_id)      # by any thread

Who connects sends the ticket as a line. The answer is `OPEN`, and from then on what the guest says and is told; or the
connection ends. A ticket is for one guest's screen or line, and for some minutes: what a guest has is looked up when it
is used. That of a line is good once, and a line is open to one at a time: whoever comes last has it. All is done by one
event loop. What was read of one side is written to the other before more is read, so that a connection holds `_PIECE`
bytes each way, and who does not read holds up nobody but the guest's own screen.
"""

import asyncio
import contextlib
import hmac
import os
import secrets
import socket
import termios
import threading
import time
import tty
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from cluster.telemetry.log import get_logger
from compute.stored import Refused

OPEN = b"open\n"
TICKET_S = 300.0
_TICKETS = 1000
_CONNECTIONS = 256  # more wait in the kernel
_LINE_LIMIT = 256  # bytes of a ticket
_GREETING_S = 10.0
_OPENING_S = 20.0  # for the hypervisor to tell where it is
_PIECE = 16_384
_TRY_AGAIN_S = 0.2  # when there are no descriptors left
_KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))  # a console that is gone
_log = get_logger("agent")


class Kind(StrEnum):
    """What a guest has."""

    SCREEN = "vnc"
    LINE = "serial"


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a ticket is for."""

    kind: Kind
    guest_id: str
    until_s: float


# The port of a guest's screen on this host, or the path of its terminal; 0, or empty: it has none now. It may block.
Where = Callable[[Kind, str], int | str]


class Displays:
    """Lets in who has a ticket."""

    def __init__(self, where: Where, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._where, self._monotonic_s = where, monotonic_s
        self._lock = threading.Lock()
        self._tickets: dict[str, Ticket] = {}
        self._lines: dict[str, asyncio.Task[None]] = {}  # who has a guest's line
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(_CONNECTIONS)
        self._listener: socket.socket | None = None
        self.port = 0

    def __repr__(self) -> str:
        return f"Displays({self.port}, {len(self._tasks)} tasks)"

    def admit(self, kind: Kind, guest_id: str) -> str:
        """Return a ticket. Raise Refused when too many wait to be used."""
        now_s = self._monotonic_s()
        with self._lock:
            self._tickets = {text: each for text, each in self._tickets.items() if each.until_s > now_s}
            if len(self._tickets) >= _TICKETS:
                raise Refused("too many screens and serial lines wait to be opened")
            text = secrets.token_hex(16)
            self._tickets[text] = Ticket(kind, guest_id, now_s + TICKET_S)
        return text

    def start(self, listener: socket.socket) -> None:
        """Begin to let in; the socket is ours from now on. To be called on the event loop."""
        listener.setblocking(False)
        self._listener = listener
        self.port = int(listener.getsockname()[1])
        self._begin(self._accept(listener))

    async def close(self) -> None:
        """Let nobody in any more, and end what is open."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._places.acquire()
            try:
                connection, _address = await loop.sock_accept(listener)
            except OSError as error:
                self._places.release()
                _log.warning("cannot_accept", error=error)
                await asyncio.sleep(_TRY_AGAIN_S)
                continue
            self._begin(self._serve(connection)).add_done_callback(lambda _task: self._places.release())

    async def _serve(self, connection: socket.socket) -> None:
        with connection:
            viewer = _Connection(connection)
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_GREETING_S):
                    said, rest = await _line(viewer)
                ticket = self._admitted(said)
                if ticket is not None:
                    await self._open(ticket, viewer, rest)

    def _admitted(self, said: bytes) -> Ticket | None:
        with self._lock:
            for text, ticket in self._tickets.items():
                if hmac.compare_digest(text.encode(), said) and ticket.until_s > self._monotonic_s():
                    if ticket.kind is Kind.LINE:
                        del self._tickets[text]
                    return ticket
        return None

    async def _open(self, ticket: Ticket, viewer: "_Side", rest: bytes) -> None:
        async with asyncio.timeout(_OPENING_S):
            guest = await self._found(ticket)
        if guest is None:
            return
        _log.info("display_opened", kind=ticket.kind, guest=ticket.guest_id)
        try:
            with self._alone(ticket):
                await viewer.write(OPEN)
                await guest.write(rest)
                await _carry(viewer, guest)
        finally:
            guest.close()

    async def _found(self, ticket: Ticket) -> "_Side | None":
        place = await asyncio.to_thread(self._where, ticket.kind, ticket.guest_id)
        if not place:
            return None
        if isinstance(place, str):
            return _Terminal(place)
        connection = socket.socket()
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", place))
        except BaseException:
            connection.close()
            raise
        return _Connection(connection)

    @contextlib.contextmanager
    def _alone(self, ticket: Ticket) -> Iterator[None]:
        """Have nobody else have a guest's line meanwhile; a screen is for several."""
        own = asyncio.current_task()
        assert own is not None
        if ticket.kind is Kind.LINE:
            before = self._lines.get(ticket.guest_id)
            if before is not None:
                before.cancel()
            self._lines[ticket.guest_id] = own
        try:
            yield
        finally:
            if self._lines.get(ticket.guest_id) is own:
                del self._lines[ticket.guest_id]


class _Side(Protocol):
    """One of two that talk. Reading returns nothing when it has ended."""

    async def read(self) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class _Connection:
    """A viewer, or a guest's screen."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEP_ALIVE:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)

    async def read(self) -> bytes:
        """See _Side."""
        return await self._loop.sock_recv(self._connection, _PIECE)

    async def write(self, data: bytes) -> None:
        """See _Side."""
        await self._loop.sock_sendall(self._connection, data)

    def close(self) -> None:
        """See _Side."""
        self._connection.close()


class _Terminal:
    """A guest's serial line."""

    def __init__(self, path: str) -> None:
        """Raise OSError."""
        self._loop = asyncio.get_running_loop()
        self._file = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            tty.setraw(self._file)
        except termios.error as error:
            os.close(self._file)
            raise OSError(f"{path} is no terminal: {error}") from error

    async def read(self) -> bytes:
        """See _Side."""
        while True:
            try:
                return os.read(self._file, _PIECE)
            except BlockingIOError:
                await self._ready(self._loop.add_reader, self._loop.remove_reader)

    async def write(self, data: bytes) -> None:
        """See _Side."""
        while data:
            try:
                data = data[os.write(self._file, data) :]
            except BlockingIOError:
                await self._ready(self._loop.add_writer, self._loop.remove_writer)

    def close(self) -> None:
        """See _Side."""
        os.close(self._file)

    async def _ready(self, begin: Callable[..., None], end: Callable[[int], bool]) -> None:
        is_ready = asyncio.Event()
        begin(self._file, is_ready.set)
        try:
            await is_ready.wait()
        finally:
            end(self._file)


async def _line(viewer: _Side) -> tuple[bytes, bytes]:
    """Return the first line, and what came behind it."""
    received = b""
    while b"\n" not in received and len(received) < _LINE_LIMIT:
        data = await viewer.read()
        if not data:
            break
        received += data
    said, _end, rest = received.partition(b"\n")
    return said.strip(), rest


async def _carry(viewer: _Side, guest: _Side) -> None:
    """Carry bytes both ways until one side ends."""
    ways = [asyncio.ensure_future(_pass(viewer, guest)), asyncio.ensure_future(_pass(guest, viewer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _pass(source: _Side, target: _Side) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read():
            await target.write(data)
