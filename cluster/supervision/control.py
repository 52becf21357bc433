"""Talking to a supervisor: one request and one answer per connection, each a line of JSON.

    {"do": "status"}                      -> {"pid": 7, "processes": [{"name": "storage-0", …}, …]}
    {"do": "stop", "names": ["storage-0"]}, "start", "kill"                   -> the same
    {"do": "add", "names": ["storage-4"]}      -> the same: it reads the configuration again and starts them
    {"do": "remove", "names": ["storage-4"]}   -> the same: it stops and forgets what the configuration has no longer
    {"do": "shutdown", "exit_code": 0}                                        -> the same

An answer with "error" says why nothing was done. The socket is in a directory of its owner's alone.
"""

import json
import os
import socket
from pathlib import Path
from typing import Any

MESSAGE_LIMIT = 8 << 20  # bytes: volumes that are kept together are told of in one answer, with all their snapshots
TIMEOUT_S = 5.0


class ControlError(Exception):
    """The supervisor refused; the text says why."""

    def __init__(self, text: str, kind: str = "") -> None:
        """`kind`: of the refusal, where there are several that a caller would tell apart."""
        super().__init__(text)
        self.kind = kind


class NotRunning(ControlError):
    """Nobody answers."""


def ask(path: Path, do: str, *, timeout_s: float = TIMEOUT_S, **arguments: Any) -> dict[str, Any]:
    """Ask the supervisor at the socket `path`. Raise NotRunning or ControlError."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(os.fspath(path))
            connection.sendall(encode({"do": do, **arguments}))
            answer = decode(receive_line(connection))
    except (OSError, ValueError) as error:
        raise NotRunning(f"no supervisor answers: {error}") from error
    if "error" in answer:
        raise ControlError(str(answer["error"]), str(answer.get("kind", "")))
    return answer


def encode(message: dict[str, Any]) -> bytes:
    """Return `message` as a line."""
    return json.dumps(message).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Return the message in `line`. Raise ValueError."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("not an object")
    return message


def receive_line(connection: socket.socket) -> bytes:
    """Return what comes up to a newline. Raise ValueError when too much or nothing comes."""
    received = bytearray()
    while not received.endswith(b"\n"):
        piece = connection.recv(65536)
        if not piece or len(received) > MESSAGE_LIMIT:
            raise ValueError("no whole message came")
        received += piece
    return bytes(received)
