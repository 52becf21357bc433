"""What clients may ask of the server: sizes in bytes, times in seconds."""

from dataclasses import dataclass

from blockgw.interfaces import KiB, MiB


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds. Raising them lets a client hold more memory, or hold it longer.

    What requests hold at most, together: `server_bytes` and one request more; and beside that, for each
    connection, its receive buffer and `unsent_bytes`.
    """

    handshake_s: float = 60.0  # from connecting to the first request, with the time that it takes to open the volume
    options: int = 256  # of one handshake
    option_bytes: int = 64 * KiB  # the data of one; longer ones are refused ...
    skipped_bytes: int = 1 * MiB  # ... or, when they are longer than this, not even read
    connection_bytes: int = 32 * MiB  # of requests under way; beyond, no more are taken from this connection
    server_bytes: int = 256 * MiB  # the same of all connections
    unsent_bytes: int = 4 * MiB  # of answers that the client does not take; beyond, the same
    stall_s: float = 120.0  # with an answer not taken, or in the middle of a request: then hang up
    connections: int = 1024  # more are closed at once

    def __post_init__(self) -> None:
        assert 0 < self.option_bytes <= self.skipped_bytes
        assert 0 < self.connection_bytes <= self.server_bytes
