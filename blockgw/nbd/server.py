"""The NBD server: listeners, and the connections that they made.

    server = NbdServer(exports)
    port = await server.listen_tcp("0.0.0.0", 10809)
    await server.listen_unix("/run/holdfast/nbd.sock")
    ...
    await server.close_export("volume", deadline_s=5.0)  # its clients connect again, and see its new size
    await server.close(deadline_s=10.0)
"""

import asyncio
import os
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass

from blockgw.interfaces import Exports
from blockgw.nbd.budget import Budget
from blockgw.nbd.connections import Connections
from blockgw.nbd.counters import Counters, ExportCounters
from blockgw.nbd.handshake import Policy
from blockgw.nbd.limits import Limits
from blockgw.nbd.negotiation import Negotiation
from blockgw.nbd.shared import Shared
from blockgw.nbd.tls import Tls
from cluster.telemetry.log import Logger, get_logger
from cluster.telemetry.metrics import Registry

PORT = 10809  # IANA's, for NBD

# A host that is gone is noticed after KEEPALIVE_IDLE_S + KEEPALIVE_COUNT * KEEPALIVE_INTERVAL_S.
_KEEPALIVE_IDLE_S = 30
_KEEPALIVE_INTERVAL_S = 10
_KEEPALIVE_COUNT = 3


@dataclass(frozen=True, slots=True)
class Security:
    """What a listener asks of clients."""

    tls: Tls | None = None  # None: STARTTLS is refused
    tls_required: bool = False
    listing: bool = True  # names of exports are told to whoever asks

    @property
    def policy(self) -> Policy:
        """The same as the handshake sees it."""
        return Policy(tls=self.tls is not None, tls_required=self.tls_required, listing=self.listing)


PLAIN = Security()


class NbdServer:
    """Serves exports on any number of sockets. To be made where its event loop runs."""

    def __init__(
        self,
        exports: Exports,
        *,
        limits: Limits | None = None,
        registry: Registry | None = None,
        log: Logger | None = None,
    ) -> None:
        limits = limits or Limits()
        loop = asyncio.get_running_loop()
        self._shared = Shared(
            loop,
            exports,
            limits,
            Budget(limits.server_bytes),
            Counters(registry or Registry()),
            Connections(loop, limits.connections),
            log or get_logger("nbd"),
        )
        self._listeners: list[asyncio.Server] = []
        self._paths: list[str] = []

    def __repr__(self) -> str:
        return f"NbdServer({self._shared.connections}, {self._shared.budget})"

    @property
    def connection_count(self) -> int:
        """How many connections are open."""
        return len(self._shared.connections)

    def counters(self, export: str) -> ExportCounters:
        """Return what was counted of an export."""
        return self._shared.counters.of(export)

    async def listen_tcp(self, host: str | None, port: int = PORT, security: Security = PLAIN) -> int:
        """Accept connections on an address; return the port, which the system chose if `port` is 0."""
        policy = security.policy

        def make() -> asyncio.Protocol:
            return Negotiation(self._shared, policy, security.tls)

        listener = await self._shared.loop.create_server(make, host, port, backlog=128)
        for listening in listener.sockets:
            _keep_alive(listening)  # what it accepts inherits that
        self._listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    async def listen_unix(self, path: str, security: Security = PLAIN, mode: int = 0o600) -> None:
        """Accept connections on a unix socket, in place of one that was left behind. `mode`: who may connect."""
        policy = security.policy

        def make() -> asyncio.Protocol:
            return Negotiation(self._shared, policy, security.tls)

        _remove_stale(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(listening.fileno(), mode)  # before it is bound: nobody else connects in between
            listening.bind(path)
            os.chmod(path, mode)  # which the umask may have narrowed
        except BaseException:
            listening.close()
            raise
        self._paths.append(path)
        self._listeners.append(await self._shared.loop.create_unix_server(make, sock=listening, backlog=128))

    async def close_export(self, name: str, deadline_s: float = 10.0) -> None:
        """Hang up on all clients of an export, after their requests are answered. They may connect again at once."""
        await self._shared.connections.send_away(lambda connection: connection.export_name == name, deadline_s)

    async def cut_off(self, name: str, holder: str, deadline_s: float = 10.0) -> None:
        """Hang up on those who have opened an export for `holder`, after their requests are answered."""
        await self._shared.connections.send_away(
            lambda connection: connection.export_name == name and connection.holder == holder, deadline_s
        )

    async def close(self, deadline_s: float = 10.0) -> None:
        """Stop listening, answer the requests that were taken, hang up; cut off what is left after `deadline_s`."""
        for listener in self._listeners:
            listener.close()
        for path in self._paths:
            _remove(path)
        await self._shared.connections.close(deadline_s)


def _keep_alive(listening: socket.socket) -> None:
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_S)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_COUNT)


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens on any more. What is not a socket, or is in use, stays: `bind` fails."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            _remove(path)
        except OSError:
            return


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
