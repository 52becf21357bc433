"""What a client may ask of the server: sizes in bytes, times in seconds."""

from dataclasses import dataclass

KiB = 1024
MiB = 1024 * KiB


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds per connection. Raising them lets one client hold more memory, or hold it longer."""

    request_line_bytes: int = 16 * KiB  # three names of 1024 bytes, all percent-encoded, and a signature
    head_bytes: int = 64 * KiB  # request line and header fields together
    header_count: int = 256  # Swift allows 90 fields of metadata, S3 has no limit but their size
    head_s: float = 15.0  # from its first byte until a head is whole
    body_s: float = 60.0  # without a byte of the body
    write_s: float = 60.0  # without a byte of the response taken
    idle_s: float = 75.0  # between requests
    drain_bytes: int = 1 * MiB  # of an unread body, rather than close the connection
    linger_s: float = 3.0  # for the client to read why it is refused, before the connection is reset
    connections: int = 8192  # of one process; more are closed at once

    def __post_init__(self) -> None:
        assert 0 < self.request_line_bytes <= self.head_bytes
