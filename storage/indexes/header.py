"""What a database knows of itself beside its rows. Pure; stored as the one row of the table `info`."""

from dataclasses import dataclass, field
from typing import Any

import msgpack

from cluster.clock import ZERO, Timestamp
from storage.indexes import digest
from storage.indexes.change import Change, Metadata, join_created_us, join_metadata, newest_of
from storage.messages import DatabaseKind, Info, Row

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


@dataclass(slots=True)
class Header:
    """State of one database. Counters and `rows_digest` always agree with the table `rows`."""

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
    def empty(self) -> bool:
        """Whether no live row is in it."""
        return not (self.container_count if self.kind == DatabaseKind.ACCOUNT else self.object_count)

    def add(self, row: Row) -> None:
        """Count `row`, which enters the table."""
        self.rows_digest = digest.add(self.rows_digest, row)
        self.newest = max(self.newest, newest_of(row))
        self._count(row, 1)

    def subtract(self, row: Row) -> None:
        """Discount `row`, which leaves the table."""
        self.rows_digest = digest.subtract(self.rows_digest, row)
        self._count(row, -1)

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

    def info(self) -> Info:
        """Return what peers and proxies are told."""
        return Info(
            self.account,
            self.container,
            self.put_timestamp,
            self.delete_timestamp,
            self.created_us,
            self.metadata,
            self.object_count,
            self.bytes_used,
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
        anew counts too: it may be the first to say that nothing is left of the one before.
        """
        return Row(
            self.container,
            self.put_timestamp,
            False,
            self.bytes_used,
            modified_us=self.created_us,
            object_count=self.object_count,
            stats_timestamp=max(self.newest, self.put_timestamp),
        )

    def to_columns(self) -> tuple[Any, ...]:
        """Return the values of COLUMNS."""
        return (
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


def from_columns(values: tuple[Any, ...]) -> Header:
    """Return what `to_columns` made of a header."""
    kind, key, account, container, incarnation, put_timestamp, delete_timestamp, created_us = values[:8]
    metadata, object_count, bytes_used, container_count, newest, rows_digest, sequence = values[8:]
    return Header(
        kind,
        key,
        account,
        container,
        incarnation,
        put_timestamp,
        delete_timestamp,
        created_us,
        {name: (value, timestamp) for name, (value, timestamp) in msgpack.unpackb(metadata).items()},
        object_count,
        bytes_used,
        container_count,
        newest,
        digest.from_bytes(rows_digest),
        sequence,
    )
