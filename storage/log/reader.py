"""Reads single records: at once from the page cache, else in a thread. Nothing unverified is returned."""

import asyncio
from collections.abc import Callable

from cluster.threads import Waiters
from storage.disk import Disk, read_fully
from storage.log import record as records
from storage.log.checksum import crc32c
from storage.log.interface import LogBusy, Position, Record, RecordDamaged, offset_of, segment_of
from storage.log.segment import salt_of
from storage.log.segments import OpenSegment, SegmentFiles

Parse = Callable[[Position, bytearray], Record]


class RecordReader:
    """The reading end of a log."""

    def __init__(self, disk: Disk, files: SegmentFiles, waiters: Waiters, log_id: bytes) -> None:
        self._disk = disk
        self._files = files
        self._waiters = waiters
        self._log_id = log_id
        self._salts: dict[int, int] = {}

    def read(self, position: Position, length: int) -> "Record | asyncio.Future[Record]":
        """Return the record at `position`, which takes `length` bytes. RecordDamaged, LogBusy."""
        return self._read(position, length, self._parse)

    def read_head(self, position: Position, length: int) -> "Record | asyncio.Future[Record]":
        """Return it without payload; header and metadata take `length` bytes."""
        return self._read(position, length, self._parse_head)

    def forget(self, segment: int) -> None:
        """Forget what is known of a segment that was dropped."""
        self._salts.pop(segment, None)

    def _read(self, position: Position, length: int, parse: Parse) -> "Record | asyncio.Future[Record]":
        buffer = bytearray(length)
        try:
            segment = self._files.get(position >> 32)
            cached = self._disk.preadv_cached(segment.fd, (buffer,), offset_of(position))
        except OSError as error:
            raise RecordDamaged(position, f"read: {error}") from error
        if cached == length:
            return parse(position, buffer)
        lease = self._files.lease(segment.id)
        try:
            future = self._waiters.run(self._read_waiting, lease, position, length, parse)
        except OverflowError as error:
            self._files.give_back(lease)
            raise LogBusy(str(error)) from None
        future.add_done_callback(lambda _future: self._files.give_back(lease))
        return asyncio.shield(future)  # a caller that gives up must not end the lease under the thread

    def _read_waiting(self, segment: OpenSegment, position: Position, length: int, parse: Parse) -> Record:
        """Read in a thread."""
        try:
            buffer = read_fully(self._disk, segment.fd, offset_of(position), length)
        except OSError as error:
            raise RecordDamaged(position, f"read: {error}") from error
        return parse(position, buffer)

    def _parse(self, position: Position, buffer: bytearray) -> Record:
        """Verify a record and take it apart. Straight-line code: every GET of a small object runs it."""
        view = memoryview(buffer)
        if len(view) < records.HEADER_SIZE:
            raise RecordDamaged(position, "cut off")
        checksum, magic, kind, flags, _, metadata_length, payload_length, _, payload_crc, _, sequence = (
            records.decode_fields(view)
        )
        metadata_end = records.HEADER_SIZE + metadata_length
        salt = self._salts.get(position >> 32) or self._salt(segment_of(position))
        if magic != records.MAGIC or crc32c(view[records.COVERED_OFFSET : metadata_end], salt) != checksum:
            raise RecordDamaged(position, "header checksum")
        payload = view[metadata_end : metadata_end + payload_length]
        if payload_length and (len(payload) != payload_length or crc32c(payload) != payload_crc):
            raise RecordDamaged(position, "payload checksum")
        return Record(
            position,
            Position(position + records.size_of(metadata_length, payload_length)),
            kind,
            flags,
            sequence,
            bytes(view[records.HEADER_SIZE : metadata_end]),
            payload,
            payload_length,
        )

    def _parse_head(self, position: Position, buffer: bytearray) -> Record:
        view = memoryview(buffer)
        header = records.decode_header(view) if len(view) >= records.HEADER_SIZE else None
        if header is None or not records.head_matches(header, view, self._salt(segment_of(position))):
            raise RecordDamaged(position, "header checksum")
        return Record(
            position,
            Position(position + records.size_of(header.metadata_length, header.payload_length)),
            header.kind,
            header.flags,
            header.sequence,
            bytes(view[records.HEADER_SIZE : records.HEADER_SIZE + header.metadata_length]),
            b"",
            header.payload_length,
        )

    def _salt(self, segment: int) -> int:
        salt = self._salts.get(segment)
        if salt is None:
            salt = self._salts[segment] = salt_of(self._log_id, segment)
        return salt
