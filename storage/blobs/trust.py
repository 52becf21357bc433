"""Whether the index that was found is worth anything, and making one that is.

A file beside the index says how it was left: `clean` after a stop that synced it, `running` and the
id of the boot otherwise. LMDB's transactions reach the page cache whole, so what a killed process leaves is consistent
as long as the machine has not been restarted since; then the log is replayed from the index's
position. After a power cut any page may be old or new: the index is thrown away and made from the log.

At every moment: when the file says anything that we believe, the index is consistent. So it is
removed before `running` is written, and `clean` is written after it was synced.
"""

import os

import lmdb

from cluster.telemetry.log import get_logger
from storage.blobs.index import BlobIndex, replay
from storage.blobs.tables import Origin
from storage.disk import Disk, read_small_file, replace_small_file
from storage.log.interface import START, Kind, Log

_BOOT_ID_PATH = "/proc/sys/kernel/random/boot_id"
_CLEAN = b"clean\n"
_STATE_FILE = "state"
_TABLES = "tables"

log = get_logger("storage.blobs")


def current_boot_id() -> str:
    """Return what changes whenever the machine starts."""
    with open(_BOOT_ID_PATH, encoding="ascii") as file:
        return file.read().strip()


class IndexKeeper:
    """Opens and closes the index in `directory`."""

    def __init__(self, disk: Disk, directory: str, origin: Origin, boot_id: str) -> None:
        self._disk = disk
        self._directory = directory
        self._tables = os.path.join(directory, _TABLES)
        self._state = os.path.join(directory, _STATE_FILE)
        self._origin = origin
        self._running = f"running {boot_id}\n".encode()
        self.rebuilt = False

    def open(self, source: Log) -> BlobIndex:
        """Return an index of all that is durable in `source`."""
        self._disk.make_directories(self._directory)
        index = self._trusted(source)
        if index is None:
            self.rebuilt = source.end != START
            self._remove()
        replace_small_file(self._disk, self._state, self._running)
        if index is None:
            self._disk.make_directories(self._tables)
            index = BlobIndex(self._tables)
        index.begin(self._origin)
        if self.rebuilt:
            log.warning("index_rebuild", directory=self._directory)
        replay(index, source.scan(index.position, Kind.BLOB))
        index.apply((), source.end)
        index.merge()
        return index

    def close(self, index: BlobIndex, source: Log) -> None:
        """Sync and close an index that has all of `source`, and say so."""
        index.finish(source.end)
        index.close()
        replace_small_file(self._disk, self._state, _CLEAN)

    def _trusted(self, source: Log) -> BlobIndex | None:
        if read_small_file(self._disk, self._state) not in (_CLEAN, self._running):
            return None
        try:
            index = BlobIndex(self._tables)
        except lmdb.Error as error:
            log.error("index_unreadable", directory=self._directory, error=error)
            return None
        if index.is_of(self._origin) and index.position <= source.end:
            return index
        log.warning("index_foreign", directory=self._directory, at=index.position, log_end=source.end)
        index.close()
        return None

    def _remove(self) -> None:
        for name in self._disk.list(self._tables):
            self._disk.unlink(os.path.join(self._tables, name))
