"""What can happen to a database, as one join: everything that it is told is a `Change`. Pure.

A database is the join of its changes, so the order in which they arrive and how often does not matter:

- put and delete timestamps: the larger one;
- metadata: per name, the value with the newest timestamp;
- rows: per name, `join_rows`.

What is not newer than the delete timestamp is gone: rows and metadata of an earlier life never count.
"""

from dataclasses import dataclass, field
from typing import Any

from cluster.clock import ZERO, Timestamp, is_timestamp, microseconds_of
from storage.indexes.errors import bad_request
from storage.messages import KEY_SIZE, Changes, DatabaseKind, IndexCreate, IndexMove, IndexRows, Info, Row
from storage.ranges.state import ACCEPTED, COUNT, MOVED, check, shared

Metadata = dict[str, tuple[Any, Timestamp]]  # value None: removed

_NUMBER_LIMIT = 1 << 62  # SQLite's integers have 63 bits, and sums must fit


@dataclass(slots=True)
class Change:
    """What is to be joined into one database. `join` grows it in place."""

    kind: int
    key: bytes
    account: str
    container: str  # this and `account` are empty in a deletion, which goes by the key alone
    put_timestamp: Timestamp = ZERO
    delete_timestamp: Timestamp = ZERO
    created_us: int = 0  # of the life that `put_timestamp` belongs to; 0: nothing is known
    metadata: Metadata = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)  # by name

    def oldest(self) -> Timestamp:
        """Return when the first of these changes was made."""
        created = max(self.put_timestamp, self.delete_timestamp)
        return min(map(newest_of, self.rows.values()), default=created)

    def join(self, other: "Change") -> None:
        """Merge `other`, of the same database, into this one."""
        assert self.key == other.key, "changes of two databases"
        self.account, self.container = self.account or other.account, self.container or other.container
        self.put_timestamp = max(self.put_timestamp, other.put_timestamp)
        self.delete_timestamp = max(self.delete_timestamp, other.delete_timestamp)
        self.created_us = join_created_us(
            self.created_us, other.created_us, self.put_timestamp, self.delete_timestamp
        )
        if other.metadata:
            join_metadata(self.metadata, other.metadata)
        rows = self.rows
        for name, row in other.rows.items():
            old = rows.get(name)
            rows[name] = row if old is None else join_rows(old, row)


def join_rows(old: Row, new: Row) -> Row:
    """Return the row that knowing both leaves; `old` itself when `new` adds nothing.

    Existence, and all that goes with it, has the version `timestamp`; the statistics of an account's row
    have the version `stats_timestamp`. Two replicas of a container may report different
    statistics under one timestamp, while one lacks rows: the larger are taken, so that all agree.
    """
    newer = new if new.timestamp > old.timestamp else old
    if old.stats_timestamp is None and new.stats_timestamp is None:
        return newer
    source = new if _statistics_version(new) > _statistics_version(old) else old
    if source is newer:
        return newer
    return newer._replace(
        size=source.size, object_count=source.object_count, stats_timestamp=source.stats_timestamp
    )


def _statistics_version(row: Row) -> tuple[Timestamp, int, int]:
    return (row.stats_timestamp or ZERO, row.object_count, row.size)


def newest_of(row: Row) -> Timestamp:
    """Return when anything about `row` changed last."""
    return row.timestamp if row.stats_timestamp is None else max(row.timestamp, row.stats_timestamp)


def surviving(row: Row, delete_timestamp: Timestamp) -> Row | None:
    """Return what is left of `row` in a database that was deleted at `delete_timestamp`, if anything.

    Existence and statistics go separately, as they are joined, so that the order does not matter.
    """
    if row.stats_timestamp is not None:
        if row.stats_timestamp > delete_timestamp:
            return row if row.timestamp > delete_timestamp else _only_statistics(row)
        row = row._replace(size=0, object_count=0, stats_timestamp=None)
    return row if row.timestamp > delete_timestamp else None


def join_metadata(into: Metadata, other: Metadata) -> None:
    """Merge `other` into `into`; of equal timestamps, what is there stays.

    But of counters the larger: two replicas of a range database may report different ones, while one lacks rows.
    """
    for name, (value, timestamp) in other.items():
        known = into.get(name)
        if known is None or timestamp > known[1] or (timestamp == known[1] and _counts_more(name, value, known[0])):
            into[name] = (value, timestamp)


def _counts_more(name: str, value: Any, known: Any) -> bool:
    return name.startswith(COUNT) and list(value) > list(known)


def join_created_us(
    first_us: int, second_us: int, put_timestamp: Timestamp, delete_timestamp: Timestamp
) -> int:
    """Return the creation time of the present life: the earliest known that is not before the deletion."""
    if put_timestamp <= delete_timestamp:
        return 0
    deleted_us = microseconds_of(delete_timestamp)
    candidates = [us for us in (first_us, second_us) if us and us >= deleted_us]
    return min(candidates, default=microseconds_of(put_timestamp))


