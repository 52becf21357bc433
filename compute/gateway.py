"""The block gateway of this host, asked over its control socket.

What is there already, or gone already, is told by the gateway as a refusal of its own kind; here it is no error. So all
may be asked again. For volumes it is `volumes.backend.Backend`, and images are made volumes through it.
"""

import os
from collections.abc import Mapping, Sequence, Set
from typing import Any

from cluster.layout import Layout
from cluster.supervision.control import ControlError, NotRunning, ask
from compute.stored import BackendError, InUse, NoSuch, Refused, Removal, Stored, StoredSnapshot, Unreachable

ANSWER_S = 120.0  # the gateway itself waits half a minute for devices

_MISSING = frozenset(("NoSuchVolume", "NoSuchSnapshot", "UnknownExport"))
_REFUSED = frozenset(("InvalidRequest", "NotPermitted", "NotSupported", "OutOfSpace", "NotAllowed"))
_CLONED, _IN_USE, _TAKEN = "SnapshotInUse", "VolumeInUse", "NameTaken"


class Told(BackendError):
    """What a gateway answers in place of doing it; `kind` is the name of its error."""

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text)
        self.kind = kind


class Gateway:
    """The gateways of a cluster: the first that answers. Methods raise BackendError."""

    def __init__(self, layout: Layout, gateways: int = 1) -> None:
        self._sockets = [layout.gateway_socket(index) for index in range(gateways)]

    def __repr__(self) -> str:
        return f"Gateway({[os.fspath(each) for each in self._sockets]})"

    def find(self, name: str) -> Stored | None:
        """Return a volume; None: there is none. `clones` of its snapshots are not told."""
        try:
            return _stored(self.ask("show", name=name)["volume"], {})
        except Told as told:
            if told.kind in _MISSING:
                return None
            raise _error(told) from told

    def list(self) -> Sequence[Stored]:
        """Return all volumes of the cluster, whoever made them."""
        found: list[dict[str, Any]] = []
        first: str | None = ""
        while first is not None:
            answer = self._done("list", first=first)
            found += answer["volumes"]
            first = answer["next"]
        clones: dict[str, list[str]] = {}
        for each in found:
            if each["parent"] is not None:
                clones.setdefault(each["parent"]["snapshot"], []).append(each["name"])
        return [_stored(each, clones) for each in found]

    def create(self, name: str, size: int, encrypted: bool) -> None:
        """Make an empty volume."""
        self._unless({_TAKEN}, "create", name=name, size=size, encrypted=encrypted)

    def clone(self, parent: str, snapshot: str, name: str) -> None:
        """Make a volume that begins as a snapshot. Raise NoSuch."""
        self._unless({_TAKEN}, "clone", parent=parent, snapshot=snapshot, name=name)

    def resize(self, name: str, size: int) -> None:
        """Make a volume larger, or leave it. Its clients come back and see it."""
        found = self._found(name)
        if found.size < size:
            self._done("resize", name=name, size=size)

    def limit(self, name: str, limits: Mapping[str, int]) -> None:
        """Set what clients of a volume may do: fields of `blockgw.catalog.volume.Limits`."""
        self._done("limit", name=name, **limits)

    def snapshot(self, name: str, snapshot: str) -> None:
        """Keep a volume as it is now."""
        if self._found(name).snapshot(snapshot) is None:
            self._done("snapshot", name=name, snapshot=snapshot)

    def delete_snapshot(self, name: str, snapshot: str) -> Removal:
        """Give up a snapshot, unless clones read through it."""
        return self._removed("delete-snapshot", name=name, snapshot=snapshot)

    def roll_back(self, name: str, snapshot: str) -> None:
        """Make a volume as it was. Raise InUse when it has clients, NoSuch."""
        self._done("rollback", name=name, snapshot=snapshot)

    def remove(self, name: str) -> Removal:
        """Have nobody open a volume any more; delete it with its snapshots, unless clones read through them.

        Raise InUse when it has clients.
        """
        found = self.find(name)
        if found is None:
            return Removal.GONE
        if found.is_open:
            self._done("trash", name=name)
        return self._removed("purge", name=name)

    def dismiss(self, name: str, holder: str) -> None:
        """Have nobody use a volume as NAME~HOLDER any more: connections are cut, and there are no new ones."""
        self._unless(_MISSING, "dismiss", name=name, holder=holder)

    def flatten(self, name: str) -> None:
        """Begin to make a clone independent of its parent."""
        self._unless({"InvalidRequest"}, "flatten", name=name)  # it is no clone any more

    def put_aside(self, name: str, keep_s: float) -> None:
        """Put a volume in the trash, from where an operator may take it back for a while. Raise InUse."""
        found = self.find(name)
        if found is not None and found.is_open:
            self._done("trash", name=name, keep_s=keep_s)

    def ask(self, do: str, **about: Any) -> dict[str, Any]:
        """Return the answer of the first gateway that has one. Raise Told, Unreachable."""
        failure: Exception | None = None
        for path in self._sockets:
            try:
                return ask(path, do, timeout_s=ANSWER_S, **about)
            except NotRunning as error:
                failure = error
            except ControlError as error:
                raise Told(str(error), error.kind) from error
        raise Unreachable(f"the block gateway does not answer: {failure}")

    def _found(self, name: str) -> Stored:
        found = self.find(name)
        if found is None:
            raise NoSuch(f"there is no volume {name}")
        return found

    def _done(self, do: str, **about: Any) -> dict[str, Any]:
        try:
            return self.ask(do, **about)
        except Told as told:
            raise _error(told) from told

    def _removed(self, do: str, **about: Any) -> Removal:
        """Have something removed that may be gone already, or be read through."""
        return Removal.KEPT if self._unless({_CLONED, *_MISSING}, do, **about) == _CLONED else Removal.GONE

    def _unless(self, kinds: Set[str], do: str, **about: Any) -> str | None:
        """Have something done. That it is refused for one of these reasons is no error: return which; None: done."""
        try:
            self.ask(do, **about)
        except Told as told:
            if told.kind in kinds:
                return told.kind
            raise _error(told) from told
        return None


def _error(told: Told) -> BackendError:
    """Return what a gateway's refusal means: for ever, for a while, or until nobody is connected."""
    if told.kind in _MISSING:
        return NoSuch(str(told))
    if told.kind in _REFUSED or told.kind == _CLONED:
        return Refused(str(told))
    return InUse(str(told)) if told.kind == _IN_USE else Unreachable(str(told))


def _stored(told: Mapping[str, Any], clones: Mapping[str, list[str]]) -> Stored:
    return Stored(
        id=told["id"],
        name=told["name"],
        size=told["size"],
        is_open=told["state"] == "available",
        flattening=bool(told.get("flattening")),
        is_clone=told.get("parent") is not None,
        encrypted=bool(told.get("encrypted")),
        snapshots=tuple(
            StoredSnapshot(each["id"], each["name"], each["size"], tuple(clones.get(each["id"], ())))
            for each in told["snapshots"]
        ),
    )
