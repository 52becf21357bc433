"""Where guests ask: in each network's namespace, and in user mode at a socket of each guest.

Who asks in a network is known by its address there. Filters keep guests from taking another's (`wiring`).
"""

import contextlib
import ctypes
import os
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from cluster.telemetry.log import get_logger
from compute.agent.guest import Guest
from compute.agent.metadata.server import MetadataServer

ADDRESS, PORT = "169.254.169.254", 80
_BACKLOG = 64
_CLONE_NEWNET = 0x40000000  # setns(2)
_IP_FREEBIND = 15  # ip(7); Python names it from 3.12 on
_NAMESPACES = Path("/run/netns")  # where `ip netns` keeps them
_libc = ctypes.CDLL(None, use_errno=True)
_log = get_logger("metadata")


class Listeners:
    """All of a host."""

    def __init__(
        self,
        server: MetadataServer,
        find: Callable[[str], Guest | None],
        find_by_address: Callable[[str, str], Guest | None],
    ) -> None:
        """`find_by_address` knows guests by the id of a network and an address in it."""
        self._server, self._find, self._find_by_address = server, find, find_by_address
        self._lock = threading.Lock()
        self._of_guests: dict[str, tuple[Path, socket.socket]] = {}
        self._of_networks: dict[str, tuple[str, int, socket.socket]] = {}

    def open_for(self, guest_id: str, path: Path) -> None:
        """Have a guest asked for at a unix socket. Raise OSError."""
        with self._lock:
            known = self._of_guests.get(guest_id)
            if known is not None and known[0] == path and path.exists():
                return
            path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(os.fspath(path))
            path.chmod(0o600)
            listener.listen(_BACKLOG)
            self._of_guests[guest_id] = (path, listener)
        if known is not None:
            self._server.forget(known[1])
        self._server.listen(listener, lambda _source: self._find(guest_id))

    def close_for(self, guest_id: str) -> None:
        """Have a guest's socket gone."""
        with self._lock:
            known = self._of_guests.pop(guest_id, None)
        if known is not None:
            self._server.forget(known[1])
            known[0].unlink(missing_ok=True)

    def follow(self, namespaces: Mapping[str, str]) -> None:
        """Listen in these namespaces, by network, and in no others. What fails is tried again the next time."""
        with self._lock:
            known = dict(self._of_networks)
        for network, (name, inode, listener) in known.items():
            if namespaces.get(network) != name or _inode(name) != inode:
                self._server.forget(listener)
                with self._lock:
                    self._of_networks.pop(network, None)
        for network, name in namespaces.items():
            if network not in self._of_networks:
                self._listen_in(network, name)

    def _listen_in(self, network: str, name: str) -> None:
        try:
            listener = listening_in(name)
        except OSError as error:
            _log.warning("metadata_not_served", network=network, namespace=name, error=error)
            return
        with self._lock:
            self._of_networks[network] = (name, _inode(name), listener)
        self._server.listen(listener, lambda source: self._find_by_address(network, source))
        _log.info("metadata_served", network=network, namespace=name)


def listening_in(namespace: str, address: str = ADDRESS, port: int = PORT) -> socket.socket:
    """Return a socket that listens in a network namespace. Raise OSError.

    A thread of its own enters it, and ends there: no other ever sees its network.
    """
    found: list[socket.socket | OSError] = []

    def enter() -> None:
        try:
            with open(_NAMESPACES / namespace, "rb") as file:
                if _libc.setns(file.fileno(), _CLONE_NEWNET):
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number))
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)  # the address may come a moment later
            listener.bind((address, port))
            listener.listen(_BACKLOG)
            found.append(listener)
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=enter, name=f"listen in {namespace}")
    thread.start()
    thread.join()
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]


def _inode(namespace: str) -> int:
    with contextlib.suppress(OSError):
        return (_NAMESPACES / namespace).stat().st_ino
    return 0
