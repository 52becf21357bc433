"""The file-system calls of the log and the blobs, behind one interface.

Nothing else in `storage.log` and `storage.blobs` does file I/O, so a simulator that implements `Disk` decides
what a crash leaves behind. (LMDB maps its files itself; its content can always be made again.)
Calls block and raise OSError, as `os` does. `RealDisk` keeps no state.
"""

import ctypes
import errno
import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import xattr

Buffer = bytes | bytearray | memoryview

IOV_MAX = os.sysconf("SC_IOV_MAX") if "SC_IOV_MAX" in os.sysconf_names else 1024
_FILE_MODE = 0o600
_DIRECTORY_MODE = 0o700
_FALLOC_FL_KEEP_SIZE, _FALLOC_FL_PUNCH_HOLE, _FALLOC_FL_ZERO_RANGE = 1, 2, 16  # linux/falloc.h
_FICLONE = 0x40049409  # linux/fs.h
_CANNOT_SHARE = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS, errno.EPERM)
_STAT_BLOCK = 512  # bytes of a unit of st_blocks, whatever the file system's
_UNFINISHED = ".new"  # ends the name of a small file that is to replace another
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Space:
    """Of a file system, in bytes."""

    total: int
    free: int  # for us; what is reserved for root is not counted


@dataclass(frozen=True, slots=True)
class TemporaryFile:
    """An open file that nothing names yet, or only a name in a directory that is emptied at start."""

    fd: int
    path: str | None  # None: truly nameless (O_TMPFILE)


class Disk(Protocol):
    """What a device's file system can do."""

    def create(self, path: str) -> int:
        """Create a file that must not exist; return it open for reading and writing."""

    def open(self, path: str) -> int:
        """Open an existing file for reading and writing."""

    def open_direct(self, fd: int) -> int:
        """Open the file of `fd` once more, for whole blocks past the page cache. OSError: it has none."""

    def create_temporary(self, directory: str) -> TemporaryFile:
        """Create a file that is gone after a crash (or when `directory` is emptied) unless it is named."""

    def name(self, file: TemporaryFile, path: str) -> None:
        """Give a temporary file its name. Durable after `fsync_directory`."""

    def close(self, fd: int) -> None: ...

    def size(self, fd: int) -> int: ...

    def pwritev(self, fd: int, buffers: Sequence[Buffer], offset: int) -> int:
        """Write at most IOV_MAX buffers; return how many bytes were written, which may be fewer."""

    def preadv(self, fd: int, buffers: Sequence[bytearray | memoryview], offset: int) -> int:
        """Read into `buffers`; return how many bytes were read, which may be fewer."""

    def preadv_cached(self, fd: int, buffers: Sequence[bytearray | memoryview], offset: int) -> int:
        """The same, without waiting for the device: -1 when it would have to."""

    def will_need(self, fd: int, offset: int, length: int) -> None:
        """Start to read ahead."""

    def truncate(self, fd: int, size: int) -> None: ...

    def allocate(self, fd: int, size: int) -> None:
        """Set space aside for the first `size` bytes."""

    def clear(self, fd: int, offset: int, length: int, keep_blocks: bool) -> None:
        """Make a range of a file zeros, and give its blocks back or keep them. The size stays."""

    def clone(self, source_fd: int, fd: int, size: int) -> None:
        """Make an empty file have the first `size` bytes of another: shared where that can be, else copied."""

    def extents(self, fd: int, size: int) -> list[tuple[int, int]]:
        """Return where there is data in the first `size` bytes, as (offset, length) in order; the rest are holes."""

    def allocated(self, fd: int) -> int:
        """Return how many bytes the file takes on the device."""

    def fdatasync(self, fd: int) -> None: ...

    def fsync(self, fd: int) -> None: ...

    def fsync_directory(self, path: str) -> None: ...

    def unlink(self, path: str) -> None: ...

    def rename(self, source: str, target: str) -> None: ...

    def list(self, directory: str) -> list[str]:
        """Return the names in `directory`, sorted; [] when it does not exist."""

    def make_directories(self, path: str) -> None: ...

    def set_attribute(self, fd: int, name: str, value: bytes) -> None:
        """Set an extended attribute. OSError E2BIG, ENOSPC or ERANGE when it does not fit."""

    def get_attribute(self, fd: int, name: str) -> bytes | None: ...

    def space(self, path: str) -> Space: ...


