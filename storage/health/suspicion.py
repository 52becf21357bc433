"""That a device's disk failed, remembered beside the device: its own directory cannot be asked.

After a failed sync the kernel may show in memory what is not on the disk, and call it clean. So the next process first
drops from memory what was written last (`forget_cached`), and reads it from the disk: what is not there was never
acknowledged, because its sync failed. A restart of the machine does the same by itself, so DIR/run is good enough.
And the index of objects, which is never synced, is made anew, as after a power cut: of a file system that the kernel
gave up, and that was mounted again since, any page may be old or new (`lost_writes`).

Failures in a row make the pauses before the next try longer: a disk that fails again and again is no help to anybody.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from storage.disk import RealDisk, replace_small_file
from storage.log.segment import SUFFIX

FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 60.0
FORGIVEN_AFTER_S = 600.0
_TAIL_SEGMENTS = 2  # the last one, and one that a failing process began behind it


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What is known of a disk's failures."""

    failures: int = 0  # in a row
    at_s: float = 0.0  # wall clock, of the last one
    pending: bool = False  # nobody has recovered the device since
    lost_writes: bool = False  # and what was written, and never synced, may be on the disk in parts, whatever the boot

    def after_failure(self, now_s: float, lost_writes: bool = True) -> "Suspicion":
        """Return it after one more failure. A file system that is full loses nothing that was written."""
        in_row = 0 <= now_s - self.at_s < FORGIVEN_AFTER_S
        lost_before = self.pending and self.lost_writes
        return Suspicion(self.failures + 1 if in_row else 1, now_s, True, lost_writes or lost_before)

    def after_recovery(self) -> "Suspicion":
        """Return it once the device serves again."""
        return Suspicion(self.failures, self.at_s, False)

    @property
    def pause_s(self) -> float:
        """How long to wait before the device is tried again."""
        return min(FIRST_PAUSE_S * 2.0 ** max(0, min(self.failures, 16) - 1), LONGEST_PAUSE_S)


def read(path: Path) -> Suspicion:
    """Return what the file says; without one, or with a damaged one, there is no suspicion."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        pending = bool(fields["pending"])
        lost_writes = bool(fields.get("lost_writes", pending))
        return Suspicion(int(fields["failures"]), float(fields["at_s"]), pending, lost_writes)
    except (OSError, ValueError, KeyError, TypeError):
        return Suspicion()


def write(path: Path, suspicion: Suspicion) -> None:
    """Store it."""
    replace_small_file(RealDisk(), os.fspath(path), json.dumps(asdict(suspicion)).encode())


def forget_cached(directory: Path) -> None:
    """Sync what was written last, and drop it from memory. OSError. Blocking."""
    for path in _written_last(directory):
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fsync(fd)  # dirty pages cannot be dropped, and may well be good
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


def _written_last(directory: Path) -> Iterator[Path]:
    """Yield the end of the log, and the databases: their checkpoints may have failed half way."""
    segments = sorted((directory / "log").glob(f"*{SUFFIX}"))
    yield from segments[-_TAIL_SEGMENTS:]
    yield from (path for path in (directory / "indexes").rglob("*") if path.is_file())
