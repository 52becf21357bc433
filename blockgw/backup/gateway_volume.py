"""`volume.Volume` by a block gateway: it takes snapshots and tells what has changed; data pass through its NBD socket.

Whoever asks the gateway does that in a way of its own, which is handed in.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from blockgw.backup.errors import BackupError
from blockgw.backup.nbd import NbdVolume
from blockgw.backup.piece import PIECE
from blockgw.backup.volume import Snapshot
from blockgw.extents import CHUNK

assert PIECE == CHUNK  # so what has changed is told in pieces


class Ask(Protocol):
    """Asks a gateway what `blockgw.control` answers."""

    def __call__(self, do: str, **about: Any) -> dict[str, Any]:
        """Return the answer. Raise BackupError."""


class GatewayVolume:
    """See Volume."""

    def __init__(self, ask: Ask, socket: Path, name: str, kept: str | None = None) -> None:
        """`socket`: the gateway's for NBD. With `kept` a backup is one of that snapshot, which stays."""
        self._ask, self._kept = ask, kept
        self._socket = os.fspath(socket)
        self.name = name
        self.id = str(self._show()["id"])

    def __repr__(self) -> str:
        return f"GatewayVolume({self.name})"

    def snapshots(self) -> Sequence[Snapshot]:
        """See Volume."""
        return [
            Snapshot(each["id"], each["name"], each["size"], each["created_us"]) for each in self._show()["snapshots"]
        ]

    def take(self, name: str) -> Snapshot:
        """See Volume."""
        if self._kept is None:
            self._ask("snapshot", name=self.name, snapshot=name)
        wanted = self._kept or name
        for each in self.snapshots():
            if each.name == wanted:
                return each
        raise BackupError(f"{self.name} has no snapshot {wanted}")

    def give_up(self, name: str) -> None:
        """See Volume. Beside a kept snapshot, those of other backups stay: the next one begins with them."""
        if self._kept is None:
            self._ask("delete-snapshot", name=self.name, snapshot=name)

    def changed(self, snapshot: str, since: str | None) -> Iterator[int]:
        """See Volume."""
        first: int | None = 0
        while first is not None:
            answer = self._ask("changed", name=self.name, snapshot=snapshot, since=since, first=first)
            yield from answer["chunks"]
            first = answer["next"]

    def open(self, snapshot: str) -> NbdVolume:
        """See Volume."""
        return NbdVolume(self._socket, f"{self.name}@{snapshot}")

    def sink(self) -> NbdVolume:
        """Return the volume itself, to write to."""
        return NbdVolume(self._socket, self.name)

    def _show(self) -> dict[str, Any]:
        volume: dict[str, Any] = self._ask("show", name=self.name)["volume"]
        return volume
