"""Finding the end of a log that is opened, and scanning it; what is damaged is noted and passed over.

A segment that has a successor is complete. Only the last one may end in a torn batch, which is cut off
before anything new is written. A last segment without a whole header was being created: nothing in
it was ever durable.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cluster.telemetry.log import get_logger
from storage.disk import Buffer, Disk, read_fully, write_fully
from storage.log import segment as segments
from storage.log.interface import START, Damage, Position, Record, offset_of, position_of, segment_of
from storage.log.segments import SegmentFiles
from storage.log.walk import Walk, Window

_SEQUENCE_GAP = 1 << 32  # left where a segment is damaged as a whole: no sequence comes twice

log = get_logger("storage.log")


@dataclass(frozen=True, slots=True)
class End:
    """Where a log ends."""

    position: Position
    next_sequence: int


class Recovery:
    """Reads segment files from their beginning. Blocking."""

    def __init__(self, disk: Disk, directory: str, files: SegmentFiles, log_id: bytes) -> None:
        self._disk = disk
        self._directory = directory
        self._files = files
        self._log_id = log_id
        self._damages: dict[Position, Damage] = {}
        self.lost: list[Damage] = []  # of it, stretches that recovery needed: what they held is not known any more

    @property
    def damages(self) -> list[Damage]:
        """What was found so far."""
        return list(self._damages.values())

    def end(self) -> End:
        """Find the end of the log and seal it there."""
        end: Position | None = None
        gap = 0
        sealed = False
        for segment in reversed(list(self._files.ids)):
            header = self._header(segment)
            walk = self._walked(segment, last=not sealed)
            known = header is not None or walk.sequence >= 0
            if not known and walk.limit <= segments.HEADER_SIZE:  # being created when the power went
                self._files.remove(segment)
                self._disk.fsync_directory(self._directory)
                sealed = True
                continue
            if header is None:
                self._report_header(segment)
            if end is None:
                end = position_of(segment, walk.offset if known else walk.limit)
                if known and not sealed:
                    self._cut(segment, walk)
            if known:
                first = header.first_sequence if header is not None else 0
                return End(end, max(walk.sequence + 1, first) + gap)
            gap, sealed = _SEQUENCE_GAP, True
        return End(START if end is None else end, gap)

    def scan(
        self, start: Position, end: Position, kind: int | None, payloads: bool, recovering: bool = False
    ) -> Iterator[Record]:
        """Yield the records of [start, end), in order. May run in any thread, one at a time.

        `recovering`: what is damaged there is lost to whoever makes his state from it.
        """
        for segment in list(self._files.ids):
            if not segment_of(start) <= segment <= segment_of(end):
                continue
            cut_off = self._check_joint(segment)
            if recovering and cut_off is not None and cut_off.end > start:
                self._lose(cut_off)
            offset = max(segments.HEADER_SIZE, offset_of(start) if segment == segment_of(start) else 0)
            with self._opened(segment) as fd:
                limit = offset_of(end) if segment == segment_of(end) else self._disk.size(fd)
                for found in self._walk(fd, segment, offset, limit, payloads=payloads):
                    if isinstance(found, Damage):
                        self._report(found)
                        if recovering:
                            self._lose(found)
                    elif kind is None or found.kind == kind:
                        yield found

    def _walked(self, segment: int, last: bool) -> Walk:
        """Return a walk over a whole segment that has been done."""
        with self._opened(segment) as fd:
            walk = self._walk(fd, segment, segments.HEADER_SIZE, self._disk.size(fd), last=last)
            for found in walk:
                if isinstance(found, Damage):
                    self._report(found)
        return walk

    def _walk(
        self, fd: int, segment: int, offset: int, limit: int, last: bool = False, payloads: bool = False
    ) -> Walk:
        def read_at(at: int, length: int) -> Buffer:
            return read_fully(self._disk, fd, at, length)

        salt = segments.salt_of(self._log_id, segment)
        return Walk(Window(read_at), segment, salt, limit, last, payloads, offset)

    @contextmanager
    def _opened(self, segment: int) -> Iterator[int]:
        """Open a segment by itself: the reader's descriptors belong to the loop's thread."""
        fd = self._disk.open(self._files.path(segment))
        try:
            yield fd
        finally:
            self._disk.close(fd)

    def _size(self, segment: int) -> int:
        with self._opened(segment) as fd:
            return self._disk.size(fd)

    def _header(self, segment: int) -> segments.SegmentHeader | None:
        with self._opened(segment) as fd:
            data = read_fully(self._disk, fd, 0, segments.HEADER_SIZE)
        header = segments.decode_header(data)
        if header is None or header.log_id != self._log_id or header.segment != segment:
            return None
        return header

    def _cut(self, segment: int, walk: Walk) -> None:
        """Remove what is torn, and zeros written ahead, before the next segment names this end; make the rest durable.

        An fdatasync that fails leaves pages that count as clean and are not on the device. A process that begins anew
        finds them in the page cache, and no sync writes them. So the last batch is written once more: what is before
        it was synced before it was written.
        """
        with self._opened(segment) as fd:
            if self._disk.size(fd) != walk.offset:
                self._disk.truncate(fd, walk.offset)
            begin = walk.batch_offset
            if begin < walk.offset:
                write_fully(self._disk, fd, [read_fully(self._disk, fd, begin, walk.offset - begin)], begin)
            self._disk.fsync(fd)

    def _check_joint(self, segment: int) -> Damage | None:
        """Report a damaged segment header, and a segment before this one that is shorter than it was; return that."""
        header = self._header(segment)
        if header is None:
            self._report_header(segment)
            return None
        before = segment_of(header.previous_end)
        if before not in self._files.ids:
            return None
        end = position_of(before, self._size(before))
        if end >= header.previous_end:
            return None
        damage = Damage(end, header.previous_end, "cut off")
        self._report(damage)
        return damage

    def _report_header(self, segment: int) -> None:
        begin = position_of(segment, 0)
        self._report(Damage(begin, position_of(segment, segments.HEADER_SIZE), "segment header"))

    def header_is_whole(self, segment: int) -> bool:
        """Tell whether a segment says of itself what it should."""
        return self._header(segment) is not None

    def mend_header(self, segment: int, first_sequence: int) -> None:
        """Write the header of a sealed segment anew, durably: all of it follows from what is around it."""
        before = [other for other in self._files.ids if other < segment]
        previous_end = position_of(before[-1], self._size(before[-1])) if before else START
        header = segments.SegmentHeader(self._log_id, segment, previous_end, first_sequence)
        with self._opened(segment) as fd:
            write_fully(self._disk, fd, [segments.encode_header(header)], 0)
            self._disk.fsync(fd)

    def forget(self, segment: int) -> None:
        """Forget the damage in a segment that was dropped."""
        self._damages = {at: damage for at, damage in self._damages.items() if segment_of(at) != segment}

    def _lose(self, damage: Damage) -> None:
        if damage not in self.lost:
            self.lost.append(damage)

    def _report(self, damage: Damage) -> None:
        if damage.position not in self._damages:
            self._damages[damage.position] = damage
            log.error("log_damaged", directory=self._directory, at=damage.position, reason=damage.reason)
