"""Whether a gateway of volumes answers: guests that wait for one go on once it does."""

import socket
from typing import Protocol

_MAGIC = b"NBDMAGIC"  # what a server says first (NetworkBlockDevice/nbd, doc/proto.md)
_TIMEOUT_S = 2.0


class Gateways(Protocol):
    """Gateways of volumes."""

    def answers(self, host: str, port: int) -> bool:
        """Tell whether one answers."""


class NbdGateways:
    """`Gateways`, by asking them."""

    def answers(self, host: str, port: int) -> bool:
        try:
            with socket.create_connection((host, port), _TIMEOUT_S) as connection:
                connection.settimeout(_TIMEOUT_S)
                return connection.recv(len(_MAGIC)).startswith(_MAGIC[:1])
        except OSError:
            return False
