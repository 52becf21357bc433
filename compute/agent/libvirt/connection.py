"""The connection to libvirt: opened when it is needed, again once it was lost; and the thread that takes its events.

The thread must run before the first connection is opened. libvirt has one loop of events per process, made at the first
use of this, and never ended.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import libvirt

from cluster.telemetry.log import get_logger
from compute.stored import Unreachable

_KEEPALIVE_S, _KEEPALIVE_COUNT = 5, 4  # a daemon that does not answer is given up after about 25 s
_OPEN_S = 30.0
_FOUND_S = 2.0  # until libvirt without a daemon has the guests that ran before it: it denies them until then
_log = get_logger("agent")


class Connection:
    """The connection to one hypervisor, for all threads."""

    def __init__(self, uri: str, opened: Callable[[Any], None]) -> None:
        """`opened` is called with each new connection."""
        self._uri, self._opened = uri, opened
        self._lock = threading.Lock()
        self._connection: Any = None
        _run_events()

    def __repr__(self) -> str:
        return f"Connection({self._uri})"

    def get(self) -> Any:
        """Return the connection. Raise Unreachable."""
        connection = self._connection
        if connection is not None:
            return connection
        if not self._lock.acquire(timeout=_OPEN_S):
            raise Unreachable(f"the hypervisor {self._uri} does not answer")
        try:
            if self._connection is None:
                self._connection = self._open()
            return self._connection
        finally:
            self._lock.release()

    def lost(self, connection: Any) -> None:
        """Open another connection the next time."""
        if self._connection is connection:
            self._connection = None

    def _open(self) -> Any:
        try:
            connection = libvirt.open(self._uri)
            connection.registerCloseCallback(self._closed, None)
            if "embed" not in self._uri:
                connection.setKeepAlive(_KEEPALIVE_S, _KEEPALIVE_COUNT)
            elif connection.listDomainsID():
                time.sleep(_FOUND_S)
            self._opened(connection)
        except libvirt.libvirtError as error:
            raise Unreachable(f"the hypervisor {self._uri} does not answer: {error}") from None
        _log.info("hypervisor_connected", uri=self._uri)
        return connection

    def _closed(self, connection: Any, reason: int, _opaque: object) -> None:
        _log.warning("hypervisor_lost", uri=self._uri, reason=reason)
        self._connection = None  # there is one at a time, and this is it


_started = threading.Lock()


def _run_events() -> None:
    if not _started.acquire(blocking=False):
        return  # they run already, and never end
    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # it would write them to stderr
    libvirt.virEventRegisterDefaultImpl()

    def run() -> None:
        while True:
            try:
                libvirt.virEventRunDefaultImpl()
            except libvirt.libvirtError as error:
                _log.error("events_failed", error=error)

    threading.Thread(target=run, name="libvirt events", daemon=True).start()
