"""What a database knows of itself beside its rows. Pure; stored as the one row of the table `info`."""

from dataclasses import dataclass, field
from typing import Any

import msgpack

from cluster.clock import TIMESTAMP_SIZE, ZERO, Timestamp
from storage.indexes import digest
from storage.indexes.change import Change, Metadata, join_created_us, join_metadata, newest_of
from storage.indexes.errors import Damaged
from storage.log.checksum import crc32c
from storage.messages import DatabaseKind, Info, Row
from storage.ranges.pointers import Pointer
from storage.ranges.state import counts_of, moved_of, settle

COLUMNS = (
    "kind",
    "key",
    "account",
    "container",
    "incarnation",
    "put_timestamp",
    "delete_timestamp",
    "created_us",
    "metadata",
    "object_count",
    "bytes_used",
    "container_count",
    "newest",
    "digest",
    "sequence",
)
_METADATA = COLUMNS.index("metadata")


@dataclass(slots=True)
class Header:
    """State of one database. Counters and `rows_digest` always agree with the table `rows`.

    Unless it is moved (storage.ranges): then they are zero, and what is left in the table counts for nothing.
    """

    kind: int
    key: bytes
    account: str
    container: str
    incarnation: bytes  # random: of this file; `sequence` counts in it
    put_timestamp: Timestamp = ZERO
    delete_timestamp: Timestamp = ZERO
    created_us: int = 0
    metadata: Metadata = field(default_factory=dict)
    object_count: int = 0
    bytes_used: int = 0
    container_count: int = 0
    newest: Timestamp = ZERO  # of all rows ever merged
    rows_digest: int = 0
    sequence: int = 0  # of the newest change of a row

    @property
    def exists(self) -> bool:
        """Whether it was created, and not deleted since."""
        return self.put_timestamp > self.delete_timestamp

    @property
    def moved(self) -> tuple[Timestamp, list[Pointer]] | None:
        """Since when its rows are elsewhere, and where."""
        return moved_of(self.metadata)

    @property
    def counters(self) -> tuple[int, int]:
        """Objects and bytes, also of the databases that it points to."""
        if self.kind != DatabaseKind.CONTAINER or self.moved is None:
            return self.object_count, self.bytes_used
        counts = counts_of(self.metadata).values()
        return sum(objects for _, objects, _ in counts), sum(size for _, _, size in counts)

    @property
    def empty(self) -> bool:
        """Whether no live row is in it."""
        return not (self.container_count if self.kind == DatabaseKind.ACCOUNT else self.object_count)

    def add(self, row: Row) -> int:
        """Count `row`, which enters the table; return its hash."""
        value = digest.hash_of_row(row)
        self.rows_digest = digest.joined(self.rows_digest, value)
        self.newest = max(self.newest, newest_of(row))
        self._count(row, 1)
        return value

    def subtract(self, row: Row) -> int:
        """Discount `row`, which leaves the table; return its hash."""
        value = digest.hash_of_row(row)
        self.rows_digest = digest.without(self.rows_digest, value)
        self._count(row, -1)
        return value

    def _count(self, row: Row, sign: int) -> None:
        if row.deleted:
            return
        self.bytes_used += sign * row.size
        if self.kind == DatabaseKind.ACCOUNT:
            self.container_count += sign
            self.object_count += sign * row.object_count
        else:
            self.object_count += sign

    def clear_rows(self) -> None:
        """Forget what was counted, as if the table were empty."""
        self.object_count = self.bytes_used = self.container_count = self.rows_digest = 0

    def join(self, change: Change) -> None:
        """Merge all of `change` but its rows."""
        self.account, self.container = change.account or self.account, change.container or self.container
        self.put_timestamp = max(self.put_timestamp, change.put_timestamp)
        self.delete_timestamp = max(self.delete_timestamp, change.delete_timestamp)
        self.created_us = join_created_us(
            self.created_us, change.created_us, self.put_timestamp, self.delete_timestamp
        )
        join_metadata(self.metadata, change.metadata)
        gone = [name for name, (_, timestamp) in self.metadata.items() if timestamp <= self.delete_timestamp]
        for name in gone:
            del self.metadata[name]
        settle(self.metadata, self.delete_timestamp)

    def info(self) -> Info:
        """Return what peers and proxies are told."""
        object_count, bytes_used = self.counters
        return Info(
            self.account,
            self.container,
            self.put_timestamp,
            self.delete_timestamp,
            self.created_us,
            self.metadata,
            object_count,
            bytes_used,
            self.container_count,
            self.digest(),
        )

    def digest(self) -> bytes:
        """Return the digest of the whole database."""
        return digest.of_database(
            self.rows_digest, self.put_timestamp, self.delete_timestamp, self.created_us, self.metadata
        )

    def report(self) -> Row:
        """Return the row with which this container reports to its account.

        The version of the statistics is the newest thing that they count. A container that was made
        anew counts too: it may be the first to say that nothing is left of the one before. One whose rows
        are elsewhere has as many versions as there are counters: their mean grows when any of them does.
        """
        object_count, bytes_used = self.counters
        newest = max(self.newest, self.put_timestamp)
        counts = counts_of(self.metadata)
        if counts:
            newest = max(newest, _mean([timestamp for timestamp, _, _ in counts.values()]))
        return Row(
            self.container,
            self.put_timestamp,
            False,
            bytes_used,
            modified_us=self.created_us,
            object_count=object_count,
            stats_timestamp=newest,
        )

    def to_columns(self) -> tuple[Any, ...]:
        """Return the values of COLUMNS; a checksum of them all is behind the metadata."""
        values: tuple[Any, ...] = (
            self.kind,
            self.key,
            self.account,
            self.container,
            self.incarnation,
            self.put_timestamp,
            self.delete_timestamp,
            self.created_us,
            msgpack.packb(self.metadata),
            self.object_count,
            self.bytes_used,
            self.container_count,
            self.newest,
            digest.to_bytes(self.rows_digest),
            self.sequence,
        )
        return (*values[:_METADATA], sealed(values, values[_METADATA]), *values[_METADATA + 1 :])


