"""Admission of versions to the log, and what happens when they are durable.

Per key, versions enter the log in the order of their timestamps: one is admitted only when it is newer
than the newest known here, be that durable (in the index) or on its way (pending). So replaying the
log in order ends at the newest version of each key, and two writers of one key cannot both
believe that they came last.

A promise is the first half of a write that is decided upon what is there: from the moment that it is given nothing
below its timestamp is admitted for that key, copies included, until something newer is there. It is a record of
the log, so it outlasts a crash; it is answered when it is durable, and with it all that came before it.
"""

import asyncio
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cluster.clock import TIMESTAMP_SIZE, ZERO, Timestamp, is_far_ahead, microseconds_of, wall_us
from cluster.telemetry.log import get_logger
from cluster.wire import RemoteError
from storage.blobs import record
from storage.blobs.index import BlobIndex
from storage.blobs.turns import Turns
from storage.disk import Buffer
from storage.log.interface import Appended, DeviceFull, Kind, Log, LogRefusal
from storage.messages import KEY_SIZE, Refusal
from storage.metadata import forebears_of

_OUT_OF_TURN = "another write is being decided"
_NAMES_PER_RECORD = 256  # of a CONFIRM or a FORGET

log = get_logger("storage.blobs")


class Commits:
    """The way into the log for versions of one device."""

    def __init__(
        self,
        target: Log,
        index: BlobIndex,
        now: Callable[[], float],
        remove_files: Callable[[Sequence[bytes]], None],
        wall: Callable[[], int] = wall_us,
    ) -> None:
        self._log = target
        self._index = index
        self._now = now
        self._wall_us = wall
        self._remove_files = remove_files
        self._pending: dict[bytes, Appended] = {}  # key -> its newest record that is not durable yet
        self._confirmed: list[tuple[bytes, Timestamp]] = []
        self._turns = Turns()
        self.on_promised: Callable[[bytes], None] = lambda _key: None  # told of what a promise has kept out
        self._promising: dict[bytes, Timestamp] = {}  # key -> what was promised last, when it is not durable yet
        self.floor = ZERO  # no write below it is admitted: promises may have been lost here
        self.reclaim_floor = ZERO  # the same of names of which nothing is here (storage.blobs.reclaim)
        self._forgetting: Counter[bytes] = Counter()  # keys, and how many FORGETs of them are not durable yet
        self.full = False  # nothing but deletions is taken
        target.register(Kind.BLOB, self._apply, self._discard)

    def admit(self, key: bytes, timestamp: Timestamp) -> asyncio.Future[Any] | None:
        """Decide whether a version may be appended: None means yes. Raise RemoteError when not.

        A future means that the very version is here already, and resolves when it is durable; or was, until lately.
        """
        here = self._admit(key, timestamp)
        if here is None and self._turns and not self._turns.may_write(key, timestamp, self._now()):
            raise RemoteError(Refusal.BUSY, _OUT_OF_TURN)
        return here

    def _admit(self, key: bytes, timestamp: Timestamp) -> asyncio.Future[Any] | None:
        if is_far_ahead(timestamp, self._wall_us()):
            self._refuse_far_ahead(key, timestamp)
        here = self.admit_copy(key, timestamp)
        if here is None and timestamp < self.floor:
            raise RemoteError(Refusal.PROMISED, self.floor)
        if timestamp < self.reclaim_floor and key not in self._pending and self._index.timestamp(key) is None:
            raise RemoteError(Refusal.PROMISED, self.reclaim_floor)
        return here

    def admit_copy(self, key: bytes, timestamp: Timestamp) -> asyncio.Future[Any] | None:
        """The same for a version that was committed elsewhere."""
        if len(key) != KEY_SIZE or len(timestamp) != TIMESTAMP_SIZE:
            raise RemoteError(Refusal.BAD_REQUEST, "not a key and a timestamp")
        pending = self._pending.get(key)
        newest = self._index.timestamp(key) if pending is None else record.timestamp_of(pending.metadata)
        if newest is None or newest < timestamp:
            if self._index.promises or self._promising:
                self._keep_promise(key, timestamp)
            return None
        if newest > timestamp:
            if self.had(key, timestamp):
                return _done()
            if pending is not None and self._gives_way(key, timestamp, pending):
                return asyncio.shield(pending.future)
            raise self.superseded(newest)
        return _done() if pending is None else asyncio.shield(pending.future)

    def _gives_way(self, key: bytes, timestamp: Timestamp, pending: Appended) -> bool:
        """Tell whether this version will have been here once what is on its way is durable: `had` knows it then."""
        if self._index.timestamp(key) == timestamp:
            return True
        return timestamp in forebears_of(record.object_metadata_of(pending.metadata))

    def had(self, key: bytes, timestamp: Timestamp) -> bool:
        """Tell whether this version was here, and has been replaced (storage.blobs.replaced)."""
        replaced = self._index.replaced
        return replaced is not None and replaced.has(key, timestamp)

    def superseded(self, newest: Timestamp) -> RemoteError:
        """Return the refusal of a version older than `newest`, which is here or on its way."""
        replaced = self._index.replaced
        knows = replaced is not None and replaced.knows(self._now())
        return RemoteError(Refusal.SUPERSEDED if knows else Refusal.OVERTAKEN, newest)

    def _refuse_far_ahead(self, key: bytes, timestamp: Timestamp) -> None:
        """Raise CLOCK_AHEAD, unless what is here of this very name is as far ahead.

        One clock in the year 2100 does no harm then. But a name that has such a version, from a time when most clocks
        were wrong, can be written still.
        """
        if len(key) != KEY_SIZE or len(timestamp) != TIMESTAMP_SIZE:
            return
        pending = self._pending.get(key)
        newest = self._index.timestamp(key) if pending is None else record.timestamp_of(pending.metadata)
        known = max(newest or ZERO, self._promised(key), self.floor, self.reclaim_floor)
        if is_far_ahead(timestamp, microseconds_of(known)):
            log.warning("clock_ahead", key=key, timestamp=timestamp)
            raise RemoteError(Refusal.CLOCK_AHEAD, self._wall_us())

    def admit_again(self, key: bytes, timestamp: Timestamp) -> asyncio.Future[Any] | None:
        """Decide whether a version that is here, and damaged, may be appended once more; or something newer over it.

        The same version again changes nothing but where its bytes are: promises do not concern it.
        """
        newest = self._index.timestamp(key)
        if newest is None or self.is_forgetting(key):
            raise RemoteError(Refusal.SUPERSEDED, ZERO)  # it was forgotten meanwhile, and stays so
        if newest == timestamp and key not in self._pending:
            return None
        return self.admit_copy(key, timestamp)

    def _keep_promise(self, key: bytes, timestamp: Timestamp) -> None:
        promised = self._promised(key)
        if timestamp < promised:
            self.on_promised(key)
            raise RemoteError(Refusal.PROMISED, promised)

    def _promised(self, key: bytes) -> Timestamp:
        return self._promising.get(key) or self._index.promises.get(key, ZERO)

    def promise(self, key: bytes, timestamp: Timestamp) -> asyncio.Future[Any]:
        """Admit nothing below `timestamp` for `key` from now on; the future resolves when that is durable.

        Raise RemoteError when something as new is here, or has been promised.
        """
        if self._admit(key, timestamp) is not None:
            raise RemoteError(Refusal.SUPERSEDED, timestamp)
        if self._promised(key) == timestamp:
            raise RemoteError(Refusal.PROMISED, timestamp)
        now_s = self._now()
        if not self._turns.may_promise(key, timestamp, now_s):
            raise RemoteError(Refusal.BUSY, _OUT_OF_TURN)
        self._turns.begin(key, timestamp, now_s)
        appended = self._log.append(Kind.BLOB, record.encode_naming(record.Type.PROMISE, [(key, timestamp)]))
        self._promising[key] = timestamp

        def settled(_future: asyncio.Future[Any]) -> None:
            if self._promising.get(key) == timestamp:
                del self._promising[key]

        appended.add_done_callback(settled)
        return appended

    async def renew_promises(self) -> None:
        """Have all promises in records of their own once more, before older ones are dropped."""
        promises = list(self._index.promises.items())
        for start in range(0, len(promises), _NAMES_PER_RECORD):
            some = promises[start : start + _NAMES_PER_RECORD]
            await self._log.append(Kind.BLOB, record.encode_naming(record.Type.PROMISE, some))

    def pending(self, key: bytes) -> asyncio.Future[Any] | None:
        """Return what resolves when the newest version of `key` is durable; None when it is."""
        found = self._pending.get(key)
        return None if found is None else asyncio.shield(found.future)

    def append(self, key: bytes, metadata: bytes, payload: Buffer, flags: int = 0) -> asyncio.Future[Any]:
        """Append an admitted version. LogRefusal."""
        appended = self._log.append_record(Kind.BLOB, metadata, payload, flags, key)
        self._pending[key] = appended
        if self._turns:
            self._turns.end(key, record.timestamp_of(metadata))
        return appended.future

    def refuse_when_full(self) -> None:
        """Raise DeviceFull when only deletions are taken."""
        if self.full or self._index.crowded:
            raise DeviceFull("the device is nearly full")

    def confirm(self, versions: Iterable[tuple[bytes, Timestamp]]) -> None:
        """Note that the rows of `versions` are on a quorum. Written by and by: losing it costs a repetition."""
        confirmed = [
            (key, timestamp)
            for key, timestamp in versions
            if len(key) == KEY_SIZE and len(timestamp) == TIMESTAMP_SIZE
        ]
        self._index.confirm(confirmed)
        self._confirmed += confirmed
        if len(self._confirmed) >= _NAMES_PER_RECORD:
            self.flush_confirmed()

    def flush_confirmed(self) -> None:
        """Append what was confirmed."""
        confirmed, self._confirmed = self._confirmed, []
        for start in range(0, len(confirmed), _NAMES_PER_RECORD):
            metadata = record.encode_naming(record.Type.CONFIRM, confirmed[start : start + _NAMES_PER_RECORD])
            try:
                future = self._log.append(Kind.BLOB, metadata)
            except LogRefusal:
                return
            future.add_done_callback(_ignore_failure)

    async def forget(self, versions: Sequence[tuple[bytes, Timestamp]]) -> None:
        """Hold `versions` no more: not as deleted, but as if they had never been here. LogRefusal.

        One that has been replaced meanwhile stays replaced. Durable when it returns; before, after a crash,
        they are here still or again.
        """
        names = [versions[start : start + _NAMES_PER_RECORD] for start in range(0, len(versions), _NAMES_PER_RECORD)]
        for some in names:
            keys = {key for key, _timestamp in some}
            appended = self._log.append(Kind.BLOB, record.encode_naming(record.Type.FORGET, some))
            self._forgetting.update(keys)
            appended.add_done_callback(functools.partial(self._forgotten, keys))
            await asyncio.shield(appended)  # it is on its way, whoever waits for it

    def _forgotten(self, keys: set[bytes], _appended: asyncio.Future[Any]) -> None:
        self._forgetting -= Counter(keys)

    def is_forgetting(self, key: bytes) -> bool:
        """Tell whether a FORGET of `key` is on its way: what is moved behind it in the log would be back."""
        return self._forgetting[key] > 0

    def _apply(self, batch: Sequence[Appended]) -> None:
        """Make durable versions visible."""
        self._index.apply(batch, batch[-1].end)
        self._forget_pending(batch)
        self.remove_dropped()

    def remove_dropped(self) -> None:
        """Delete the files of versions that were replaced."""
        dropped = self._index.take_dropped()
        if dropped:
            self._remove_files(dropped)

    def _discard(self, batch: Sequence[Appended]) -> None:
        """Clean up after versions that are not durable.

        When the log has failed, the next start may find some of their records nevertheless: their files stay for it.
        Those that no record refers to then the sweep removes.
        """
        self._forget_pending(batch)
        if self._log.failed is not None:
            return
        files = [item for item in batch if item.metadata[0] == record.Type.FILE]
        data_ids = [(item.context, record.data_id_of(item.metadata)) for item in files]
        unused = [data_id for key, data_id in data_ids if self._index.data_id(key) != data_id]
        if unused:
            self._remove_files(unused)

    def _forget_pending(self, batch: Sequence[Appended]) -> None:
        pending = self._pending
        for item in batch:
            if pending.get(item.context) is item:
                del pending[item.context]


def _done() -> asyncio.Future[Any]:
    future = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


def _ignore_failure(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()  # the rows are confirmed again by whoever finds them unlisted
