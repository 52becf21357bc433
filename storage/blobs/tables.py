"""The LMDB tables of a device's blobs: what the durable records of the log add up to.

One write transaction holds all that a part of the log changes: the entries, the digests, the list of
versions whose rows are not confirmed, the live bytes of each segment, and the log position up to
which all this is true. So whatever state a killed process leaves, it is the state at that position.

LMDB runs without fsync and with a writable map: after a power cut its files mean nothing (`trust`
decides, and rebuilds). All calls come from one thread, so there is no lock file either, and the one
read transaction is begun again after each write.
"""

import struct
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import lmdb

from cluster.clock import Timestamp, microseconds_of
from storage.blobs import digest, entry, record
from storage.log.interface import START, Position, segment_of

_MAP_SIZE = 4 << 20  # bytes to begin with; doubled when full
_FORMAT = b"1"
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_TYPE_INDEX = 16  # of an entry's type byte, behind its timestamp

T = TypeVar("T")


class Origin(NamedTuple):
    """What the tables were made from. They are worth nothing with anything else."""

    log_id: bytes
    part_power: int

    def encode(self) -> bytes:
        """Return it as it is kept in the tables."""
        return _FORMAT + bytes((self.part_power,)) + self.log_id


class Tables:
    """The tables, and a transaction to read them with."""

    def __init__(self, path: str, map_size: int = _MAP_SIZE) -> None:
        """Open or create the tables in directory `path`. lmdb.Error when that holds something else."""
        self._environment = lmdb.open(
            path,
            map_size=map_size,
            max_dbs=8,
            writemap=True,
            sync=False,
            metasync=False,
            lock=False,
            mode=0o600,
        )
        self._entries = self._environment.open_db(b"entries")  # key -> Entry
        self._partition_digests: dict[int, bytes] = {}  # of those asked for since they changed
        self._digests = self._environment.open_db(b"digests")  # bucket -> digest
        self._unlisted = self._environment.open_db(b"unlisted")  # key -> timestamp
        self._segments = self._environment.open_db(b"segments")  # segment -> live bytes
        self._meta = self._environment.open_db(b"meta")
        self._reader = self._environment.begin(db=self._entries)
        self.live_bytes = {
            _U32.unpack(key)[0]: _U64.unpack(value)[0]
            for key, value in self._reader.cursor(self._segments).iternext()
        }

    @property
    def position(self) -> Position:
        """All records before it are in the tables."""
        value = self._reader.get(b"position", db=self._meta)
        return START if value is None else Position(_U64.unpack(value)[0])

    @property
    def entry_count(self) -> int:
        """How many keys there are, tombstones included."""
        return int(self._reader.stat(self._entries)["entries"])

    @property
    def unlisted_count(self) -> int:
        """How many versions have no confirmed row."""
        return int(self._reader.stat(self._unlisted)["entries"])

    def is_of(self, origin: Origin) -> bool:
        """Tell whether the tables were made from `origin`."""
        return bool(self._reader.get(b"origin", db=self._meta) == origin.encode())

    def begin(self, origin: Origin) -> None:
        """Say what the tables are made from. Before anything else that changes them."""
        self._write(lambda txn: txn.put(b"origin", origin.encode(), db=self._meta))

    def get(self, key: bytes) -> bytes | None:
        """Return the packed entry of `key`."""
        value: bytes | None = self._reader.get(key)
        return value

    def unlisted_timestamp(self, key: bytes) -> bytes | None:
        """Return the timestamp under which `key` is unlisted."""
        value: bytes | None = self._reader.get(key, db=self._unlisted)
        return value

    def merge(
        self, entries: Mapping[bytes, bytes], unlisted: Mapping[bytes, bytes], end: Position, shift: int
    ) -> list[bytes]:
        """Make these entries the newest of their keys. Return the data ids that nothing refers to now.

        `unlisted` gives timestamps, b"" for what is listed now; `shift` see `digest.bucket_shift`.
        """
        change, live = self._write(lambda txn: self._merge(txn, entries, unlisted, end, shift))
        self._account_for(change, live)
        return change.dropped

    def forget(self, versions: Iterable[tuple[bytes, Timestamp]], shift: int) -> list[bytes]:
        """Remove `versions` that are the newest of their keys; return the data ids that nothing refers to now.

        The position stays: doing it again, after a crash, changes nothing.
        """
        change, live = self._write(lambda txn: self._forget(txn, versions, shift))
        self._account_for(change, live)
        return change.dropped

    def without_file(self, data_ids: Collection[bytes]) -> list[tuple[bytes, Timestamp]]:
        """Return the versions that are kept in a file, and in none of `data_ids`."""
        return [
            (key, entry.timestamp_of(value))
            for key, value in self._reader.cursor(self._entries).iternext()
            if entry.data_id_of(value) and entry.data_id_of(value) not in data_ids
        ]

    def forget_segment(self, segment: int) -> None:
        """Remove the bookkeeping of a segment that was dropped."""
        self._write(lambda txn: txn.delete(_U32.pack(segment), db=self._segments))
        self.live_bytes.pop(segment, None)

    def digest(self, partition: int) -> bytes:
        """Return the digest of a whole partition; remembered until something in it changes."""
        known = self._partition_digests.get(partition)
        if known is None:
            known = self._partition_digests[partition] = digest.combined(self.digests(partition))
        return known

    def digests(self, partition: int) -> list[bytes]:
        """Return the digests of the 256 parts of `partition`, in order."""
        first = partition << digest.SUBDIVISION_BITS
        found = [bytes(digest.DIGEST_SIZE)] * (1 << digest.SUBDIVISION_BITS)
        cursor = self._reader.cursor(self._digests)
        if cursor.set_range(_U32.pack(first)):
            for key, value in cursor.iternext():
                index = _U32.unpack(key)[0] - first
                if index >= len(found):
                    break
                found[index] = value
        return found

    def versions(self, start: bytes, end: bytes | None, limit: int) -> list[tuple[bytes, Timestamp, bool]]:
        """Return (key, timestamp, deleted) of keys in [start, end), in order, at most `limit`."""
        found: list[tuple[bytes, Timestamp, bool]] = []
        cursor = self._reader.cursor(self._entries)
        if limit > 0 and cursor.set_range(start):
            for key, value in cursor.iternext():
                if end is not None and key >= end:
                    break
                tombstone = value[_TYPE_INDEX] == record.Type.TOMBSTONE
                found.append((key, entry.timestamp_of(value), tombstone))
                if len(found) == limit:
                    break
        return found

    def unlisted(
        self, start: bytes, before_us: int, limit: int
    ) -> tuple[list[tuple[bytes, Timestamp]], bytes]:
        """Return versions older than `before_us` whose rows are not confirmed, from key `start` on.

        Looks at no more than `limit` keys; also return where to go on, b"" at the end.
        """
        found: list[tuple[bytes, Timestamp]] = []
        cursor = self._reader.cursor(self._unlisted)
        if cursor.set_range(start):
            for index, (key, timestamp) in enumerate(cursor.iternext()):
                if index == limit:
                    return found, key
                if microseconds_of(Timestamp(timestamp)) < before_us:
                    found.append((key, Timestamp(timestamp)))
        return found, b""

    def dump(self) -> dict[str, dict[bytes, bytes]]:
        """Return everything, for comparisons. An empty digest is none."""
        tables = ("entries", self._entries), ("digests", self._digests), ("unlisted", self._unlisted)
        return {
            name: {key: value for key, value in self._reader.cursor(table).iternext() if any(value)}
            for name, table in (*tables, ("segments", self._segments))
        }

    def sync(self) -> None:
        """Write everything to disk, durably. Blocking."""
        self._environment.sync(True)

    def close(self) -> None:
        """Close the files."""
        self._reader.abort()
        self._environment.close()

    def _merge(
        self,
        txn: Any,
        entries: Mapping[bytes, bytes],
        unlisted: Mapping[bytes, bytes],
        end: Position,
        shift: int,
    ) -> "tuple[_Change, dict[int, int]]":
        change = _Change(shift)
        for key in sorted(entries):  # neighbours share pages
            value = entries[key]
            change.add(key, value, txn.get(key, None, self._entries))
            txn.put(key, value, db=self._entries)
        for key in sorted(unlisted):
            if unlisted[key]:
                txn.put(key, unlisted[key], db=self._unlisted)
            else:
                txn.delete(key, db=self._unlisted)
        txn.put(b"position", _U64.pack(end), db=self._meta)
        return change, self._sum_up(txn, change)

    def _forget(
        self, txn: Any, versions: Iterable[tuple[bytes, Timestamp]], shift: int
    ) -> "tuple[_Change, dict[int, int]]":
        change = _Change(shift)
        for key, timestamp in versions:
            value = txn.get(key, None, self._entries)
            if value is not None and entry.timestamp_of(value) == timestamp:
                change.remove(key, value)
                txn.delete(key, db=self._entries)
                txn.delete(key, db=self._unlisted)
        return change, self._sum_up(txn, change)

    def _sum_up(self, txn: Any, change: "_Change") -> dict[int, int]:
        """Bring the sums up to date; return the live bytes of the segments that were touched."""
        for bucket in sorted(change.digests):
            name = _U32.pack(bucket)
            before = txn.get(name, None, self._digests)
            total = change.digests[bucket] + (0 if before is None else digest.decode(before))
            txn.put(name, digest.encode(total), db=self._digests)
        live = {
            segment: max(0, self.live_bytes.get(segment, 0) + length)
            for segment, length in change.live.items()
        }
        for segment, length in live.items():
            txn.put(_U32.pack(segment), _U64.pack(length), db=self._segments)
        return live

    def _account_for(self, change: "_Change", live: dict[int, int]) -> None:
        """Keep what is remembered of the tables in step with them."""
        self.live_bytes.update(live)
        for bucket in change.digests:
            self._partition_digests.pop(bucket >> digest.SUBDIVISION_BITS, None)

    def _write(self, work: Callable[[Any], T]) -> T:
        """Run `work` in a write transaction, again with a larger map when the map is full."""
        self._reader.abort()  # without a lock file, nobody may read pages that a writer may reuse
        try:
            while True:
                try:
                    with self._environment.begin(write=True) as txn:
                        return work(txn)
                except lmdb.MapFullError:
                    self._environment.set_mapsize(2 * self._environment.info()["map_size"])
        finally:
            self._reader = self._environment.begin(db=self._entries)


