"""What can go wrong in the object service, by what the dialects tell the client. Each dialect has one table."""

from collections.abc import Mapping


class ObjectServiceError(Exception):
    """Base of all that the dialects translate."""


class Unavailable(ObjectServiceError):
    """Too few replicas answered: 503, and the client may retry."""


class TooOld(Unavailable):
    """A database remembers no deletions of that time any more, so it takes nothing new of then."""


class QuorumNotReached(Unavailable):
    """Too few replicas took the write in time. It may or may not survive; the caller may retry it."""

    def __init__(self, needed: int, durable: int, failures: Mapping[int, BaseException]) -> None:
        reasons = ", ".join(f"{device}: {error}" for device, error in sorted(failures.items()))
        super().__init__(f"{durable} of {needed} replicas; failed: {reasons or 'none'}")
        self.needed, self.durable, self.failures = needed, durable, failures


class NameContended(Unavailable):
    """Other conditional writes held the name all the time: 503, or 409 in S3."""


class ContainerRemade(Unavailable):
    """The container was deleted and made again while an object was put into it: 503."""


class OutOfSpace(ObjectServiceError):
    """Devices are full: 507."""


class NoSuchContainer(ObjectServiceError):
    """404."""


class NoSuchObject(ObjectServiceError):
    """404."""


class NoSuchUpload(ObjectServiceError):
    """404: unknown, completed or aborted multipart upload."""


class ContainerNotEmpty(ObjectServiceError):
    """409."""


class ContainerTaken(ObjectServiceError):
    """409: the S3 bucket of this name belongs to `account`."""

    def __init__(self, account: str) -> None:
        super().__init__("the bucket name is taken")
        self.account = account


class InvalidPart(ObjectServiceError):
    """400: a part or segment is missing, or is not what the client says."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"part {index}: {reason}")
        self.index, self.reason = index, reason


class PartTooSmall(InvalidPart):
    """400: below the minimum, and not the last."""


class RangeNotSatisfiable(ObjectServiceError):
    """416: no byte of the range is within the object."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the object has {size} bytes")
        self.size = size


class SegmentChanged(ObjectServiceError):
    """409: a segment of a large object is gone, or is not what the manifest names."""


class BodyTooLarge(ObjectServiceError):
    """413: more bytes than an object may have."""


class QuotaExceeded(ObjectServiceError):
    """413, or 403 in S3: the account or the container may not hold more."""
