"""Container and account databases that a device has missed, or missed rows of, are pulled from its peers.

For each kind the inventories (key, digest) of the shared partitions are compared; a database that
differs pulls its peer's changes since it last did (storage.indexes keeps that cursor). Under load the
newest rows always differ, for their writers are still at it: what is younger than GRACE_S is no lack. Nor is what has
not been brought to a database yet while rows are being moved into it (storage.ranges).

Invariant: each pull begins under the rings by which its partition is shared. When they change during one, what it
brought may have been forgotten meanwhile (retire): `on_overtaken` has that looked at again.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cluster.clock import Timestamp, is_recent, wall_us
from cluster.telemetry.log import get_logger
from cluster.wire import Peer, PeerUnavailable, RemoteError
from ring.hashing import partition_of
from storage.client import Rings, ring_name
from storage.housekeeping.pull import Source
from storage.housekeeping.replicate import GRACE_S
from storage.housekeeping.shares import Shares
from storage.messages import DatabaseKind, Operation, Refusal

PAGE = 1000  # databases listed at a time
REFUSED_LIMIT = 8  # databases in a row that could not be pulled: it is not them
_log = get_logger("storage")

Inventory = list[tuple[bytes, bytes]]  # (key, digest), in order of keys


class Databases(Protocol):
    """What is compared and filled: this device's databases."""

    async def inventory(
        self, kind: int, start: bytes, end: bytes | None, limit: int
    ) -> Sequence[tuple[bytes, bytes]]:
        """Return (key, digest) of the databases in a range of keys, in order."""

    def is_filling(self, key: bytes) -> bool:
        """Tell whether rows are being moved into a database."""

    async def synchronize(
        self, kind: DatabaseKind, key: bytes, account: str, container: str, device_id: int
    ) -> Timestamp | None:
        """Pull what device `device_id` has of a database and we lack; return the oldest of it."""


async def inventory_at(source: Source, kind: DatabaseKind, start: bytes, end: bytes | None) -> Inventory:
    """Return the first PAGE databases that a peer has in [start, end). RemoteError, PeerUnavailable."""
    reply = await source.ask(Operation.INDEX_INVENTORY, (int(kind), start, end, PAGE))
    return [(key, digest) for key, digest in reply.metadata]


async def held_of(databases: Databases, kind: DatabaseKind, theirs: Inventory) -> dict[bytes, bytes]:
    """Return the digests of those of `theirs` that are here, of how many others between them there may be."""
    wanted = {key for key, _digest in theirs}
    held: dict[bytes, bytes] = {}
    start = theirs[0][0] if theirs else b""
    while wanted:
        page = await databases.inventory(kind, start, theirs[-1][0] + b"\0", PAGE)
        held.update([(key, digest) for key, digest in page if key in wanted])
        if len(page) < PAGE:
            break
        start = page[-1][0] + b"\0"
    return held


@dataclass(slots=True)
class _Compared:
    """What came of comparing with one peer."""

    lacking_count: int = 0  # databases that were behind
    refused_count: int = 0  # that could not be pulled
    refused_in_a_row: int = 0


class Synchronize:
    """The housekeeping task for databases of one kind."""

    def __init__(
        self,
        kind: DatabaseKind,
        databases: Databases,
        rings: Callable[[], Rings],
        device_id: int,
        peers: Mapping[int, Peer],
        interval_s: float,
        wall: Callable[[], int] = wall_us,
        votes: Callable[[int], bool] = lambda _device_id: True,
    ) -> None:
        self._wall_us = wall
        self.name = f"synchronize {kind.name.lower()}s"
        self._kind = kind
        self._ring_name = ring_name(kind)
        self._databases = databases
        self._rings = rings
        self._peers = peers
        self._interval_s = interval_s
        self._shares = Shares(self._ring_name, device_id)
        self._device_id = device_id
        self._votes = votes
        self.pulled_count = 0
        self.on_overtaken: Callable[[], None] = lambda: None  # called when what was pulled may be held no more
        self.lacking_count: int | None = None  # databases that the last comparison found behind; None: not all compared

    async def step(self) -> float:
        """Compare with every peer once; soon again when something was missing."""
        if not self._votes(self._device_id):  # it is being rebuilt, which is the same and more
            self.lacking_count = None
            return self._interval_s
        lacking_count, compared, version = 0, True, self._rings().version
        for device_id, partitions in self._shares.of(self._rings()).items():
            if self._rings().version != version:  # what is shared is so no more; we are woken for the new ones
                compared = False
                break
            peer = self._peers.get(device_id)
            if peer is None:
                continue  # of other rings
            if not self._votes(device_id):
                compared = False
                continue
            try:
                found = await self._compare(device_id, peer, frozenset(partitions))
                lacking_count += found.lacking_count
                compared = compared and not found.refused_count
            except (PeerUnavailable, RemoteError) as error:
                compared = False
                _log.info("synchronize_interrupted", peer=device_id, error=str(error))
        self.lacking_count = lacking_count if compared else None
        if self._rings().version != version:
            self.on_overtaken()
        return min(self._interval_s, GRACE_S) if lacking_count else self._interval_s

    async def _compare(self, device_id: int, peer: Peer, partitions: frozenset[int]) -> _Compared:
        """Pull what the peer has and we lack."""
        compared = _Compared()
        start: bytes = b""
        while True:
            rings = self._rings()
            part_power, source = rings.current[self._ring_name].part_power, Source(device_id, peer, rings.version)
            del rings  # who holds old ones counts as using them
            theirs = await inventory_at(source, self._kind, start, None)
            end = theirs[-1][0] + b"\0" if len(theirs) == PAGE else None
            mine = await held_of(self._databases, self._kind, theirs)
            for key, digest in theirs:
                if mine.get(key) != digest and partition_of(key, part_power) in partitions:
                    if self._databases.is_filling(key):
                        continue
                    if self._rings().version != source.version:  # it may have moved away, and be forgotten here
                        raise RemoteError(Refusal.STALE_RINGS, self._rings().version)
                    await self._pull(source, key, compared)
            if end is None:
                return compared
            start = end

    async def _pull(self, source: Source, key: bytes, compared: _Compared) -> None:
        """Pull a database. If it is damaged there, or a split of it undecided, those behind it do not wait for that."""
        try:
            oldest = await self._databases.synchronize(self._kind, key, "", "", source.device_id)
        except RemoteError as error:
            compared.refused_count += 1
            compared.refused_in_a_row += 1
            if compared.refused_in_a_row == REFUSED_LIMIT or not source.peer.up:
                raise
            _log.info("database_not_pulled", peer=source.device_id, key=key, error=str(error))
            return
        compared.refused_in_a_row = 0
        self.pulled_count += 1
        compared.lacking_count += oldest is not None and not is_recent(oldest, self._wall_us(), GRACE_S)
        await asyncio.sleep(0)
