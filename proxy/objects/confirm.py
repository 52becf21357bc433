"""Tells the storage nodes which rows are done, so that they need not add them themselves.

Best effort, in batches: a confirmation that is lost costs one row that is sent again, and rows merge.
"""

import asyncio

from cluster.clock import Timestamp
from storage.client import Placement
from storage.messages import Operation
from storage.rings.document import OBJECT

DELAY_S = 0.25
BATCH = 500  # confirmations to one device that are sent without waiting for DELAY_S


class Confirmations:
    """Gathers (key, timestamp) by device."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._waiting: dict[int, list[tuple[bytes, Timestamp]]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, key: bytes, timestamp: Timestamp) -> None:
        """Note that the row of this version is on a quorum of its container."""
        done = (key, timestamp)
        for device_id, _peer in self._placement.replicas(OBJECT, key).members:
            batch = self._waiting.setdefault(device_id, [])
            batch.append(done)
            if len(batch) >= BATCH:
                self._send(device_id)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY_S, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.flush()

    def flush(self) -> None:
        """Send all that waits."""
        for device_id in list(self._waiting):
            self._send(device_id)

    def _send(self, device_id: int) -> None:
        batch = self._waiting.pop(device_id)
        peer = self._placement.peers.get(device_id)
        if peer is not None and peer.up:
            peer.send(Operation.ROWS_CONFIRM, tuple(batch), self._placement.rings.version)
