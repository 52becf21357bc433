"""Lets peers in as far as a device's health allows.

A device that does nothing hangs up and stops to listen: whatever its peers wait for fails at once, and they see that it
is down, as if its process had ended. One that only reads hangs up too, and lets them in again through the gate. So
whoever waits for a sick disk waits no longer than it takes to find out that it is sick.
"""

import asyncio

from cluster.telemetry.log import get_logger
from cluster.wire import Server
from storage.health.condition import Health, Service
from storage.health.gate import Gate

RETRY_S = 0.5  # after an address that could not be taken again

_log = get_logger("storage.health")


class Door:
    """A server that is closed and opened again."""

    def __init__(self, server: Server, gate: Gate, address: str) -> None:
        self._server = server
        self._gate = gate
        self._address = address
        self._wanted = self._applied = Service.ALL
        self._reason = ""
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to listen. OSError."""
        await self._server.start(self._address)

    def follow(self, health: Health) -> None:
        """Do as `health` allows, from now on."""
        self._wanted, self._reason = health.service, health.sentence()
        self._gate.set(self._wanted, self._reason)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._apply())

    async def close(self) -> None:
        """Hang up, for good."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._server.close()

    async def _apply(self) -> None:
        while (wanted := self._wanted) != self._applied:
            was_out, is_out = self._applied <= Service.READS, wanted <= Service.READS
            if is_out:
                await self._server.close()
            if wanted > Service.NOTHING and (is_out or was_out) and not await self._reopened():
                await asyncio.sleep(RETRY_S)
                continue
            self._applied = wanted

    async def _reopened(self) -> bool:
        if self._server.address:
            return True
        try:
            await self._server.start(self._address)
        except OSError as error:
            _log.error("cannot_listen", address=self._address, error=error)
            return False
        return True
