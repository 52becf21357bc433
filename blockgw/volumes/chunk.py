"""One chunk of an open volume, and the writes that are on their way to it.

All writes of a chunk are one history: each names the version before it, and a device applies it on top of exactly that
version. So whatever a device has is a beginning of the history, and a device that has write n has all before it.
A write keeps its place and its version for ever, also when it has failed and is sent again.

A device is *current* when it has been sent every write so far and has refused none. Only such devices are written
to, and read from once they have what was acknowledged. One that misses a write is stale, until it has copied the chunk.

Invariant: a write is acknowledged when a quorum of the members has it, and then so is all before it.
"""

import asyncio
import itertools
from collections import deque
from dataclasses import dataclass, field

from blockgw.agreement import NOTHING, ChunkVersion
from blockgw.errors import VolumeError
from blockgw.extents import Piece
from blockgw.interfaces import Buffer
from blockgw.volumes.replica import Kind, Members, Source, Write
from storage.chunks.near import NearFile

MIXED = -1  # instead of a run: of several
Waiting = tuple[Kind, Piece, Buffer, bool, "asyncio.Future[None]"]  # a change as it was asked for


@dataclass(slots=True, eq=False)
class Pending:
    """A write whose client waits."""

    write: Write
    done: "asyncio.Future[None]"
    takers: set[int] = field(default_factory=set)  # devices that have it