def _mean(timestamps: list[Timestamp]) -> Timestamp:
    total = sum(int.from_bytes(timestamp, "big") for timestamp in timestamps)
    return Timestamp((total // len(timestamps)).to_bytes(TIMESTAMP_SIZE, "big"))


def sealed(values: tuple[Any, ...], metadata: bytes) -> bytes:
    """Return packed `metadata` with the checksum of all `values` behind it, as one more msgpack object."""
    return metadata + b"\xce" + crc32c(msgpack.packb(values)).to_bytes(4, "big")


def _unsealed(values: tuple[Any, ...]) -> Metadata:
    """Return the metadata of a header whose checksum, if it has one, matches. Damaged."""
    data = values[_METADATA]
    try:
        unpacker = msgpack.Unpacker(max_buffer_size=max(1, len(data)))
        unpacker.feed(data)
        found, end = unpacker.unpack(), unpacker.tell()
        metadata = {name: (value, timestamp) for name, (value, timestamp) in found.items()}
    except (ValueError, TypeError, AttributeError, msgpack.UnpackException) as error:
        raise Damaged(f"the header cannot be decoded: {error!r}") from None
    if end == len(data):
        return metadata  # of version 1
    covered = (*values[:_METADATA], data[:end], *values[_METADATA + 1 :])
    if sealed(covered, data[:end]) != data:
        raise Damaged("the header does not match its checksum")
    return metadata


def from_columns(values: tuple[Any, ...] | None) -> Header:
    """Return what `to_columns` made of a header. Damaged."""
    if values is None:
        raise Damaged("there is no header")
    kind, key, account, container, incarnation, put_timestamp, delete_timestamp, created_us = values[:8]
    metadata = _unsealed(values)
    _, object_count, bytes_used, container_count, newest, rows_digest, sequence = values[8:]
    return Header(
        kind,
        key,
        account,
        container,
        incarnation,
        put_timestamp,
        delete_timestamp,
        created_us,
        metadata,
        object_count,
        bytes_used,
        container_count,
        newest,
        digest.from_bytes(rows_digest),
        sequence,
    )
