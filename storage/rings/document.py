"""The document that says which rings are in force: bytes <-> values. docs/ring-changes.md is its page.

It is small, and one key of coordination: version, stage, floor and the names of ring files. The files
themselves are kept beside it under their digests (store).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Any

from storage.rings.errors import DocumentDamaged

ACCOUNT, CONTAINER, OBJECT = "account", "container", "object-0"  # names of rings; policies are object-N
FORMAT = 1  # grows when an older reader would misunderstand the document; it refuses a larger one
_DIGEST_LENGTH = 64  # of sha256, in hex


class Stage(Enum):
    """How far a change is.

    STABLE -> JOINING -> SERVING -> STABLE. Each stage comes in two versions: one that announces it (the
    floor still lets in those who work by the stage before) and one that enforces it (the floor no longer
    does). Two stages that follow each other are made to work side by side; two that do not are kept apart
    by the floors.
    """

    STABLE = "stable"  # one placement: reads and writes by `current`
    JOINING = "joining"  # writes need a quorum by `current` and one by `target`; reads go by `current`
    SERVING = "serving"  # writes need both still, and reads need a quorum by each


_ORDER = {Stage.STABLE: Stage.JOINING, Stage.JOINING: Stage.SERVING, Stage.SERVING: Stage.STABLE}


@dataclass(frozen=True, slots=True)
class RingDocument:
    """One version. Rings are named by digest (sha256, hex) of their files."""

    version: int  # grows by one with each step, for ever
    stage: Stage
    floor: int  # oldest version whose requests storage devices still accept
    current: Mapping[str, str]  # ring name -> digest
    target: Mapping[str, str] = field(default_factory=dict)  # the same, of what comes; empty when stable
    started_us: int = 0  # wall time at which the change began, or at which the last one did
    note: str = ""  # the operator's words for the change: "drain device 3"
    since_us: int = 0  # wall time at which this version was published

    @property
    def enforced(self) -> bool:
        """Whether nobody who works by the stage before is accepted any more."""
        return self.floor >= self.version - 1

    @property
    def settled(self) -> bool:
        """Whether no change is under way."""
        return self.stage is Stage.STABLE and self.enforced

    @property
    def digests(self) -> frozenset[str]:
        """The ring files that are in use."""
        return frozenset((*self.current.values(), *self.target.values()))

    def begin(self, target: Mapping[str, str], note: str, now_us: int) -> "RingDocument":
        """Return the version that announces a change to `target`."""
        assert self.settled
        announced = self._next(Stage.JOINING, now_us)
        return replace(announced, target=MappingProxyType(dict(target)), started_us=now_us, note=note)

    def enforce(self, now_us: int) -> "RingDocument":
        """Return the version that refuses those who work by the stage before."""
        assert not self.enforced
        return replace(self, version=self.version + 1, floor=self.version, since_us=now_us)

    def advance(self, now_us: int) -> "RingDocument":
        """Return the version that announces the next stage."""
        assert self.enforced
        assert self.stage is not Stage.STABLE
        announced = self._next(_ORDER[self.stage], now_us)
        if announced.stage is Stage.STABLE:
            return replace(announced, current=self.target, target=MappingProxyType({}))
        return announced

    def cancel(self, now_us: int) -> "RingDocument":
        """Return the version that goes back to `current`. Only while nobody reads by `target`."""
        assert self.stage is Stage.JOINING
        return replace(self._next(Stage.STABLE, now_us), target=MappingProxyType({}))

    def _next(self, stage: Stage, now_us: int) -> "RingDocument":
        return replace(self, version=self.version + 1, stage=stage, since_us=now_us)


def first(rings: Mapping[str, str], now_us: int) -> RingDocument:
    """Return the document of a new cluster."""
    return RingDocument(1, Stage.STABLE, 0, MappingProxyType(dict(rings)), MappingProxyType({}), now_us, "", now_us)


def encode(document: RingDocument) -> bytes:
    """Return the document as it is stored."""
    fields = {
        "format": FORMAT,
        "version": document.version,
        "stage": document.stage.value,
        "floor": document.floor,
        "current": dict(document.current),
        "target": dict(document.target),
        "started_us": document.started_us,
        "since_us": document.since_us,
        "note": document.note,
    }
    return json.dumps(fields, sort_keys=True).encode()


def decode(data: bytes) -> RingDocument:
    """Return the document in `data`; fields that are not known are passed over. Raise DocumentDamaged."""
    try:
        fields = json.loads(data)
        if not isinstance(fields, dict):
            raise ValueError("it is no object")
        if fields["format"] > FORMAT:
            raise ValueError(f"it has format {fields['format']}, this release knows {FORMAT}")
        document = RingDocument(
            version=_count(fields, "version"),
            stage=Stage(fields["stage"]),
            floor=_count(fields, "floor"),
            current=_digests(fields["current"]),
            target=_digests(fields["target"]),
            started_us=_count(fields, "started_us"),
            since_us=_count(fields, "since_us"),
            note=str(fields["note"]),
        )
        _check(document)
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise DocumentDamaged(f"the ring document cannot be read: {error!r}") from error
    return document


def _check(document: RingDocument) -> None:
    """Raise ValueError when the fields do not go together."""
    if not 0 <= document.floor < document.version:
        raise ValueError(f"floor {document.floor} of version {document.version}")
    if not document.current:
        raise ValueError("no current rings")
    if (document.stage is Stage.STABLE) != (not document.target):
        raise ValueError(f"{len(document.target)} target rings when {document.stage.value}")
    if document.target and document.target.keys() != document.current.keys():
        raise ValueError("target rings with other names than the current ones")


def _count(fields: Mapping[str, Any], name: str) -> int:
    value = fields[name]
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} is {value!r}")
    return value


def _digests(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(
        isinstance(digest, str) and len(digest) == _DIGEST_LENGTH and digest.isalnum() for digest in value.values()
    ):
        raise ValueError(f"rings are {value!r}")
    return MappingProxyType(value)