class RealDisk:
    """The operating system's."""

    def create(self, path: str) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)

    def open(self, path: str) -> int:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def open_direct(self, fd: int) -> int:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)

    def create_temporary(self, directory: str) -> TemporaryFile:
        try:
            fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, _FILE_MODE)
            return TemporaryFile(fd, None)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                raise
        path = os.path.join(directory, os.urandom(16).hex())
        return TemporaryFile(self.create(path), path)

    def name(self, file: TemporaryFile, path: str) -> None:
        if file.path is not None:
            os.rename(file.path, path)
            return
        # any src_dir_fd makes CPython call linkat(AT_SYMLINK_FOLLOW) instead of link; the path is absolute
        os.link(f"/proc/self/fd/{file.fd}", path, src_dir_fd=file.fd, follow_symlinks=True)

    def close(self, fd: int) -> None:
        os.close(fd)

    def size(self, fd: int) -> int:
        return os.fstat(fd).st_size

    def pwritev(self, fd: int, buffers: Sequence[Buffer], offset: int) -> int:
        return os.pwritev(fd, buffers, offset)

    def preadv(self, fd: int, buffers: Sequence[bytearray | memoryview], offset: int) -> int:
        return os.preadv(fd, buffers, offset)

    def preadv_cached(self, fd: int, buffers: Sequence[bytearray | memoryview], offset: int) -> int:
        try:
            return os.preadv(fd, buffers, offset, os.RWF_NOWAIT)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EOPNOTSUPP):
                return -1
            raise

    def will_need(self, fd: int, offset: int, length: int) -> None:
        os.posix_fadvise(fd, offset, length, os.POSIX_FADV_WILLNEED)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def allocate(self, fd: int, size: int) -> None:
        os.posix_fallocate(fd, 0, size)

    def clear(self, fd: int, offset: int, length: int, keep_blocks: bool) -> None:
        mode = _FALLOC_FL_KEEP_SIZE | (_FALLOC_FL_ZERO_RANGE if keep_blocks else _FALLOC_FL_PUNCH_HOLE)
        if _libc.fallocate(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)) == 0:
            return
        code = ctypes.get_errno()
        if code != errno.EOPNOTSUPP:
            raise OSError(code, os.strerror(code))
        write_fully(self, fd, [bytes(length)], offset)

    def clone(self, source_fd: int, fd: int, size: int) -> None:
        try:
            fcntl.ioctl(fd, _FICLONE, source_fd)
            return
        except OSError as error:
            if error.errno not in _CANNOT_SHARE:
                raise
        os.ftruncate(fd, size)
        for offset, length in self.extents(source_fd, size):
            self._copy(source_fd, fd, offset, length)

    def _copy(self, source_fd: int, fd: int, offset: int, length: int) -> None:
        while length > 0:
            count = os.copy_file_range(source_fd, fd, length, offset, offset)
            if count == 0:
                return
            offset, length = offset + count, length - count

    def extents(self, fd: int, size: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        end = 0
        while end < size:
            try:
                begin = os.lseek(fd, end, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                break
            if begin >= size:
                break
            end = min(os.lseek(fd, begin, os.SEEK_HOLE), size)
            found.append((begin, end - begin))
        return found

    def allocated(self, fd: int) -> int:
        return os.fstat(fd).st_blocks * _STAT_BLOCK

    def fdatasync(self, fd: int) -> None:
        os.fdatasync(fd)

    def fsync(self, fd: int) -> None:
        os.fsync(fd)

    def fsync_directory(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def list(self, directory: str) -> list[str]:
        try:
            return sorted(os.listdir(directory))
        except FileNotFoundError:
            return []

    def make_directories(self, path: str) -> None:
        os.makedirs(path, _DIRECTORY_MODE, exist_ok=True)

    def set_attribute(self, fd: int, name: str, value: bytes) -> None:
        xattr.setxattr(fd, name, value)

    def get_attribute(self, fd: int, name: str) -> bytes | None:
        try:
            value: bytes = xattr.getxattr(fd, name)
        except OSError as error:
            if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
                return None
            raise
        return value

    def space(self, path: str) -> Space:
        figures = os.statvfs(path)
        return Space(figures.f_blocks * figures.f_frsize, figures.f_bavail * figures.f_frsize)


def write_fully(disk: Disk, fd: int, buffers: Sequence[Buffer], offset: int) -> int:
    """Write all of `buffers` at `offset`, however short single writes are. Return the offset after them."""
    start = 0
    while start < len(buffers):
        chunk = buffers[start : start + IOV_MAX]
        start += len(chunk)
        wanted = sum(map(len, chunk))
        written = disk.pwritev(fd, chunk, offset)
        offset += written
        if written != wanted:
            rest = memoryview(b"".join(chunk))[written:]  # rare: a nearly full disk, or a signal
            while rest:
                written = disk.pwritev(fd, [rest], offset)
                offset += written
                rest = rest[written:]
    return offset


def read_fully(disk: Disk, fd: int, offset: int, length: int) -> bytearray:
    """Read `length` bytes at `offset`; fewer only at the end of the file."""
    buffer = bytearray(length)
    view = memoryview(buffer)
    filled = 0
    while filled < length:
        count = disk.preadv(fd, [view[filled:]], offset + filled)
        if count == 0:
            view.release()
            del buffer[filled:]
            break
        filled += count
    return buffer


def read_small_file(disk: Disk, path: str) -> bytes | None:
    """Return the content of a small file, or None when there is none."""
    try:
        fd = disk.open(path)
    except FileNotFoundError:
        return None
    try:
        return bytes(read_fully(disk, fd, 0, disk.size(fd)))
    finally:
        disk.close(fd)


def drop_unfinished(disk: Disk, directory: str) -> None:
    """Remove what a crash has left of replacements of small files in a directory."""
    for name in disk.list(directory):
        if name.endswith(_UNFINISHED):
            disk.unlink(os.path.join(directory, name))


def replace_small_file(disk: Disk, path: str, content: bytes) -> None:
    """Make `path` hold `content`, durably; a crash leaves the old content or the new, and so does an OSError."""
    directory = os.path.dirname(path)
    fresh = path + _UNFINISHED
    if os.path.basename(fresh) in disk.list(directory):
        disk.unlink(fresh)
    fd = disk.create(fresh)
    try:
        _fill(disk, fd, content)
    except OSError:
        with suppress(OSError):
            disk.unlink(fresh)
        raise
    disk.rename(fresh, path)
    disk.fsync_directory(directory)


def _fill(disk: Disk, fd: int, content: bytes) -> None:
    """Write a new file, durably, and close it."""
    try:
        write_fully(disk, fd, [content], 0)
        disk.fsync(fd)
    finally:
        disk.close(fd)
