"""Objects whose time is over (Swift's X-Delete-At and X-Delete-After) are deleted, with their rows.

From the second on that an object names it is answered as absent (proxy.swift.headers); this makes it so. Each device
knows of its own objects which are due, in the order of their times (storage.blobs.tables), so looking for them costs
what is due and no more. The first primary of a name that is up does it; two who both think that they are do no harm.

What is deleted is that very version (storage.housekeeping.deletion): an object that was written anew, or has been
given another time, is another version. Segments of a static or dynamic large object stay, as in Swift. The parts of
an S3 upload are nobody's, then, and go later (storage.housekeeping.orphans).

A device whose clock is not trusted deletes nothing: it could be early.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from cluster.clock import Timestamp
from cluster.wire import RemoteError
from storage import metadata as stored
from storage.client import Placement
from storage.housekeeping.deletion import Deletion, Outcome
from storage.messages import Version
from storage.rings.document import OBJECT

INTERVAL_S = 5.0  # between looks at what is due
RETRY_S = 30.0
BATCH = 64
WIDTH = 4  # deleted at a time
PAUSE_S = 0.05


class Objects(Protocol):
    """Of this device (storage.blobs.store)."""

    def expired(self, start: bytes = b"", limit: int = 1000) -> tuple[list[tuple[bytes, Timestamp]], bytes]:
        """Return versions that have expired, and where to go on, b"": there are no more."""

    def head(self, key: bytes) -> Version | Awaitable[Version | None] | None:
        """Return the newest version with its metadata."""


class Expire:
    """The housekeeping task."""

    name = "delete expired objects"

    def __init__(
        self,
        objects: Objects,
        deletion: Deletion,
        placement: Placement,
        device_id: int,
        clock_is_trusted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._objects = objects
        self._deletion = deletion
        self._placement = placement
        self._device_id = device_id
        self._clock_is_trusted = clock_is_trusted
        self._start = b""  # where the pass over what is due goes on
        self.expired_count = 0
        self.undecided_count = 0  # attempts that have to be repeated

    async def step(self) -> float:
        """Delete some of what is due."""
        if not self._clock_is_trusted():
            return RETRY_S
        due, self._start = self._objects.expired(self._start, BATCH)
        own = [(key, timestamp) for key, timestamp in due if self._leads(key)]
        for first in range(0, len(own), WIDTH):
            await self._delete(own[first : first + WIDTH])
        return PAUSE_S if self._start else INTERVAL_S

    def _leads(self, key: bytes) -> bool:
        members = self._placement.replicas(OBJECT, key).members
        first = next((device_id for device_id, peer in members if device_id == self._device_id or peer.up), None)
        return first == self._device_id

    async def _delete(self, versions: Sequence[tuple[bytes, Timestamp]]) -> None:
        outcomes = await asyncio.gather(*(self._delete_one(key, timestamp) for key, timestamp in versions))
        self.expired_count += outcomes.count(Outcome.DELETED)
        self.undecided_count += outcomes.count(Outcome.UNDECIDED)

    async def _delete_one(self, key: bytes, timestamp: Timestamp) -> Outcome:
        try:
            found = self._objects.head(key)
            version = await found if isinstance(found, Awaitable) else found
        except RemoteError:  # it is damaged here, and will be healed
            return Outcome.UNDECIDED
        if version is None or version.timestamp != timestamp:
            return Outcome.REPLACED
        metadata = stored.unpack(version.metadata)
        return await self._deletion.delete(key, timestamp, (metadata.account, metadata.container, metadata.object))
