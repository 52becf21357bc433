"""Moves the rows of one database to range databases: steps 2 to 5 of the protocol (see the package).

`Copy` reads what changed in one replica, in the order of the changes, and sends it on. It is run until little is left,
then once more while rows are frozen. What is left then is bounded, so that writers wait for milliseconds.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from cluster.clock import ZERO, HybridClock, Timestamp
from cluster.environment import Environment
from storage.asking import ask, failures_of, replies_of
from storage.client import Placement
from storage.messages import Changes, DatabaseKind, IndexChanges, IndexInfo, Operation, Refusal, Row, parse
from storage.ranges.decision import KIND, Decision, Known, Named, Undecidable, create, look
from storage.ranges.pointers import Pointer, RangeMap, Span, created_at
from storage.ranges.sending import NotTaken, send_rows

PAGE_ROWS = 2000
LITTLE = 200  # rows that changed since the last page: few enough to freeze
ROUNDS = 40  # pages that are full, or not little, at the end of a copy, before it is given up: rows come in faster
FREEZE_LIMIT_S = 2.0  # for what is left, under the freeze
BUSY_TRIES, BUSY_PAUSE_S = 50, 0.2
TOKEN_SIZE = 16

Pace = Callable[[int], Awaitable[None]]  # called with the rows just copied; may wait, or raise to stop


class Copy:
    """Copies the rows of a span from one database to where pointers lead."""

    def __init__(self, placement: Placement, source: Named, span: Span, pointers: Sequence[Pointer]) -> None:
        self._placement = placement
        self._source = source
        self._key = placement.names.key(*source)
        self._span = span
        self._map = RangeMap(pointers)
        self._incarnation, self._sequence = b"", 0
        self.leader = self._first_up()

    def _first_up(self) -> int:
        replicas = self._placement.replicas(KIND, self._key)
        for device, peer in replicas.readers:
            if peer.up:
                return device
        raise Undecidable("no replica is up")

    async def run(self, pace: Pace) -> None:
        """Copy until little is left. Raise Undecidable."""
        hurried = 0
        while hurried < ROUNDS:
            await self._catch_up_leader()
            while True:
                count, more = await self.page()
                await pace(count)
                if not more:
                    break
            if count <= LITTLE:
                return
            hurried += 1
        raise Undecidable("rows come in faster than they can be copied")

    async def _catch_up_leader(self) -> None:
        """Let the leader have what the others have, so that little of it is left to be gathered under the freeze."""
        replicas = self._placement.replicas(KIND, self._key)
        leader = [(device, peer) for device, peer in replicas.readers if device == self.leader]
        for device, peer in replicas.readers:
            if device != self.leader and peer.up:
                pull = IndexInfo(KIND, self._key, *self._source, device)
                await ask(self._placement, replicas, leader, Operation.INDEX_INFO, pull)

    async def rest(self) -> None:
        """Copy what is left, while nothing comes in."""
        async with asyncio.timeout(FREEZE_LIMIT_S):
            while True:
                _count, more = await self.page()
                if not more:
                    return

    async def page(self) -> tuple[int, bool]:
        """Copy what changed next; return how many rows that were, and whether there are more."""
        message = IndexChanges(KIND, self._key, self._incarnation, self._sequence, PAGE_ROWS)
        replicas = self._placement.replicas(KIND, self._key)
        leader = [(device, peer) for device, peer in replicas.members if device == self.leader]
        answers = await ask(self._placement, replicas, leader, Operation.INDEX_CHANGES, message)
        values = replies_of(answers).get(self.leader)
        if values is None:
            raise Undecidable(f"rows could not be read: {failures_of(answers) or 'there are none'}")
        changes = parse(Changes, values)
        rows = [row for row in (Row(*items) for items in changes.rows) if row.name in self._span]
        del replicas, answers, values
        routed = self._map.route(rows)
        await asyncio.gather(*(self._send(span.range_id, own) for span, own in routed.items()))
        self._incarnation, self._sequence = changes.incarnation, changes.sequence
        return len(changes.rows), changes.more

    async def _send(self, range_id: str, rows: list[Row]) -> None:
        """Bring rows to a quorum, waiting for devices that are busy."""
        for attempt in range(BUSY_TRIES):
            try:
                await send_rows(
                    self._placement,
                    DatabaseKind.CONTAINER,
                    self._source.range(range_id),
                    created_at(range_id),
                    rows,
                    moved=True,
                )
            except NotTaken as error:
                if Refusal.BUSY not in error.codes or attempt == BUSY_TRIES - 1:
                    raise Undecidable(f"rows could not be copied: {error}") from error
                await asyncio.sleep(BUSY_PAUSE_S)
            else:
                return


class Mover:
    """Moves databases of containers, one at a time."""

    def __init__(self, placement: Placement, clock: HybridClock, environment: Environment, pace: Pace) -> None:
        self._placement = placement
        self._clock = clock
        self._environment = environment
        self._pace = pace
        self.moved_rows = 0
        self.longest_freeze_s = 0.0  # of those that ended in a decision: how long writers waited

    async def move(self, source: Named, span: Span, pointers: list[Pointer]) -> list[Pointer]:
        """Move what a database has of `span`; return where it is now. Raise Undecidable, Gone.

        That may be elsewhere than `pointers` say, when somebody before has decided, or may have.
        """
        while True:
            await self.create(source, pointers)
            copy = Copy(self._placement, source, span, pointers)
            await copy.run(self._count)
            decided = await self._decide(source, pointers, copy)
            if decided is None:
                return pointers
            if decided.moved:
                return decided.pointers
            pointers = decided.pointers

    async def _count(self, rows: int) -> None:
        self.moved_rows += rows
        await self._pace(rows)

    async def create(self, source: Named, pointers: Sequence[Pointer]) -> None:
        """Make the range databases that are not there."""
        range_ids = dict.fromkeys(pointer.range_id for pointer in pointers)
        await asyncio.gather(*(create(self._placement, source.range(id_), id_) for id_ in range_ids))

    async def _decide(self, source: Named, pointers: list[Pointer], copy: Copy) -> "_Other | None":
        """Freeze, copy what is left, and decide; return what must be, or was, decided instead."""
        loop = asyncio.get_running_loop()
        token = self._environment.entropy(TOKEN_SIZE)
        async with Decision(self._placement, self._clock, source, token) as decision:
            situation = await decision.freeze()
            began = loop.time()
            if situation.base != ZERO:
                return _Other(True, situation.pointers)
            if situation.inherited is not None and situation.inherited != pointers:
                return _Other(False, situation.inherited)
            await decision.gather(copy.leader)
            try:
                await copy.rest()
            except TimeoutError:
                raise Undecidable("too much was left to be copied under the freeze") from None
            ballot = await decision.accept(pointers)
            self.longest_freeze_s = max(self.longest_freeze_s, loop.time() - began)
            await decision.announce(await self.counts(source, pointers, ballot))
        return None

    async def counts(
        self, source: Named, pointers: Sequence[Pointer], timestamp: Timestamp
    ) -> dict[str, tuple[Timestamp, int, int]]:
        """Return what range databases hold, as of `timestamp`."""
        range_ids = list(dict.fromkeys(pointer.range_id for pointer in pointers))
        looks: list[Known | None] = await asyncio.gather(*(self._look(source.range(id_)) for id_ in range_ids))
        return {
            range_id: (timestamp, found.info.object_count, found.info.bytes_used)
            for range_id, found in zip(range_ids, looks, strict=True)
            if found is not None
        }

    async def _look(self, database: Named) -> Known | None:
        try:
            return await look(self._placement, database)
        except Undecidable:
            return None  # it will report itself


class _Other:
    """What somebody else has decided (`moved`), or may have."""

    def __init__(self, moved: bool, pointers: list[Pointer]) -> None:
        self.moved, self.pointers = moved, pointers
