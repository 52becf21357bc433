"""Reads a segment anew, whole and from the device, to see whether it is what was written.

The page cache may hold good bytes over a bad sector, or the other way round; what counts for tomorrow is the
device's. All calls block, and belong in a thread; nothing here is shared with another one.
"""

from collections.abc import Iterator

from storage.direct import DirectFile
from storage.disk import Disk
from storage.log import segment as segments
from storage.log.interface import Damage, Record
from storage.log.walk import Walk, Window


class Inspection:
    """One pass over one segment, up to where it was durable when that began."""

    def __init__(
        self, disk: Disk, path: str, segment: int, log_id: bytes, limit: int | None, sealed: bool
    ) -> None:
        """Open the segment. OSError. `limit`: where it ends, when that is not the end of the file."""
        self._file = DirectFile(disk, path)
        self.segment = segment
        self.sealed = sealed
        try:
            self.size = self._file.size() if limit is None else limit
            header = segments.decode_header(self._file.read(0, segments.HEADER_SIZE))
        except OSError:
            self.close()
            raise
        self.header_is_whole = header is not None and (header.log_id, header.segment) == (log_id, segment)
        self.first_sequence: int | None = None  # of its first record, once that was read
        salt = segments.salt_of(log_id, segment)
        self._walk = Walk(Window(self._file.read), segment, salt, self.size, payloads=True)
        self._found: Iterator[Record | Damage] = iter(self._walk)
        self.done = False

    @property
    def offset(self) -> int:
        """Bytes that were read, from the beginning."""
        return min(self._walk.offset, self.size)

    def read(self, size: int) -> list[Record | Damage]:
        """Read about `size` bytes on; return what is there: records, without their payload, that is verified."""
        found: list[Record | Damage] = []
        end = self._walk.offset + size
        while self._walk.offset < end:
            item = next(self._found, None)
            if item is None:
                self.done = True
                break
            if isinstance(item, Record):
                if self.first_sequence is None:
                    self.first_sequence = item.sequence
                item = item._replace(payload=b"")
            found.append(item)
        return found

    def close(self) -> None:
        """Close the segment."""
        self._file.close()
