"""Where peers are found: addresses, and the sockets behind them.

`Network` is what the rest of the package needs; the simulator has another one. An address is
"unix:/path" or "tcp:host:port" (IPv6 hosts in brackets; port 0 of a listener: any that is free).
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable
from typing import Protocol

ProtocolFactory = Callable[[], asyncio.BufferedProtocol]
BACKLOG = 512  # connections not yet accepted


class Listener(Protocol):
    """Something that accepts connections until it is closed."""

    @property
    def address(self) -> str:
        """Return the address at which it can be reached."""

    def close(self) -> None:
        """Accept no more; what was accepted lives on."""


class Network(Protocol):
    """How connections are made."""

    async def connect(self, address: str, factory: ProtocolFactory) -> None:
        """Connect and hand the transport to `factory()`. Raise OSError."""

    async def listen(self, address: str, factory: ProtocolFactory) -> Listener:
        """Accept connections, each with a `factory()` of its own. Raise OSError."""


class SocketNetwork:
    """Unix and TCP sockets of the running loop."""

    __slots__ = ()

    async def connect(self, address: str, factory: ProtocolFactory) -> None:
        """Connect and hand the transport to `factory()`."""
        loop = asyncio.get_running_loop()
        path = unix_path(address)
        if path is not None:
            await loop.create_unix_connection(factory, path)
        else:
            host, port = tcp_endpoint(address)
            await loop.create_connection(factory, host, port)

    async def listen(self, address: str, factory: ProtocolFactory) -> Listener:
        """Accept connections at `address`."""
        loop = asyncio.get_running_loop()
        path = unix_path(address)
        if path is not None:
            bound = _bind_unix(path)
            identity = _identity(path)
            server = await loop.create_unix_server(factory, sock=bound, backlog=BACKLOG)
            return _SocketListener(server, path, identity)
        host, port = tcp_endpoint(address)
        server = await loop.create_server(factory, host, port, backlog=BACKLOG, reuse_address=True)
        return _SocketListener(server)


class _SocketListener:
    """A listening asyncio server; takes its socket file away when it closes."""

    __slots__ = ("_identity", "_path", "_server")

    def __init__(
        self, server: asyncio.AbstractServer, path: str = "", identity: tuple[int, int] | None = None
    ) -> None:
        self._server, self._path, self._identity = server, path, identity

    def __repr__(self) -> str:
        return f"Listener({self.address})"

    @property
    def address(self) -> str:
        """Return the address at which it can be reached."""
        if self._path:
            return f"unix:{self._path}"
        host, port = self._server.sockets[0].getsockname()[:2]  # type: ignore[attr-defined]
        return f"tcp:[{host}]:{port}" if ":" in host else f"tcp:{host}:{port}"

    def close(self) -> None:
        """Accept no more. A socket file that a successor has put in place of ours stays."""
        self._server.close()
        if self._path and _identity(self._path) == self._identity:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)


def unix_path(address: str) -> str | None:
    """Return the path in a "unix:" address, None for another kind."""
    return address[len("unix:") :] if address.startswith("unix:") else None


def check_address(address: str) -> None:
    """Raise ValueError unless `address` is one."""
    if not unix_path(address):
        tcp_endpoint(address)


def tcp_endpoint(address: str) -> tuple[str, int]:
    """Return host and port of a "tcp:" address. Raise ValueError for anything else."""
    scheme, _, rest = address.partition(":")
    host, _, port = rest.rpartition(":")
    if scheme != "tcp" or not host or not port.isdecimal() or int(port) > 0xFFFF:
        raise ValueError(f"{address!r} is neither unix:/path nor tcp:host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _bind_unix(path: str) -> socket.socket:
    """Return a socket bound to `path`, for its owner only; a file that nobody listens at is replaced.

    It is bound under another name and renamed, so that it never exists with other permissions, and
    that clients find either the old file or one that they may connect to.
    """
    if _answers(path):
        raise OSError(errno.EADDRINUSE, "another process listens there", path)
    temporary = f"{path}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(temporary)
        os.chmod(temporary, 0o600)
        bound.listen(BACKLOG)
        os.rename(temporary, path)
    except OSError:
        bound.close()
        raise
    return bound


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:  # its backlog is full
            return True
        except OSError:
            return False
        return True


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
