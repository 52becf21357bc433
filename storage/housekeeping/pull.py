"""Compares a device's objects with a peer's, partition by partition, and fetches what is newer there.

One digest a partition, then of those that differ 256 digests, then of those the versions themselves; what is
newer there is fetched whole and committed under its own timestamp, many at a time (storage.copying). Doing it
again changes nothing.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cluster.clock import Timestamp, is_recent, wall_us
from cluster.telemetry.log import get_logger
from cluster.wire import Peer, Reply
from storage.copying import KEYS, UNLIMITED, VERSION_COST, Budget, Fetched, Listed
from storage.housekeeping.keyrange import partition_range, subdivision_range
from storage.messages import Operation, Version

PARTITIONS_PER_MESSAGE = 64  # each takes a few hundred reads of the index on either side
WIDTH = 4  # partitions pulled at a time
BATCHES = 2  # of versions of one partition that are fetched at a time
PAGE = 1000  # versions listed at a time
TIMEOUT_S = 30.0
SLOWEST = 1 << 20  # bytes/s at which a device copies a large object when it is asked to: it ends where the request ends
_MANY = 16  # differing parts of a partition from which on it is listed as a whole
_log = get_logger("storage")

class Objects(Protocol):
    """What is compared and filled: this device's objects (storage.blobs.store)."""

    def digests(self, part_power: int, partitions: Sequence[int]) -> Sequence[bytes]:
        """Return the digest of each partition."""

    def subdigests(self, part_power: int, partition: int) -> Sequence[bytes]:
        """Return 256 digests of a partition."""

    def versions(self, start: bytes, end: bytes | None, limit: int) -> Sequence[Listed]:
        """Return the newest versions of keys in [start, end), in order."""

    def stat(self, key: bytes) -> Version | None:
        """Return the newest version of a key, without metadata."""


class Fetching(Protocol):
    """Copies versions from devices (storage.copying)."""

    async def fetch(self, key: bytes, timestamp: Timestamp, source: int) -> None:
        """Copy a version of a key, or a newer one, from a device. RemoteError, PeerUnavailable."""

    async def fetch_many(self, versions: Sequence[Listed], source: int) -> Fetched:
        """The same for several. PeerUnavailable."""


def lacking(mine: Iterable[Listed], theirs: Iterable[Listed]) -> list[Listed]:
    """Return those of `theirs` that are newer than, or missing among, `mine`."""
    held = {key: timestamp for key, timestamp, _deleted in mine}
    return [listed for listed in theirs if listed[0] not in held or held[listed[0]] < listed[1]]


@dataclass(frozen=True, slots=True)
class Source:
    """A device that is asked, by one version of the rings."""

    device_id: int
    peer: Peer
    version: int

    def ask(self, operation: Operation, metadata: Any, size: int = 0) -> "asyncio.Future[Reply]":
        """Send a request, for which so many bytes are copied. PeerUnavailable; RemoteError, STALE_RINGS among them."""
        return self.peer.call(operation, metadata, b"", TIMEOUT_S + size / SLOWEST, self.version)

    async def versions(self, start: bytes, end: bytes | None) -> list[Listed]:
        """Return the first PAGE versions that it has in [start, end)."""
        reply = await self.ask(Operation.BLOB_VERSIONS, (start, end, PAGE))
        listed: list[Any] = [tuple(item) for item in reply.metadata]
        return listed


@dataclass(slots=True)
class Pulled:
    """What came of it."""

    fetched_count: int = 0
    fetched_bytes: int = 0
    left_count: int = 0  # too young: their writer is most likely still at it
    overtaken_count: int = 0  # listed there, and not to be had when asked for
    failed_count: int = 0
    failure: str = ""  # of the last that failed

    @property
    def complete(self) -> bool:
        """Whether all that was newer there is here now."""
        return not (self.left_count or self.overtaken_count or self.failed_count)

    def add(self, other: "Pulled") -> None:
        """Count what came of something else too."""
        self.fetched_count += other.fetched_count
        self.fetched_bytes += other.fetched_bytes
        self.left_count += other.left_count
        self.overtaken_count += other.overtaken_count
        self.failed_count += other.failed_count
        self.failure = other.failure or self.failure


class ObjectPull:
    """Pulls objects to one device."""

    def __init__(
        self,
        objects: Objects,
        copies: Fetching,
        budget: Budget = UNLIMITED,
        wall: Callable[[], int] = wall_us,
    ) -> None:
        self._wall_us = wall
        self._objects = objects
        self._copies = copies
        self._budget = budget

    async def differing(self, source: Source, part_power: int, partitions: Sequence[int]) -> list[int]:
        """Return of which of up to PARTITIONS_PER_MESSAGE partitions there is something there that may be newer."""
        asked = tuple(partitions)
        reply = await source.ask(Operation.BLOB_DIGESTS, (part_power, asked))
        mine = self._objects.digests(part_power, asked)
        compared = zip(asked, mine, reply.metadata, strict=True)
        return [partition for partition, our, their in compared if our != their and any(their)]  # all 0: nothing there

    async def pull(self, source: Source, part_power: int, partition: int, grace_s: float = 0.0) -> Pulled:
        """Fetch what is newer there of a partition, but leave versions younger than `grace_s` for another time.

        Raise PeerUnavailable or RemoteError when it cannot be listed.
        """
        reply = await source.ask(Operation.BLOB_SUBDIGESTS, (part_power, partition))
        mine = self._objects.subdigests(part_power, partition)
        parts = [index for index, (our, their) in enumerate(zip(mine, reply.metadata, strict=True)) if our != their]
        if len(parts) >= _MANY:
            ranges = [partition_range(part_power, partition)]
        else:
            ranges = [subdivision_range(part_power, partition, index) for index in parts]
        pulled = Pulled()
        for start, end in ranges:
            await self._pull_range(source, start, end, grace_s, pulled)
        return pulled

    async def _pull_range(
        self, source: Source, start: bytes, end: bytes | None, grace_s: float, pulled: Pulled
    ) -> None:
        while True:
            theirs = await source.versions(start, end)
            last = theirs[-1][0] + b"\0" if len(theirs) == PAGE else end
            mine = self._objects.versions(start, last, PAGE + 1)
            wanted = lacking(mine, theirs)
            now_us = self._wall_us()
            ripe = [listed for listed in wanted if not is_recent(listed[1], now_us, grace_s)]
            pulled.left_count += len(wanted) - len(ripe)
            await self._pull_versions(source, ripe, pulled)
            if len(theirs) < PAGE:
                return
            assert last is not None
            start = last

    async def _pull_versions(self, source: Source, wanted: Sequence[Listed], pulled: Pulled) -> None:
        batches = [wanted[first : first + KEYS] for first in range(0, len(wanted), KEYS)]
        for turn in range(0, len(batches), BATCHES):
            some = batches[turn : turn + BATCHES]
            await asyncio.gather(*(self._pull_batch(source.device_id, batch, pulled) for batch in some))

    async def _pull_batch(self, device_id: int, batch: Sequence[Listed], pulled: Pulled) -> None:
        fetched = await self._copies.fetch_many(batch, device_id)
        pulled.fetched_count += fetched.count
        pulled.fetched_bytes += fetched.byte_count
        pulled.overtaken_count += fetched.overtaken_count
        pulled.failed_count += len(fetched.failures)
        for key, error in fetched.failures:
            pulled.failure = f"device {device_id}: {error}"
            _log.warning("fetch_failed", peer=device_id, key=key.hex(), error=str(error))
        await self._budget.took(fetched.byte_count + fetched.count * VERSION_COST)
