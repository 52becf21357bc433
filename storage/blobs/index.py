"""The index of a device's blobs: the newest durable version of each key.

What the latest records changed is kept in memory, and merged into the tables (LMDB) in one
transaction for many: a transaction copies every page on the way to what it touches, which for a
batch of a few records costs several times the work itself; and a version whose row is confirmed
soon, as nearly all are, never enters the table of unlisted ones.

Everything that was applied is either in memory or in the tables; the tables name the position that they
stand for. So whatever a killed process leaves, the log from there on brings it up to date. Applying a
record twice changes nothing.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from cluster.clock import ZERO, Timestamp
from cluster.telemetry.log import get_logger
from storage.blobs import digest, entry, record
from storage.blobs.entry import HAS_DUE, NO_SHADOW, Entry, Shadow
from storage.blobs.graves import Grave
from storage.blobs.mapping import NoRoom
from storage.blobs.replaced import Replaced
from storage.blobs.tables import Audit, Origin, Tables
from storage.log.interface import Position, segment_of
from storage.messages import BlobFlag
from storage.metadata import EXPIRES, expiry_of, forebears_of

_RECENT_LIMIT = 256  # keys; more: the loop stands still longer while they are merged
_UNLISTED = int(BlobFlag.UNLISTED)  # arithmetic with flag objects is ten times as dear
_CONFIRM = int(record.Type.CONFIRM)
_FORGET = int(record.Type.FORGET)
_PROMISE = int(record.Type.PROMISE)
_FILE = int(record.Type.FILE)
_LISTED = _OVER = b""
_NEVER = b"\xff" * 17  # above every timestamp

log = get_logger("storage.blobs")


class LogRecord(Protocol):
    """What `apply` needs of a record: one that was just appended, or one that was scanned."""

    @property
    def flags(self) -> int: ...
    @property
    def metadata(self) -> bytes: ...
    @property
    def position(self) -> Position: ...
    @property
    def end(self) -> Position: ...


class BlobIndex:
    """The tables, and over them what is recent."""

    def __init__(self, path: str, segments: Callable[[], Sequence[int]] = tuple) -> None:
        """Open or create the index in directory `path`. lmdb.Error when that holds something else.

        `segments` tells which segments the log has, in order; when it tells none they are not known.
        """
        self._list_segments = segments
        self._segments: Sequence[int] | None = None  # as they were when it was asked last
        self._tables = Tables(path)
        self._get = self._tables.get
        self._position = self._tables.position
        self._recent: dict[bytes, bytes] = {}  # key -> packed entry
        self._recent_unlisted: dict[bytes, bytes] = {}  # key -> timestamp, or _LISTED
        self.promises = self._tables.promises()  # key -> below which nothing is taken; few, so all are here
        self._recent_promises: dict[bytes, bytes] = {}  # key -> timestamp, b"": over
        self._promised_at: dict[tuple[bytes, Timestamp], float] = {}  # since when they are known, by a steady clock
        self.replaced: Replaced | None = None  # what versions have had their time; None: nobody will ask
        self._dropped: list[bytes] = []
        self._shift = 0
        self.crowded = False  # there is no room for what is recent
        self._frozen = False

    @property
    def position(self) -> Position:
        """All records before it are in the index."""
        return self._position

    @property
    def live_bytes(self) -> Mapping[int, int]:
        """Per segment: bytes of records that entries point to, those included that the tables have no room for."""
        self.merge()
        return self._tables.live_bytes_with(self._recent) if self._recent else self._tables.live_bytes

    @property
    def entry_count(self) -> int:
        """How many keys there are, tombstones included."""
        self.merge()
        return self._tables.entry_count

    @property
    def unlisted_count(self) -> int:
        """How many versions have no confirmed row."""
        self.merge()
        return self._tables.unlisted_count

    @property
    def tombstone_count(self) -> int:
        """How many of the keys are deleted."""
        self.merge()
        return self._tables.tombstone_count

    @property
    def expiry_count(self) -> int:
        """How many objects will expire."""
        self.merge()
        return self._tables.expiry_count

    @property
    def grave_count(self) -> int:
        """How many forgotten versions are remembered still."""
        return self._tables.grave_count

    def is_of(self, origin: Origin) -> bool:
        """Tell whether the index was made from `origin`."""
        return self._tables.is_of(origin)

    def begin(self, origin: Origin) -> None:
        """Say what the index is made from. Before anything else that changes it."""
        self._shift = digest.bucket_shift(origin.part_power)
        self._tables.begin(origin)

    def value(self, key: bytes) -> bytes | None:
        """Return the packed entry of the newest durable version of `key`."""
        return self._recent.get(key) or self._get(key)

    def get(self, key: bytes) -> Entry | None:
        """Return the newest durable version of `key`."""
        value = self._recent.get(key) or self._get(key)
        return None if value is None else entry.decode(value)

    def timestamp(self, key: bytes) -> Timestamp | None:
        """Return its timestamp."""
        value = self._recent.get(key) or self._get(key)
        return None if value is None else entry.timestamp_of(value)

    def data_id(self, key: bytes) -> bytes:
        """Return its data id; b"" when it is no file."""
        return entry.data_id_of(self.value(key) or b"")

    def apply(self, records: Iterable[LogRecord], end: Position) -> None:
        """Apply records of the log, in order, up to `end`."""
        for item in records:
            type_ = item.metadata[0]
            if type_ == _CONFIRM:
                self.confirm(record.decode_naming(item.metadata))
            elif type_ == _FORGET:
                self._forget(record.decode_naming(item.metadata), segment_of(item.position))
            elif type_ == _PROMISE:
                self._promise(record.decode_naming(item.metadata))
            else:
                self._add(item)
        self._position = end
        if len(self._recent) >= _RECENT_LIMIT or len(self._recent_unlisted) >= 4 * _RECENT_LIMIT:
            self.merge()

    def confirm(self, versions: Iterable[tuple[bytes, Timestamp]]) -> None:
        """Note that the rows of `versions` are on a quorum.

        It is a fact, so it may be known here before it is durable in the log: at worst it is forgotten.
        """
        for key, timestamp in versions:
            if self._unlisted_timestamp(key) == timestamp:
                if self._tables.unlisted_timestamp(key) is None:
                    del self._recent_unlisted[key]
                else:
                    self._recent_unlisted[key] = _LISTED

    def _promise(self, names: Iterable[tuple[bytes, Timestamp]]) -> None:
        for key, timestamp in names:
            newest = max(self.timestamp(key) or ZERO, self.promises.get(key, ZERO))
            if newest < timestamp:
                self.promises[key] = self._recent_promises[key] = timestamp

    def _end_promise(self, key: bytes) -> None:
        del self.promises[key]
        self._recent_promises[key] = _OVER

    def lapse(self, now_s: float, after_s: float) -> None:
        """Forget promises that have stood for `after_s`: nobody remembers any more what they were given for."""
        stood = self._promised_at
        self._promised_at = {item: stood.get(item, now_s) for item in self.promises.items()}
        for (key, _timestamp), since_s in list(self._promised_at.items()):
            if now_s - since_s > after_s:
                self._end_promise(key)

    def _forget(self, versions: Iterable[tuple[bytes, Timestamp]], segment: int) -> None:
        """Hold nothing of these keys up to those timestamps, as if it had never been here.

        Where there is no room to note that, it is here still, as if it had been copied back.
        """
        self.merge()
        if self._frozen or self.crowded:
            return
        try:
            self._dropped += self._tables.forget(versions, self._shift, segment, self._may_exist)
        except NoRoom:
            self.crowded = True

    def grave(self, key: bytes) -> Grave | None:
        """Return what is remembered of a forgotten version of `key`."""
        self.merge()
        return self._tables.grave(key)

    def graves_in(self, segment: int) -> list[tuple[bytes, Timestamp]]:
        """Return what FORGETs in a segment name that must not come back."""
        self.merge()
        return self._tables.graves_in(segment)

    def clear_graves(self, start: bytes, limit: int) -> bytes:
        """Look at `limit` graves from key `start` on, and clear those without a reason.

        Return where to go on, b"" at the end.
        """
        self.merge()
        if self._frozen or self.crowded:
            return b""
        return self._tables.clear_graves(start, limit, self._may_exist)

    def forget_without_file(self, data_ids: Collection[bytes], note: Callable[[int], None]) -> None:
        """Remove versions whose file is none of `data_ids`, so that a replica brings them again.

        `note` is told how many they are before that, if there are any: later nobody can tell.
        """
        self.merge()
        lost = self._tables.without_file(data_ids)
        if lost:
            note(len(lost))
            self._tables.remove(lost, self._shift)

    def take_dropped(self) -> list[bytes]:
        """Return the data ids that nothing refers to any more, each once."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def merge(self) -> None:
        """Bring the tables up to date, unless there is no room: what is recent stays in memory then (`crowded`).

        Nor after `freeze`.
        """
        recent = self._recent or self._recent_unlisted or self._recent_promises
        if self._frozen or not (recent or self.crowded):  # who is crowded finds out here that there is room again
            return
        try:
            self._merge_at(self._position)
        except NoRoom as error:
            if not self.crowded:
                log.warning("index_has_no_room", reason=str(error))
            self.crowded = True
        else:
            self.crowded = False

    def freeze(self) -> None:
        """Write no more: on a file system that has become read-only that would end the process."""
        self._frozen = True

    def _merge_at(self, position: Position) -> None:
        self._dropped += self._tables.merge(
            self._recent, self._recent_unlisted, self._recent_promises, position, self._shift
        )
        self._recent, self._recent_unlisted, self._recent_promises = {}, {}, {}

    def forget_segment(self, segment: int) -> None:
        """Remove the bookkeeping of a segment that is dropped next: the tables need no record of it.

        Without room for that it stays, and says that nothing in the segment is live: to drop it is what makes room.
        """
        self.merge()
        if not self._frozen:
            with suppress(NoRoom):
                self._tables.forget_segment(segment)
        self._segments = None

    def digest(self, partition: int) -> bytes:
        """Return the digest of `partition`."""
        self.merge()
        return digest.combined(self.digests(partition)) if self._recent else self._tables.digest(partition)

    def digests(self, partition: int) -> list[bytes]:
        """Return the digests of the 256 parts of `partition`, in order."""
        self.merge()
        if self._recent:
            return self._tables.digests_with(self._recent, self._shift, partition)
        return self._tables.digests(partition)

    def versions(self, start: bytes, end: bytes | None, limit: int) -> list[tuple[bytes, Timestamp, bool]]:
        """Return (key, timestamp, deleted) of keys in [start, end), in order, at most `limit`."""
        self.merge()
        listed = self._tables.versions(start, end, limit)
        if not self._recent:
            return listed
        last = listed[-1][0] if listed and len(listed) == limit else None  # what is behind it comes with the next page
        found = {version[0]: version for version in listed}
        for key, value in self._recent.items():
            if start <= key and (end is None or key < end) and (last is None or key <= last):
                found[key] = (key, entry.timestamp_of(value), entry.is_tombstone(value))
        return [found[key] for key in sorted(found)][:limit]

    def data_ids(self, start: bytes, limit: int) -> tuple[set[bytes], bytes | None]:
        """Return the data ids of the first `limit` keys from `start` on, and where to go on; None: that was all.

        Those that the tables have no room for are always among them.
        """
        self.merge()
        found, following = self._tables.data_ids(start, limit)
        return found.union(filter(None, map(entry.data_id_of, self._recent.values()))), following

    def audit(self, bucket: int, limit: int) -> Audit:
        """Look at whole buckets of keys from `bucket` on anew, until there are `limit` entries."""
        self.merge()
        return self._tables.audit(bucket, self._shift, limit)

    def unlisted(self, start: bytes, limit: int) -> tuple[list[tuple[bytes, Timestamp]], bytes]:
        """Return up to `limit` versions whose rows are not confirmed, from key `start` on.

        Also return where to go on, b"" at the end.
        """
        self.merge()
        return self._tables.unlisted(start, limit)

    def tombstones(
        self, start: bytes, before_us: int, limit: int
    ) -> tuple[list[tuple[bytes, Timestamp]], bytes]:
        """Return (key, timestamp) of tombstones older than `before_us`, oldest first, from `start` on.

        Also return where to go on, b"": there are no more.
        """
        self.merge()
        return self._tables.tombstones(start, before_us, limit)

    def expired(self, start: bytes, now_s: int, limit: int) -> tuple[list[tuple[bytes, Timestamp]], bytes]:
        """Return (key, timestamp) of versions that expire by `now_s`, those due first first, from `start` on.

        Also return where to go on, b"": there are no more.
        """
        self.merge()
        return self._tables.expired(start, now_s, limit)

    def is_listed(self, key: bytes, timestamp: Timestamp) -> bool:
        """Tell whether the row of this version needs nothing more."""
        return self._unlisted_timestamp(key) != timestamp

    def dump(self) -> dict[str, dict[bytes, bytes]]:
        """Return everything, for comparisons."""
        self.merge()
        return self._tables.dump()

    def finish(self, end: Position) -> None:
        """Say that nothing is missing before `end`, and sync. Blocking."""
        self._position = end
        self._merge_at(end)
        self._tables.sync()

    def close(self) -> None:
        """Close the files. What was not merged is lost: the log has it."""
        self._tables.close()

    def _add(self, item: LogRecord) -> None:
        metadata = item.metadata
        type_, flags, _, key, timestamp, size = record.decode_identity(metadata)
        data_id = record.data_id_of(metadata) if type_ == _FILE else b""
        recent = self._recent.get(key)
        old = recent or self._get(key)
        if old is not None and old[:16] > timestamp:  # replayed, and the tables are ahead
            self._drop(data_id, entry.data_id_of(old))
            return
        if self.replaced is not None:
            _note_replaced(self.replaced, old, key, timestamp, record.object_metadata_of(metadata))
        position = item.position
        shadow = NO_SHADOW if old is None else self._shadow(old, position)
        due_s = expiry_of(record.object_metadata_of(metadata)) if EXPIRES in metadata else None
        marks = 0 if due_s is None else HAS_DUE
        fields = entry.encode(timestamp, type_, flags, marks, len(metadata), size, position, *shadow)
        self._recent[key] = fields + entry.tail(data_id, due_s) if data_id or marks else fields
        if self.promises and self.promises.get(key, _NEVER) <= timestamp:
            self._end_promise(key)
        if recent is not None:  # what is in the tables is dropped when it is merged over
            self._drop(entry.data_id_of(recent), data_id)
        if not (flags & _UNLISTED or item.flags & record.LISTED):
            self._recent_unlisted[key] = timestamp
        elif old is not None:
            self._recent_unlisted[key] = _LISTED

    def _shadow(self, old: bytes, position: Position) -> Shadow:
        """Return where records may lie that the one at `position`, behind the entry `old`, makes dead."""
        shadow = entry.shadow_of(old)
        if shadow != NO_SHADOW and not self._may_exist(shadow):
            shadow = NO_SHADOW
        before = entry.place_of(old)[1]
        if before == position:
            return shadow  # the same record, replayed
        segment = segment_of(before)
        return entry.hull(shadow, (segment, segment))

    def _may_exist(self, shadow: Shadow) -> bool:
        """Tell whether a segment in the range may still be there."""
        if self._segments is None:
            self._segments = self._list_segments()
        first, last = shadow
        if not self._segments or last > self._segments[-1]:
            return True
        index = bisect_left(self._segments, first)
        return self._segments[index] <= last

    def _drop(self, data_id: bytes, kept: bytes) -> None:
        if data_id and data_id != kept:
            self._dropped.append(data_id)

    def _unlisted_timestamp(self, key: bytes) -> bytes | None:
        recent = self._recent_unlisted.get(key)
        return self._tables.unlisted_timestamp(key) if recent is None else recent


def _note_replaced(
    replaced: Replaced, old: bytes | None, key: bytes, timestamp: Timestamp, metadata: bytes
) -> None:
    """Remember what a version replaces, and what it stands for."""
    if old is not None and old[:16] != timestamp:
        replaced.note(key, Timestamp(old[:16]))
    for forebear in forebears_of(metadata):
        replaced.note(key, Timestamp(forebear))


def replay(index: BlobIndex, records: Iterable[LogRecord]) -> None:
    """Apply what `records` yields."""
    for item in records:
        index.apply((item,), item.end)
