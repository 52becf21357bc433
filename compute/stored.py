"""Volumes as the block gateway has them, and why it does not do what it is asked: values. `gateway` asks it.

Sizes are bytes.
"""

from dataclasses import dataclass
from enum import Enum, auto


class BackendError(Exception):
    """Base: it was not done. The text is for the operator, and in parts for the user."""


class Unreachable(BackendError):
    """Who should do it does not answer, or is not able to just now. To be tried again."""


class NotYet(Unreachable):
    """It is on its way: to be asked again soon, and for long."""


class Refused(BackendError):
    """It cannot be done, however often it is tried."""


class NoSuch(Refused):
    """What it is about is not there."""


class InUse(BackendError):
    """Somebody is connected to the volume, or works on it. To be tried again for a while."""


class Removal(Enum):
    """What became of what was deleted."""

    GONE = auto()
    KEPT = auto()  # clones read through it; nobody else can


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """A snapshot, as the gateway has it."""

    id: str
    name: str
    size: int
    clones: tuple[str, ...] = ()  # names of the volumes that began with it, and still read through it


@dataclass(frozen=True, slots=True)
class Stored:
    """A volume, as the gateway has it."""

    id: str
    name: str
    size: int
    is_open: bool = True  # it can be used: it is not in the trash
    flattening: bool = False
    is_clone: bool = False
    encrypted: bool = False
    snapshots: tuple[StoredSnapshot, ...] = ()

    def snapshot(self, name: str) -> StoredSnapshot | None:
        """Return a snapshot by its name; None: there is none."""
        return next((each for each in self.snapshots if each.name == name), None)
