"""Whether the index that was found is worth anything, and making one that is.

A file beside the index says how it was left: `clean` after a stop that synced it, `running` and the
id of the boot otherwise. LMDB's transactions reach the page cache whole, so what a killed process leaves is consistent
as long as the machine has not been restarted since; then the log is replayed from the index's
position. After a power cut any page may be old or new: the index is thrown away and made from the log. So it is after a
failure of the disk, when the file system may have been mounted again within the same boot: the state file is removed
(storage.health.guard).

At every moment: when the file says anything that we believe, the index is consistent and holds all that the log had
up to its position. So it says `opening`, which we do not believe, from before an index is touched until the log
has been replayed; `clean` is written after it was synced.

Durable records that the log does not give back any more are *lost*: damaged where it had to be replayed, or behind the
end that it has now. Why is written beside the index before the index passes over them, so that a start that dies
tells the next; it stays until somebody else remembers it (`loss_is_known`).
"""

import os

import lmdb

from cluster.telemetry.log import get_logger
from storage.blobs.index import BlobIndex, replay
from storage.blobs.mapping import NoRoom
from storage.blobs.tables import Origin
from storage.disk import Disk, read_small_file, replace_small_file
from storage.log.interface import START, Kind, Log

_BOOT_ID_PATH = "/proc/sys/kernel/random/boot_id"
_CLEAN = b"clean\n"
_OPENING = b"opening\n"
_STATE_FILE = "state"
_LOST_FILE = "lost"
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
        self._lost_file = os.path.join(directory, _LOST_FILE)
        self.rebuilt = False
        self._distrusted = False
        self.lost = ""  # why records that were durable are not known any more

    def open(self, source: Log) -> BlobIndex:
        """Return an index of all that is durable in `source`."""
        self._disk.make_directories(self._directory)
        index = self._trusted(source)
        if index is None:
            self.rebuilt = source.end != START
            self._remove()
        replace_small_file(self._disk, self._state, _OPENING)
        if index is None:
            self._disk.make_directories(self._tables)
            index = BlobIndex(self._tables, lambda: [info.id for info in source.segments()])
        index.begin(self._origin)
        if self.rebuilt:
            log.warning("index_rebuild", directory=self._directory)
        replay(index, source.scan(index.position, Kind.BLOB))
        index.apply((), source.end)
        self._remember_lost(source)
        index.merge()
        replace_small_file(self._disk, self._state, self._running)
        return index

    def note_loss(self, reason: str) -> None:
        """Write down that something is not there that was durable."""
        self.lost = self.lost or reason
        log.error("synced_data_lost", directory=self._directory, reason=reason)
        replace_small_file(self._disk, self._lost_file, self.lost.encode())

    def loss_is_known(self) -> None:
        """Forget what was lost: it is written down elsewhere."""
        self.lost = ""
        if _LOST_FILE in self._disk.list(self._directory):
            self._disk.unlink(self._lost_file)

    def distrust(self) -> None:
        """Have the index made anew by the next start."""
        self._distrusted = True
        replace_small_file(self._disk, self._state, _OPENING)

    def close(self, index: BlobIndex, source: Log) -> None:
        """Sync and close an index that has all of `source`, and say so."""
        try:
            index.finish(source.end)
        except NoRoom:  # what is missing in it is replayed from the log
            index.close()
            return
        index.close()
        if not self._distrusted:
            replace_small_file(self._disk, self._state, _CLEAN)

    def _trusted(self, source: Log) -> BlobIndex | None:
        if read_small_file(self._disk, self._state) not in (_CLEAN, self._running):
            return None
        try:
            index = BlobIndex(self._tables, lambda: [info.id for info in source.segments()])
        except lmdb.Error as error:
            log.error("index_unreadable", directory=self._directory, error=error)
            return None
        if index.is_of(self._origin) and index.position <= source.end:
            return index
        log.warning("index_foreign", directory=self._directory, at=index.position, log_end=source.end)
        if index.is_of(self._origin):
            self.lost = "its log ends before what was durable"
            replace_small_file(self._disk, self._lost_file, self.lost.encode())
        index.close()
        return None

    def _remember_lost(self, source: Log) -> None:
        """Write down what the log does not give back; or read what a start before this one wrote."""
        before = read_small_file(self._disk, self._lost_file)
        if source.lost:
            first = source.lost[0]
            where = f"the first at {first.position:#x} ({first.reason})"
            self.lost = f"{len(source.lost)} stretches of its log are damaged, {where}"
        if self.lost:
            log.error("synced_data_lost", directory=self._directory, reason=self.lost)
            replace_small_file(self._disk, self._lost_file, self.lost.encode())
        elif before is not None:
            self.lost = before.decode(errors="replace")

    def _remove(self) -> None:
        for name in self._disk.list(self._tables):
            self._disk.unlink(os.path.join(self._tables, name))
