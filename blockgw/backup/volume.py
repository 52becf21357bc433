"""What backups need of a volume and of whoever has it: reading, writing, snapshots. The cluster is behind it."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A volume as it was."""

    id: str
    name: str
    size: int  # bytes
    created_us: int


class Source(Protocol):
    """A snapshot that is read. May be read by several threads at once."""

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes."""


class Sink(Protocol):
    """What a backup is restored to; zeros to begin with, unless it has been begun before. For several threads."""

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes, as they are now."""

    def write(self, offset: int, data: bytes) -> None:
        """Write."""

    def zero(self, offset: int, length: int) -> None:
        """Have a range read as zeros, without space where that can be."""

    def flush(self) -> None:
        """Make durable what was written."""


class Volume(Protocol):
    """A volume that is backed up. What cannot be done is raised as BackupError."""

    @property
    def id(self) -> str:
        """32 hexadecimal digits, and no other volume's ever."""

    @property
    def name(self) -> str: ...

    def snapshots(self) -> Sequence[Snapshot]:
        """Return the snapshots, the oldest first."""

    def take(self, name: str) -> Snapshot:
        """Take a snapshot."""

    def give_up(self, name: str) -> None:
        """Delete a snapshot."""

    def changed(self, snapshot: str, since: str | None) -> Iterable[int]:
        """Return the positions, of pieces, in which two snapshots may differ; without `since`: that may be no zeros.

        What is beyond the end of the smaller of the two counts as changed only if it may be no zeros.
        """

    def open(self, snapshot: str) -> AbstractContextManager[Source]:
        """Read a snapshot."""
