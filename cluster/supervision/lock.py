"""The lock that makes a supervisor the only one of its data directory. The kernel drops it with its holder."""

import fcntl
import os
import time
from pathlib import Path

# others look at the lock by taking it shared, for an instant
_ATTEMPTS = 10
_PAUSE_S = 0.02


class Held(Exception):
    """Another process has the lock; `pid` is None when it has not yet said who it is."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(f"held by process {pid}" if pid else "held")
        self.pid = pid


def acquire(path: Path) -> int:
    """Take the lock and return its descriptor: whoever has that, or inherits it, holds the lock. Raise Held."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempts_left:
                time.sleep(_PAUSE_S)
        else:
            sign(descriptor)
            return descriptor
    os.close(descriptor)
    raise Held(holder(path))


def sign(descriptor: int) -> None:
    """Note this process as the holder."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def is_held(path: Path) -> bool:
    """Tell whether anybody has the lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def holder(path: Path) -> int | None:
    """Return the process that last took the lock, if it said so."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
