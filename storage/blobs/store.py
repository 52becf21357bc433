"""The blob operations of one device, put together.

Where a crash may fall, and what holds then:

- A small PUT or a DELETE: before its batch is synced there is nothing of it, or, unacknowledged, a
  prefix of its batch; after, its record is in the log, and opening the store applies it.
- A large PUT: until the file is published the kernel drops it with the process; between that and its
  record it is a file that nothing refers to, which the sweep removes; then as above.
- An overwrite or deletion of a file: the old file goes only after the newer record is durable. When
  the crash comes between the two, the sweep finds it.
- Forgetting, when a partition has moved away: before the FORGET is synced the versions are here. After a power cut
  the index is made from the log, and a FORGET may have been compacted away before what it names: then
  small objects are here again, and are forgotten again; versions whose file is gone are not held.
- Compaction: copies are durable before the segment they came from is dropped; a copy is the same version,
  so until then both places are as good.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from cluster.clock import Timestamp, wall_us
from cluster.telemetry.log import get_logger
from cluster.threads import Waiters, WaiterThreads
from cluster.wire import RemoteError
from storage.blobs import record
from storage.blobs.commits import Commits
from storage.blobs.compaction import Compaction
from storage.blobs.files import FileStore
from storage.blobs.install import Installs
from storage.blobs.reads import Quarantined, Reads
from storage.blobs.sweep import Sweep
from storage.blobs.tables import Origin
from storage.blobs.trust import IndexKeeper, current_boot_id
from storage.blobs.update import Updates
from storage.blobs.uploads import Uploads
from storage.disk import Buffer, Disk, RealDisk
from storage.log.device import DeviceLog
from storage.messages import (
    INLINE_LIMIT,
    BlobDelete,
    BlobPut,
    BlobReserve,
    BlobUpdate,
    Refusal,
    Version,
)

FULL_RATIO = 0.95  # of the file system; beyond it only deletions are taken
UPLOAD_TTL_S = 3600.0  # of one that nobody commits
_TICK_S = 1.0
_SWEEP_PAUSE_S = 0.02  # between directories: a pass in a few seconds, without a burst
_QUARANTINE_LIMIT = 10_000

log = get_logger("storage.blobs")


class BlobStore:
    """Objects in `directory`, on a log that is shared with others and already open.

    Whoever opens it opens and starts the log, and closes the log before the store:

        log = DeviceLog(directory + "/log")
        store = BlobStore(log, directory + "/blobs", part_power=10)
        log.start(); store.start()
        ...
        await store.stop(); await log.close(); store.close()
    """

    def __init__(
        self,
        target: DeviceLog,
        directory: str,
        part_power: int,
        *,
        disk: Disk | None = None,
        waiters: Waiters | None = None,
        full_ratio: float = FULL_RATIO,
        upload_ttl_s: float = UPLOAD_TTL_S,
        wall: Callable[[], int] = wall_us,
        boot_id: str | None = None,
        new_id: Callable[[], bytes] = lambda: os.urandom(record.DATA_ID_SIZE),
        on_corrupt: Callable[[Quarantined], None] | None = None,
    ) -> None:
        """Open the store and bring its index up to date. Blocking: may read the whole log."""
        self._disk = disk or RealDisk()
        self._waiters = waiters or WaiterThreads()
        self._directory = directory
        self._part_power = part_power
        self._full_ratio = full_ratio
        self._new_id = new_id
        self._wall_us = wall
        self._on_corrupt = on_corrupt
        self._log = target
        self._quarantined: dict[tuple[bytes, Timestamp], Quarantined] = {}
        self._tasks: set[asyncio.Future[Any]] = set()
        self._disk.make_directories(directory)
        self._files = FileStore(self._disk, directory)
        self._files.open()
        origin = Origin(target.log_id, part_power)
        self._keeper = IndexKeeper(
            self._disk, os.path.join(directory, "index"), origin, boot_id or current_boot_id()
        )
        self.index = self._keeper.open(target)
        if self._keeper.rebuilt:
            self._forget_without_file()
        for data_id in self.index.take_dropped():
            self._files.remove(data_id)
        self._commits = Commits(target, self.index, self._now, self._remove_files)
        self._uploads = Uploads(
            self._disk, self._files, self._waiters, self._commits, self._new_id, self._now, upload_ttl_s
        )
        self._reads = Reads(self._disk, target, self.index, self._files, self._waiters, self._quarantine)
        self._updates = Updates(self._files, self._waiters, self._commits, self.index, self._reads)
        self._installs = Installs(self._commits, self._uploads, self.index, self._new_id)
        self._timer: asyncio.TimerHandle | None = None
        self.install = self._installs.install
        self.stat = self._reads.stat
        self.head = self._reads.head
        self.get = self._reads.get
        self.prepare = self._uploads.prepare
        self.abort = self._uploads.abort
        self.commit = self._uploads.commit
        self.confirm_rows = self._commits.confirm
        self.forget = self._commits.forget
        self.release = self._commits.reservations.release
        self.release_all = self._commits.reservations.release_all
        self.pending = self._commits.pending
        self.settled = target.settled
        self.compaction = Compaction(target, self.index, self._commits, self._waiters)
        self.sweep = Sweep(
            self._disk,
            self._files,
            self.index,
            self._commits,
            self._waiters,
            self._uploads.data_ids,
            adopt=bool(target.damages),
        )

    def start(self) -> None:
        """Begin to keep house, on the running loop."""
        self._tick()
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep_all())
        self._keep(self._sweeping)

    async def stop(self) -> None:
        """Drop uploads and hand what waits to the log, which is closed next."""
        if self._timer is not None:
            self._timer.cancel()
        self._sweeping.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._commits.flush_confirmed()
        await self._uploads.close()

    def close(self) -> None:
        """Leave the index so that the next start trusts it. After the log is closed. Blocking."""
        self._keeper.close(self.index, self._log)
        self._waiters.close()

    # -- writing

    def put(self, message: BlobPut, payload: Buffer) -> asyncio.Future[Any]:
        """Store a small object. `payload` is not copied and must not change until the future resolves."""
        key, timestamp, flags, metadata, token = message
        here = self._commits.admit(key, timestamp, token)
        if here is not None:
            return here
        if len(payload) > INLINE_LIMIT:
            raise RemoteError(Refusal.BAD_REQUEST, f"{len(payload)} bytes in one message")
        self._commits.refuse_when_full()
        return self._commits.append(
            key, record.encode_data(key, timestamp, flags, len(payload), metadata), payload
        )

    def delete(self, message: BlobDelete) -> asyncio.Future[Any]:
        """Store a tombstone."""
        key, timestamp, flags, metadata, token = message
        here = self._commits.admit(key, timestamp, token)
        if here is not None:
            return here
        return self._commits.append(key, record.encode_tombstone(key, timestamp, flags, metadata), b"")

    def update(self, message: BlobUpdate) -> asyncio.Future[Any]:
        """Put new metadata over the data of the newest version."""
        return asyncio.get_running_loop().create_task(self._updates.update(message))

    def reserve(
        self, message: BlobReserve, client: object = None
    ) -> Version | Awaitable[Version | None] | None:
        """Hold a name, and return what is there; a commit that was on its way is waited for."""
        key, token, ttl_s = message
        refusal = self._commits.reservations.reserve(key, token, ttl_s, self._now(), client)
        if refusal is not None:
            raise RemoteError(refusal)
        pending = self._commits.pending(key)
        return self.stat(key) if pending is None else self._stat_after(pending, key)

    async def _stat_after(self, pending: asyncio.Future[Any], key: bytes) -> Version | None:
        await asyncio.wait([pending])  # whether it failed does not matter: what counts is what is there
        return self.stat(key)

    # -- for replication

    def digests(self, part_power: int, partitions: Sequence[int]) -> list[bytes]:
        """Return the digest of each partition."""
        self._check_part_power(part_power)
        return [self.index.digest(partition) for partition in partitions]

    def subdigests(self, part_power: int, partition: int) -> list[bytes]:
        """Return the digests of the 256 parts of a partition."""
        self._check_part_power(part_power)
        return self.index.digests(partition)

    def versions(self, start: bytes, end: bytes | None, limit: int) -> list[tuple[bytes, Timestamp, bool]]:
        """Return (key, timestamp, deleted) of keys in [start, end), in order."""
        return self.index.versions(start, end, limit)

    def unlisted(
        self, older_than_s: float, start: bytes = b"", limit: int = 1000
    ) -> tuple[list[tuple[bytes, Timestamp]], bytes]:
        """Return versions whose rows are not confirmed after `older_than_s`, and the key to go on from.

        That key is b"" when all have been looked at.
        """
        return self.index.unlisted(start, self._wall_us() - int(older_than_s * 1e6), limit)

    def is_listed(self, key: bytes, timestamp: Timestamp) -> bool:
        """Tell whether the row of this version needs nothing more."""
        return self.index.is_listed(key, timestamp)

    # -- state

    @property
    def quarantined(self) -> list[Quarantined]:
        """Versions that did not match their checksums, until a newer version or a repair replaces them."""
        return list(self._quarantined.values())

    def status(self) -> dict[str, Any]:
        """Return the state of the device in figures."""
        space = self._disk.space(self._directory)
        return {
            "blobs": self.index.entry_count,
            "unlisted": self.index.unlisted_count,
            "live_bytes": sum(self.index.live_bytes.values()),
            "segments": len(self._log.segments()),
            "uploads": len(self._uploads),
            "queued_bytes": self._log.queued_bytes,
            "quarantined": len(self._quarantined),
            "log_damages": len(self._log.damages),
            "full": self._commits.full,
            "failed": str(self._log.failed.detail) if self._log.failed else "",
            "space_total": space.total,
            "space_free": space.free,
            "index_rebuilt": self._keeper.rebuilt,
            "swept": self.sweep.progress,
        }

    def _check_part_power(self, part_power: int) -> None:
        if part_power != self._part_power:
            raise RemoteError(Refusal.BAD_REQUEST, f"digests are kept for part power {self._part_power}")

    def _forget_without_file(self) -> None:
        """Hold no version whose file is gone: replication brings it again if it should be here."""
        data_ids = {data_id for shard in self._files.shards() for data_id in self._files.data_ids(shard)}
        lost_count = self.index.forget_without_file(data_ids)
        if lost_count:
            log.warning("files_missing", count=lost_count)

    def _quarantine(self, found: Quarantined) -> None:
        name = found.key, found.timestamp
        if name in self._quarantined or len(self._quarantined) >= _QUARANTINE_LIMIT:
            return
        self._quarantined[name] = found
        log.error("blob_corrupt", key=found.key, timestamp=found.timestamp, reason=found.reason)
        if self._on_corrupt is not None:
            self._on_corrupt(found)

    # -- housekeeping

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _tick(self) -> None:
        """Do what is due every second."""
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)
        self._commits.flush_confirmed()
        self.index.merge()
        self._commits.remove_dropped()
        self._commits.reservations.expire(self._now())
        self._uploads.expire()
        space = self._disk.space(self._directory)
        self._commits.full = space.free < space.total * (1 - self._full_ratio)
        for key, timestamp in list(self._quarantined):
            if self.index.timestamp(key) != timestamp:
                del self._quarantined[key, timestamp]

    async def _sweep_all(self) -> None:
        try:
            while not self.sweep.done:
                await self.sweep.step()
                await asyncio.sleep(_SWEEP_PAUSE_S)
        except OSError as error:
            log.error("sweep_failed", error=error)

    def _remove_files(self, data_ids: Sequence[bytes]) -> None:
        """Delete files that nothing refers to any more. What fails here, the next sweep finds."""

        def remove_waiting() -> None:
            for data_id in data_ids:
                self._files.remove(data_id)

        try:
            self._keep(self._waiters.run(remove_waiting))
        except OverflowError as error:
            log.warning("removal_postponed", count=len(data_ids), error=error)

    def _keep(self, task: "asyncio.Future[Any]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: "asyncio.Future[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("background_failed", error=task.exception())
