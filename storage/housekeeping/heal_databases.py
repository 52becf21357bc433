"""Makes databases anew that were found damaged, from the other replicas.

Such a database forgot what it had acknowledged, so it answers nobody until it is whole again (storage.indexes.aside).
A row that it acknowledged is on a write quorum, of which it may be one. So it has pulled from enough others when those
that it has not pulled from, together with itself, are no write quorum: then every quorum has somebody whose rows are
here now. While rings change this must hold for each set by itself that reads ask: what was acknowledged before the
change is on a quorum of the current primaries only.

A replica that has no such database, or whose own is damaged, counts as asked; when nobody has it whole, what those have
that could be asked is all that there is, and said so.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from cluster.clock import Timestamp
from cluster.telemetry.log import get_logger
from cluster.wire import PeerUnavailable, RemoteError
from storage.client import Replicas
from storage.messages import DatabaseKind, Refusal

IDLE_S = 30.0
RETRY_S = 1.0
_log = get_logger("storage")


class Databases(Protocol):
    """This device's (storage.indexes.store)."""

    @property
    def incomplete(self) -> Mapping[bytes, int]:
        """Those that are to be made anew, key -> kind."""

    def begin_anew(self, key: bytes) -> bool:
        """Forget what is known of one; tell whether it can be filled now."""

    def synchronize(
        self, kind: DatabaseKind, key: bytes, account: str, container: str, device_id: int
    ) -> Awaitable[Timestamp | None]:
        """Bring over, durably, what a device has."""

    def made_anew(self, key: bytes) -> Awaitable[None]:
        """Have it answer again."""


class HealDatabases:
    """The housekeeping task."""

    name = "heal databases"

    def __init__(
        self,
        device_id: int,
        databases: Databases,
        replicas: Callable[[DatabaseKind, bytes], Replicas],
    ) -> None:
        self._device_id = device_id
        self._databases = databases
        self._replicas = replicas
        self._pulled: dict[bytes, set[int]] = {}  # key -> devices whose rows are here
        self._damaged: dict[bytes, set[int]] = {}  # key -> devices that say that theirs is damaged, too
        self.waiting = ""  # why one cannot be made anew now, in words

    async def step(self) -> float:
        """Pull what is missing from whoever is there."""
        waiting = dict(self._databases.incomplete)
        for known in (self._pulled, self._damaged):
            for key in known.keys() - waiting.keys():
                del known[key]
        self.waiting = ""
        for key, kind in waiting.items():
            try:
                await self._make_anew(key, DatabaseKind(kind or DatabaseKind.CONTAINER))
            except RemoteError as error:  # our own disk or log takes nothing
                self.waiting = str(error)
        return RETRY_S if self._databases.incomplete else IDLE_S

    async def _make_anew(self, key: bytes, kind: DatabaseKind) -> None:
        if key not in self._pulled:
            if not self._databases.begin_anew(key):
                return
            self._pulled[key] = set()
        self._damaged[key] = set()
        for device_id, peer in self._replicas(kind, key).members:
            if device_id != self._device_id and device_id not in self._pulled[key] and peer.up:
                await self._pull(key, kind, device_id)
        if self._is_whole(key, kind):
            await self._databases.made_anew(key)

    async def _pull(self, key: bytes, kind: DatabaseKind, device_id: int) -> None:
        try:
            await self._databases.synchronize(kind, key, "", "", device_id)
        except (PeerUnavailable, RemoteError) as error:
            if isinstance(error, RemoteError) and error.code == Refusal.CORRUPT:
                self._damaged[key].add(device_id)
            self.waiting = f"device {device_id}: {error}"
            return
        self._pulled[key].add(device_id)

    def _is_whole(self, key: bytes, kind: DatabaseKind) -> bool:
        replicas = self._replicas(kind, key)
        members = {device_id for device_id, _peer in replicas.members}
        pulled, damaged = self._pulled[key], self._damaged[key]
        if replicas.read_quorum.needs(pulled):
            return True
        if members - pulled - damaged <= {self._device_id}:
            _log.error("index_rows_may_be_lost", key=key, kind=int(kind), damaged_on=sorted(damaged))
            return True
        return False