class _Change:
    """What new entries do to the sums."""

    def __init__(self, shift: int) -> None:
        self._shift = shift
        self.digests: dict[int, int] = {}  # bucket -> what is added
        self.live: dict[int, int] = {}  # segment -> bytes that are added
        self.dropped: list[bytes] = []

    def add(self, key: bytes, value: bytes, old_value: bytes | None) -> None:
        """Count `value` as the newest of `key`, instead of `old_value`."""
        timestamp, position, length = entry.place_of(value)
        self._count(position, length)
        added = digest.hash_of(key, timestamp)
        if old_value is not None:
            timestamp, position, length = entry.place_of(old_value)
            self._count(position, -length)
            added -= digest.hash_of(key, timestamp)
            data_id = entry.data_id_of(old_value)
            if data_id and data_id != entry.data_id_of(value):
                self.dropped.append(data_id)
        self._sum(key, added)

    def remove(self, key: bytes, value: bytes) -> None:
        """Count `value` as no longer there."""
        timestamp, position, length = entry.place_of(value)
        self._count(position, -length)
        self._sum(key, -digest.hash_of(key, timestamp))
        data_id = entry.data_id_of(value)
        if data_id:
            self.dropped.append(data_id)

    def _sum(self, key: bytes, added: int) -> None:
        bucket = int.from_bytes(key[:4], "big") >> self._shift
        self.digests[bucket] = self.digests.get(bucket, 0) + added

    def _count(self, position: Position, length: int) -> None:
        segment = segment_of(position)
        self.live[segment] = self.live.get(segment, 0) + length
