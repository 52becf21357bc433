"""The LMDB tables of a device's blobs: what the durable records of the log add up to.

One write transaction holds all that a part of the log changes: the entries, the digests, the list of
versions whose rows are not confirmed, tombstones by age and objects by expiry, the live bytes of each segment, and the
log position up to which all this is true. So whatever state a killed process leaves, it is the state at that position.

LMDB runs without fsync and with a writable map: after a power cut its files mean nothing (`trust`
decides, and rebuilds). All calls come from one thread, so there is no lock file either, and the one
read transaction is begun again after each write.
"""

import struct
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import lmdb

from cluster.clock import Timestamp, microseconds_of
from storage.blobs import digest, entry, graves, mapping, record
from storage.log.interface import START, Position, segment_of
from storage.messages import KEY_SIZE

_MAP_SIZE = 4 << 20  # bytes to begin with
_FORMAT = b"3"
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_HERE = b"\1"  # where only the key counts

MayExist = Callable[[entry.Shadow], bool]  # whether any segment from one to another may still be there

T = TypeVar("T")


class Origin(NamedTuple):
    """What the tables were made from. They are worth nothing with anything else."""

    log_id: bytes
    part_power: int

    def encode(self) -> bytes:
        """Return it as it is kept in the tables."""
        return _FORMAT + bytes((self.part_power,)) + self.log_id


class Audit(NamedTuple):
    """Some buckets, looked at anew."""

    entries: list[tuple[bytes, bytes]]  # (key, packed entry) of them all, in order
    wrong: list[int]  # buckets whose digest is not that of their entries: the tables are damaged
    end: int  # the bucket after them
    bucket_count: int  # in all


