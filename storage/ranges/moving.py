"""Moves the rows of one database to range databases: steps 2 to 5 of the protocol (see the package).

`Copy` reads one replica, first all of it, then what has changed since, and sends it on. It is run until little is left,
then once more while rows are frozen. What is left then is bounded, so that writers wait for milliseconds.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

from cluster.clock import ZERO, HybridClock, Timestamp
from cluster.environment import Environment
from cluster.wire import RemoteError
from storage.asking import ask, failures_of, replies_of
from storage.client import Placement
from storage.messages import (
    Changes,
    DatabaseKind,
    IndexChanges,
    IndexFreeze,
    IndexInfo,
    Info,
    Operation,
    Refusal,
    Row,
    parse,
)
from storage.ranges.decision import KIND, Decision, Known, Named, Undecidable, create, look
from storage.ranges.pointers import Pointer, RangeMap, Span, created_at
from storage.ranges.sending import NotTaken, send_rows

PAGE_ROWS = 2000
LITTLE = PAGE_ROWS  # rows that changed during the last round: few enough to freeze
ROUNDS = 40  # until that is so, before it is given up
GROWTH_SHARE = 4  # of the rows that there were: that many more may come in meanwhile
FREEZE_LIMIT_S = 2.0  # for what is left, under the freeze
SLOWED_S = 60.0  # how long rows come in slowly if nobody says so again
SLOWED_SHARE = 2  # they come in at 1/2 of the rate at which they are copied: each round has half as many
SLOWEST = 100  # rows per second, at least
BUSY_TRIES, AWAY_TRIES, PAUSE_S = 150, 5, 0.2  # for devices that are busy, or that cannot be reached for a moment
TOKEN_SIZE = 16

Read = Callable[[Changes | None], Awaitable[Changes]]  # the first page, or the one behind another
# with the rows just copied, and whether to hurry; else it may wait; raises to stop
Pace = Callable[[int, bool], Awaitable[None]]


class Copy:
    """Copies the rows of a span from one database to where pointers lead."""

    def __init__(self, placement: Placement, source: Named, span: Span, pointers: Sequence[Pointer]) -> None:
        self._placement = placement
        self._source = source
        self._key = placement.names.key(*source)
        self._span = span
        self._map = RangeMap(pointers)
        self._incarnation, self._sequence = b"", 0
        self._slowed_until = 0.0  # loop time
        self.leader = self._first_up()

    def _first_up(self) -> int:
        replicas = self._placement.replicas(KIND, self._key)
        for device, peer in replicas.readers:
            if peer.up:
                return device
        raise Undecidable("no replica is up")

    async def run(self, pace: Pace) -> None:
        """Copy until little is left. Raise Undecidable.

        First all rows in the order of their names, which is the order on disk, here and there; then what has changed
        since, round after round, each at most half as long as the one before. A leader that lacks many rows gets them
        now: under the freeze there is no time for that.
        """
        await self._catch_up_leader()
        count = await self._pages(pace, self._by_name)
        for _round in range(ROUNDS):
            is_caught_up = await self._catch_up_leader()
            count = await self._pages(pace, self._changed, count // 2)
            if count <= LITTLE and is_caught_up:
                return
            if count <= LITTLE:
                await asyncio.sleep(PAUSE_S)
        raise Undecidable("rows come in faster than they can be copied, or can't be gathered from a quorum")

    async def _pages(self, pace: Pace, read: Read, tolerated: int | None = None) -> int:
        """Copy pages to the last, each while the next one is read; return how many rows these were.

        Writers must not keep it from coming to an end. Measured is, in a round, how many rows it has; in the order of
        names, how many have been added, of which 1/GROWTH_SHARE is `tolerated`. From half of that on copying yields to
        clients no more; beyond it they are slowed down. Once they had to be, none are tolerated any more.
        """
        loop = asyncio.get_running_loop()
        count, page = 0, await read(None)
        begun_with = Info(*page.info).object_count
        by_name = tolerated is None
        most = max(LITTLE, begun_with // GROWTH_SHARE if tolerated is None else tolerated)
        if self._slowed_until:
            most = 0
        hurry_from: tuple[int, float] | None = None  # rows copied by then, loop time
        while True:
            following, _ = await asyncio.gather(_next(read, page), self._take(page))
            count += len(page.rows)
            came_in = Info(*page.info).object_count - begun_with if by_name else count
            if hurry_from is None and came_in > most // 2:
                hurry_from = count, loop.time()
            await pace(len(page.rows), hurry_from is not None)
            if following is None:
                return count
            if hurry_from is not None and came_in > most and count > hurry_from[0]:
                await self._slow_down((count - hurry_from[0]) / max(0.001, loop.time() - hurry_from[1]))
            page = following

    async def _by_name(self, before: Changes | None) -> Changes:
        """Return the first page of all rows, or the next. What changes from the first on is to be copied again."""
        last = None if before is None else Row(*before.rows[-1])
        page = await self.page((False, "") if last is None else (last.deleted, last.name))
        if before is None:
            self._incarnation, self._sequence = page.incarnation, page.sequence
        return page

    async def _changed(self, _before: Changes | None) -> Changes:
        """Return the next page of what has changed."""
        page = await self.page(None)
        self._incarnation, self._sequence = page.incarnation, page.sequence
        return page

    async def _slow_down(self, rows_per_s: float) -> None:
        """Have replicas take rows more slowly than they are copied, if they don't: else there is no end to it."""
        now = asyncio.get_running_loop().time()
        if now < self._slowed_until - SLOWED_S / 2:
            return
        self._slowed_until = now + SLOWED_S
        slowed = max(SLOWEST, int(rows_per_s / SLOWED_SHARE))
        message = IndexFreeze(KIND, self._key, b"", SLOWED_S, False, slowed)
        replicas = self._placement.replicas(KIND, self._key)
        await ask(self._placement, replicas, replicas.members, Operation.INDEX_FREEZE, message)

    async def _catch_up_leader(self) -> bool:
        """Let the leader have what the others have; tell whether it has what a quorum had."""
        replicas = self._placement.replicas(KIND, self._key)
        heard = {self.leader}
        leader = [(device, peer) for device, peer in replicas.readers if device == self.leader]
        for device, peer in replicas.readers:
            if device != self.leader and peer.up:
                pull = IndexInfo(KIND, self._key, *self._source, device)
                answers = await ask(self._placement, replicas, leader, Operation.INDEX_INFO, pull)
                if self.leader in replies_of(answers):
                    heard.add(device)
        return replicas.writers.reached(heard)

    async def rest(self) -> None:
        """Copy what is left, while nothing comes in."""
        async with asyncio.timeout(FREEZE_LIMIT_S):
            await self._pages(_at_once, self._changed)

    async def page(self, after: tuple[bool, str] | None) -> Changes:
        """Return what changed next; with `after` the rows behind that name, live or deleted."""
        message = IndexChanges(KIND, self._key, self._incarnation, self._sequence, PAGE_ROWS, after=after)
        for attempt in range(BUSY_TRIES):
            replicas = self._placement.replicas(KIND, self._key)
            leader = [(device, peer) for device, peer in replicas.members if device == self.leader]
            answers = await ask(self._placement, replicas, leader, Operation.INDEX_CHANGES, message)
            values = replies_of(answers).get(self.leader)
            if values is not None:
                return parse(Changes, values)
            codes = frozenset(answer.code for answer in answers.values() if isinstance(answer, RemoteError))
            if not _may_pass(codes, attempt) or not leader or replies_of(answers):
                break
            del replicas, leader  # who holds old ones counts as using them
            await asyncio.sleep(PAUSE_S)
        raise Undecidable(f"rows could not be read: {failures_of(answers) or 'there are none'}")

    async def _take(self, page: Changes) -> None:
        """Send the rows of a page where they belong."""
        routed = self._map.route(row for row in map(Row._make, page.rows) if row.name in self._span)
        await asyncio.gather(*(self._send(span.range_id, own) for span, own in routed.items()))

    async def _send(self, range_id: str, rows: list[Row]) -> None:
        """Bring rows to a quorum, waiting for devices that are busy, or away for a moment."""
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
                if not _may_pass(error.codes, attempt):
                    raise Undecidable(f"rows could not be copied: {error}") from error
                await asyncio.sleep(PAUSE_S)
            else:
                return


def _may_pass(codes: Collection[int], attempt: int) -> bool:
    """Tell whether to try again after so many tries, the last of which was refused so; no codes: nobody answered."""
    return attempt < (BUSY_TRIES if codes else AWAY_TRIES) - 1 and all(code == Refusal.BUSY for code in codes)


async def _next(read: Read, page: Changes) -> Changes | None:
    return await read(page) if page.more else None


async def _at_once(_rows: int, _hurry: bool) -> None:
    """Do not wait."""


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

    async def _count(self, rows: int, hurry: bool) -> None:
        self.moved_rows += rows
        await self._pace(rows, hurry)

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
