"""The states of a device's hardware, what a device in each of them still does, and how that is told. Values."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any


class Service(IntEnum):
    """How much a device does; each includes what is below it."""

    NOTHING = 0  # refuses everything but questions about its state
    READS = 1  # objects that are durable are read; nothing is written
    DELETIONS = 2  # no new data: deletions, and rows of databases, are taken
    CLIENTS = 3  # serves clients, and takes no copies that could be elsewhere
    ALL = 4


class Condition(Enum):
    """What is the matter. `label` is for status and metrics."""

    OK = "ok", Service.ALL
    SLOW = "slow", Service.ALL
    ERRORS = "errors", Service.ALL  # single reads fail: other replicas answer them
    FILLING = "filling", Service.ALL
    CROWDED = "crowded", Service.CLIENTS
    FULL = "full", Service.DELETIONS
    HANGING = "hanging", Service.NOTHING
    READ_ONLY = "read-only", Service.READS
    FAILING = "failing", Service.READS
    UNREADABLE = "unreadable", Service.NOTHING
    FOREIGN = "foreign", Service.NOTHING
    VANISHED = "vanished", Service.NOTHING

    def __init__(self, label: str, service: Service) -> None:
        self.label, self.service = label, service

    @property
    def is_out(self) -> bool:
        """Tell whether peers have to do without the device."""
        return self.service <= Service.READS

    @property
    def is_final(self) -> bool:
        """Tell whether only recovery, in a new process, ends it: what was written last may be lost.

        A disk that hangs has lost nothing as long as its calls come back in the end.
        """
        return self.is_out and self is not Condition.HANGING

    @property
    def is_elsewhere(self) -> bool:
        """Tell whether our directory is not there: the process must let go of every file it has open."""
        return self in (Condition.FOREIGN, Condition.VANISHED)


@dataclass(frozen=True, slots=True)
class Words:
    """What operators read: what we do about it, and what they can do."""

    doing: str
    advice: str


_AWAY = "it is out of service; its peers have the data, and take reads and writes"
_RETURN = "it looks every few seconds whether the disk is well, and comes back by itself"
_REPLACE = "look at the kernel's log (dmesg); mount a new disk in the same place: it is filled again"
WORDS: Mapping[Condition, Words] = {
    Condition.OK: Words("", ""),
    Condition.SLOW: Words(
        "it serves; readers prefer other replicas",
        "if it stays slow: look at the disk's own health (smartctl) and at what else uses it",
    ),
    Condition.ERRORS: Words(
        "other replicas answer what cannot be read here, and damaged copies are written anew",
        "expect the disk to fail: drain the device, or have a new disk at hand",
    ),
    Condition.FILLING: Words("it serves", "delete objects, add devices, or lower its weight"),
    Condition.CROWDED: Words(
        "it serves clients, but takes no copies of partitions that move",
        "delete objects, add devices, or lower its weight",
    ),
    Condition.FULL: Words(
        "it refuses new data and takes deletions; writes go on with the other replicas as long as they are a quorum",
        "make room on the file system: it goes on by itself when there is some",
    ),
    Condition.HANGING: Words(
        f"{_AWAY}; it goes on by itself as soon as the disk answers",
        "look at the kernel's log (dmesg) and at cables and controllers; replace the disk if it does not come back",
    ),
    Condition.READ_ONLY: Words(
        f"it still answers reads of objects, and takes no writes; {_RETURN}",
        "look at the kernel's log (dmesg), check the file system (umount, fsck, mount), or replace the disk",
    ),
    Condition.FAILING: Words(
        f"it still answers reads of objects, and takes no writes; {_RETURN}",
        _REPLACE,
    ),
    Condition.UNREADABLE: Words(
        f"{_AWAY}; {_RETURN}",
        _REPLACE,
    ),
    Condition.FOREIGN: Words(
        f"{_AWAY}; nothing is written there; {_RETURN}",
        "mount the right disk there: two may have changed places",
    ),
    Condition.VANISHED: Words(
        f"{_AWAY}; nothing is written to what lies below; {_RETURN}",
        "mount the device's file system again, or a new empty one: it is filled again",
    ),
}
assert WORDS.keys() == set(Condition)


@dataclass(frozen=True, slots=True)
class Health:
    """The state of a device's hardware, since when, and why."""

    condition: Condition = Condition.OK
    reason: str = ""
    since_us: int = 0  # wall clock, for people

    @property
    def service(self) -> Service:
        """How much the device does."""
        return self.condition.service

    def facts(self) -> dict[str, Any]:
        """Return it as /healthz shows it."""
        words = WORDS[self.condition]
        return {
            "condition": self.condition.label,
            "reason": self.reason,
            "since": round(self.since_us / 1e6, 3),
            "service": self.service.name.lower(),
            "doing": words.doing,
            "advice": words.advice,
        }

    def sentence(self) -> str:
        """Return what is wrong and what is done about it, in a sentence."""
        doing = WORDS[self.condition].doing
        return f"the disk is {self.condition.label} ({self.reason}): {doing}" if self.reason or doing else ""