class Tables:
    """The tables, and a transaction to read them with."""

    def __init__(self, path: str, map_size: int = _MAP_SIZE) -> None:
        """Open or create the tables in directory `path`. lmdb.Error when that holds something else, NoRoom."""
        self._path = path
        self._environment = lmdb.open(
            path,
            map_size=map_size,
            max_dbs=16,
            writemap=True,
            sync=False,
            metasync=False,
            lock=False,
            mode=0o600,
        )
        try:
            mapping.reserve(path)
        except BaseException:
            self._environment.close()
            raise
        self._entries = self._environment.open_db(b"entries")  # key -> Entry
        self._partition_digests: dict[int, bytes] = {}  # of those asked for since they changed
        self._digests = self._environment.open_db(b"digests")  # bucket -> digest
        self._unlisted = self._environment.open_db(b"unlisted")  # key -> timestamp
        self._segments = self._environment.open_db(b"segments")  # segment -> live bytes
        self._promises = self._environment.open_db(b"promises")  # key -> timestamp; see promises()
        self._tombstones = self._environment.open_db(b"tombstones")  # timestamp, key: oldest first
        self._expiries = self._environment.open_db(b"expiries")  # second, key -> timestamp: first due first
        self._graves = self._environment.open_db(b"graves")  # key -> Grave
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

    @property
    def tombstone_count(self) -> int:
        """How many of the entries are tombstones."""
        return int(self._reader.stat(self._tombstones)["entries"])

    @property
    def expiry_count(self) -> int:
        """How many objects will expire."""
        return int(self._reader.stat(self._expiries)["entries"])

    @property
    def grave_count(self) -> int:
        """How many forgotten versions are remembered still."""
        return int(self._reader.stat(self._graves)["entries"])

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

    def promises(self) -> dict[bytes, Timestamp]:
        """Return, by key, below which timestamp nothing is taken, of names whose newest version is older."""
        return {key: Timestamp(value) for key, value in self._reader.cursor(self._promises).iternext()}

    def merge(
        self,
        entries: Mapping[bytes, bytes],
        unlisted: Mapping[bytes, bytes],
        promises: Mapping[bytes, bytes],
        end: Position,
        shift: int,
    ) -> list[bytes]:
        """Make these entries the newest of their keys. Return the data ids that nothing refers to now.

        `unlisted` gives timestamps, b"" for what is listed now, `promises` likewise; `shift` see `digest.bucket_shift`.
        """
        change, live = self._write(lambda txn: self._merge(txn, entries, unlisted, promises, end, shift))
        self._account_for(change, live)
        return change.dropped

    def live_bytes_with(self, entries: Mapping[bytes, bytes]) -> dict[int, int]:
        """Return what `live_bytes` would be after a merge of these entries."""
        return self.live_bytes | self._changed(self._change_of(entries, 0))

    def digests_with(self, entries: Mapping[bytes, bytes], shift: int, partition: int) -> list[bytes]:
        """Return what `digests` would be after a merge of these entries."""
        found = self.digests(partition)
        for bucket, added in self._change_of(entries, shift).digests.items():
            if bucket >> digest.SUBDIVISION_BITS == partition:
                index = bucket - (partition << digest.SUBDIVISION_BITS)
                found[index] = digest.encode(digest.decode(found[index]) + added)
        return found

    def _change_of(self, entries: Mapping[bytes, bytes], shift: int) -> "_Change":
        change = _Change(shift)
        for key, value in entries.items():
            change.add(key, value, self.get(key))
        return change

    def forget(
        self, versions: Iterable[tuple[bytes, Timestamp]], shift: int, segment: int, may_exist: MayExist
    ) -> list[bytes]:
        """Hold nothing of these keys up to those timestamps; return the data ids that nothing refers to now.

        So says a FORGET in `segment`. The position stays: doing it again, after a crash, changes nothing.
        """
        change, live = self._write(lambda txn: self._forget(txn, versions, shift, segment, may_exist))
        self._account_for(change, live)
        return change.dropped

    def remove(self, versions: Iterable[tuple[bytes, Timestamp]], shift: int) -> None:
        """Remove `versions` that are the newest of their keys, though no record says so."""
        change, live = self._write(lambda txn: self._remove(txn, versions, shift))
        self._account_for(change, live)

    def grave(self, key: bytes) -> graves.Grave | None:
        """Return what is remembered of a forgotten version of `key`."""
        value = self._reader.get(key, db=self._graves)
        return None if value is None else graves.decode(value)

    def graves_in(self, segment: int) -> list[tuple[bytes, Timestamp]]:
        """Return key and timestamp of the graves whose FORGET is in a segment. Looks at all graves."""
        found = ((key, graves.decode(value)) for key, value in self._reader.cursor(self._graves).iternext())
        return [(key, grave.timestamp) for key, grave in found if grave.segment == segment]

    def clear_graves(self, start: bytes, limit: int, may_exist: MayExist) -> bytes:
        """Look at `limit` graves from key `start` on, and clear those without a reason; return where to go on.

        That is b"" at the end.
        """
        found: list[tuple[bytes, graves.Grave]] = []
        following = b""
        cursor = self._reader.cursor(self._graves)
        if cursor.set_range(start):
            for index, (key, value) in enumerate(cursor.iternext()):
                if index == limit:
                    following = key
                    break
                grave = graves.decode(value)
                if not may_exist(grave.shadow):
                    found.append((key, grave))
        if found:
            change, live = self._write(lambda txn: self._clear(txn, found))
            self._account_for(change, live)
        return following

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
                tombstone = entry.is_tombstone(value)
                found.append((key, entry.timestamp_of(value), tombstone))
                if len(found) == limit:
                    break
        return found

    def data_ids(self, start: bytes, limit: int) -> tuple[set[bytes], bytes | None]:
        """Return the data ids of the first `limit` keys from `start` on, and where to go on; None: that was all."""
        found: set[bytes] = set()
        cursor = self._reader.cursor(self._entries)
        if cursor.set_range(start):
            for count, (key, value) in enumerate(cursor.iternext()):
                if count == limit:
                    return found, key
                if data_id := entry.data_id_of(value):
                    found.add(data_id)
        return found, None

    def audit(self, bucket: int, shift: int, limit: int) -> "Audit":
        """Read whole buckets from `bucket` on, until there are `limit` entries, and sum them up anew."""
        found: list[tuple[bytes, bytes]] = []
        sums: dict[int, int] = {}
        end = 1 << 32 - shift
        cursor = self._reader.cursor(self._entries)
        if cursor.set_range((bucket << shift).to_bytes(4, "big")):
            for key, value in cursor.iternext():
                of = int.from_bytes(key[:4], "big") >> shift
                if len(found) >= limit and of not in sums:
                    end = of
                    break
                sums[of] = sums.get(of, 0) + digest.hash_of(key, entry.timestamp_of(value))
                found.append((key, value))
        stored = self._reader.cursor(self._digests)
        wrong = {of for of, total in sums.items() if digest.encode(total) != self._digest_of(of)}
        if stored.set_range(_U32.pack(bucket)):
            for name, value in stored.iternext():
                of = _U32.unpack(name)[0]
                if of >= end:
                    break
                if of not in sums and any(value):
                    wrong.add(of)
        return Audit(found, sorted(wrong), end, 1 << 32 - shift)

    def _digest_of(self, bucket: int) -> bytes:
        value: bytes | None = self._reader.get(_U32.pack(bucket), db=self._digests)
        return bytes(digest.DIGEST_SIZE) if value is None else value

    def unlisted(self, start: bytes, limit: int) -> tuple[list[tuple[bytes, Timestamp]], bytes]:
        """Return up to `limit` versions whose rows are not confirmed, from key `start` on.

        Also return where to go on, b"" at the end.
        """
        found: list[tuple[bytes, Timestamp]] = []
        cursor = self._reader.cursor(self._unlisted)
        if cursor.set_range(start):
            for key, timestamp in cursor.iternext():
                if len(found) == limit:
                    return found, key
                found.append((key, Timestamp(timestamp)))
        return found, b""

    def tombstones(
        self, start: bytes, before_us: int, limit: int
    ) -> tuple[list[tuple[bytes, Timestamp]], bytes]:
        """Return (key, timestamp) of tombstones older than `before_us`, oldest first, from `start` on.

        Also return where to go on, b"": there are no more.
        """
        found: list[tuple[bytes, Timestamp]] = []
        cursor = self._reader.cursor(self._tombstones)
        if cursor.set_range(start):
            for name in cursor.iternext(values=False):
                timestamp = Timestamp(name[:-KEY_SIZE])
                if microseconds_of(timestamp) >= before_us:
                    break
                if len(found) == limit:
                    return found, name
                found.append((name[-KEY_SIZE:], timestamp))
        return found, b""

    def expired(self, start: bytes, now_s: int, limit: int) -> tuple[list[tuple[bytes, Timestamp]], bytes]:
        """Return (key, timestamp) of versions that expire by `now_s`, those due first first, from `start` on.

        Also return where to go on, b"": there are no more.
        """
        found: list[tuple[bytes, Timestamp]] = []
        cursor = self._reader.cursor(self._expiries)
        if cursor.set_range(start):
            for name, timestamp in cursor.iternext():
                if int.from_bytes(name[:-KEY_SIZE], "big") > now_s:
                    break
                if len(found) == limit:
                    return found, name
                found.append((name[-KEY_SIZE:], Timestamp(timestamp)))
        return found, b""

    def dump(self) -> dict[str, dict[bytes, bytes]]:
        """Return everything, for comparisons. An empty digest is none."""
        tables = {
            "entries": self._entries,
            "digests": self._digests,
            "unlisted": self._unlisted,
            "promises": self._promises,
            "tombstones": self._tombstones,
            "expiries": self._expiries,
            "graves": self._graves,
            "segments": self._segments,
        }
        return {
            name: {key: value for key, value in self._reader.cursor(table).iternext() if any(value)}
            for name, table in tables.items()
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
        promises: Mapping[bytes, bytes],
        end: Position,
        shift: int,
    ) -> "tuple[_Change, dict[int, int]]":
        change = _Change(shift)
        any_graves = txn.stat(self._graves)["entries"] > 0
        for key in sorted(entries):  # neighbours share pages
            value, old_value = entries[key], txn.get(key, None, self._entries)
            if old_value is None and any_graves:
                value = self._rise(txn, change, key, value)
            change.add(key, value, old_value)
            txn.put(key, value, db=self._entries)
            if old_value is not None:
                self._undate(txn, key, old_value)
            self._date(txn, key, value)
        for table, changes in ((self._unlisted, unlisted), (self._promises, promises)):
            for key in sorted(changes):
                if changes[key]:
                    txn.put(key, changes[key], db=table)
                else:
                    txn.delete(key, db=table)
        txn.put(b"position", _U64.pack(end), db=self._meta)
        return change, self._sum_up(txn, change)

    def _date(self, txn: Any, key: bytes, value: bytes) -> None:
        """Note when something is to be done about an entry."""
        if entry.is_tombstone(value):
            txn.put(entry.timestamp_of(value) + key, _HERE, db=self._tombstones)
        due = entry.due_of(value)
        if due:
            txn.put(due + key, entry.timestamp_of(value), db=self._expiries)

    def _undate(self, txn: Any, key: bytes, value: bytes) -> None:
        if entry.is_tombstone(value):
            txn.delete(entry.timestamp_of(value) + key, db=self._tombstones)
        due = entry.due_of(value)
        if due:
            txn.delete(due + key, db=self._expiries)

    def _forget(
        self,
        txn: Any,
        versions: Iterable[tuple[bytes, Timestamp]],
        shift: int,
        segment: int,
        may_exist: MayExist,
    ) -> "tuple[_Change, dict[int, int]]":
        change = _Change(shift)
        for key, timestamp in versions:
            value = txn.get(key, None, self._entries)
            if value is None:
                self._move_grave(txn, change, key, timestamp, segment)
                continue
            newest = entry.timestamp_of(value)
            if newest > timestamp:
                continue
            shadow = entry.shadow_of(value)
            if newest < timestamp:  # what was forgotten is not in the log any more, but this is
                own = segment_of(entry.place_of(value)[1])
                shadow = entry.hull(shadow, (own, own))
            self._take_out(txn, change, key, value)
            if shadow != entry.NO_SHADOW and may_exist(shadow):
                txn.put(key, graves.Grave(timestamp, segment, shadow).encode(), db=self._graves)
                change.count_grave(segment, 1)
        return change, self._sum_up(txn, change)

    def _remove(
        self, txn: Any, versions: Iterable[tuple[bytes, Timestamp]], shift: int
    ) -> "tuple[_Change, dict[int, int]]":
        change = _Change(shift)
        for key, timestamp in versions:
            value = txn.get(key, None, self._entries)
            if value is not None and entry.timestamp_of(value) == timestamp:
                self._take_out(txn, change, key, value)
        return change, self._sum_up(txn, change)

    def _take_out(self, txn: Any, change: "_Change", key: bytes, value: bytes) -> None:
        change.remove(key, value)
        txn.delete(key, db=self._entries)
        txn.delete(key, db=self._unlisted)
        self._undate(txn, key, value)

    def _move_grave(self, txn: Any, change: "_Change", key: bytes, timestamp: Timestamp, segment: int) -> None:
        """Have a grave named by the newer of two FORGETs: the older one goes with its segment."""
        value = txn.get(key, None, self._graves)
        grave = None if value is None else graves.decode(value)
        if grave is not None and grave.timestamp <= timestamp and grave.segment != segment:
            change.count_grave(grave.segment, -1)
            change.count_grave(segment, 1)
            txn.put(key, graves.Grave(timestamp, segment, grave.shadow).encode(), db=self._graves)

    def _rise(self, txn: Any, change: "_Change", key: bytes, value: bytes) -> bytes:
        """Return the entry of a key that is here again; it takes over what its grave knew."""
        packed = txn.pop(key, self._graves)
        if packed is None:
            return value
        grave = graves.decode(packed)
        change.count_grave(grave.segment, -1)
        return entry.with_shadow(value, entry.hull(entry.shadow_of(value), grave.shadow))

    def _clear(
        self, txn: Any, found: Iterable[tuple[bytes, graves.Grave]]
    ) -> "tuple[_Change, dict[int, int]]":
        change = _Change(0)
        for key, grave in found:
            if txn.delete(key, db=self._graves):
                change.count_grave(grave.segment, -1)
        return change, self._sum_up(txn, change)

    def _sum_up(self, txn: Any, change: "_Change") -> dict[int, int]:
        """Bring the sums up to date; return the live bytes of the segments that were touched."""
        for bucket in sorted(change.digests):
            name = _U32.pack(bucket)
            before = txn.get(name, None, self._digests)
            total = change.digests[bucket] + (0 if before is None else digest.decode(before))
            txn.put(name, digest.encode(total), db=self._digests)
        live = self._changed(change)
        for segment, length in live.items():
            txn.put(_U32.pack(segment), _U64.pack(length), db=self._segments)
        return live

    def _changed(self, change: "_Change") -> dict[int, int]:
        """Return the live bytes of the segments that a change touches."""
        return {
            segment: max(0, self.live_bytes.get(segment, 0) + length) for segment, length in change.live.items()
        }

    def _account_for(self, change: "_Change", live: dict[int, int]) -> None:
        """Keep what is remembered of the tables in step with them."""
        self.live_bytes.update(live)
        for bucket in change.digests:
            self._partition_digests.pop(bucket >> digest.SUBDIVISION_BITS, None)

    def _write(self, work: Callable[[Any], T]) -> T:
        """Run `work` in a write transaction, again with a larger map when the map is full. NoRoom."""
        self._reader.abort()  # without a lock file, nobody may read pages that a writer may reuse
        try:
            while True:
                try:
                    with self._environment.begin(write=True) as txn:
                        return work(txn)
                except lmdb.MapFullError:
                    size = mapping.grown(self._environment.info()["map_size"])
                    mapping.reserve(self._path, size)
                    self._environment.set_mapsize(size)
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

    def count_grave(self, segment: int, added: int) -> None:
        """Count what a FORGET names as needed, or no longer."""
        self.live[segment] = self.live.get(segment, 0) + added * record.NAME_SIZE

    def _sum(self, key: bytes, added: int) -> None:
        bucket = int.from_bytes(key[:4], "big") >> self._shift
        self.digests[bucket] = self.digests.get(bucket, 0) + added

    def _count(self, position: Position, length: int) -> None:
        segment = segment_of(position)
        self.live[segment] = self.live.get(segment, 0) + length
