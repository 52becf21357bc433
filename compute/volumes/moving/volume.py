"""Volumes of the gateway, as backups need them; a snapshot that is there may be taken in place of a new one."""

from collections.abc import Iterator, Sequence
from typing import Any

from blockgw.backup.errors import BackupError, TargetFailed
from blockgw.backup.nbd import NbdVolume
from blockgw.backup.piece import PIECE
from blockgw.backup.volume import Snapshot
from blockgw.extents import CHUNK
from cluster.layout import Layout
from compute.volumes.backend import Unreachable
from compute.volumes.gateway import Gateway, Told

_FOR_EVER = ("NoSuchVolume", "NoSuchSnapshot", "InvalidRequest")
assert PIECE == CHUNK  # so what has changed is told in pieces


class GatewayVolume:
    """See `blockgw.backup.volume.Volume`."""

    def __init__(self, gateway: Gateway, layout: Layout, name: str, kept: str | None = None) -> None:
        """With `kept` a backup is one of that snapshot, which stays. Raise BackupError."""
        self._gateway, self._kept = gateway, kept
        self._socket = str(layout.nbd_socket(0))
        self.name = name
        self.id = str(self._show()["id"])

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

    def _ask(self, do: str, **about: Any) -> dict[str, Any]:
        try:
            return self._gateway.ask(do, **about)
        except (Unreachable, Told) as error:
            again = isinstance(error, Unreachable) or error.kind not in _FOR_EVER
            raise (TargetFailed if again else BackupError)(str(error)) from error
