"""What can go wrong with a volume, and what the client of the block device is told.

Each error carries its errno: the NBD server translates by that alone. Names say what happened, groups
what the client can do: try again later, take another volume, or show the error to whoever wrote.
"""

from enum import IntEnum
from typing import ClassVar


class Errno(IntEnum):
    """What NBD can tell of a failure: the numbers are Linux', but fixed on the wire."""

    EPERM = 1
    EIO = 5
    ENOMEM = 12
    EINVAL = 22
    ENOSPC = 28
    EOVERFLOW = 75
    ENOTSUP = 95
    ESHUTDOWN = 108


class VolumeError(Exception):
    """An operation on a volume failed. `errno` and the text are what its client sees."""

    errno: ClassVar[Errno] = Errno.EIO


# an operation


class NotPermitted(VolumeError):
    """The volume, or this use of it, is read-only."""

    errno = Errno.EPERM


class InvalidRequest(VolumeError):
    """The request makes no sense for this volume."""

    errno = Errno.EINVAL


class OutOfSpace(VolumeError):
    """There is no room for what was to be written."""

    errno = Errno.ENOSPC


class OutOfMemory(VolumeError):
    """Too much is under way; the client may try again."""

    errno = Errno.ENOMEM


class NotSupported(VolumeError):
    """It can't be done, or not fast; the client does it in another way."""

    errno = Errno.ENOTSUP


class ShuttingDown(VolumeError):
    """The volume is being closed, or lost to another gateway; a client that connects again finds it."""

    errno = Errno.ESHUTDOWN


# opening


class HeldElsewhere(VolumeError):
    """Another gateway has the volume; what is asked of it is asked there."""

    def __init__(self, name: str, holder: str) -> None:
        super().__init__(f"{name} is open at another gateway: {holder}")
        self.name, self.holder = name, holder


class UnknownExport(VolumeError):
    """There is no such volume."""

    errno = Errno.EINVAL


class NotAllowed(VolumeError):
    """This client may not use this volume."""

    errno = Errno.EPERM


class TlsRequired(NotAllowed):
    """This client may use this volume through TLS only."""
