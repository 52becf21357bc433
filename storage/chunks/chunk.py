"""What is known of one chunk, the writes that are on their way into it, and which writes it takes. No I/O.

Of its versions: `head` >= `version` >= `durable` >= `applied`, in the writer's order; they differ by writes that are on
their way (the steps of the package's docstring). `pending` are those that are not in the file yet, in order: what reads
lay over the file.
"""

import asyncio
from collections.abc import Iterable, Sequence

from cluster.wire import RemoteError
from storage.chunks.record import Extent, Type
from storage.chunks.version import NOTHING, Version
from storage.disk import Buffer
from storage.log.interface import START, Kind, Position
from storage.messages import Refusal

_CHUNK = int(Kind.CHUNK)
_WRITE = int(Type.WRITE)


class Entry:
    """A write, or a fence, on its way. Also what the log's writer wants to know of a record."""

    __slots__ = (
        "chunk",
        "durable",
        "end",
        "extents",
        "flags",
        "future",
        "kind",
        "metadata",
        "payload",
        "position",
        "previous",
        "type",
        "version",
        "void",
    )

    def __init__(
        self,
        chunk: "Chunk | None",
        type_: int,
        version: Version,
        previous: Version,
        extents: Sequence[Extent],
        metadata: bytes,
        payload: Buffer,
        future: "asyncio.Future[None]",
        durable: bool,
    ) -> None:
        self.kind = _CHUNK
        self.flags = 0
        self.chunk = chunk  # None: a fence
        self.type = type_
        self.version = version
        self.previous = previous
        self.extents = extents
        self.metadata = metadata
        self.payload = payload  # must not change until it is applied
        self.future = future
        self.durable = durable  # answer when it is durable, not when it is written
        self.void = False  # refused
        self.position = START
        self.end: Position = START

    def __repr__(self) -> str:
        return f"Entry({self.version} on {self.previous}, {len(self.payload)} bytes{', void' if self.void else ''})"


class Chunk:
    """A replica of one chunk of one layer."""

    __slots__ = (
        "applied",
        "base",
        "busy",
        "dropped",
        "durable",
        "exists",
        "family",
        "fd",
        "head",
        "in_file",
        "layer",
        "number",
        "pending",
        "users",
        "version",
    )

    def __init__(self, family: bytes, number: int, layer: int, version: Version = NOTHING) -> None:
        self.family = family
        self.number = number
        self.layer = layer
        self.head = self.version = self.durable = self.applied = version
        self.in_file = version  # the same as `applied`, as the thread that writes the file knows it
        self.base: Chunk | None = None  # what it is cloned from once it is written to a file
        self.pending: list[Entry] = []
        self.exists = version != NOTHING  # it has a file
        self.busy = False  # it is being replaced or dropped
        self.dropped = False  # its file is gone, or is another's
        self.fd = -1
        self.users = 0  # of `fd`, in threads

    def __repr__(self) -> str:
        place = f"{self.family.hex()[:8]}/{self.number:x}.{self.layer:x}"
        return f"Chunk({place} at {self.head}, {len(self.pending)} pending)"

    def may_take(self, version: Version, previous: Version) -> bool:
        """Tell whether a write goes on top of what is here; False: it is here already. Raise RemoteError."""
        if self.busy:
            raise RemoteError(Refusal.BUSY, "the chunk is being replaced")
        if self.head == previous and version > previous:
            return True
        if self.has_taken(version):
            return False
        raise self.stale()

    def has_taken(self, version: Version) -> bool:
        """Tell whether the write of that version is in what is here.

        An epoch has one writer, which makes each write on top of the one before: what is here has all of its that are
        not newer.
        """
        return version[0] == self.head[0] and version <= self.head

    def stale(self) -> RemoteError:
        """Return the refusal of what goes by another version."""
        return RemoteError(Refusal.STALE_CHUNK, (self.head, self.durable))

    def admit(self, entry: Entry) -> None:
        """Have a write on its way. Reads see it."""
        self.head = entry.version
        self.pending.append(entry)

    def wrote(self, entry: Entry) -> None:
        """Take note that a write is in the journal."""
        assert entry.previous == self.version, f"{entry} after {self.version}"
        self.version = entry.version

    def refuse(self, entry: Entry) -> None:
        """Forget a write that the journal has not taken, and those on top of it, which it will not take either."""
        if not entry.void:
            index = self.pending.index(entry)
            for refused in self.pending[index:]:
                refused.void = True
            del self.pending[index:]
            self.head = self.version

    def apply(self, entries: Iterable[Entry]) -> None:
        """Take note that the first pending writes are in the file."""
        count = 0
        for entry in entries:
            self.applied = entry.version
            count += 1
        del self.pending[:count]


def lay_over(buffer: bytearray | memoryview, start: int, pending: Sequence[Entry]) -> None:
    """Put over what was read at `start` of a chunk what is on its way into it."""
    end = start + len(buffer)
    for entry in pending:
        at = 0  # in the payload
        for offset, length in entry.extents:
            low, high = max(offset, start), min(offset + length, end)
            if low < high:
                if entry.type == _WRITE:
                    source = memoryview(entry.payload)[at + low - offset : at + high - offset]
                    buffer[low - start : high - start] = source
                else:
                    buffer[low - start : high - start] = bytes(high - low)
            at += length
