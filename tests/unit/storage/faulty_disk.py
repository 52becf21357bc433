"""A real disk on which chosen calls fail, once armed."""

import os
from collections.abc import Sequence

from storage.disk import Buffer, RealDisk


class FaultyDisk(RealDisk):
    """`failures[name]` is the errno that calls of `name` raise; `writes_of` limits the bytes of one write."""

    def __init__(self) -> None:
        self.failures: dict[str, int] = {}
        self.write_limit: int | None = None
        self.cached = True
        self.syncs = 0

    def _fail(self, name: str) -> None:
        if name in self.failures:
            code = self.failures[name]
            raise OSError(code, os.strerror(code))

    def pwritev(self, fd: int, buffers: Sequence[Buffer], offset: int) -> int:
        self._fail("pwritev")
        if self.write_limit is not None:
            return super().pwritev(fd, [b"".join(buffers)[: self.write_limit]], offset)
        return super().pwritev(fd, buffers, offset)

    def preadv_cached(self, fd: int, buffers: Sequence[bytearray | memoryview], offset: int) -> int:
        return super().preadv_cached(fd, buffers, offset) if self.cached else -1

    def fdatasync(self, fd: int) -> None:
        self._fail("fdatasync")
        self.syncs += 1
        super().fdatasync(fd)

    def fsync(self, fd: int) -> None:
        self._fail("fsync")
        super().fsync(fd)

    def set_attribute(self, fd: int, name: str, value: bytes) -> None:
        self._fail("set_attribute")
        super().set_attribute(fd, name, value)

    def create_temporary(self, directory: str) -> "object":  # type: ignore[override]
        self._fail("create_temporary")
        return super().create_temporary(directory)
