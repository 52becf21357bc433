"""Counting replicas: when a write is done or hopeless, and which version a read may answer with.

Pure decisions, shared by the object service and the block gateway; see ARCHITECTURE.md, "Consistency".
Invariant: two quorums of the same replicas always meet in at least one of them, so that whatever one
operation was acknowledged for, the next one is told of.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from cluster.clock import ZERO, Timestamp
from storage.messages import Version

DeviceT = TypeVar("DeviceT")


def quorum_of(replica_count: int) -> int:
    """Return how many replicas make a majority."""
    return replica_count // 2 + 1


class Outcome(Enum):
    """Of a write, so far."""

    PENDING = 1
    ACKNOWLEDGED = 2  # durable on a quorum
    HOPELESS = 3  # too many have failed for a quorum


class WriteTally:
    """Counts the answers to one write that was sent to `asked` replicas, `needed` of which must be durable."""

    __slots__ = ("asked", "durable_count", "failures", "needed")

    def __init__(self, needed: int, asked: int) -> None:
        self.needed = needed
        self.asked = asked
        self.durable_count = 0
        self.failures: dict[int, BaseException] = {}

    def __repr__(self) -> str:
        return f"WriteTally({self.durable_count} of {self.needed}, {len(self.failures)}/{self.asked} failed)"

    def durable(self) -> None:
        """Count a replica that has the write on disk."""
        self.durable_count += 1

    def failed(self, device_id: int, error: BaseException) -> None:
        """Count a replica that has not."""
        self.failures[device_id] = error

    def outcome(self) -> Outcome:
        """Return what the answers so far mean."""
        if self.durable_count >= self.needed:
            return Outcome.ACKNOWLEDGED
        if self.asked - len(self.failures) < self.needed:
            return Outcome.HOPELESS
        return Outcome.PENDING


@dataclass(frozen=True, slots=True)
class Settled:
    """A quorum holds this version (None: a quorum holds nothing): it may be answered."""

    version: Version | None
    holders: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Fewer than a quorum are known to hold the newest version that was seen."""

    version: Version
    holders: tuple[int, ...]
    stale: tuple[int, ...]  # answered with something older
    # what a quorum of the others agrees on. It may be answered when the newest cannot be brought to a quorum:
    # nobody was told of that yet, neither its writer nor a reader, or one of them would hold it
    without: Settled | None = None


def judge(answers: Mapping[int, Version | None], needed: int) -> Settled | Unsettled | None:
    """Return what the replicas' `answers` (by device id) allow; None while they are fewer than `needed`."""
    if len(answers) < needed:
        return None
    newest: Version | None = None
    for version in answers.values():
        if version is not None and version.timestamp > (newest.timestamp if newest else ZERO):
            newest = version
    wanted = timestamp_of(newest)
    holders = tuple(device for device, version in answers.items() if timestamp_of(version) == wanted)
    if len(holders) >= needed:
        return Settled(newest, holders)
    assert newest is not None, "all answered 'nothing', and they are a quorum"
    others = {device: version for device, version in answers.items() if device not in holders}
    without = judge(others, needed)
    return Unsettled(newest, holders, tuple(others), without if isinstance(without, Settled) else None)


def timestamp_of(version: Version | None) -> Timestamp:
    """Return the timestamp of a version, ZERO of none."""
    return ZERO if version is None else version.timestamp
