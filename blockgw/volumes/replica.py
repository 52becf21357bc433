"""What the devices that hold chunks do for an open volume."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

from blockgw.agreement import ChunkVersion
from blockgw.interfaces import Buffer, Pieces
from storage.chunks.near import NearFile
from storage.quorum import Quorum


class Kind(IntEnum):
    """Of a change to a chunk."""

    WRITE = 0
    ZERO = 1  # reads as zeros afterwards, and keeps its space
    TRIM = 2  # reads as zeros afterwards, and gives its space back


class Source(NamedTuple):
    """Where the bytes of a chunk are."""

    layer: int
    version: ChunkVersion


class Write(NamedTuple):
    """One change to one chunk, as a device gets it. Without a length it only moves the version."""

    chunk: int
    version: ChunkVersion
    previous: ChunkVersion  # a device applies it on top of exactly that
    base: Source | None  # what is copied first, if the layer has nothing of the chunk
    kind: Kind
    start: int  # within the chunk
    length: int
    data: Buffer
    fua: bool


class Status(IntEnum):
    """What a device says to a change."""

    DONE = 0
    STALE = 1  # it is not at the previous version
    FENCED = 2  # it knows of a newer epoch
    FAILED = 3  # it cannot, or nobody knows what became of it
    FULL = 4  # it has no room


class Answered(NamedTuple):
    """To a batch of changes."""

    statuses: Sequence[Status]
    run: int  # of the device's process: what was not flushed in another one may be gone


class Stat(NamedTuple):
    """What a device has of a chunk."""

    versions: tuple[ChunkVersion, ...]  # by layer asked for
    run: int
    epoch: int  # the oldest that may write the first of these layers


class Replica(Protocol):
    """One device, as long as the rings are the same. Futures raise ReplicaUnavailable or ReplicaStale."""

    @property
    def up(self) -> bool:
        """Whether it can be asked."""

    def stat(self, chunk: int, layers: Sequence[int]) -> "asyncio.Future[Stat]":
        """Ask which versions of a chunk it has."""

    def write(self, layer: int, writes: Sequence[Write]) -> "asyncio.Future[Answered]":
        """Make changes, in order, each for itself."""

    def read(self, chunk: int, source: Source, start: int, length: int) -> "asyncio.Future[Pieces]":
        """Read from a layer that is at that version, or at a newer one. ReplicaStale."""

    def extents(self, chunk: int, source: Source) -> "asyncio.Future[Sequence[tuple[int, int]]]":
        """Ask where a chunk of a layer has data: (offset, length) within it, in order."""

    def flush(self, layer: int) -> "asyncio.Future[int]":
        """Make durable all that it has answered; gives the run."""

    def pull(self, chunk: int, source: Source, device: int) -> "asyncio.Future[object]":
        """Have it copy a layer's chunk, at that version or a newer one, from another device."""

    def fence(self, layer: int, epoch: int) -> "asyncio.Future[int]":
        """Have it take no change of that layer under an older epoch any more, durably; gives the run."""


class Near(Protocol):
    """A replica on this host: what it has can be read from its files."""

    @property
    def device(self) -> int: ...

    def read(self, chunk: int, source: Source, start: int, length: int) -> "asyncio.Future[NearRead]":
        """The same as `Replica.read`."""

    def open(self, chunk: int, source: Source) -> NearFile | None:
        """Open the file of a layer's chunk that is at rest."""


class NearRead(NamedTuple):
    """What was read."""

    pieces: Pieces
    at_rest: bool  # the file of the chunk holds exactly that version, until it is written again


class Placing(Protocol):
    """Who holds what."""

    def members(self, chunk: int) -> "Members":
        """Return the replicas of a chunk, by the rings of now."""


@dataclass(frozen=True, slots=True)
class Members:
    """The replicas of one chunk."""

    replicas: Mapping[int, Replica]  # by device id
    quorum: Quorum
    near: Near | None = None  # one of them

    def reached(self, devices: Collection[int]) -> bool:
        """Tell whether `devices` are a quorum."""
        return self.quorum.reached(devices)


class ReplicaUnavailable(Exception):
    """It cannot be reached, or does not answer in time: what was asked may be done or not."""


class ReplicaStale(Exception):
    """It has an older version than was asked for, or none."""
