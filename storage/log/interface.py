"""What the rest of the storage node sees of a device's log: positions, records, and the `Log` itself.

A position is one number, so that the order of positions is the order of the log: segment id (upper
32 bits) and byte offset within the segment (lower 32). Record kinds are numbered here, because every
user of the log shares the number space; the log itself never looks inside a record.
"""

import asyncio
import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple, NewType, Protocol

from cluster.wire import RemoteError
from storage.disk import Buffer
from storage.messages import Refusal

Position = NewType("Position", int)
START = Position(0)  # before every record
_OFFSET_BITS = 32


def position_of(segment: int, offset: int) -> Position:
    """Return the position of byte `offset` of `segment`."""
    return Position(segment << _OFFSET_BITS | offset)


def segment_of(position: Position) -> int:
    """Return the id of the segment that `position` lies in."""
    return position >> _OFFSET_BITS


def offset_of(position: Position) -> int:
    """Return the byte offset of `position` within its segment."""
    return position & ((1 << _OFFSET_BITS) - 1)


class Kind(IntEnum):
    """Whose record it is. Stored on disk: numbers are never reused."""

    BLOB = 1
    INDEX = 2
    CHUNK = 3  # in a log of its own (storage.chunks.journal)


class Appended:
    """A record on its way into the log, and then in it. `position` and `end` are set once it is durable."""

    __slots__ = ("context", "end", "flags", "future", "kind", "metadata", "payload", "position")

    def __init__(
        self,
        kind: int,
        flags: int,
        metadata: bytes,
        payload: Buffer,
        context: Any,
        future: asyncio.Future[Position],
    ) -> None:
        self.kind = kind
        self.flags = flags
        self.metadata = metadata
        self.payload = payload
        self.context = context  # whatever the appender wants to find again in `apply`
        self.future = future
        self.position = START
        self.end = START  # position of the byte after the record

    def __repr__(self) -> str:
        return f"Appended(kind={self.kind}, at={self.position:#x}, payload={len(self.payload)}B)"


class Appending(Protocol):
    """What a writer needs of a record, and what it fills in: where the record is."""

    kind: int
    flags: int
    metadata: bytes
    payload: Buffer
    position: Position
    end: Position


class Record(NamedTuple):
    """A record read back, its checksums verified."""

    position: Position
    end: Position  # where the next record may begin
    kind: int
    flags: int
    sequence: int
    metadata: bytes
    payload: Buffer  # b"" when it was not asked for
    payload_length: int


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """A segment file."""

    id: int
    size: int  # bytes
    sealed: bool  # complete: nothing is appended to it any more


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of the log that were durable once and do not match their checksums any more."""

    position: Position
    end: Position
    reason: str


Apply = Callable[[Sequence[Appended]], None]


class LogRefusal(RemoteError):
    """An append that the log does not take. Nothing of it is durable, or ever will be; but see DeviceFailed."""


class LogBusy(LogRefusal):
    """More waits for the disk than the bound allows. Try again shortly."""

    def __init__(self, detail: str) -> None:
        super().__init__(Refusal.BUSY, detail)


class DeviceFull(LogRefusal):
    """ENOSPC. The log goes on as soon as there is space again."""

    def __init__(self, detail: str) -> None:
        super().__init__(Refusal.DEVICE_FULL, detail)


class DeviceFailed(LogRefusal):
    """EIO, EROFS, or a failed fdatasync. Final: only opening the log again, with recovery, may end it.

    What was on its way may be found by that recovery, or not: then it is durable, though nobody was told so.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(Refusal.DEVICE_FAILED, detail)


def refusal_of(action: str, error: OSError) -> LogRefusal:
    """Translate what the operating system said when we wrote."""
    kind = DeviceFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else DeviceFailed
    return kind(f"{action}: {error}")


class RecordDamaged(RemoteError):
    """The bytes at `position` are not the record that was written there."""

    def __init__(self, position: Position, reason: str) -> None:
        super().__init__(Refusal.CORRUPT, reason)
        self.position, self.reason = position, reason


class Log(Protocol):
    """The log of one device. All methods are called on the event loop's thread."""

    def register(self, kind: int, apply: Apply, discard: Apply | None = None) -> None:
        """Have `apply` called with the records of `kind` of each durable batch, in log order.

        It runs on the loop's thread before the futures of the batch resolve, and must not raise.
        `discard` is called instead with records that failed. They will never be durable, unless the log has `failed`:
        then its next opening decides what is.
        """

    def append(
        self, kind: int, metadata: bytes, payload: Buffer = b"", flags: int = 0, context: Any = None
    ) -> asyncio.Future[Position]:
        """Append a record; the future resolves when it is durable and applied.

        `payload` is not copied: it must not change until then. Raise LogRefusal at once when
        the log does not take it; the future fails with one when the disk does not.
        """

    def append_record(
        self, kind: int, metadata: bytes, payload: Buffer = b"", flags: int = 0, context: Any = None
    ) -> Appended:
        """The same, and return the record on its way; its `future` is what `append` returns."""

    def read(self, position: Position, length: int) -> "Record | asyncio.Future[Record]":
        """Read and verify the record at `position`, whose whole length on disk is `length` bytes.

        Answer at once from the page cache, else with a future from a thread. RecordDamaged.
        """

    def read_head(self, position: Position, length: int) -> "Record | asyncio.Future[Record]":
        """The same for the first `length` bytes: header and metadata, without the payload."""

    def scan(self, start: Position, kind: int | None = None, payloads: bool = False) -> Iterator[Record]:
        """Yield the records (of `kind`) from `start` on, in order. Blocking: for recovery and tools.

        Damaged stretches are added to `damages` and passed over.
        """

    @property
    def failed(self) -> LogRefusal | None:
        """Why nothing is appended any more; None: it goes on. What a batch that failed has left may be found again."""

    @property
    def end(self) -> Position:
        """Where the last durable record ends; everything before it has been applied."""

    @property
    def damages(self) -> Sequence[Damage]:
        """What reads and scans found not to be what was written."""

    @property
    def lost(self) -> Sequence[Damage]:
        """Damage in what had to be read since the log was opened and before it was started, to make a state from it:
        records that were durable, and of which nothing is known any more."""

    def segments(self) -> Sequence[SegmentInfo]:
        """Return the segments, oldest first; the last one is being written."""

    def hold(self, owner: str, position: Position) -> None:
        """Keep every segment that has bytes at or after `position` until `owner` moves its hold on.

        An owner whose records are needed only until its next checkpoint (the indexes) calls this
        at start, before the first append, and after each checkpoint.
        """

    def may_drop(self, segment: int) -> bool:
        """Tell whether `segment` is sealed and no hold needs it."""

    def drop(self, segment: int) -> None:
        """Delete a segment for which `may_drop`."""
