"""All connections of a server: admitted, looked after, sent away.

A connection is in the set from the moment it is made until nothing of it is under way any more.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

SWEEP_S = 5.0


class Connection(Protocol):
    """What a connection is to the server, whatever it is at."""

    @property
    def export_name(self) -> str | None:
        """The export that it has open."""

    @property
    def holder(self) -> str:
        """For whom it was opened; empty: that was not said."""

    def drain(self) -> None:
        """Take no more requests; answer those that were taken, then hang up."""

    def abort(self) -> None:
        """Hang up now."""

    def sweep(self, now: float) -> None:
        """Give up on a client that has not moved for too long."""


class Connections:
    """The set."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self._loop = loop
        self._limit = limit
        self._all: set[Connection] = set()
        self._closing = False
        self._left: dict[asyncio.Future[None], Callable[[Connection], bool]] = {}  # who waits, and for whose leaving
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"Connections({len(self._all)} of {self._limit})"

    def __len__(self) -> int:
        return len(self._all)

    def admit(self, connection: Connection) -> bool:
        """Add a connection, unless there are too many, or the server closes."""
        if self._closing or len(self._all) >= self._limit:
            return False
        self._all.add(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(SWEEP_S, self._sweep)
        return True

    def replace(self, old: Connection, new: Connection) -> None:
        """Let `new` have the place of `old`."""
        self._all.discard(old)
        self._all.add(new)
        if self._closing:
            new.drain()

    def remove(self, connection: Connection) -> None:
        """Remove a connection that has ended."""
        self._all.discard(connection)
        for waiter, concerns in list(self._left.items()):
            if not waiter.done() and not any(map(concerns, self._all)):
                waiter.set_result(None)

    async def send_away(self, concerns: Callable[[Connection], bool], deadline_s: float) -> None:
        """Drain the connections that it concerns; hang up on what is left after `deadline_s`."""
        affected = [connection for connection in self._all if concerns(connection)]
        for connection in affected:
            connection.drain()
        if any(connection in self._all for connection in affected):
            remaining = set(affected)
            left = self._loop.create_future()
            self._left[left] = remaining.__contains__
            try:
                await asyncio.wait_for(left, deadline_s)
            except TimeoutError:
                for connection in affected:
                    if connection in self._all:
                        connection.abort()
            finally:
                del self._left[left]

    async def close(self, deadline_s: float) -> None:
        """Send all away, and admit no more."""
        self._closing = True
        await self.send_away(lambda _connection: True, deadline_s)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self._timer = self._loop.call_later(SWEEP_S, self._sweep) if self._all else None
        now = self._loop.time()
        for connection in list(self._all):
            connection.sweep(now)
