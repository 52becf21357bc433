"""Counting replicas: when a write is done or hopeless, and which version a read may answer with.

Pure decisions, shared by the object service and the block gateway; see ARCHITECTURE.md, "Consistency".
Invariant: two quorums of the same replicas always meet in at least one of them, so that whatever one
operation was acknowledged for, the next one is told of. While a partition moves there are two sets of
replicas, and an operation needs a quorum of each (`Joint`): so it meets those that know one of them only.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeVar

from cluster.clock import ZERO, Timestamp
from storage.messages import Version

ReplicaT = TypeVar("ReplicaT", bound=tuple[int, Any])  # (device id, how to reach it)


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

    def durable(self, device_id: int) -> None:
        """Count a replica that has the write on disk."""
        del device_id
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


class JointTally:
    """Counts the answers to one write that needs a quorum of each of several sets of replicas."""

    __slots__ = ("_parts", "failures")

    def __init__(self, majorities: "Iterable[Majority]") -> None:
        self._parts = [(majority.members, majority.tally()) for majority in majorities]
        self.failures: dict[int, BaseException] = {}

    def __repr__(self) -> str:
        return f"JointTally({[tally for _members, tally in self._parts]})"

    @property
    def needed(self) -> int:
        """How many replicas the part needs that has furthest to go."""
        return self._behind().needed

    @property
    def durable_count(self) -> int:
        """How many replicas that part has."""
        return self._behind().durable_count

    def _behind(self) -> WriteTally:
        return max((tally for _members, tally in self._parts), key=lambda tally: tally.needed - tally.durable_count)

    def durable(self, device_id: int) -> None:
        """Count a replica that has the write on disk."""
        for members, tally in self._parts:
            if device_id in members:
                tally.durable(device_id)

    def failed(self, device_id: int, error: BaseException) -> None:
        """Count a replica that has not."""
        self.failures[device_id] = error
        for members, tally in self._parts:
            if device_id in members:
                tally.failed(device_id, error)

    def outcome(self) -> Outcome:
        """Return what the answers so far mean."""
        outcomes = [tally.outcome() for _members, tally in self._parts]
        if Outcome.HOPELESS in outcomes:
            return Outcome.HOPELESS
        return Outcome.PENDING if Outcome.PENDING in outcomes else Outcome.ACKNOWLEDGED


Tally = WriteTally | JointTally


class Quorum(Protocol):
    """Which replicas are enough. Devices that are no members never count."""

    @property
    def members(self) -> frozenset[int]:
        """Return all whose answer counts."""

    def reached(self, devices: Collection[int]) -> bool:
        """Tell whether `devices` are enough."""

    def needs(self, devices: Collection[int]) -> bool:
        """Tell whether each set has no quorum without one of `devices`: not even who goes by one set does without."""

    def tally(self) -> Tally:
        """Return what counts the answers to a write that all members are sent."""

    def among(self, asked: Collection[int], held: Collection[int] = ()) -> "Quorum":
        """Return what is still needed when only `asked` are sent the write, and `held` have it already."""

    def split(self, replicas: Sequence[ReplicaT]) -> tuple[Sequence[ReplicaT], list[ReplicaT]]:
        """Return whom to ask first, so that they make a quorum if all answer, and the others.

        `replicas` are members, as (device id, …), the most welcome first.
        """

    def share(self, device_id: int) -> int:
        """Return in how many sets an answer of `device_id` counts."""


@dataclass(frozen=True, slots=True)
class Majority:
    """Any `needed` of `members`."""

    members: frozenset[int]
    needed: int

    @classmethod
    def of(cls, members: Iterable[int]) -> "Majority":
        """Return the quorum of a set of replicas."""
        members = frozenset(members)
        return cls(members, quorum_of(len(members)))

    def reached(self, devices: Collection[int]) -> bool:
        """Tell whether `devices` are enough."""
        return len(devices) >= self.needed and len(self.members.intersection(devices)) >= self.needed

    def needs(self, devices: Collection[int]) -> bool:
        """Tell whether there is no quorum without one of `devices`."""
        return len(self.members.difference(devices)) < self.needed

    def tally(self) -> WriteTally:
        """Return what counts the answers to a write that all members are sent."""
        return WriteTally(self.needed, len(self.members))

    def among(self, asked: Collection[int], held: Collection[int] = ()) -> "Majority":
        """Return what is still needed when only `asked` are sent the write, and `held` have it already."""
        missing = self.needed - len(self.members.intersection(held))
        return Majority(self.members.intersection(asked).difference(held), missing)

    def split(self, replicas: Sequence[ReplicaT]) -> tuple[Sequence[ReplicaT], list[ReplicaT]]:
        """Return whom to ask first, so that they make a quorum if all answer, and the others."""
        return replicas[: self.needed], list(replicas[self.needed :])

    def share(self, device_id: int) -> int:
        """Return in how many sets an answer of `device_id` counts."""
        return int(device_id in self.members)


@dataclass(frozen=True, slots=True)
class Joint:
    """A quorum of each: `parts` may share members, whose one answer then counts in several."""

    parts: tuple[Majority, ...]

    @property
    def members(self) -> frozenset[int]:
        """Return all whose answer counts."""
        return frozenset[int]().union(*(part.members for part in self.parts))

    def reached(self, devices: Collection[int]) -> bool:
        """Tell whether `devices` are enough."""
        return all(part.reached(devices) for part in self.parts)

    def needs(self, devices: Collection[int]) -> bool:
        """Tell whether each set has no quorum without one of `devices`."""
        return all(part.needs(devices) for part in self.parts)

    def tally(self) -> JointTally:
        """Return what counts the answers to a write that all members are sent."""
        return JointTally(self.parts)

    def among(self, asked: Collection[int], held: Collection[int] = ()) -> "Joint":
        """Return what is still needed when only `asked` are sent the write, and `held` have it already."""
        return Joint(tuple(part.among(asked, held) for part in self.parts))

    def split(self, replicas: Sequence[ReplicaT]) -> tuple[Sequence[ReplicaT], list[ReplicaT]]:
        """Return whom to ask first, so that they make a quorum if all answer, and the others."""
        first: list[ReplicaT] = []
        others: list[ReplicaT] = []
        for replica in replicas:
            asked = [device_id for device_id, _peer in first]
            adds = any(replica[0] in part.members and not part.reached(asked) for part in self.parts)
            (first if adds else others).append(replica)
        return first, others

    def share(self, device_id: int) -> int:
        """Return in how many sets an answer of `device_id` counts."""
        return sum(part.share(device_id) for part in self.parts)


def both(one: Majority, other: Majority) -> Quorum:
    """Return the quorum that is one of each."""
    return one if one == other else Joint((one, other))


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


def judge(answers: Mapping[int, Version | None], quorum: Quorum) -> Settled | Unsettled | None:
    """Return what the replicas' `answers` (by device id) allow; None while they are no quorum."""
    if not quorum.reached(answers):
        return None
    newest: Version | None = None
    for version in answers.values():
        if version is not None and version.timestamp > (newest.timestamp if newest else ZERO):
            newest = version
    wanted = timestamp_of(newest)
    holders = tuple(device for device, version in answers.items() if timestamp_of(version) == wanted)
    if len(holders) == len(answers) or quorum.reached(holders):
        return Settled(newest, holders)
    assert newest is not None, "all answered 'nothing', and they are a quorum"
    others = {device: version for device, version in answers.items() if device not in holders}
    without = judge(others, quorum)
    return Unsettled(newest, holders, tuple(others), without if isinstance(without, Settled) else None)


def timestamp_of(version: Version | None) -> Timestamp:
    """Return the timestamp of a version, ZERO of none."""
    return ZERO if version is None else version.timestamp
