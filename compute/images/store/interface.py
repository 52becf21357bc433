"""What keeps contents: whole objects by key, written once, in order, and read from anywhere in them."""

from collections.abc import Iterator
from typing import Protocol


class Writing(Protocol):
    """An object that is being written. It is there after `finish`, and only then."""

    def write(self, data: bytes | memoryview) -> None:
        """Append. What is handed in may be used again afterwards. Raise Unavailable."""

    def finish(self) -> None:
        """Have the object there, durably. Raise Unavailable: then it may be there, or not."""

    def abandon(self) -> None:
        """Give up what was written. It raises nothing: what is left over is removed with the key."""


class Store(Protocol):
    """Objects by key. All methods raise `compute.errors.Unavailable`."""

    def prepare(self) -> None:
        """Make what objects are in, if it is missing."""

    def begin(self, key: str) -> Writing:
        """Begin an object."""

    def read(self, key: str, begin: int, end: int) -> Iterator[bytes]:
        """Yield the bytes of an object from `begin` up to `end`, in pieces of some KiB."""

    def remove(self, key: str) -> None:
        """Have nothing under `key`: no object, and no parts of one. It need not be there."""
