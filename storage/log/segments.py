"""The segment files of one log, open for reading. Shared by the loop's thread and the writer's.

A file descriptor that a thread reads from is not closed under it: `lease` counts the readers, and a
dropped segment's file is closed by the last of them. Only the loop's thread calls anything but `add`.
"""

import contextlib
import os
from collections import OrderedDict

from storage.disk import Disk
from storage.log.interface import SegmentInfo
from storage.log.segment import file_name, segment_of_name

_OPEN_LIMIT = 512  # files; a device of 1 TB has 4 000 segments of 256 MiB


class OpenSegment:
    """An open segment file."""

    __slots__ = ("fd", "id", "readers", "retired")

    def __init__(self, segment: int, fd: int) -> None:
        self.id = segment
        self.fd = fd
        self.readers = 0  # threads that use `fd` now
        self.retired = False  # to be closed when `readers` is 0


class SegmentFiles:
    """Which segments there are, and a bounded number of them open."""

    def __init__(self, disk: Disk, directory: str, open_limit: int = _OPEN_LIMIT) -> None:
        self._disk = disk
        self._directory = directory
        self._open_limit = open_limit
        self._open: OrderedDict[int, OpenSegment] = OrderedDict()
        self._sealed_sizes: dict[int, int] = {}  # bytes; looked at once: there are more segments than open files
        names = map(segment_of_name, disk.list(directory))
        self.ids = sorted(segment for segment in names if segment is not None)

    def path(self, segment: int) -> str:
        """Return where the file of `segment` is."""
        return os.path.join(self._directory, file_name(segment))

    def get(self, segment: int) -> OpenSegment:
        """Return `segment`, open. Raise FileNotFoundError when there is no such segment."""
        found = self._open.get(segment)
        if found is None:
            found = OpenSegment(segment, self._disk.open(self.path(segment)))
            self._open[segment] = found
            self._close_some()
        return found

    def lease(self, segment: int) -> OpenSegment:
        """Return `segment` for a thread to read from; `give_back` it."""
        found = self.get(segment)
        found.readers += 1
        return found

    def give_back(self, segment: OpenSegment) -> None:
        """End a lease."""
        segment.readers -= 1
        if segment.retired and segment.readers == 0:
            self._disk.close(segment.fd)

    def add(self, segment: int) -> None:
        """Take note of a new segment. The writer's thread calls this before any record of it is durable."""
        self.ids.append(segment)

    def remove(self, segment: int) -> None:
        """Delete the file of `segment`."""
        with contextlib.suppress(FileNotFoundError):
            self._disk.unlink(self.path(segment))
        self.ids.remove(segment)
        self._sealed_sizes.pop(segment, None)
        found = self._open.pop(segment, None)
        if found is not None:
            self._retire(found)

    def infos(self, active: int | None) -> list[SegmentInfo]:
        """Describe all segments, oldest first."""
        return [SegmentInfo(segment, self._size(segment, active), segment != active) for segment in list(self.ids)]

    def _size(self, segment: int, active: int | None) -> int:
        known = self._sealed_sizes.get(segment)
        if known is not None:
            return known
        try:
            size = self._disk.size(self.get(segment).fd)
        except OSError:  # somebody has taken it away: what was in it is found missing when it is read
            return 0
        if segment != active:
            self._sealed_sizes[segment] = size
        return size

    def close(self) -> None:
        """Close every file that no thread uses; the others as soon as they are given back."""
        while self._open:
            self._retire(self._open.popitem()[1])

    def _close_some(self) -> None:
        while len(self._open) > self._open_limit:
            self._retire(self._open.popitem(last=False)[1])

    def _retire(self, segment: OpenSegment) -> None:
        segment.retired = True
        if segment.readers == 0:
            self._disk.close(segment.fd)
