"""Gathers what is written to one device within a turn of the loop into messages: under load they carry many writes."""

import asyncio
from collections.abc import Callable

from blockgw.volumes.chunk import Chunk, Pending
from blockgw.volumes.replica import Answered, Replica, Status

BATCH = 64  # writes of a message
BATCH_BYTES = 1 << 20  # of their data, unless one alone is larger

Heard = Callable[[int, Chunk, Pending, Status, int], None]  # device, chunk, write, what it said, its run
_Entry = tuple[Chunk, Pending]


class Outbox:
    """Of one device and one volume."""

    __slots__ = ("_device", "_entries", "_heard", "_layer", "_loop", "_replica")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, device: int, replica: Replica, layer: Callable[[], int], heard: Heard
    ) -> None:
        self._loop = loop
        self._device = device
        self._replica = replica
        self._layer = layer
        self._heard = heard
        self._entries: list[_Entry] = []

    def add(self, chunk: Chunk, pending: Pending) -> None:
        """Send a write with those that come in this turn."""
        if not self._entries:
            self._loop.call_soon(self._send)
        self._entries.append((chunk, pending))

    def _send(self) -> None:
        entries, self._entries = self._entries, []
        batch: list[_Entry] = []
        size = 0
        for entry in entries:
            length = len(entry[1].write.data)
            if batch and (len(batch) == BATCH or size + length > BATCH_BYTES):
                self._send_batch(batch)
                batch, size = [], 0
            batch.append(entry)
            size += length
        if batch:
            self._send_batch(batch)

    def _send_batch(self, batch: list[_Entry]) -> None:
        call = self._replica.write(self._layer(), [pending.write for _chunk, pending in batch])

        def answered(call: "asyncio.Future[Answered]") -> None:
            if call.cancelled() or call.exception() is not None:
                for chunk, pending in batch:
                    self._heard(self._device, chunk, pending, Status.FAILED, 0)
                return
            statuses, run = call.result()
            for (chunk, pending), status in zip(batch, statuses, strict=True):
                self._heard(self._device, chunk, pending, status, run)

        call.add_done_callback(answered)
