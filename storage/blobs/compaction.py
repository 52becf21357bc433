"""Gives back the space of segments that hold mostly superseded records.

A segment without live records is dropped; of one that is mostly dead the live records are appended again
(same version, new place), a bounded number of bytes per step, until it has none. A record is moved only
while it is the newest of its key, pending ones included, so a copy never comes after a newer version
in the log. Tombstones are live records: they move like the others. So does what a FORGET names, as long as
something older of that key may be in the log.

The copies are durable and applied before the old segment is dropped. A live record that is damaged is reported, and
keeps its segment until a replica has given it back; damage to what nothing needs goes with its segment.
"""

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from cluster.telemetry.log import get_logger
from cluster.threads import Waiters
from storage.blobs import record
from storage.blobs.commits import Commits
from storage.blobs.index import BlobIndex
from storage.blobs.quarantine import Quarantined
from storage.log.interface import Kind, Log, Record, RecordDamaged, position_of, segment_of

_DEAD_RATIO = 0.5  # lower: more rewriting; higher: more dead space kept
_STEP_BYTES = 1 << 20
_STEP_RECORDS = 64

log = get_logger("storage.blobs")


class Compaction:
    """Drops and rewrites segments, one bounded step after the other."""

    name = "compaction"

    def __init__(
        self,
        target: Log,
        index: BlobIndex,
        commits: Commits,
        waiters: Waiters,
        report: Callable[[Quarantined], None],
    ) -> None:
        self._report = report
        self._log = target
        self._waiters = waiters
        self._index = index
        self._commits = commits
        self._segment: int | None = None  # that is being rewritten
        self._records: Iterator[Record] = iter(())
        self._postponed: dict[int, int] = {}  # segment -> newest segment at the time
        self.moved_bytes = 0
        self.dropped_segments = 0

    async def step(self) -> bool:
        """Do a bounded amount of work; tell whether there was any."""
        if self._segment is None:
            if await self._drop_dead():
                return True
            self._segment = self._choose()
            if self._segment is None:
                return False
            self._records = self._scan(self._segment)
        if not await self._move_some():
            await self._finish()
        return True

    async def _drop_dead(self) -> bool:
        """Drop one segment that has no live record."""
        live_bytes = self._index.live_bytes
        for info in self._log.segments():
            if not live_bytes.get(info.id) and self._may_drop(info.id):
                await self._drop(info.id)
                return True
        return False

    def _choose(self) -> int | None:
        """Return the segment that gives back most, None when none is worth it."""
        best: tuple[float, int] | None = None
        live_bytes = self._index.live_bytes
        for info in self._log.segments():
            dead = 1 - live_bytes.get(info.id, 0) / max(info.size, 1)
            if dead >= _DEAD_RATIO and self._may_drop(info.id) and (best is None or dead > best[0]):
                best = dead, info.id
        return None if best is None else best[1]

    def _may_drop(self, segment: int) -> bool:
        if not self._log.may_drop(segment):
            return False
        return segment not in self._postponed or self._postponed[segment] != self._newest()

    def _scan(self, segment: int) -> Iterator[Record]:
        for item in self._log.scan(position_of(segment, 0), Kind.BLOB):
            if segment_of(item.position) != segment:
                return
            yield item

    async def _move_some(self) -> bool:
        """Append the next live records again; tell whether there may be more."""
        moved = 0
        waiting: list[asyncio.Future[Any]] = []
        more = False
        while moved < _STEP_BYTES:
            found = await self._waiters.run(lambda: list(islice(self._records, _STEP_RECORDS)))
            for item in found:
                moved += await self._move(item, waiting)
            more = bool(found)
            if not found:
                break
        await asyncio.gather(*waiting)
        self.moved_bytes += moved
        return more

    def _is_live(self, item: Record) -> bool:
        if item.metadata[0] in record.NAMING:
            return False
        key = record.decode_identity(item.metadata)[3]
        entry = self._index.get(key)
        if entry is None or entry.position != item.position:
            return False
        return self._commits.pending(key) is None and not self._commits.is_forgetting(key)

    async def _move(self, item: Record, waiting: list[asyncio.Future[Any]]) -> int:
        """Append `item` again if it is live; return how many bytes that takes."""
        if item.metadata[0] == record.Type.FORGET:
            return self._move_forgotten(item, waiting)
        if not self._is_live(item):
            return 0
        length = item.end - item.position
        try:
            found = self._log.read(item.position, length)
            whole = found if isinstance(found, Record) else await found
        except RecordDamaged as damage:  # it stays, and its segment with it, until a replica mends it
            key, timestamp = record.decode_identity(item.metadata)[3:5]
            self._report(Quarantined(key, timestamp, damage.reason, item.position))
            return 0
        if not self._is_live(item):  # it was superseded while we read
            return 0
        key, timestamp = record.decode_identity(item.metadata)[3:5]
        flags = record.LISTED if self._index.is_listed(key, timestamp) else 0
        waiting.append(self._commits.append(key, whole.metadata, whole.payload, flags))
        return length

    def _move_forgotten(self, item: Record, waiting: list[asyncio.Future[Any]]) -> int:
        """Forget again what older records of the log would bring back (storage.blobs.graves)."""
        segment = segment_of(item.position)
        needed = []
        for key, timestamp in record.decode_naming(item.metadata):
            grave = self._index.grave(key)
            named_here = grave is not None and (grave.segment, grave.timestamp) == (segment, timestamp)
            if named_here and self._commits.pending(key) is None:
                needed.append((key, timestamp))
        if not needed:
            return 0
        metadata = record.encode_naming(record.Type.FORGET, needed)
        waiting.append(self._log.append(Kind.BLOB, metadata))
        return len(metadata)

    async def _finish(self) -> None:
        segment, self._segment = self._segment, None
        assert segment is not None
        if not self._index.live_bytes.get(segment) and self._may_drop(segment):
            await self._drop(segment)
        else:  # a record was on its way, or is damaged: look again when the log has grown by a segment
            self._postponed[segment] = self._newest()

    def _newest(self) -> int:
        return max(info.id for info in self._log.segments())

    async def _drop(self, segment: int) -> None:
        """Drop a segment. Promises are in no entry: they go on ahead of it, wherever their records were."""
        await self._commits.renew_promises()
        self._index.forget_segment(segment)
        self._log.drop(segment)
        self._postponed.pop(segment, None)
        self.dropped_segments += 1
        log.info("segment_dropped", segment=segment)
