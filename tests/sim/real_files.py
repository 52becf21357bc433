"""The files that LMDB and SQLite keep by themselves, below a device's directory, and what a crash makes of them.

They are real, in memory (/dev/shm), because both map or lock files on their own. A killed process leaves them as they
are: copies take their place, since what the dead process has open would be locked for its successor in this very
process. When the power goes, the LMDB tables are garbage (they are not synced, and are made again from the log), and of
each SQLite database the write-ahead log is lost, whole or from somewhere on: with an exclusive lock all that is
not checkpointed lies there. A database that was never checkpointed is nothing, or rubbish.
"""

import os
import random
import shutil
from pathlib import Path

_WHOLE = 4096  # bytes: a SQLite file that is no larger was never checkpointed


class RealFiles:
    """Of one device."""

    def __init__(self, directory: Path, graveyard: Path, chance: random.Random) -> None:
        self._directory = directory
        self._graveyard = graveyard
        self._chance = chance
        self._deaths = 0

    def __repr__(self) -> str:
        return f"RealFiles({self._directory})"

    def process_died(self, power_lost: bool) -> None:
        """Become what the next process finds."""
        if not self._directory.exists():
            return
        self._deaths += 1
        grave = self._graveyard / f"{'-'.join(self._directory.parts[-3:])}-{self._deaths}"
        grave.parent.mkdir(parents=True, exist_ok=True)
        os.rename(self._directory, grave)
        _copy(grave, self._directory, without_tables=power_lost)
        if power_lost:
            for path in sorted(self._directory.rglob("*")):
                if path.is_file():
                    self._lose(path)

    def wipe(self) -> None:
        """Be a new disk."""
        self.process_died(False)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _lose(self, path: Path) -> None:
        chance = self._chance
        if path.name.endswith("-wal"):
            if chance.random() < 0.5:
                path.unlink()
            else:
                os.truncate(path, chance.randint(0, path.stat().st_size))
        elif path.parent.name == "tables":
            path.write_bytes(chance.randbytes(chance.choice([0, 100, 9000])))
        elif path.suffix == ".db" and path.stat().st_size <= _WHOLE and chance.random() < 0.5:
            if path.name == "catalog.db":  # SQLite syncs the head of a new file; its name may be lost
                path.unlink()
            else:  # `schema.create` does not
                path.write_bytes(chance.randbytes(chance.randint(0, 5000)))


def _copy(source: Path, target: Path, without_tables: bool) -> None:
    """Copy a directory; of LMDB's files the names alone, if so wanted."""
    target.mkdir()
    for entry in os.scandir(source):
        path = target / entry.name
        if entry.is_dir():
            _copy(Path(entry.path), path, without_tables)
        elif without_tables and source.name == "tables":
            path.touch()
        else:
            _copy_file(entry.path, path)


def _copy_file(source: str, target: Path) -> None:
    """Copy what is in a file; LMDB's is reserved space for the most part, which becomes a hole."""
    with open(source, "rb", 0) as reading, open(target, "wb", 0) as writing:
        size, at = os.fstat(reading.fileno()).st_size, 0
        writing.truncate(size)
        while at < size:
            try:
                at = os.lseek(reading.fileno(), at, os.SEEK_DATA)
            except OSError:  # ENXIO: the rest is a hole
                return
            end = os.lseek(reading.fileno(), at, os.SEEK_HOLE)
            os.pwrite(writing.fileno(), os.pread(reading.fileno(), end - at, at), at)
            at = end
