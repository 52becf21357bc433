"""Builders, rings and their backups on disk. All that a command changes is written as one step, or nothing is."""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ring import formats
from ring.builder import RingBuilder
from ring.cli.paths import BACKUPS
from ring.errors import RingError
from ring.formats import Format
from ring.lookup import Ring

_LOCK_WAIT_S = 15.0  # as long as swift-ring-builder-safe
_LOCK_PERIOD_S = 0.05
_UNWRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class Workspace:
    """The files that commands work on; implements `ring.cli.call.Files`."""

    def exists(self, path: str) -> bool:
        """Tell whether there is a file at `path`."""
        return os.path.exists(path)

    def absolute(self, path: str) -> str:
        """Return the whole name of `path`."""
        return os.path.abspath(path)

    def builder(self, path: str) -> tuple[RingBuilder, Format]:
        """Return the builder in the file `path`, and what the file is written in. Raise RingError or OSError."""
        return formats.read_builder(path)

    def ring(self, path: str) -> tuple[Ring, Format]:
        """Return the ring in the file `path`, and what the file is written in. Raise RingError or OSError."""
        return formats.read_ring(path)

    def text(self, path: str) -> str:
        """Return the text of the file `path`. Raise RingError or OSError."""
        try:
            return Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise RingError(f"{path} is no text file") from None

    @contextmanager
    def locked(self, path: str) -> Iterator[None]:
        """Keep others of this command off `path` meanwhile. Raise RingError when one is at it for too long."""
        target = Path(path)
        try:
            file = open(target.with_name(f".{target.name}.lock"), "a")  # noqa: SIM115  # closed below
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                raise OSError(error.errno, error.strerror, path) from error
            yield  # it cannot be changed by anyone who might do so meanwhile
            return
        with file:
            _lock(file.fileno(), path)
            yield

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write `files`, by path, durably. Raise OSError; then none of them is changed, but for a crash midway."""
        staged = {}
        try:
            for path, data in files.items():
                target = Path(os.path.realpath(path))
                staged[target] = _stage(target, data)
            for target, temporary in staged.items():
                os.replace(temporary, target)
        finally:
            for temporary in staged.values():
                temporary.unlink(missing_ok=True)
        for directory in {target.parent for target in staged}:
            _sync(directory)


def _lock(descriptor: int, path: str) -> None:
    deadline_s = time.monotonic() + _LOCK_WAIT_S
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() > deadline_s:
            raise RingError(f"another ring-builder is working on {path}: wait until it is done")
        time.sleep(_LOCK_PERIOD_S)


def _stage(target: Path, data: bytes) -> Path:
    """Write `data` beside `target`, with its mode and owner, and return where. Raise OSError, naming `target`."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        if target.parent.name == BACKUPS:
            target.parent.mkdir(exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            _dress(file.fileno(), target)
            os.fsync(file.fileno())
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise OSError(error.errno, error.strerror, str(target)) from error
    return temporary


def _dress(descriptor: int, target: Path) -> None:
    with suppress(FileNotFoundError, PermissionError):  # it is new, or another's
        old = target.stat()
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
        os.fchown(descriptor, old.st_uid, old.st_gid)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
