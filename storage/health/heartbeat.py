"""One look at a device's disk: is its directory still ours, does it write, sync and read? Blocking.

The heartbeat is a block in a file of its own that is written over and over, so it needs no space; it is read back
from the disk and not from the page cache. Any step may hang or fail: which of them did is what the beat tells.
"""

import errno
import os
import time
from dataclasses import dataclass

from storage.health import marker as markers
from storage.health.condition import Condition
from storage.health.judgement import Beat
from storage.health.marker import MARKER_FILE, Marker

HEARTBEAT_FILE = "heartbeat"
BLOCK_SIZE = 4096
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENODEV, errno.ENXIO)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Place:
    """A device's directory, and the file system on which it was when it was opened."""

    directory: str
    marker: Marker
    file_system: int | None = None  # st_dev; None: whichever

    def path(self, name: str) -> str:
        """Return where a file of it is."""
        return os.path.join(self.directory, name)


def beat(place: Place, number: int) -> Beat:
    """Look once."""
    begin = time.monotonic()
    used_ratio = 0.0
    try:
        found = _misplaced(place)
        if found is None:
            found = _written_and_read(place.path(HEARTBEAT_FILE), number)
            used_ratio = used_share(place.directory)
    except OSError as error:
        found = explained(error, "the directory cannot be read", Condition.UNREADABLE)
    condition, reason = found
    return Beat(condition, reason, time.monotonic() - begin, used_ratio)


def used_share(directory: str) -> float:
    """Return the share of a file system that we cannot use any more."""
    figures = os.statvfs(directory)
    return 1 - figures.f_bavail / figures.f_blocks if figures.f_blocks else 0.0


def read_marker(directory: str) -> Marker | None:
    """Return the marker of a directory; None when there is none, or it is damaged. OSError."""
    try:
        with open(os.path.join(directory, MARKER_FILE), "rb") as file:
            return markers.decode(file.read(BLOCK_SIZE))
    except FileNotFoundError:
        return None


def _misplaced(place: Place) -> tuple[Condition, str] | None:
    """Return what is wrong with the place; None when it is ours."""
    try:
        file_system = os.stat(place.directory).st_dev
    except OSError as error:
        if error.errno in _GONE:
            return Condition.VANISHED, f"{place.directory} is not there: {error.strerror}"
        raise
    if place.file_system not in (None, file_system):
        return Condition.VANISHED, f"another file system is mounted at {place.directory} than before, or none"
    found = read_marker(place.directory)
    if found is None:
        return Condition.VANISHED, f"{place.path(MARKER_FILE)} is not there: the file system has gone, or was emptied"
    foreign = markers.disagreement(place.marker, found)
    return (Condition.FOREIGN, f"{place.directory}: {foreign}") if foreign else None


def _written_and_read(path: str, number: int) -> tuple[Condition, str]:
    block = f"heartbeat {number}\n".encode().ljust(BLOCK_SIZE, b"\0")
    try:
        fd = _opened(path)
    except OSError as error:
        return explained(error, "opening a file", Condition.FAILING)
    try:
        for what, step, failing in (
            ("reading", _read, Condition.UNREADABLE),  # what the last beat wrote: reads may fail while writes do not
            ("writing", lambda fd: os.pwrite(fd, block, 0), Condition.FAILING),
            ("fdatasync", os.fdatasync, Condition.FAILING),
        ):
            try:
                step(fd)
            except OSError as error:
                return explained(error, what, failing)
        try:
            read = _read(fd)
        except OSError as error:
            return explained(error, "reading back", Condition.UNREADABLE)
    finally:
        os.close(fd)
    if read != block:
        return Condition.UNREADABLE, "what was written and synced was not what was read back"
    return Condition.OK, ""


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _read(fd: int) -> bytes:
    """Read the block from the disk, where the file system lets go of what it keeps in memory."""
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    return os.pread(fd, BLOCK_SIZE, 0)


def explained(error: OSError, what: str, otherwise: Condition) -> tuple[Condition, str]:
    """Return what an error says of the disk, met while doing `what`."""
    reason = f"{what}: {error.strerror or error}"
    if error.errno == errno.EROFS:
        return Condition.READ_ONLY, reason
    if error.errno in _NO_SPACE:
        return Condition.FULL, reason
    return (Condition.VANISHED if error.errno in _GONE else otherwise), reason
