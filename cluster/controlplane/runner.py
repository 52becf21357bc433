"""Serves WSGI applications with eventlet: the one module that knows of it.

    runner.patch()  # first of all, before anything has made a lock or a socket
    ...
    runner.serve([Served(socket, application)], Limits())  # until SIGTERM or SIGINT

Every connection is a green thread, their number is bounded, and who is slow is cut off. A stop closes the listening
sockets and idle connections, and lets the requests under way end. What waits for a lock, a socket or `time.sleep` lets
others run; SQLite and hashing do not, so an instance uses one core.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import eventlet
import eventlet.wsgi
from eventlet.greenio import GreenSocket
from eventlet.greenpool import GreenPool
from eventlet.greenthread import GreenThread

from cluster.controlplane.probes import Application
from cluster.telemetry.log import get_logger

_STOPPING = (signal.SIGTERM, signal.SIGINT)
_log = get_logger("runner")


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may take of a server."""

    connections: int = 512  # at a time, of one listening socket; more wait to be accepted
    idle_s: float = 60.0  # for the next bytes of a request, or the next request; then the connection is closed
    request_line: int = 16_384  # bytes
    header_line: int = 16_384  # bytes; a token with its catalog is never sent as a header
    headers: int = 65_536  # bytes of all header lines together
    grace_s: float = 10.0  # for requests under way, when told to stop


@dataclass(frozen=True, slots=True)
class Served:
    """A listening socket, and what answers there."""

    listener: socket.socket
    application: Application


def patch() -> None:
    """Have sockets, locks and sleeping of the standard library let other green threads run."""
    eventlet.monkey_patch()
    # PostgreSQL's driver waits for locks in C otherwise, and keeps the process from whoever is to release them
    os.environ.setdefault("PSYCOPG_WAIT_FUNC", "wait_selector")


def serve(served: Iterable[Served], limits: Limits) -> None:
    """Serve until told to stop by a signal. Return when the requests under way are answered, or `grace_s` is over."""
    eventlet.wsgi.MAX_HEADER_LINE = limits.header_line
    eventlet.wsgi.MAX_TOTAL_HEADER_SIZE = limits.headers
    waker, sleeper = _signals()
    try:
        servers = [_start(each, limits) for each in served]
        sleeper.recv(1)
        _log.info("stopping", grace_s=limits.grace_s)
        for server in servers:
            server.kill()
        with eventlet.Timeout(limits.grace_s, False):
            for server in servers:
                _ended(server)
    finally:
        for number in _STOPPING:
            signal.signal(number, signal.SIG_DFL)
        waker.close()
        sleeper.close()


def _start(served: Served, limits: Limits) -> GreenThread:
    listener = served.listener
    if not isinstance(listener, GreenSocket):
        listener = GreenSocket(listener)
    pool = GreenPool(limits.connections)
    return eventlet.spawn(
        eventlet.wsgi.server,
        listener,
        served.application,
        custom_pool=pool,
        log_output=False,  # the application has its own access log
        keepalive=True,
        socket_timeout=limits.idle_s,
        url_length_limit=limits.request_line,
        debug=False,  # a traceback is nothing for clients
    )


def _ended(server: GreenThread) -> None:
    """Wait for a server that was told to stop."""
    with contextlib.suppress(eventlet.greenlet.GreenletExit):
        server.wait()


def _signals() -> tuple[socket.socket, Any]:
    """Return a pair of sockets; a byte arrives at the second when a signal tells to stop.

    A handler that only set a flag would not be noticed before the loop wakes up for another reason.
    """
    waker, sleeper = socket.socketpair()
    waker.setblocking(False)

    def wake(_number: int, _frame: Any) -> None:
        with contextlib.suppress(BlockingIOError):  # it was told already
            waker.send(b"!")

    for number in _STOPPING:
        signal.signal(number, wake)
    return waker, sleeper if isinstance(sleeper, GreenSocket) else GreenSocket(sleeper)
