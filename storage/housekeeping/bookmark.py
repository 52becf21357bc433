"""Where a long walk goes on after a restart: a small file of a device. What it says is the task's own."""

import os

from cluster.threads import Waiters
from storage.disk import Disk, read_small_file, replace_small_file


class FileBookmark:
    """One file."""

    def __init__(self, disk: Disk, directory: str, name: str, waiters: Waiters) -> None:
        self._disk = disk
        self._path = os.path.join(directory, name)
        self._waiters = waiters

    def load(self) -> bytes | None:
        """Return what was saved last. Blocking."""
        return read_small_file(self._disk, self._path)

    async def save(self, position: bytes) -> None:
        """Keep it; losing it costs a repetition."""
        await self._waiters.run(replace_small_file, self._disk, self._path, position)
