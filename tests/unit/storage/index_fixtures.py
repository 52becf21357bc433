"""What the tests of storage/indexes share: a log in memory, timestamps, messages, and strategies."""

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

from cluster.clock import Timestamp, pack
from storage.indexes import schema
from storage.indexes.header import Header
from storage.log.interface import Appended, Apply, Position, Record, position_of
from storage.messages import DatabaseKind, IndexCreate, IndexList, IndexRows, Row

KEY = bytes(range(16))
RECORD_LENGTH = 100


class MemoryLog:
    """`storage.log.interface.Log`, as far as the indexes use it: durable on the loop's next turn."""

    def __init__(self, records: Sequence[Record] = (), end: Position | None = None) -> None:
        self.records = list(records)
        self.end = end or (self.records[-1].end if self.records else position_of(1, 0))
        self.held = Position(0)
        self.paused = False  # what is appended does not become durable
        self._queue: list[Appended] = []
        self._apply: Apply | None = None
        self._discard: Apply | None = None

    def register(self, kind: int, apply: Apply, discard: Apply | None = None) -> None:
        self._apply, self._discard = apply, discard

    def hold(self, owner: str, position: Position) -> None:
        assert position >= self.held
        self.held = position

    def append(
        self, kind: int, metadata: bytes, payload: bytes = b"", flags: int = 0, context: Any = None
    ) -> asyncio.Future[Position]:
        loop = asyncio.get_running_loop()
        appended = Appended(kind, flags, metadata, payload, context, loop.create_future())
        self._queue.append(appended)
        if not self.paused:
            loop.call_soon(self.flush)
        return appended.future

    def flush(self) -> None:
        batch, self._queue = self._queue, []
        for item in batch:
            item.position = self.end
            self.end = item.end = Position(item.position + RECORD_LENGTH)
            number = len(self.records)
            self.records.append(
                Record(item.position, item.end, item.kind, item.flags, number, item.metadata, b"", 0)
            )
        if batch:
            assert self._apply is not None
            self._apply(batch)
        for item in batch:
            item.future.set_result(item.position)

    def fail(self, error: Exception) -> None:
        batch, self._queue = self._queue, []
        assert self._discard is not None
        self._discard(batch)
        for item in batch:
            item.future.set_exception(error)

    def scan(self, start: Position, kind: int | None = None, payloads: bool = False) -> Iterator[Record]:
        assert start >= self.held, "a dropped segment is asked for"
        return iter([record for record in self.records if record.position >= start])

    def crashed(self) -> "MemoryLog":
        """Return the log as it is after a crash: without what the holds had let go."""
        log = MemoryLog([record for record in self.records if record.end > self.held], self.end)
        log.held = self.held
        return log


def at(number: int) -> Timestamp:
    return pack(number, 0, 1)


def row(name: str, number: int, size: int = 1, deleted: bool = False) -> Row:
    return Row(name, at(number), deleted, 0 if deleted else size, "etag", "text/plain", number)


def rows_message(rows: Sequence[Row], put: int = 1, key: bytes = KEY) -> IndexRows:
    return IndexRows(DatabaseKind.CONTAINER, key, "AUTH_a", "c", at(put), list(rows))


def create_message(put: int = 1, key: bytes = KEY, metadata: dict[str, Any] | None = None) -> IndexCreate:
    return IndexCreate(DatabaseKind.CONTAINER, key, "AUTH_a", "c", at(put), metadata or {})


def list_message(limit: int = 1000, key: bytes = KEY, **fields: Any) -> IndexList:
    return IndexList(DatabaseKind.CONTAINER, key, "AUTH_a", "c", limit, **fields)


def empty_database() -> sqlite3.Connection:
    connection = schema.connect(":memory:")  # type: ignore[arg-type]
    schema.create(connection, Header(DatabaseKind.CONTAINER, KEY, "AUTH_a", "c", b"i" * 16))
    return connection


timestamps = st.integers(1, 6).map(at)
names = st.text(alphabet="ab/", min_size=1, max_size=4)
object_rows = st.builds(
    # the content follows from the version, as it does in a cluster: one writer, one timestamp
    lambda name, number, deleted: row(name, number, number, deleted and number % 2 == 0),
    names,
    st.integers(1, 8),
    st.just(True),
)
account_rows = st.one_of(
    st.builds(lambda name, number: Row(name, at(number), number % 3 == 0, 0), names, st.integers(1, 8)),
    st.builds(
        lambda name, number, size, count: Row(name, at(0), True, size, "", "", 0, count, at(number)),
        names,
        st.integers(1, 8),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
)