class Chunk:
    """What the writer of a volume knows of a chunk that he has touched."""

    __slots__ = (
        "acknowledged", "base", "content", "current", "dirty", "file", "given", "history", "known", "members",
        "number", "opening", "runs", "sent", "version", "waiting"
    )

    def __init__(self, number: int, members: Members) -> None:
        self.number = number
        self.members = members
        self.base: Source | None = None  # where the bytes are as long as the newest layer has nothing
        self.version = NOTHING  # of the newest write that was put into the history
        self.given = NOTHING  # the newest version that any write of this layer ever had
        self.acknowledged = NOTHING
        self.current: dict[int, ChunkVersion] = {}  # device -> what it is known to have, in the newest layer
        self.runs: dict[int, int] = {}  # device -> the run in which it has taken what was not flushed
        self.history: deque[Pending] = deque()  # not acknowledged yet, in order
        self.dirty = False  # something that was acknowledged is not durable, for all we know
        self.sent = 0  # how many of these, from the first on
        self.file: NearFile | None = None  # has what was acknowledged, and nothing else
        self.content = object()  # in the cache: stands for what is there, as it was found and written since
        self.opening: asyncio.Task[None] | None = None  # finding out what is there; nothing is sent meanwhile
        self.known = False  # whether that was found out since the volume was opened
        self.waiting: deque[Waiting] = deque()  # changes that came before it was

    def __repr__(self) -> str:
        return f"Chunk({self.number}, {self.version}, on {sorted(self.current)}, {len(self.history)} under way)"

    @property
    def empty(self) -> bool:
        """Whether it reads as zeros because nobody has ever written it."""
        return self.version == NOTHING and self.base is None

    def source(self, layer: int) -> Source:
        """Return where its bytes are, as far as they were acknowledged; `layer` is the newest one."""
        if self.acknowledged == NOTHING and self.base is not None:
            return self.base
        return Source(layer, self.acknowledged)

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return self.opening is not None or bool(self.history) or bool(self.waiting)

    def under_way(self) -> list["asyncio.Future[None]"]:
        """Return what has not ended yet of that, as far as somebody waits for it."""
        ends = [pending.done for pending in self.history] + [waiting[4] for waiting in self.waiting]
        if self.opening is not None:
            ends.append(self.opening)
        return [end for end in ends if not end.done()]

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost if it was forgotten, but knowledge: which replicas are stale is asked again."""
        return not self.busy and not self.dirty

    @property
    def preferred(self) -> int:
        """The device that is read from if it can be."""
        return next(iter(self.current))

    @property
    def stale(self) -> set[int]:
        """Members that must copy the chunk before they are of use again."""
        return self.members.replicas.keys() - self.current.keys()

    def readable(self, device: int) -> bool:
        """Tell whether a device has all that was acknowledged."""
        return device in self.current and self.current[device] >= self.acknowledged

    def next_version(self, epoch: int) -> ChunkVersion:
        """Return the version of the write that is put into the history next."""
        before = max(self.version, self.given)
        return ChunkVersion(epoch, before.sequence + 1 if before.epoch == epoch else 1)

    def add(self, pending: Pending) -> None:
        """Put a write at the end of the history."""
        self.history.append(pending)
        self.version = pending.write.version
        self.file = None

    def unsent(self) -> list[Pending]:
        """Return what is to be sent now, as if it was sent."""
        found = [self.history[index] for index in range(self.sent, len(self.history))]
        self.sent = len(self.history)
        return found

    def took(self, device: int, pending: Pending, run: int) -> list[Pending]:
        """Note that a current device has a write; return what that acknowledges, in order."""
        version = pending.write.version
        if device not in self.current:
            return []
        self.current[device] = max(self.current[device], version)
        self.note_run(device, run)
        pending.takers.add(device)
        return self._acknowledge()

    def note_run(self, device: int, run: int) -> None:
        """Note in which run a device holds what was not flushed."""
        self.runs[device] = run if self.runs.get(device, run) == run else MIXED

    def dropped(self, device: int) -> None:
        """Note that a device has missed something, or may have."""
        self.current.pop(device, None)
        self.runs.pop(device, None)
        self.file = None

    def go_by(self, members: Members) -> None:
        """Have other members, by other rings. Those who are none any more are not asked for anything."""
        self.members = members
        for device in self.current.keys() - members.replicas.keys():
            self.dropped(device)

    def found(self, version: ChunkVersion, devices: dict[int, int]) -> list[Pending]:
        """Take it that exactly these devices (with their runs) have the history up to `version`.

        Return what that acknowledges. What comes after is to be sent, again maybe; so is what has FUA, and all behind
        it: that a device has a write does not say that it has it durably.
        """
        self.file = None
        self.content = object()
        self.current = dict.fromkeys(devices, version)
        self.runs = dict(devices)
        there = itertools.takewhile(lambda each: each.write.version <= version and not each.write.fua, self.history)
        self.sent = sum(1 for _pending in there)
        for index, pending in enumerate(self.history):  # who took it and is not among these may have lost it since
            pending.takers = set(devices) if index < self.sent else set()
        if not self.history:
            self.version = max(self.version, version)
            self.acknowledged = max(self.acknowledged, version)
        return self._acknowledge()

    def fail(self, error: VolumeError) -> None:
        """Tell those that wait for it; what they have asked for, and has a place in the history, may be done later."""
        while self.waiting:
            _fail(self.waiting.popleft()[4], error)
        for pending in self.history:
            _fail(pending.done, error)

    def rewind(self, version: ChunkVersion) -> list[Pending]:
        """Go on from an older version than was acknowledged: no replica has what came after it.

        Return what was under way, which is to be written anew. The versions that are lost are not given again.
        """
        under_way, self.history, self.sent = list(self.history), deque(), 0
        self.given = max(self.version, self.given)
        self.version = self.acknowledged = version
        return under_way

    def freeze(self, layer: int) -> None:
        """Go on in a new layer, with nothing of this chunk in it yet; `layer` was the newest one."""
        self.file = None
        if self.version != NOTHING:
            self.base = Source(layer, self.version)
        self.version = self.given = self.acknowledged = NOTHING
        self.current = dict.fromkeys(self.current, NOTHING)

    def _acknowledge(self) -> list[Pending]:
        found: list[Pending] = []
        while self.history and self.members.reached(self.history[0].takers):
            pending = self.history.popleft()
            self.sent = max(0, self.sent - 1)
            self.acknowledged = pending.write.version
            found.append(pending)
        return found


def _fail(done: "asyncio.Future[None]", error: VolumeError) -> None:
    if not done.done():
        done.set_exception(error)
