"""A file that a backup is restored to.

It is FILE.part until it is whole, then FILE: so what has that name is what the volume was. What was interrupted leaves
FILE.part, and the next restore of the same backup goes on with it. Zeros are holes. Who restores to it has it locked:
another one would go on writing to it under its new name.
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from blockgw.backup.errors import BackupError

SUFFIX = ".part"


class FileSink:
    """See Sink. Used in a `with` block; `finish` gives the file its name."""

    def __init__(self, path: Path, size: int) -> None:
        """Raise BackupError when there is such a file, OSError when there cannot be one."""
        if path.exists():
            raise BackupError(f"there is a file {path} already: move it away, or choose another name")
        self._path, self._part = path, path.with_name(path.name + SUFFIX)
        self.is_begun = self._part.exists()
        self._file = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._lock()
            os.ftruncate(self._file, size)
        except BaseException:
            os.close(self._file)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(self._file), os.stat(self._part)):
                return
        except (BlockingIOError, FileNotFoundError):
            pass  # or he has just been through with it
        raise BackupError(f"somebody else restores to {self._path} just now")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        os.close(self._file)

    def read(self, offset: int, length: int) -> bytes:
        """See Sink."""
        data = bytearray()
        while len(data) < length:
            piece = os.pread(self._file, length - len(data), offset + len(data))
            if not piece:
                raise BackupError(f"{self._part} was made shorter by somebody else")
            data += piece
        return bytes(data)

    def write(self, offset: int, data: bytes) -> None:
        """See Sink."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file, view, offset)
            view, offset = view[written:], offset + written

    def zero(self, offset: int, length: int) -> None:
        """See Sink."""
        zeros = bytes(length)
        if self.read(offset, length) != zeros:  # a hole stays one
            self.write(offset, zeros)

    def flush(self) -> None:
        """See Sink."""
        os.fsync(self._file)

    def finish(self) -> None:
        """Give the file its name: all that it should have was flushed."""
        os.link(self._part, self._path)  # unlike a rename, this does not replace what came there meanwhile
        os.unlink(self._part)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
