"""Admission of versions to the log, and what happens when they are durable.

Per key, versions enter the log in the order of their timestamps: one is admitted only when it is newer
than the newest known here, be that durable (in the index) or on its way (pending). So replaying the
log in order ends at the newest version of each key, and two writers of one key cannot both
believe that they came last.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cluster.clock import TIMESTAMP_SIZE, Timestamp
from cluster.wire import RemoteError
from storage.blobs import record
from storage.blobs.index import BlobIndex
from storage.blobs.reservations import Reservations
from storage.disk import Buffer
from storage.log.interface import Appended, DeviceFull, Kind, Log, LogRefusal
from storage.messages import KEY_SIZE, Refusal

_NAMES_PER_RECORD = 256  # of a CONFIRM or a FORGET


class Commits:
    """The way into the log for versions of one device."""

    def __init__(
        self,
        target: Log,
        index: BlobIndex,
        now: Callable[[], float],
        remove_files: Callable[[Sequence[bytes]], None],
    ) -> None:
        self._log = target
        self._index = index
        self._now = now
        self._remove_files = remove_files
        self._pending: dict[bytes, Appended] = {}  # key -> its newest record that is not durable yet
        self._confirmed: list[tuple[bytes, Timestamp]] = []
        self.reservations = Reservations()
        self.full = False  # nothing but deletions is taken
        target.register(Kind.BLOB, self._apply, self._discard)

    def admit(
        self, key: bytes, timestamp: Timestamp, token: bytes | None = None
    ) -> asyncio.Future[Any] | None:
        """Decide whether a version may be appended: None means yes. Raise RemoteError when not.

        A future means that the very version is here already, and resolves when it is durable.
        """
        if token is not None or self.reservations:
            refusal = self.reservations.refusal(key, token, self._now())
            if refusal is not None:
                raise RemoteError(refusal)
        return self._admit(key, timestamp)

    def admit_copy(self, key: bytes, timestamp: Timestamp) -> asyncio.Future[Any] | None:
        """The same for a version that was committed elsewhere. It ends a reservation of the name.

        For whoever holds it has decided, or will, without having seen this version.
        """
        here = self._admit(key, timestamp)
        if here is None:
            self.reservations.void(key)
        return here

    def _admit(self, key: bytes, timestamp: Timestamp) -> asyncio.Future[Any] | None:
        if len(key) != KEY_SIZE or len(timestamp) != TIMESTAMP_SIZE:
            raise RemoteError(Refusal.BAD_REQUEST, "not a key and a timestamp")
        pending = self._pending.get(key)
        newest = self._index.timestamp(key) if pending is None else record.timestamp_of(pending.metadata)
        if newest is None or newest < timestamp:
            return None
        if newest > timestamp:
            raise RemoteError(Refusal.SUPERSEDED, newest)
        return _done() if pending is None else asyncio.shield(pending.future)

    def pending(self, key: bytes) -> asyncio.Future[Any] | None:
        """Return what resolves when the newest version of `key` is durable; None when it is."""
        found = self._pending.get(key)
        return None if found is None else asyncio.shield(found.future)

    def append(self, key: bytes, metadata: bytes, payload: Buffer, flags: int = 0) -> asyncio.Future[Any]:
        """Append an admitted version. LogRefusal."""
        appended = self._log.append_record(Kind.BLOB, metadata, payload, flags, key)
        self._pending[key] = appended
        return appended.future

    def refuse_when_full(self) -> None:
        """Raise DeviceFull when only deletions are taken."""
        if self.full:
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
            await self._log.append(Kind.BLOB, record.encode_naming(record.Type.FORGET, some))

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
        """Clean up after versions that will never be durable."""
        self._forget_pending(batch)
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
