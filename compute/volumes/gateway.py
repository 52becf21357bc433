"""`backend.Backend` by the block gateway of this host: over its control socket.

What is there already, or gone already, is told by the gateway as a refusal of its own kind; here it is no error.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.layout import Layout
from cluster.supervision.control import decode, encode, receive_line
from compute.volumes.backend import BackendError, InUse, NoSuch, Refused, Removal, Stored, StoredSnapshot, Unreachable

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
    """See `backend.Backend`."""

    def __init__(self, layout: Layout, gateways: int = 1) -> None:
        self._sockets = [layout.gateway_socket(index) for index in range(gateways)]

    def __repr__(self) -> str:
        return f"Gateway({[os.fspath(each) for each in self._sockets]})"

    def find(self, name: str) -> Stored | None:
        """See Backend."""
        try:
            return _stored(self.ask("show", name=name)["volume"], {})
        except Told as told:
            if told.kind in _MISSING:
                return None
            raise _error(told) from told

    def list(self) -> Sequence[Stored]:
        """See Backend."""
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
        """See Backend."""
        self._unless(_TAKEN, "create", name=name, size=size, encrypted=encrypted)

    def clone(self, parent: str, snapshot: str, name: str) -> None:
        """See Backend."""
        self._unless(_TAKEN, "clone", parent=parent, snapshot=snapshot, name=name)

    def resize(self, name: str, size: int) -> None:
        """See Backend."""
        found = self._found(name)
        if found.size < size:
            self._done("resize", name=name, size=size)

    def limit(self, name: str, limits: Mapping[str, int]) -> None:
        """See Backend."""
        self._done("limit", name=name, **limits)

    def snapshot(self, name: str, snapshot: str) -> None:
        """See Backend."""
        if self._found(name).snapshot(snapshot) is None:
            self._done("snapshot", name=name, snapshot=snapshot)

    def delete_snapshot(self, name: str, snapshot: str) -> Removal:
        """See Backend."""
        try:
            self.ask("delete-snapshot", name=name, snapshot=snapshot)
        except Told as told:
            if told.kind == _CLONED:
                return Removal.KEPT
            if told.kind not in _MISSING:
                raise _error(told) from told
        return Removal.GONE

    def roll_back(self, name: str, snapshot: str) -> None:
        """See Backend."""
        self._done("rollback", name=name, snapshot=snapshot)

    def remove(self, name: str) -> Removal:
        """See Backend."""
        found = self.find(name)
        if found is None:
            return Removal.GONE
        if found.is_open:
            self._done("trash", name=name)
        try:
            self.ask("purge", name=name)
        except Told as told:
            if told.kind == _CLONED:
                return Removal.KEPT
            if told.kind not in _MISSING:
                raise _error(told) from told
        return Removal.GONE

    def flatten(self, name: str) -> None:
        """See Backend."""
        self._unless("InvalidRequest", "flatten", name=name)  # it is no clone any more

    def put_aside(self, name: str, keep_s: float) -> None:
        """See Backend."""
        found = self.find(name)
        if found is not None and found.is_open:
            self._done("trash", name=name, keep_s=keep_s)

    def ask(self, do: str, **about: Any) -> dict[str, Any]:
        """Return the answer of the first gateway that has one. Raise Told, Unreachable."""
        failure: Exception | None = None
        for path in self._sockets:
            try:
                answer = _asked(path, {"do": do, **about})
            except (OSError, ValueError) as error:
                failure = error
                continue
            if "error" in answer:
                raise Told(str(answer["error"]), str(answer.get("kind", "")))
            return answer
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

    def _unless(self, kind: str, do: str, **about: Any) -> None:
        """Have something done; that it is refused for the reason `kind` is no error."""
        try:
            self.ask(do, **about)
        except Told as told:
            if told.kind != kind:
                raise _error(told) from told


def _asked(path: Path, question: dict[str, Any]) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_S)
        connection.connect(os.fspath(path))
        connection.sendall(encode(question))
        return decode(receive_line(connection))


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
