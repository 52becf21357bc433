"""What a segment holds: its records in order, its damage, and where it ends.

A sealed segment was durable to its last byte, so whatever does not match there is damage. In the last
segment of a crashed log the end may also be torn: a batch that was being written when the power went.
The two are told apart by the records behind: each names where its batch began, and a batch is
written only after everything before it was durable. So bytes that fail are

- damage, when a valid record behind them belongs to a batch that began behind them;
- the torn tail otherwise. Nothing from there on counts, even if single records behind it are whole:
  nothing behind a gap comes back.

Sequences have no gaps within a segment, and a batch does not begin behind its records. So a record of this very
segment that was written to the wrong place (a misdirected write, a stale sector) does not pass there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from storage.disk import Buffer
from storage.log import record as records
from storage.log.interface import Damage, Position, Record, position_of
from storage.log.segment import HEADER_SIZE as SEGMENT_HEADER_SIZE

ReadAt = Callable[[int, int], Buffer]  # (offset, length) -> bytes, fewer at the end of the file
_WINDOW_SIZE = 1 << 20


class Window:
    """Reads a file forwards in large pieces; `view` gives any range of it."""

    def __init__(self, read: ReadAt, window_size: int = _WINDOW_SIZE) -> None:
        self._read = read
        self._size = window_size
        self._start = 0
        self._data = memoryview(b"")

    def view(self, offset: int, length: int) -> memoryview:
        """Return bytes [offset, offset + length), fewer at the end of the file."""
        begin = offset - self._start
        if begin < 0 or begin + length > len(self._data):
            self._data = memoryview(self._read(offset, max(length, self._size)))
            self._start, begin = offset, 0
        return self._data[begin : begin + length]


@dataclass(slots=True)
class Walk:
    """One pass over the records of a segment, of which [offset, limit) is looked at."""

    window: Window
    segment: int
    salt: int
    limit: int
    last: bool = False  # the segment that was written when the log stopped: its end may be torn
    payloads: bool = False  # verify and return payloads
    offset: int = SEGMENT_HEADER_SIZE  # after the walk: where the records end
    sequence: int = -1  # of the last valid record; -1: none yet
    batch_offset: int = SEGMENT_HEADER_SIZE  # where the batch of the last valid record begins
    _unknown: int = 0  # sequences that may lie in the damage before `offset`

    def __iter__(self) -> Iterator[Record | Damage]:
        """Yield what is found, in order."""
        while self.offset < self.limit:
            found = self._record_at(self.offset)
            if isinstance(found, Record):
                self.sequence = found.sequence
                self._unknown = 0
                self.offset += records.size_of(len(found.metadata), found.payload_length)
                yield found
                continue
            resumed = self._next_record_after(self.offset)
            if resumed is None and self.last:
                return
            damaged_to = self.limit if resumed is None else resumed
            yield Damage(self._position(self.offset), self._position(damaged_to), found)
            self._unknown = self._sequences_in(damaged_to)
            self.offset = damaged_to

    def _sequences_in(self, end: int) -> int:
        """Return how many records there can be from `offset` to `end`, beside those that may be there already."""
        return self._unknown + (end - self.offset) // records.HEADER_SIZE

    def _position(self, offset: int) -> Position:
        return position_of(self.segment, offset)

    def _head_at(self, offset: int) -> tuple[records.Header, memoryview] | str:
        """Return the verified header and the bytes of header and metadata, or what is wrong with them."""
        fixed = self.window.view(offset, records.HEADER_SIZE)
        if len(fixed) < records.HEADER_SIZE:
            return "cut off"
        header = records.decode_header(fixed)
        if header is None:
            return "no record header"
        head = self.window.view(offset, records.HEADER_SIZE + header.metadata_length)
        if not records.head_matches(header, head, self.salt):
            return "header checksum"
        if offset + records.size_of(header.metadata_length, header.payload_length) > self.limit:
            return "cut off"
        return header, head

    def _record_at(self, offset: int) -> Record | str:
        """Return the record at `offset`, or what is wrong with it."""
        found = self._head_at(offset)
        if isinstance(found, str):
            return found
        header, head = found
        if not self._fits(header, offset, self._unknown):
            return "a record of another place"
        payload: Buffer = b""
        metadata = bytes(head[records.HEADER_SIZE :])
        if header.payload_length and (self.last or self.payloads):
            view = self.window.view(offset + len(head), header.payload_length)
            if not records.payload_matches(header, view):
                return "payload checksum"
            payload = view if self.payloads else b""
        self.batch_offset = header.batch_offset
        end = offset + records.size_of(header.metadata_length, header.payload_length)
        return Record(
            self._position(offset),
            self._position(end),
            header.kind,
            header.flags,
            header.sequence,
            metadata,
            payload,
            header.payload_length,
        )

    def _fits(self, header: records.Header, offset: int, unknown: int) -> bool:
        """Tell whether a record may be the next at `offset`, with up to `unknown` sequences damaged before it."""
        if header.batch_offset > offset:
            return False
        return self.sequence < 0 or self.sequence < header.sequence <= self.sequence + 1 + unknown

    def _next_record_after(self, offset: int) -> int | None:
        """Return where the next record begins that shows the bytes at `offset` to be damaged, not torn."""
        damaged = offset
        step = _WINDOW_SIZE
        start = offset + records.ALIGNMENT
        while start < self.limit:
            overlap = records.MAGIC_OFFSET + len(records.MAGIC_BYTES)
            data = bytes(self.window.view(start, min(step + overlap, self.limit - start)))
            found = data.find(records.MAGIC_BYTES, records.MAGIC_OFFSET)
            while 0 <= found < step + records.MAGIC_OFFSET:
                candidate = start + found - records.MAGIC_OFFSET
                if candidate % records.ALIGNMENT == 0 and self._proves(candidate, damaged):
                    return candidate
                found = data.find(records.MAGIC_BYTES, found + 1)
            start += step
        return None

    def _proves(self, candidate: int, damaged: int) -> bool:
        """Tell whether a record begins here that was written when the damaged bytes were durable.

        What costs nothing is asked first: objects hold what clients like, and a checksum may take megabytes.
        """
        fixed = self.window.view(candidate, records.HEADER_SIZE)
        header = records.decode_header(fixed) if len(fixed) == records.HEADER_SIZE else None
        if header is None or not self._fits(header, candidate, self._sequences_in(candidate)):
            return False
        if self.last and header.batch_offset <= damaged:
            return False
        return not isinstance(self._head_at(candidate), str)
