"""Objects that a device has missed are pulled from its peers.

Each device compares itself with every other primary of the partitions that it holds: one digest a
partition, then of those that differ 256 digests, then of those the versions themselves; what is newer
there is fetched whole and committed under its own timestamp. All devices do so, therefore all come to
hold the newest of each name; when nothing differs it costs one message a peer.

Versions younger than GRACE_S are left for the next round: their writer is most likely still at it.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from cluster.clock import Timestamp, microseconds_of, wall_us
from cluster.telemetry.log import get_logger
from cluster.wire import Peer, PeerUnavailable, RemoteError
from ring.lookup import Ring
from storage.housekeeping.keyrange import subdivision_range
from storage.messages import Operation, Refusal

GRACE_S = 4.0
PARTITIONS_PER_MESSAGE = 64  # each takes a few hundred reads of the index on either side
WIDTH = 4  # versions fetched at a time
PAGE = 1000  # versions listed at a time
TIMEOUT_S = 30.0
_log = get_logger("storage")

Listed = tuple[bytes, Timestamp, bool]  # key, version, deleted


class Replica(Protocol):
    """What is compared and filled: this device's objects."""

    def digests(self, part_power: int, partitions: Sequence[int]) -> Sequence[bytes]:
        """Return the digest of each partition."""

    def subdigests(self, part_power: int, partition: int) -> Sequence[bytes]:
        """Return 256 digests of a partition."""

    def versions(self, start: bytes, end: bytes | None, limit: int) -> Sequence[Listed]:
        """Return the newest versions of keys in [start, end), in order."""

    async def fetch(self, key: bytes, timestamp: Timestamp, source: int) -> None:
        """Copy a version, or a newer one, from device `source`. Raise RemoteError, PeerUnavailable."""


def shared_partitions(ring: Ring, device_id: int) -> Mapping[int, Sequence[int]]:
    """Return, by other device, the partitions that it holds together with `device_id`."""
    shared: dict[int, list[int]] = {}
    for partition in range(1 << ring.part_power):
        holders = [device.id for device in ring.primaries(partition)]
        if device_id in holders:
            for other in holders:
                if other != device_id:
                    shared.setdefault(other, []).append(partition)
    return shared


def lacking(mine: Iterable[Listed], theirs: Iterable[Listed]) -> list[Listed]:
    """Return those of `theirs` that are newer than, or missing among, `mine`."""
    held = {key: timestamp for key, timestamp, _deleted in mine}
    return [listed for listed in theirs if listed[0] not in held or held[listed[0]] < listed[1]]


class Replicate:
    """The housekeeping task."""

    name = "replicate"

    def __init__(
        self, replica: Replica, ring: Ring, device_id: int, peers: Mapping[int, Peer], interval_s: float
    ) -> None:
        self._replica = replica
        self._ring = ring
        self._shared = shared_partitions(ring, device_id)
        self._peers = peers
        self._interval_s = interval_s
        self.fetched_count = 0
        self.failed_count = 0
        self._left_count = 0
        self.lacking_count: int | None = None  # versions that the last comparison missed here; None: not all compared

    async def step(self) -> float:
        """Compare with every peer once; soon again when something was missing."""
        self._left_count = 0
        compared, before = True, self.fetched_count
        for device_id, partitions in self._shared.items():
            peer = self._peers[device_id]
            try:
                await self._compare(device_id, peer, partitions)
            except (PeerUnavailable, RemoteError) as error:
                compared = False
                _log.info("replicate_interrupted", peer=device_id, error=str(error))
        lacking_count = self._left_count + self.fetched_count - before
        self.lacking_count = lacking_count if compared else None
        return min(self._interval_s, GRACE_S) if lacking_count else self._interval_s

    async def _compare(self, device_id: int, peer: Peer, partitions: Sequence[int]) -> None:
        part_power = self._ring.part_power
        for first in range(0, len(partitions), PARTITIONS_PER_MESSAGE):
            asked = tuple(partitions[first : first + PARTITIONS_PER_MESSAGE])
            reply = await peer.call(Operation.BLOB_DIGESTS, (part_power, asked), b"", TIMEOUT_S)
            mine = self._replica.digests(part_power, asked)
            for partition, our, their in zip(asked, mine, reply.metadata, strict=True):
                if our != their:
                    await self._compare_partition(device_id, peer, partition)
                    await asyncio.sleep(0)

    async def _compare_partition(self, device_id: int, peer: Peer, partition: int) -> None:
        part_power = self._ring.part_power
        reply = await peer.call(Operation.BLOB_SUBDIGESTS, (part_power, partition), b"", TIMEOUT_S)
        mine = self._replica.subdigests(part_power, partition)
        for index, (our, their) in enumerate(zip(mine, reply.metadata, strict=True)):
            if our != their:
                await self._pull(device_id, peer, *subdivision_range(part_power, partition, index))

    async def _pull(self, device_id: int, peer: Peer, start: bytes, end: bytes | None) -> None:
        while True:
            reply = await peer.call(Operation.BLOB_VERSIONS, (start, end, PAGE), b"", TIMEOUT_S)
            theirs: list[Any] = [tuple(listed) for listed in reply.metadata]
            last = theirs[-1][0] + b"\0" if len(theirs) == PAGE else end
            mine = self._replica.versions(start, last, PAGE + 1)
            wanted = lacking(mine, theirs)
            old = [listed for listed in wanted if microseconds_of(listed[1]) < wall_us() - GRACE_S * 1e6]
            self._left_count += len(wanted) - len(old)
            for first in range(0, len(old), WIDTH):
                await asyncio.gather(*(self._fetch(device_id, listed) for listed in old[first : first + WIDTH]))
            if len(theirs) < PAGE:
                return
            assert last is not None
            start = last

    async def _fetch(self, device_id: int, listed: Listed) -> None:
        key, timestamp, _deleted = listed
        try:
            await self._replica.fetch(key, timestamp, device_id)
            self.fetched_count += 1
        except RemoteError as error:
            if error.code in (Refusal.NOT_FOUND, Refusal.SUPERSEDED):
                return  # overtaken meanwhile
            self.failed_count += 1
            _log.warning("replicate_failed", peer=device_id, key=key.hex(), error=str(error))
