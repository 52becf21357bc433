"""Names that a promise keeps from being copied are brought to a newer timestamp.

A write that was decided upon what is there may have died between its two phases: replicas have promised to take
nothing below its timestamp, copies included, and nothing comes. Then a version that one of them lacks stays lacking:
it cannot be told from one that the dead write was decided without. Readers that meet that, and writers, put an end to
it (proxy.objects.register); where nobody comes by, this does, once the name has been like that for PATIENCE_S: all
that promise anew is told, and the newest version gets the timestamp of that promise, the same version with the same
lineage otherwise.

Crash points: as of any write. Until a quorum has the new timestamp the old one is what is there.
"""

import asyncio

from cluster.clock import ZERO, Timestamp
from cluster.telemetry.log import get_logger
from cluster.wire import PeerUnavailable, RemoteError
from storage import metadata as stored
from storage.housekeeping.promise import Promised, Promises, taken_by
from storage.messages import BlobDelete, BlobFetch, BlobUpdate, Operation, Refusal, Version

PATIENCE_S = 10.0  # beyond what a write takes whose writer is alive
INTERVAL_S = 5.0
LIMIT = 1000  # names that are remembered; the others come again with the next try to copy them
_COPY_TIMEOUT_S = 600.0
_log = get_logger("storage")


class Settle:
    """The housekeeping task."""

    name = "settle names"

    def __init__(self, promises: Promises) -> None:
        self._promises = promises
        self._waiting: dict[bytes, float] = {}  # key -> since when
        self.settled_count = 0

    def note(self, key: bytes) -> None:
        """Remember a name of which a promise has kept something out."""
        if len(self._waiting) < LIMIT:
            self._waiting.setdefault(key, asyncio.get_running_loop().time())

    async def step(self) -> float:
        """Settle what has waited long enough."""
        now = asyncio.get_running_loop().time()
        for key in [key for key, since in self._waiting.items() if now - since >= PATIENCE_S]:
            if await self._settle(key):
                self._waiting.pop(key, None)
                self.settled_count += 1
        return INTERVAL_S

    async def renew(self, key: bytes, version: Timestamp) -> bool:
        """Bring a version, if it is the newest, to a new timestamp; tell whether a quorum has it now."""
        promised = await self._promises.ask(key, version)
        if promised is None or promised.newest is None or promised.newest.timestamp != version:
            return False
        taken = await self._restamp(key, promised, promised.newest)
        return promised.replicas.writers.reached(taken)

    async def _settle(self, key: bytes) -> bool:
        """Bring the newest version of a name past all promises; tell whether a quorum has it now."""
        promised = await self._promises.ask(key, ZERO)
        if promised is None:
            return False
        newest = promised.newest
        if newest is None or newest.timestamp > promised.timestamp or _all_have(newest, promised):
            return True
        taken = await self._restamp(key, promised, newest)
        return promised.replicas.writers.reached(taken)

    async def _restamp(self, key: bytes, promised: Promised, newest: Version) -> list[int]:
        lineage = stored.lineage_in(newest.metadata)
        lineage = lineage._replace(origin=lineage.origin or newest.timestamp)
        packed = stored.pack(stored.unpack(newest.metadata), lineage)
        if newest.deleted:
            tombstone = BlobDelete(key, promised.timestamp, newest.flags, packed)
            return taken_by(await self._promises.write(promised, Operation.BLOB_DELETE, tombstone))
        update = BlobUpdate(key, newest.timestamp, promised.timestamp, newest.flags, packed)
        answers = await self._promises.write(promised, Operation.BLOB_UPDATE, update)
        taken = taken_by(answers)
        for device_id, answer in answers.items():
            lacks_it = isinstance(answer, RemoteError) and answer.code == Refusal.NOT_FOUND
            if taken and lacks_it and await self._fetched(key, promised, device_id, taken[0]):
                taken.append(device_id)
        return taken

    async def _fetched(self, key: bytes, promised: Promised, device_id: int, source: int) -> bool:
        """Have a replica that lacks the version copy it; tell whether it has."""
        replicas = promised.replicas
        message = BlobFetch(key, promised.timestamp, source)
        try:
            await replicas.peer(device_id).call(
                Operation.BLOB_FETCH, message, b"", _COPY_TIMEOUT_S, replicas.version
            )
        except (PeerUnavailable, RemoteError) as error:
            _log.info("settling_interrupted", key=key.hex(), peer=device_id, error=str(error))
            return False
        return True


def _all_have(newest: Version, promised: Promised) -> bool:
    found = promised.versions
    return len(found) == len(promised.replicas.members) and all(version == newest for version in found.values())
