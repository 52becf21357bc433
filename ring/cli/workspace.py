"""Builders, rings and their backups on disk. All that a command changes is written as one step, or nothing is."""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

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
        target = Path(os.path.realpath(path))
        lock = target.with_name(f".{target.name}.lock")
        try:
            file = _lock(lock, path)
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                raise OSError(error.errno, error.strerror, path) from error
            yield  # it cannot be changed by anyone who might do so meanwhile
            return
        with file:
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)  # while it is ours: who waits for it makes another

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


def _lock(lock: Path, path: str) -> TextIO:
    """Return the file `lock`, held for `path` until it is closed. Raise RingError or OSError."""
    deadline_s = time.monotonic() + _LOCK_WAIT_S
    while True:
        file = open(lock, "a")  # noqa: SIM115  # the caller's
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(file, lock):  # else its last holder has removed it
                return file
        file.close()
        if time.monotonic() > deadline_s:
            raise RingError(f"another ring-builder is working on {path}: wait until it is done")
        time.sleep(_LOCK_PERIOD_S)


def _is_at(file: TextIO, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


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
