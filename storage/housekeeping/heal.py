"""Makes good what was found damaged here: from what is around it, or from another replica.

A damaged version is put in the place of itself, whole, under its own timestamp (storage.blobs.install): it was never
gone, so nobody's vote changes. Those come first of which the fewest other replicas can be asked. One that no replica
gives back now is asked for again later; one that every other replica was asked for and none has is *lost*, as far as
anybody can know, and said so by name. It stays where it is: an older disk may come back, and a write or deletion ends
it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cluster.clock import Timestamp
from cluster.telemetry.log import get_logger
from cluster.wire import Peer, PeerUnavailable, RemoteError
from storage.blobs.mend import Mending
from storage.blobs.quarantine import Quarantine, Quarantined
from storage.client import Replicas
from storage.copying import VERSION_COST
from storage.housekeeping.budget import UNLIMITED, Waiting
from storage.messages import Refusal, Version
from storage.metadata import unpack

WIDTH = 4  # versions healed at a time
CONSIDERED = 1000  # of those that are due, among which the most urgent is chosen
IDLE_S = 30.0
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 600.0
WORDS_LIMIT = 20  # lost objects that are named in status
_DEFINITE = (Refusal.NOT_FOUND, Refusal.CORRUPT)  # whoever says so has been asked
_log = get_logger("storage")

Name = tuple[bytes, Timestamp]
FetchAgain = Callable[[bytes, Timestamp, int], Awaitable[None]]


class Objects(Protocol):
    """This device's (storage.blobs.store)."""

    quarantine: Quarantine
    mending: Mending

    def settle_quarantine(self) -> None:
        """Take off the list what was made good."""

    def stat(self, key: bytes) -> Version | None:
        """Return the newest version."""

    def head(self, key: bytes) -> Version | Awaitable[Version | None] | None:
        """Return it with its metadata."""


@dataclass(slots=True)
class _Attempts:
    """What has been tried for one version."""

    due_at: float = 0.0  # loop time
    delay_s: float = FIRST_RETRY_S
    reasons: dict[int, str] = field(default_factory=dict)  # by device, why it did not help


class Heal:
    """The housekeeping task."""

    name = "heal"

    def __init__(
        self,
        device_id: int,
        objects: Objects,
        fetch_again: FetchAgain,
        replicas: Callable[[bytes], Replicas],
        budget: Waiting = UNLIMITED,
    ) -> None:
        self._device_id = device_id
        self._objects = objects
        self._fetch_again = fetch_again
        self._replicas = replicas
        self._budget = budget
        self._attempts: dict[Name, _Attempts] = {}
        self._lost: dict[Name, str] = {}  # in words
        self.fetched_count = self.mended_count = self.failed_count = 0

    @property
    def lost_count(self) -> int:
        """Versions that no replica has whole."""
        return len(self._lost)

    def lost(self) -> list[str]:
        """Return some of them, in words."""
        return list(self._lost.values())[:WORDS_LIMIT]

    def retry(self) -> None:
        """Try again now what nobody could be asked for: somebody is back."""
        for attempts in self._attempts.values():
            attempts.due_at, attempts.delay_s = 0.0, FIRST_RETRY_S

    async def step(self) -> float:
        """Heal the most urgent few."""
        self._objects.settle_quarantine()
        self._forget_settled()
        due, wait_s = self._due()
        if not due:
            return wait_s
        await asyncio.gather(*[self._heal(found) for found in due])
        self._objects.settle_quarantine()
        return 0.0

    def _forget_settled(self) -> None:
        listed = self._objects.quarantine
        for known in (self._attempts, self._lost):
            for name in [name for name in known if not listed.is_listed(*name)]:
                del known[name]

    def _due(self) -> tuple[Sequence[Quarantined], float]:
        """Return what is to be healed next; or nothing, and in how many seconds to look again."""
        now = asyncio.get_running_loop().time()
        due: list[Quarantined] = []
        wait_s = IDLE_S
        for found in self._objects.quarantine:
            attempts = self._attempts.get((found.key, found.timestamp))
            if attempts is None or attempts.due_at <= now:
                due.append(found)
                if len(due) == CONSIDERED:
                    break
            else:
                wait_s = min(wait_s, attempts.due_at - now)
        due.sort(key=lambda found: sum(peer.up for _device, peer in self._others(found.key)))
        return due[:WIDTH], wait_s

    def _others(self, key: bytes) -> Sequence[tuple[int, Peer]]:
        """Return the replicas of a name beside this device."""
        return [(device_id, peer) for device_id, peer in self._replicas(key).members if device_id != self._device_id]

    async def _heal(self, found: Quarantined) -> None:
        """Make one version good, or note why that cannot be now."""
        try:
            if await self._objects.mending.mend(found):
                self.mended_count += 1
                return
            if await self._fetch(found):
                self.fetched_count += 1
                return
        except RemoteError as error:  # our own log takes nothing
            _log.warning("healing_interrupted", key=found.key.hex(), error=str(error))
            self._try_later(found, {self._device_id: str(error)})

    async def _fetch(self, found: Quarantined) -> bool:
        """Ask one replica after the other; tell whether one had it."""
        others = self._others(found.key)
        reasons: dict[int, str] = {}
        definite = 0
        for device_id, _peer in sorted(others, key=lambda other: not other[1].up):
            try:
                await self._fetch_again(found.key, found.timestamp, device_id)
            except PeerUnavailable as error:
                reasons[device_id] = str(error)
            except RemoteError as error:
                reasons[device_id] = str(error)
                definite += error.code in _DEFINITE
            else:
                if not await self._is_good(found):
                    reasons[device_id] = "it came, and could not be put in place"
                    continue
                await self._pay(found.key)
                return True
        self.failed_count += 1
        self._try_later(found, reasons)
        if definite == len(others):
            await self._give_up(found, reasons)
        return False

    async def _is_good(self, found: Quarantined) -> bool:
        """Tell whether what was damaged is needed no more."""
        self._objects.settle_quarantine()
        return not self._objects.quarantine.is_listed(found.key, found.timestamp)

    async def _pay(self, key: bytes) -> None:
        version = self._objects.stat(key)
        await self._budget.took(VERSION_COST + (0 if version is None else version.size))

    def _try_later(self, found: Quarantined, reasons: dict[int, str]) -> None:
        attempts = self._attempts.setdefault((found.key, found.timestamp), _Attempts())
        attempts.due_at = asyncio.get_running_loop().time() + attempts.delay_s
        attempts.delay_s = min(attempts.delay_s * 2, LAST_RETRY_S)
        attempts.reasons = reasons

    async def _give_up(self, found: Quarantined, reasons: dict[int, str]) -> None:
        """Say that a version is lost, once; a tombstone can be written anew."""
        name = found.key, found.timestamp
        if await self._objects.mending.renew_tombstone(found):
            self.mended_count += 1
            return
        if name not in self._lost:
            self._lost[name] = await self._described(found)
            _log.error("object_lost", object=self._lost[name], reason=found.reason, others=str(reasons))

    async def _described(self, found: Quarantined) -> str:
        """Return which object it is, by name where that can be read still."""
        try:
            head: Any = self._objects.head(found.key)
            version = await head if isinstance(head, Awaitable) else head
            if version is not None and version.timestamp == found.timestamp:
                metadata = unpack(version.metadata)
                return f"{metadata.account}/{metadata.container}/{metadata.object}"
        except (RemoteError, ValueError):
            pass
        return f"an object whose name cannot be read (key {found.key.hex()})"
