"""What was asked of volumes, when, and what came of it; and what blocks hold.

Each block of a write holds a tag of its own, so what is read tells which write it is from.
"""

import math
from dataclasses import dataclass, field

BLOCK = 512  # bytes: what a device writes whole
ZEROS = b""
_TAG = 32  # bytes
UNKNOWN = math.inf  # instead of when an operation ended: it has failed, or was not answered, and may be done or not


@dataclass(slots=True, eq=False)
class Snapshot:
    """One that was asked for."""

    volume: str
    name: str
    called: float
    epoch: int = 0  # under which it was taken; 0: it was not
    ended: float = UNKNOWN  # by then it was taken, or not
    reads: dict[int, list[bytes]] = field(default_factory=dict)  # by offset


Content = bytes | Snapshot  # of a block: a tag, ZEROS, or what the snapshot has there


@dataclass(slots=True, eq=False)
class Write:
    """Of one block."""

    epoch: int
    called: float
    content: Content
    durable: bool = False  # once it has ended
    ended: float = UNKNOWN

    def __str__(self) -> str:
        what = f"all of {self.content.name}" if isinstance(self.content, Snapshot) else shown(self.content)
        return f"{_times(self.called, self.ended)} epoch {self.epoch} write {what}{' durably' if self.durable else ''}"


@dataclass(slots=True, eq=False)
class Read:
    """Of one block. Those that failed are not kept."""

    epoch: int
    called: float
    ended: float
    value: bytes

    def __str__(self) -> str:
        return f"{_times(self.called, self.ended)} epoch {self.epoch} read  {shown(self.value)}"


@dataclass(slots=True, eq=False)
class Flush:
    """One that succeeded, or was told that writes are lost."""

    epoch: int
    called: float
    ended: float

    def __str__(self) -> str:
        return f"{_times(self.called, self.ended)} epoch {self.epoch} flush"


@dataclass(slots=True, eq=False)
class Disk:
    """One volume."""

    name: str
    offsets: tuple[int, ...]  # of the blocks that are used, in order
    origin: Snapshot | None = None  # what it began as
    writes: dict[int, list[Write]] = field(default_factory=dict)  # by offset
    reads: dict[int, list[Read]] = field(default_factory=dict)
    flushes: list[Flush] = field(default_factory=list)
    losses_told: list[Flush] = field(default_factory=list)  # flushes that failed: writes were lost
    snapshots: list[Snapshot] = field(default_factory=list)
    operation_count: int = 0
    done_count: int = 0

    def render(self, offset: int) -> list[str]:
        """Return all that concerns one block, in order of time."""
        found = [*self.writes.get(offset, ()), *self.reads.get(offset, ()), *self.flushes]
        lines = [str(each) for each in sorted(found, key=lambda each: each.called)]
        for snapshot in self.snapshots:
            values = sorted({shown(value) for value in snapshot.reads.get(offset, ())})
            lines.append(
                f"{_times(snapshot.called, snapshot.ended)} epoch {snapshot.epoch} {snapshot.name}: {', '.join(values)}"
            )
        return lines


def block_of(volume: str, number: int, offset: int) -> bytes:
    """Return what write `number` of a volume puts into a block."""
    return tag_of(volume, number, offset) * (BLOCK // _TAG)


def tag_of(volume: str, number: int, offset: int) -> bytes:
    """Return the tag of a block."""
    return f"{volume} {number} @{offset:x}".encode().ljust(_TAG, b".")


def value_of(data: bytes) -> bytes:
    """Return the tag that a block holds; what nobody has written if it is not one block of one write."""
    if not any(data):
        return ZEROS
    tag = data[:_TAG]
    return tag if tag * (BLOCK // _TAG) == data else b"torn: " + data[:_TAG]


def shown(value: bytes) -> str:
    """Return a value for people."""
    return value.decode(errors="replace").rstrip(".") if value else "zeros"


def _times(called: float, ended: float) -> str:
    return f"{called:9.4f} .. {'?':9}" if ended == UNKNOWN else f"{called:9.4f} .. {ended:9.4f}"
