"""A disk that remembers which of its calls failed, so that somebody can draw conclusions from it."""

import errno
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from storage.disk import Buffer, RealDisk, TemporaryFile
from storage.health.judgement import ERROR_MEMORY_S

_ERRORS_KEPT = 100
_HARD = (errno.EIO, errno.EROFS, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.EUCLEAN, errno.ENOMEDIUM)

P = ParamSpec("P")
T = TypeVar("T")


class ObservedDisk(RealDisk):
    """The operating system's. Its calls come from many threads; what it remembers needs no lock."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._read_errors: deque[float] = deque(maxlen=_ERRORS_KEPT)
        self.write_failure = ""  # the first one; after it, what the page cache shows may not be on the disk

    def read_errors(self) -> int:
        """Return how many reads have failed of late."""
        since = self._now() - ERROR_MEMORY_S
        return sum(at >= since for at in list(self._read_errors))

    def preadv(self, fd: int, buffers: Sequence[bytearray | memoryview], offset: int) -> int:
        try:
            return super().preadv(fd, buffers, offset)
        except OSError as error:
            self._note_read(error)
            raise

    def preadv_cached(self, fd: int, buffers: Sequence[bytearray | memoryview], offset: int) -> int:
        try:
            return super().preadv_cached(fd, buffers, offset)
        except OSError as error:
            self._note_read(error)
            raise

    def pwritev(self, fd: int, buffers: Sequence[Buffer], offset: int) -> int:
        return self._writing("write", super().pwritev, fd, buffers, offset)

    def fdatasync(self, fd: int) -> None:
        self._writing("fdatasync", super().fdatasync, fd)

    def fsync(self, fd: int) -> None:
        self._writing("fsync", super().fsync, fd)

    def fsync_directory(self, path: str) -> None:
        self._writing("fsync of a directory", super().fsync_directory, path)

    def create(self, path: str) -> int:
        return self._writing("create", super().create, path)

    def create_temporary(self, directory: str) -> TemporaryFile:
        return self._writing("create", super().create_temporary, directory)

    def name(self, file: TemporaryFile, path: str) -> None:
        self._writing("link", super().name, file, path)

    def unlink(self, path: str) -> None:
        self._writing("unlink", super().unlink, path)

    def rename(self, source: str, target: str) -> None:
        self._writing("rename", super().rename, source, target)

    def _writing(self, what: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except OSError as error:
            if error.errno in _HARD and not self.write_failure:
                self.write_failure = f"{what}: {error.strerror}"
            raise

    def _note_read(self, error: OSError) -> None:
        if error.errno in _HARD:
            self._read_errors.append(self._now())