def change_of_rows(message: IndexRows) -> Change:
    """Return what INDEX_ROWS asks for, checked: what is journaled must never fail to merge."""
    rows: dict[str, Row] = {}
    reports = message.kind == DatabaseKind.ACCOUNT
    for values in message.rows:
        row = checked_row(values)
        if reports and row.stats_timestamp is not None:
            row = _only_statistics(row)
        old = rows.get(row.name)
        rows[row.name] = row if old is None else join_rows(old, row)
    put_timestamp = message.put_timestamp
    change = Change(
        message.kind,
        message.key,
        message.account,
        message.container,
        put_timestamp,
        ZERO,
        0,
        {},
        rows,
    )
    _check(change)
    change.created_us = microseconds_of(put_timestamp)
    return change


def _only_statistics(row: Row) -> Row:
    """Return a report of a container without a say in whether the container exists.

    On a row that is absent it stays behind as a tombstone older than everything, which takes part in
    no listing, and hands its statistics to the row when that arrives.
    """
    return Row(row.name, ZERO, True, row.size, "", "", 0, row.object_count, row.stats_timestamp)


def change_of_create(message: IndexCreate) -> Change:
    """Return what INDEX_CREATE asks for, checked."""
    change = Change(
        message.kind,
        message.key,
        message.account,
        message.container,
        message.put_timestamp,
        metadata=checked_metadata(message.metadata),
    )
    _check(change)
    change.created_us = microseconds_of(message.put_timestamp)
    return change


def change_of_move(message: IndexMove) -> Change:
    """Return what INDEX_MOVE asks for, checked."""
    metadata: dict[str, Any] = {}
    for range_id, (timestamp, objects, size) in message.counts.items():
        metadata[COUNT + range_id] = ((objects, size), timestamp)
    if message.token is not None:
        metadata[ACCEPTED] = ((message.base, message.put_timestamp, message.pointers), message.timestamp)
    elif message.pointers:
        metadata[MOVED] = (message.pointers, message.timestamp)
    change = Change(
        message.kind,
        message.key,
        message.account,
        message.container,
        message.put_timestamp,
        message.timestamp if message.deleted and message.token is None else ZERO,
        metadata=checked_metadata(metadata),
    )
    _check(change)
    change.created_us = microseconds_of(message.put_timestamp)
    return change


def change_of_abandonment(state_kind: int, key: bytes, ballot: Timestamp) -> Change:
    """Return what has a replica forget what it has accepted below a ballot."""
    return Change(state_kind, key, "", "", metadata={ACCEPTED: (None, ballot)})


def change_of_page(kind: int, key: bytes, page: Changes) -> Change:
    """Return what a peer's page of changes adds, checked."""
    info = page.info if isinstance(page.info, Info) else Info(*page.info)
    rows = {row.name: row for row in map(checked_row, page.rows)}
    metadata = shared(checked_metadata(info.metadata))
    change = Change(
        kind,
        key,
        info.account,
        info.container,
        info.put_timestamp,
        info.delete_timestamp,
        info.created_us,
        metadata,
        rows,
    )
    _check(change)
    return change


def checked_row(values: Any) -> Row:
    """Return `values` as a Row. Raise BAD_REQUEST when it is none."""
    try:
        row = values if type(values) is Row else Row(*values)
    except TypeError as error:
        raise bad_request(f"not a row: {error}") from None
    if not (
        type(row.name) is str
        and row.name
        and is_timestamp(row.timestamp)
        and type(row.deleted) is bool
        and type(row.size) is int
        and 0 <= row.size < _NUMBER_LIMIT
        and type(row.object_count) is int
        and 0 <= row.object_count < _NUMBER_LIMIT
        and (row.stats_timestamp is None or is_timestamp(row.stats_timestamp))
    ):
        raise bad_request(f"not a row: {row!r:.200}")
    return row


def checked_metadata(metadata: Any) -> Metadata:
    """Return `metadata` as it is kept. Raise BAD_REQUEST when it has another shape."""
    checked: Metadata = {}
    try:
        for name, (value, timestamp) in metadata.items():
            if not (isinstance(name, str) and is_timestamp(timestamp)):
                raise bad_request(f"metadata {name!r:.100} is not a name with a version")
            checked[name] = (value, timestamp)
        check(checked)
    except (AttributeError, TypeError, ValueError) as error:
        raise bad_request(f"metadata of a database: {error}") from None
    return checked


def _check(change: Change) -> None:
    if not (
        is_timestamp(change.put_timestamp)
        and is_timestamp(change.delete_timestamp)
        and type(change.key) is bytes
        and len(change.key) == KEY_SIZE
        and type(change.account) is str
        and type(change.container) is str
        and type(change.created_us) is int
        and change.kind in (DatabaseKind.CONTAINER, DatabaseKind.ACCOUNT)
    ):
        raise bad_request(f"not a change of a database: {change!r:.200}")
