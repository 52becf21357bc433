"""Room for the file that LMDB maps, set aside before anything is written to the map.

A page of a mapped file that has no blocks yet gets them when it is written. When the file system has none left, that
write ends in a signal (SIGBUS) instead of an error, and the process with it. So the map never reaches beyond what has
blocks. (On a file system that writes elsewhere each time, as btrfs does, blocks set aside promise less: there the
device's limit, `refuse_full_ratio`, is what keeps the last blocks free.)
"""

import errno
import os

_FILE = "data.mdb"  # LMDB's name for it
_LARGEST_STEP = 256 << 20  # bytes: so much at most lies idle


class NoRoom(Exception):
    """The file system has no room for a larger map. What is in the tables stays; nothing can be added."""


def grown(size: int) -> int:
    """Return the next size of a map that is full."""
    return size + min(size, _LARGEST_STEP)


def reserve(directory: str, size: int = 0) -> None:
    """Give blocks to the first `size` bytes, and to all that the file has by now. NoRoom, OSError."""
    fd = os.open(os.path.join(directory, _FILE), os.O_RDWR | os.O_CLOEXEC)
    try:
        os.posix_fallocate(fd, 0, max(size, os.fstat(fd).st_size))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NoRoom(f"{directory}: {error.strerror}") from error
    finally:
        os.close(fd)
