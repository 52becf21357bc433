"""Databases that were found damaged: set aside, and made anew from peers. Blocking; the database thread's.

A damaged file is renamed out of the way, and that is durable before anything is done about it. From then until enough
peers have been pulled, the database is *incomplete*: it takes in what peers have, and answers nobody, for it does not
know what it once acknowledged. The file set aside says so through restarts; it goes when the new one is durable.
"""

import contextlib
import os
from pathlib import Path

from cluster.telemetry.log import get_logger
from storage.messages import KEY_SIZE

_DIRECTORY = "damaged"
_SUFFIX = ".db"

log = get_logger("storage.indexes")


class Aside:
    """What was set aside on one device."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / _DIRECTORY
        self.waiting: dict[bytes, int] = {}  # key -> kind (0: not known) of databases to be made anew
        self.found_count = self.healed_count = 0

    def open(self) -> None:
        """Read what was set aside before."""
        if self._directory.is_dir():
            for path in self._directory.iterdir():
                name, _, kind = path.name.removesuffix(_SUFFIX).partition("-")
                with contextlib.suppress(ValueError):
                    key = bytes.fromhex(name)
                    if len(key) == KEY_SIZE:
                        self.waiting[key] = int(kind)

    def put(self, key: bytes, kind: int, path: Path, reason: str) -> None:
        """Set the closed file of a database aside. It may be gone."""
        log.error("index_damaged", key=key, kind=kind, reason=reason)
        self._directory.mkdir(exist_ok=True)
        target = self._place(key, kind)
        if path.exists():
            os.replace(path, target)
        else:
            target.touch()
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        for directory in (self._directory, self._directory.parent, path.parent):
            if directory.exists():
                _sync(directory)
        self.found_count += key not in self.waiting
        self.waiting[key] = kind

    def suspect(self, key: bytes) -> None:
        """Have a database made anew whose file stays where it is, because nobody vouches for it."""
        self._directory.mkdir(exist_ok=True)
        self._place(key, 0).touch()
        _sync(self._directory)
        self.found_count += key not in self.waiting
        self.waiting.setdefault(key, 0)

    def know(self, key: bytes, kind: int) -> None:
        """Take note of the kind of a database that waits."""
        if self.waiting[key] == 0:
            self._place(key, 0).rename(self._place(key, kind))
            self.waiting[key] = kind

    def remove(self, key: bytes) -> None:
        """Forget a damaged database: another one is in its place, durably."""
        kind = self.waiting.pop(key)
        self._place(key, kind).unlink(missing_ok=True)
        self.healed_count += 1
        log.warning("index_made_anew", key=key, kind=kind)

    def _place(self, key: bytes, kind: int) -> Path:
        return self._directory / f"{key.hex()}-{kind}{_SUFFIX}"


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
