"""The file `membership` in a device's directory: what the device knows of itself. Blocking."""

import os

from storage.disk import Disk, read_small_file, replace_small_file
from storage.membership import record
from storage.membership.record import Local, Unreadable

FILE = "membership"


class LocalFile:
    """Of one device. A crash leaves the old content or the new."""

    def __init__(self, disk: Disk, directory: str) -> None:
        self._disk = disk
        self._path = os.path.join(directory, FILE)

    def read(self) -> Local | None:
        """Return what is there; a file that is missing says nothing yet, None: damaged."""
        data = read_small_file(self._disk, self._path)
        if data is None:
            return Local()
        try:
            return record.decode_local(data)
        except Unreadable:
            return None

    def write(self, local: Local) -> None:
        """Write durably. OSError."""
        replace_small_file(self._disk, self._path, record.encode(local))
