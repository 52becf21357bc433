"""A peer as its users see it: an address at which one asks, connected again and again in the background."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Any

from cluster.clock import wall_us
from cluster.telemetry.log import get_logger
from cluster.wire.client import OUTSTANDING_LIMIT, ClientConnection, Latency, UploadStream
from cluster.wire.frame import Buffer
from cluster.wire.message import Reply
from cluster.wire.network import Network, SocketNetwork, check_address

CONNECT_TIMEOUT_S = 5.0  # to connect and to shake hands
FIRST_RETRY_S = 0.05
LAST_RETRY_S = 1.0
STEADY_S = 2.0  # a connection that lived so long was a good one: the next try comes soon

_log = get_logger("wire")


class Peer:
    """Somebody to ask. What is asked while the peer is down fails at once.

    No future of a Peer logs that its error was never looked at: who asks several may ignore the last.
    """

    def __init__(
        self,
        address: str,
        key: bytes,
        *,
        name: str = "",
        max_outstanding_bytes: int = OUTSTANDING_LIMIT,
        on_state: Callable[[bool], None] | None = None,
        network: Network | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
        wall: Callable[[], int] = wall_us,
    ) -> None:
        self.address = address
        self.name = name or address
        self._key = key
        self._max_outstanding_bytes = max_outstanding_bytes
        self._on_state = on_state
        if network is None:
            check_address(address)
        self._network = network or SocketNetwork()
        self._entropy = entropy
        self._wall_us = wall
        self._latency = Latency()
        self._connection: ClientConnection
        self._changed: asyncio.Event  # `up` may have changed
        self._was_up = False
        self.connection_count = 0  # so far: what was answered in an earlier one, an earlier process may have done
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"Peer({self.name}, {'up' if self.up else 'down'}, {self.latency_s * 1000:.2f} ms)"

    @property
    def up(self) -> bool:
        """Tell whether calls can be made."""
        return self._task is not None and self._connection.is_up

    @property
    def latency_s(self) -> float:
        """Return how long a call takes, on average of late."""
        return self._latency.estimate_s

    @property
    def clock_offset_s(self) -> float | None:
        """Return how far the peer's wall clock is ahead of ours; None while that is not known."""
        return self._connection.clock_offset_s if self.up else None

    @property
    def busy(self) -> bool:
        """Tell whether a call or a body is under way."""
        return self._task is not None and self._connection.busy

    def start(self) -> None:
        """Begin to connect."""
        assert self._task is None, "started twice"
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._connection = self._new_connection()
        self._task = self._loop.create_task(self._keep_connected())

    async def close(self) -> None:
        """Hang up. What is under way fails."""
        if self._task is None:
            return
        self._closing = True
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._connection.close("closed by us")

    async def ready(self, timeout_s: float) -> bool:
        """Wait until calls can be made; tell whether they can."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._until(lambda: self.up)
        return self.up

    def call(
        self, operation: int, metadata: Any, payload: Buffer = b"", timeout_s: float = 5.0, tag: int = 0
    ) -> "asyncio.Future[Reply]":
        """Send a request now, and return the future of its reply. Cancelling it takes the request back.

        The future raises RemoteError when the peer refuses, PeerUnavailable when the peer is down or is
        lost, when no reply comes in `timeout_s`, or when too much is under way already. A reply's body may
        be streamed; `timeout_s` is then also the longest wait for a piece of it. `payload` must not
        change until the reply is there. `tag` is what the handler finds as `Request.tag`.
        """
        return self._connection.call(operation, metadata, payload, timeout_s, tag)

    def send(self, operation: int, metadata: Any, tag: int = 0) -> None:
        """Send a request that has no answer, if that is possible now."""
        self._connection.send(operation, metadata, tag)

    def open(self, operation: int, metadata: Any, timeout_s: float, tag: int = 0) -> UploadStream:
        """Begin a request with a streamed body. Errors show when it is used.

        `timeout_s` is the longest wait for credit, and after the end of the body for the reply.
        """
        return self._connection.open(operation, metadata, timeout_s, tag)

    def _new_connection(self) -> ClientConnection:
        return ClientConnection(
            self._loop,
            self._key,
            self.name,
            latency=self._latency,
            outstanding_limit=self._max_outstanding_bytes,
            on_state=self._note_state,
            entropy=self._entropy,
            wall=self._wall_us,
        )

    async def _keep_connected(self) -> None:
        retry_s = FIRST_RETRY_S
        while True:
            since = self._loop.time()
            await self._connect_and_wait()
            if self._connection.refused:
                reason = self._connection.reason
                _log.warning("peer_refused", peer=self.name, address=self.address, reason=reason)
                retry_s = LAST_RETRY_S
            elif self._loop.time() - since >= STEADY_S:
                retry_s = FIRST_RETRY_S
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, LAST_RETRY_S)
            self._connection = self._new_connection()

    async def _connect_and_wait(self) -> None:
        """Return when the connection has ended, or could not be made."""
        connection = self._connection
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._network.connect(self.address, lambda: connection)
                await self._until(lambda: connection.is_up or connection.closed)
        except TimeoutError:
            connection.close("no handshake in time")
        except OSError as error:
            connection.close(str(error))
        await self._until(lambda: connection.closed)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def _note_state(self) -> None:
        """Take the news of a connection: it is up, or it has ended."""
        self._changed.set()
        up = self._connection.is_up
        if up == self._was_up:
            return
        self._was_up = up
        if up:
            self.connection_count += 1
            _log.info("peer_up", peer=self.name, address=self.address)
        elif not self._closing:
            _log.warning("peer_down", peer=self.name, address=self.address, reason=self._connection.reason)
        if self._on_state is not None:
            self._on_state(up)
