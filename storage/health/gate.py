"""Stands before a device's handler: what the device does not do at present is refused before anything is touched."""

from collections.abc import Callable
from typing import Any

from cluster.wire import RemoteError, Request
from storage.health.condition import Service
from storage.messages import Operation, Refusal

ALWAYS = frozenset({int(Operation.STATUS)})
# What neither writes nor makes anything be written: databases merge what is pending before they answer
READS = ALWAYS | {int(Operation.BLOB_STAT), int(Operation.BLOB_HEAD), int(Operation.BLOB_GET)}


class Gate:
    """A handler of the wire."""

    def __init__(self, handler: Callable[[Request], Any]) -> None:
        self._handler = handler
        self._refusal: RemoteError | None = None
        self._passing: frozenset[int] = ALWAYS

    def __repr__(self) -> str:
        return f"Gate({'open' if self._refusal is None else self._refusal})"

    @property
    def is_open(self) -> bool:
        """Tell whether everything passes."""
        return self._refusal is None

    def handle(self, request: Request) -> Any:
        """Hand a request on, or refuse it."""
        if self._refusal is not None and request.operation not in self._passing:
            raise self._refusal
        return self._handler(request)

    def set(self, service: Service, reason: str) -> RemoteError | None:
        """Let through what `service` includes; return what the rest is refused with, None when nothing is.

        A full device is not kept from anything here: it knows itself what needs room.
        """
        out = service <= Service.READS
        self._passing = READS if service is Service.READS else ALWAYS
        self._refusal = RemoteError(Refusal.DEVICE_FAILED, reason) if out else None
        return self._refusal
