"""The index of a device's blobs: the newest durable version of each key.

What the latest records changed is kept in memory, and merged into the tables (LMDB) in one
transaction for many: a transaction copies every page on the way to what it touches, which for a
batch of a few records costs several times the work itself; and a version whose row is confirmed
soon, as nearly all are, never enters the table of unlisted ones.

Everything that was applied is either in memory or in the tables; the tables name the position that they
stand for. So whatever a killed process leaves, the log from there on brings it up to date. Applying a
record twice changes nothing.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from cluster.clock import Timestamp
from storage.blobs import digest, entry, record
from storage.blobs.entry import Entry
from storage.blobs.tables import Origin, Tables
from storage.log.interface import Position
from storage.messages import BlobFlag

_RECENT_LIMIT = 256  # keys; more: the loop stands still longer while they are merged
_UNLISTED = int(BlobFlag.UNLISTED)  # arithmetic with flag objects is ten times as dear
_CONFIRM = int(record.Type.CONFIRM)
_FORGET = int(record.Type.FORGET)
_FILE = int(record.Type.FILE)
_LISTED = b""


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

    def __init__(self, path: str) -> None:
        """Open or create the index in directory `path`. lmdb.Error when that holds something else."""
        self._tables = Tables(path)
        self._get = self._tables.get
        self._position = self._tables.position
        self._recent: dict[bytes, bytes] = {}  # key -> packed entry
        self._recent_unlisted: dict[bytes, bytes] = {}  # key -> timestamp, or _LISTED
        self._dropped: list[bytes] = []
        self._shift = 0

    @property
    def position(self) -> Position:
        """All records before it are in the index."""
        return self._position

    @property
    def live_bytes(self) -> Mapping[int, int]:
        """Per segment: bytes of records that entries point to."""
        self.merge()
        return self._tables.live_bytes

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
                self.forget(record.decode_naming(item.metadata))
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

    def forget(self, versions: Iterable[tuple[bytes, Timestamp]]) -> None:
        """Remove `versions`, where they are the newest of their keys, as if they had never been here."""
        self.merge()
        self._dropped += self._tables.forget(versions, self._shift)

    def forget_without_file(self, data_ids: Collection[bytes]) -> int:
        """Remove versions whose file is none of `data_ids`, so that a replica brings them again; return how many.

        For an index made from a log: a FORGET may have gone with its segment before what it named.
        """
        self.merge()
        lost = self._tables.without_file(data_ids)
        self._tables.forget(lost, self._shift)
        return len(lost)

    def take_dropped(self) -> list[bytes]:
        """Return the data ids that nothing refers to any more, each once."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def merge(self) -> None:
        """Bring the tables up to date."""
        if self._recent or self._recent_unlisted:
            self._dropped += self._tables.merge(
                self._recent, self._recent_unlisted, self._position, self._shift
            )
            self._recent, self._recent_unlisted = {}, {}

    def forget_segment(self, segment: int) -> None:
        """Remove the bookkeeping of a segment that is dropped next: the tables need no record of it."""
        self.merge()
        self._tables.forget_segment(segment)

    def digest(self, partition: int) -> bytes:
        """Return the digest of `partition`."""
        self.merge()
        return self._tables.digest(partition)

    def digests(self, partition: int) -> list[bytes]:
        """Return the digests of the 256 parts of `partition`, in order."""
        self.merge()
        return self._tables.digests(partition)

    def versions(self, start: bytes, end: bytes | None, limit: int) -> list[tuple[bytes, Timestamp, bool]]:
        """Return (key, timestamp, deleted) of keys in [start, end), in order, at most `limit`."""
        self.merge()
        return self._tables.versions(start, end, limit)

    def unlisted(
        self, start: bytes, before_us: int, limit: int
    ) -> tuple[list[tuple[bytes, Timestamp]], bytes]:
        """Return versions older than `before_us` whose rows are not confirmed, from key `start` on.

        Looks at no more than `limit` keys; also return where to go on, b"" at the end.
        """
        self.merge()
        return self._tables.unlisted(start, before_us, limit)

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
        self._tables.merge(self._recent, self._recent_unlisted, end, self._shift)
        self._recent, self._recent_unlisted = {}, {}
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
        self._recent[key] = (
            entry.encode(timestamp, type_, flags, 0, len(metadata), size, item.position) + data_id
        )
        if recent is not None:  # what is in the tables is dropped when it is merged over
            self._drop(entry.data_id_of(recent), data_id)
        if not (flags & _UNLISTED or item.flags & record.LISTED):
            self._recent_unlisted[key] = timestamp
        elif old is not None:
            self._recent_unlisted[key] = _LISTED

    def _drop(self, data_id: bytes, kept: bytes) -> None:
        if data_id and data_id != kept:
            self._dropped.append(data_id)

    def _unlisted_timestamp(self, key: bytes) -> bytes | None:
        recent = self._recent_unlisted.get(key)
        return self._tables.unlisted_timestamp(key) if recent is None else recent


def replay(index: BlobIndex, records: Iterable[LogRecord]) -> None:
    """Apply what `records` yields."""
    for item in records:
        index.apply((item,), item.end)
