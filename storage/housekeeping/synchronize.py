"""Container and account databases that a device has missed, or missed rows of, are pulled from its peers.

For each kind the inventories (key, digest) of the shared partitions are compared; a database that
differs pulls its peer's changes since it last did (storage.indexes keeps that cursor). Under load the
newest rows always differ, for their writers are still at it: what is younger than GRACE_S is no lack.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from cluster.clock import Timestamp, microseconds_of, wall_us
from cluster.telemetry.log import get_logger
from cluster.wire import Peer, PeerUnavailable, RemoteError
from ring.lookup import Ring
from storage.housekeeping.replicate import GRACE_S, shared_partitions
from storage.messages import DatabaseKind, Operation

PAGE = 1000  # databases listed at a time
TIMEOUT_S = 30.0
_log = get_logger("storage")


class Databases(Protocol):
    """What is compared and filled: this device's databases."""

    async def inventory(
        self, kind: int, start: bytes, end: bytes | None, limit: int
    ) -> Sequence[tuple[bytes, bytes]]:
        """Return (key, digest) of the databases in a range of keys, in order."""

    async def synchronize(
        self, kind: DatabaseKind, key: bytes, account: str, container: str, device_id: int
    ) -> Timestamp | None:
        """Pull what device `device_id` has of a database and we lack; return the oldest of it."""


class Synchronize:
    """The housekeeping task for databases of one kind."""

    def __init__(
        self,
        kind: DatabaseKind,
        databases: Databases,
        ring: Ring,
        device_id: int,
        peers: Mapping[int, Peer],
        interval_s: float,
    ) -> None:
        self.name = f"synchronize {kind.name.lower()}s"
        self._kind = kind
        self._databases = databases
        self._peers = peers
        self._interval_s = interval_s
        self._ring = ring
        self._shared = {
            other: frozenset(partitions) for other, partitions in shared_partitions(ring, device_id).items()
        }
        self.pulled_count = 0
        self.lacking_count: int | None = None  # databases that the last comparison found behind; None: not all compared

    async def step(self) -> float:
        """Compare with every peer once; soon again when something was missing."""
        lacking_count, compared = 0, True
        for device_id, partitions in self._shared.items():
            peer = self._peers[device_id]
            try:
                lacking_count += await self._compare(device_id, peer, partitions)
            except (PeerUnavailable, RemoteError) as error:
                compared = False
                _log.info("synchronize_interrupted", peer=device_id, error=str(error))
        self.lacking_count = lacking_count if compared else None
        return min(self._interval_s, GRACE_S) if lacking_count else self._interval_s

    async def _compare(self, device_id: int, peer: Peer, partitions: frozenset[int]) -> int:
        """Pull what the peer has and we lack; return how many databases were behind."""
        lacking_count = 0
        start: bytes = b""
        while True:
            message = (int(self._kind), start, None, PAGE)
            reply = await peer.call(Operation.INDEX_INVENTORY, message, b"", TIMEOUT_S)
            theirs: list[tuple[bytes, bytes]] = [tuple(pair) for pair in reply.metadata]
            end = theirs[-1][0] + b"\0" if len(theirs) == PAGE else None
            mine = dict(await self._databases.inventory(self._kind, start, end, PAGE + 1))
            for key, digest in theirs:
                if mine.get(key) != digest and self._ring.partition(key) in partitions:
                    oldest = await self._databases.synchronize(self._kind, key, "", "", device_id)
                    self.pulled_count += 1
                    lacking_count += oldest is not None and microseconds_of(oldest) < wall_us() - GRACE_S * 1e6
                    await asyncio.sleep(0)
            if end is None:
                return lacking_count
            start = end
