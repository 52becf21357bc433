"""What can go wrong between peers, by what the caller does next."""

from typing import Any

# Refusal codes that the wire itself gives; those of the operations are between them.
INTERNAL = 0  # the handler failed in a way that nobody foresaw; its log says how
UNAUTHENTICATED = 0xFFFE  # the handshake failed
OVERLOADED = 0xFFFF  # too many requests at once on this connection


class PeerUnavailable(Exception):
    """Not connected, connection lost, deadline passed or queue full: ask another replica, or retry later.

    Whether the peer has done what was asked is unknown.
    """


class RemoteError(Exception):
    """The peer refused: `code` says why (`storage.messages.Refusal`), `detail` is what belongs to it."""

    def __init__(self, code: int, detail: Any = None) -> None:
        assert 0 <= code <= 0xFFFF
        super().__init__(f"refused with code {int(code)}: {detail!r}")
        self.code, self.detail = int(code), detail


class ProtocolError(Exception):
    """The other side does not speak the protocol: hang up."""


class HandshakeError(ProtocolError):
    """The other side has not proved the cluster key, or speaks no version that we do."""
