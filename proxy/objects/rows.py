"""Rows on their way to the databases that have them, those of one turn of the event loop in one message.

A database whose rows have moved shows where to (storage.ranges): that is remembered, and they go on there.
"""

import asyncio
import os
import random

from cluster.clock import HybridClock, Timestamp
from proxy.objects.containers import Containers
from proxy.objects.databases import Database, Databases
from proxy.objects.errors import NoSuchContainer, TooOld, Unavailable
from proxy.objects.spans import Moved
from storage.client import Placement
from storage.messages import IndexRows, Operation, Row
from storage.ranges.decision import Gone, Named, Undecidable
from storage.ranges.decision import replace as replace_range
from storage.ranges.pointers import created_at

SPLIT_TRIES = 12  # of what meets moved databases: each shows the way to the next
ROWS_PER_MESSAGE = 500


class _Outbox:
    """Rows of one database that wait for the end of this turn."""

    __slots__ = ("database", "put_timestamp", "rows", "sent")

    def __init__(self, loop: asyncio.AbstractEventLoop, database: Database, put_timestamp: Timestamp) -> None:
        self.database = database
        self.put_timestamp = put_timestamp
        self.rows: list[Row] = []
        self.sent: asyncio.Future[None] = loop.create_future()


class Rows:
    """Brings rows to quorums."""

    def __init__(
        self, placement: Placement, clock: HybridClock, databases: Databases, containers: Containers
    ) -> None:
        self._placement = placement
        self._clock = clock
        self._databases = databases
        self._containers = containers
        self._maps = containers.maps
        self._outboxes: dict[bytes, _Outbox] = {}

    async def add(self, database: Database, put_timestamp: Timestamp, row: Row) -> None:
        """Bring `row` to a quorum. Raise NoSuchContainer when it was deleted after `put_timestamp`."""
        outbox = self._outboxes.get(database.key) or self._begin(database, put_timestamp)
        outbox.put_timestamp = max(outbox.put_timestamp, put_timestamp)
        outbox.rows.append(row)
        if len(outbox.rows) >= ROWS_PER_MESSAGE:
            self._end(outbox)
        try:
            await asyncio.shield(outbox.sent)
        except (NoSuchContainer, TooOld):
            if len(outbox.rows) == 1:
                raise
            await self.send(database, put_timestamp, [row])  # it may be another row that is not taken

    def _begin(self, database: Database, put_timestamp: Timestamp) -> _Outbox:
        loop = asyncio.get_running_loop()
        outbox = self._outboxes[database.key] = _Outbox(loop, database, put_timestamp)
        loop.call_soon(self._flush, outbox)
        return outbox

    def _end(self, outbox: _Outbox) -> None:
        """Let nothing more be added."""
        if self._outboxes.get(outbox.database.key) is outbox:
            del self._outboxes[outbox.database.key]

    def _flush(self, outbox: _Outbox) -> None:
        self._end(outbox)
        sending = self.send(outbox.database, outbox.put_timestamp, outbox.rows)
        task = asyncio.get_running_loop().create_task(sending)
        task.add_done_callback(lambda task: self._flushed(outbox, task))

    def _flushed(self, outbox: _Outbox, task: "asyncio.Task[None]") -> None:
        if outbox.sent.done():
            return
        error = Unavailable("cancelled") if task.cancelled() else task.exception()
        if error is not None:
            outbox.sent.set_exception(error)
            outbox.sent.exception()  # heard: whoever still waits is told all the same
        else:
            self._containers.confirm(outbox.database)
            outbox.sent.set_result(None)

    async def send(self, database: Database, put_timestamp: Timestamp, rows: list[Row]) -> None:
        """Bring `rows` to a quorum, of the databases that have them."""
        for _ in range(SPLIT_TRIES):
            spans = self._maps.get(database.key)
            if spans is None:
                rows = await self._send_to_root(database, put_timestamp, rows)
            else:
                routed = spans.route(rows)
                left = await asyncio.gather(
                    *(self._send_to_range(database, span.range_id, own) for span, own in routed.items())
                )
                rows = [row for part in left for row in part]
            if not rows:
                return
        raise Unavailable("the container is split again and again")

    async def _send_to_root(self, database: Database, put_timestamp: Timestamp, rows: list[Row]) -> list[Row]:
        """Bring rows to a database; return those that have to be sent elsewhere."""
        try:
            await self._send(database, put_timestamp, rows)
        except Moved as moved:
            self._maps.learn(database.key, moved.pointers)
            return rows
        return []

    async def _send_to_range(self, database: Database, range_id: str, rows: list[Row]) -> list[Row]:
        """The same, for rows in a range of a split container."""
        try:
            await self._send(self._databases.range(database, range_id), created_at(range_id), rows)
        except Moved as moved:
            self._maps.follow(database.key, range_id, moved.pointers)
        except NoSuchContainer:
            await self.range_is_gone(database, range_id)
        else:
            return []
        return rows

    async def _send(self, database: Database, put_timestamp: Timestamp, rows: list[Row]) -> None:
        message = IndexRows(
            database.kind, database.key, database.account, database.container, put_timestamp, rows
        )
        await self._databases.write(database, Operation.INDEX_ROWS, message)

    async def range_is_gone(self, database: Database, range_id: str) -> None:
        """Look why a range database is deleted. Raise NoSuchContainer when the container is.

        Else a deletion has stopped half way, which takes many ranges before it comes to the container. What it took was
        found empty; new ones take the place of all that are gone.
        """
        await self._containers.info(database.account, database.container)
        spans = self._maps.get(database.key)
        if spans is None or all(span.range_id != range_id for span in spans.spans):
            return
        root = Named(database.account, database.container)
        others = [span.range_id for span in spans.spans if span.range_id != range_id]
        try:
            for gone in [range_id, *await self._gone_of(database, others)]:
                await replace_range(self._placement, self._clock, root, os.urandom(16), gone)
        except Gone:
            raise NoSuchContainer(database.container) from None
        except Undecidable:
            await asyncio.sleep(random.uniform(0.005, 0.03))  # a deletion may be under way
        self._maps.forget(database.key)

    async def _gone_of(self, database: Database, range_ids: list[str]) -> list[str]:
        """Return those range databases that are deleted."""
        ranges = [self._databases.range(database, range_id) for range_id in range_ids]
        deleted = await asyncio.gather(*(self._databases.deleted_at(each) for each in ranges))
        return [range_id for range_id, at in zip(range_ids, deleted, strict=True) if at is not None]
