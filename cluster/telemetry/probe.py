"""Asking processes from outside how they are: /healthz, open ports, memory. Each question has a deadline."""

import json
import os
import socket
from dataclasses import dataclass
from typing import Any

from cluster.config.urls import reachable_host

TIMEOUT_S = 1.0
_ANSWER_LIMIT = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Health:
    """What /healthz said."""

    serves: bool
    details: dict[str, Any]


def health(listen: str, port: int, timeout_s: float = TIMEOUT_S) -> Health | None:
    """Ask the /healthz of an admin port; None when it does not answer."""
    try:
        with socket.create_connection((reachable_host(listen), port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(b"GET /healthz?ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return parse_answer(_receive_all(connection))
    except OSError:
        return None


def _receive_all(connection: socket.socket) -> bytes:
    answer = bytearray()
    while len(answer) < _ANSWER_LIMIT:
        piece = connection.recv(65536)
        if not piece:
            break
        answer += piece
    return bytes(answer)


def parse_answer(answer: bytes) -> Health | None:
    """Return the health in an HTTP response; None when it is none."""
    head, _separator, body = answer.partition(b"\r\n\r\n")
    parts = head.split(b" ", 2)
    if len(parts) < 3 or not parts[0].startswith(b"HTTP/1."):
        return None
    try:
        details = json.loads(body)
    except ValueError:
        details = {}
    return Health(parts[1] == b"200", details if isinstance(details, dict) else {})


def accepts(listen: str, port: int, timeout_s: float = TIMEOUT_S) -> bool:
    """Tell whether somebody takes connections at a port."""
    try:
        with socket.create_connection((reachable_host(listen), port), timeout_s):
            return True
    except OSError:
        return False


def is_free(host: str, port: int) -> bool:
    """Tell whether a process could listen at a port."""
    family, _type, _protocol, _name, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that end do not count
        try:
            trial.bind(address)
            trial.listen(1)
        except OSError:
            return False
    return True


def memory_bytes(pid: int) -> int | None:
    """Return the resident memory of a process; None when there is none."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
