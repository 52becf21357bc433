"""What an operator chooses of the S3 API."""

from dataclasses import dataclass

GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class S3Config:
    """Limits are AWS's; lowering them breaks clients that rely on them."""

    region: str = "us-east-1"  # in signatures and locations; clients must be set to the same
    host_domains: tuple[str, ...] = ()  # HOST in BUCKET.HOST, for virtual-host style; none: path style only
    clock_skew_s: int = 900  # how far a client's clock may be off
    max_put_size: int = 5 * GIB  # bytes of one PUT, part or copy source
    max_document_size: int = 4 * MIB  # bytes of a request's XML; 1000 keys to delete take under 3 MiB
