"""The blob operations of one device, put together.

Where a crash may fall, and what holds then:

- A small PUT or a DELETE: before its batch is synced there is nothing of it, or, unacknowledged, a
  prefix of its batch; after, its record is in the log, and opening the store applies it.
- A large PUT: until the file is published the kernel drops it with the process; between that and its
  record it is a file that nothing refers to, which the sweep removes; then as above.
- An overwrite or deletion of a file: the old file goes only after the newer record is durable. When
  the crash comes between the two, the sweep finds it.
- Forgetting, when a partition has moved away or a tombstone is old: before the FORGET is synced the versions are here.
  After a power cut the index is made from the log; nothing that was forgotten is back, for a FORGET stays as
  long as older records of what it names do (`graves`). Versions whose file is gone are not held.
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
from storage.blobs.areas import FileArea, LogArea
from storage.blobs.commits import Commits
from storage.blobs.compaction import Compaction
from storage.blobs.files import FileStore
from storage.blobs.install import Installs
from storage.blobs.mend import Mending
from storage.blobs.quarantine import Quarantine, Quarantined
from storage.blobs.reads import Reads
from storage.blobs.reclaim import Reclaims
from storage.blobs.replaced import Replaced
from storage.blobs.sweep import Sweep
from storage.blobs.tables import Origin
from storage.blobs.trust import IndexKeeper, current_boot_id
from storage.blobs.update import Updates
from storage.blobs.uploads import Uploads
from storage.disk import Buffer, Disk, RealDisk, drop_unfinished
from storage.log.device import DeviceLog
from storage.messages import (
    INLINE_LIMIT,
    BlobDelete,
    BlobPromise,
    BlobPut,
    BlobUpdate,
    Refusal,
    Version,
)

FULL_RATIO = 0.95  # of the file system; beyond it only deletions are taken
UPLOAD_TTL_S = 3600.0  # of one that nobody commits
PROMISE_S = 3600.0  # then it is forgotten: far beyond the life of any write that relies on it
_TICK_S = 1.0
_SWEEP_PAUSE_S = 0.02  # between directories: a pass in a few seconds, without a burst

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
        on_index_damaged: Callable[[], None] | None = None,
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
        self._on_index_damaged = on_index_damaged
        self.index_damaged = False  # it is served by what is there, and made anew by the next start
        self._log = target
        self._tasks: set[asyncio.Future[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._listing: asyncio.Future[None] | None = None  # what is quarantined, on its way to its file
        self._open(boot_id or current_boot_id())
        self._put_together(upload_ttl_s)
        self._add_upkeep()
        self._offer_operations()

    def _open(self, boot_id: str) -> None:
        """Have the files, the index as the log has it, and what is quarantined. Blocking."""
        directory = self._directory
        self._disk.make_directories(directory)
        drop_unfinished(self._disk, directory)
        self._files = FileStore(self._disk, directory)
        self._files.open()
        origin = Origin(self._log.log_id, self._part_power)
        self._keeper = IndexKeeper(self._disk, os.path.join(directory, "index"), origin, boot_id)
        self.index = self._keeper.open(self._log)
        if self._keeper.rebuilt:
            self._forget_without_file()
        for data_id in self.index.take_dropped():
            self._files.remove(data_id)
        self.quarantine = Quarantine(self._disk, os.path.join(directory, "quarantine"), self.index)
        self.quarantine.load()

    def _put_together(self, upload_ttl_s: float) -> None:
        """Make what answers operations."""
        disk, log, index, files, waiters = self._disk, self._log, self.index, self._files, self._waiters
        self._commits = Commits(log, index, self._now, self._remove_files, self._wall_us)
        self._uploads = Uploads(disk, files, waiters, self._commits, self._new_id, self._now, upload_ttl_s)
        self._reads = Reads(disk, log, index, files, waiters, self.report_damage)
        self._updates = Updates(files, waiters, self._commits, index, self._reads)
        self._installs = Installs(self._commits, self._uploads, index, self._new_id)

    def _add_upkeep(self) -> None:
        """Make what housekeeping works with."""
        disk, log, index, files, waiters = self._disk, self._log, self.index, self._files, self._waiters
        self.reclaims = Reclaims(disk, self._directory, index, self._commits, waiters, self._wall_us)
        self.compaction = Compaction(log, index, self._commits, waiters, self.report_damage)
        self.sweep = Sweep(
            disk, files, index, self._commits, waiters, self._uploads.data_ids, adopt=bool(log.damages)
        )
        self.mending = Mending(files, index, self._commits, self.sweep, waiters)
        self.areas = (
            LogArea(log, index, self._reads, waiters, self.report_damage, self._commits.forget),
            FileArea(disk, files, index, self._reads, waiters, self.report_damage, self._distrust_index),
        )

    def _offer_operations(self) -> None:
        """Offer as ours what the parts do. A call of them costs nothing on the way."""
        self.install = self._installs.install
        self.begin_install = self._installs.begin
        self.stat = self._reads.stat
        self.head = self._reads.head
        self.get = self._reads.get
        self.prepare = self._uploads.prepare
        self.abort = self._uploads.abort
        self.commit = self._uploads.commit
        self.confirm_rows = self._commits.confirm
        self.forget = self._commits.forget
        self.pending = self._commits.pending
        self.had = self._commits.had
        self.superseded = self._commits.superseded
        self.settled = self._log.settled
        self.loss_is_known = self._keeper.loss_is_known

    def start(self) -> None:
        """Begin to keep house, on the running loop."""
        self.index.replaced = Replaced(self._now(), complete=not self.index.entry_count)
        self._tick()
        self._begin_sweeping()

    def made_whole(self) -> None:
        """Give up what could not be adopted after a loss: everything that was acknowledged is here again."""
        self.sweep.adopt_no_more()
        if self._sweeping.done():
            self._begin_sweeping()

    def _begin_sweeping(self) -> None:
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

    def suspend(self) -> None:
        """Write no more, for good: the disk has failed. What is durable can be read still."""
        if self._timer is not None:
            self._timer.cancel()
        self._sweeping.cancel()
        self.index.freeze()

    def close(self) -> None:
        """Leave the index so that the next start trusts it. After the log is closed. Blocking."""
        self._keeper.close(self.index, self._log)
        self._waiters.close()

    # -- writing

    def put(self, message: BlobPut, payload: Buffer) -> asyncio.Future[Any]:
        """Store a small object. `payload` is not copied and must not change until the future resolves."""
        key, timestamp, flags, metadata = message
        here = self._commits.admit(key, timestamp)
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
        key, timestamp, flags, metadata = message
        here = self._commits.admit(key, timestamp)
        if here is not None:
            return here
        return self._commits.append(key, record.encode_tombstone(key, timestamp, flags, metadata), b"")

    def update(self, message: BlobUpdate) -> asyncio.Future[Any]:
        """Put new metadata over the data of the newest version."""
        return asyncio.get_running_loop().create_task(self._updates.update(message))

    def tell_promised(self, told: Callable[[bytes], None]) -> None:
        """Have `told` called with names of which a promise has kept something out."""
        self._commits.on_promised = told

    async def promise(self, message: BlobPromise) -> Version | None:
        """Take nothing below a timestamp for a name any more; return what is there, with its metadata.

        What was on its way before is durable by then too, for it comes before the promise in the log.
        """
        await asyncio.shield(self._commits.promise(*message))  # cancelling us must not forget what is on its way
        found = self.head(message.key)
        return await found if isinstance(found, Awaitable) else found

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

    def unlisted(self, start: bytes = b"", limit: int = 1000) -> tuple[list[tuple[bytes, Timestamp]], bytes]:
        """Return versions whose rows are not confirmed, and the key to go on from, b"": there are no more."""
        return self.index.unlisted(start, limit)

    def expired(self, start: bytes = b"", limit: int = 1000) -> tuple[list[tuple[bytes, Timestamp]], bytes]:
        """Return versions that have expired, those due first first, and where to go on, b"": there are no more."""
        return self.index.expired(start, self._wall_us() // 1_000_000, limit)

    def is_listed(self, key: bytes, timestamp: Timestamp) -> bool:
        """Tell whether the row of this version needs nothing more."""
        return self.index.is_listed(key, timestamp)

    def raise_floor(self, floor: Timestamp) -> None:
        """Admit no write below `floor` any more, copies aside: promises that were given here may be forgotten."""
        self._commits.floor = max(self._commits.floor, floor)

    # -- state

    @property
    def is_full(self) -> bool:
        """Tell whether the file system is so full that only deletions are taken."""
        return self._commits.full

    @property
    def quarantined(self) -> list[Quarantined]:
        """Versions that did not match their checksums, until a newer version or a repair replaces them."""
        return list(self.quarantine)

    @property
    def lost_data(self) -> str:
        """Why this device does not know any more what it once had made durable; "" when it does."""
        return self._keeper.lost

    def status(self) -> dict[str, Any]:
        """Return the state of the device in figures."""
        space = self._disk.space(self._directory)
        return {
            "blobs": self.index.entry_count,
            "unlisted": self.index.unlisted_count,
            "tombstones": self.index.tombstone_count,
            "expiring": self.index.expiry_count,
            "graves": self.index.grave_count,
            "live_bytes": sum(self.index.live_bytes.values()),
            "segments": len(self._log.segments()),
            "uploads": len(self._uploads),
            "queued_bytes": self._log.queued_bytes,
            "quarantined": len(self.quarantine),
            "log_damages": len(self._log.damages),
            "full": self._commits.full,
            "failed": str(self._log.failed.detail) if self._log.failed else "",
            "space_total": space.total,
            "space_free": space.free,
            "index_rebuilt": self._keeper.rebuilt,
            "index_damaged": self.index_damaged,
            "swept": self.sweep.progress,
        }

    def _check_part_power(self, part_power: int) -> None:
        if part_power != self._part_power:
            raise RemoteError(Refusal.BAD_REQUEST, f"digests are kept for part power {self._part_power}")

    def _forget_without_file(self) -> None:
        """Hold no version whose file is gone, and say so: a replica has to bring it again."""
        data_ids = {data_id for shard in self._files.shards() for data_id in self._files.data_ids(shard)}
        self.index.forget_without_file(data_ids, lambda count: self._keeper.note_loss(f"{count} files are missing"))

    def report_damage(self, found: Quarantined) -> None:
        """List a version whose bytes here are not what was written."""
        if self.quarantine.add(found):
            log.error("blob_corrupt", key=found.key, timestamp=found.timestamp, reason=found.reason)
            if self._on_corrupt is not None:
                self._on_corrupt(found)

    def _distrust_index(self, buckets: Sequence[int]) -> None:
        """Have the index, which does not add up, made anew from the log by the next start."""
        if not self.index_damaged:
            log.error("index_damaged", directory=self._directory, buckets=len(buckets), first=buckets[0])
            self.index_damaged = True
            self._keeper.distrust()
            if self._on_index_damaged is not None:
                self._on_index_damaged()

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
        if self.index.promises:
            self.index.lapse(self._now(), PROMISE_S)
        self._uploads.expire()
        if self.index.replaced is not None:
            self.index.replaced.pass_time(self._now())
        space = self._disk.space(self._directory)
        self._commits.full = space.free < space.total * (1 - self._full_ratio)
        self.settle_quarantine()

    def settle_quarantine(self) -> None:
        """Take off the list what was made good, and write down what is left on it."""
        self.quarantine.settle()
        if self._listing is not None and not self._listing.done():
            return
        content = self.quarantine.save()
        if content is not None:
            self._listing = self._waiters.run(self.quarantine.write, content)
            self._keep(self._listing)

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
