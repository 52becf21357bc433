"""Container and account databases of one device, as the storage daemon sees them: INDEX_* operations.

All methods are called on the event loop's thread. Writes become records of the device's log, and are
answered when durable; SQLite is touched by one thread, in batches, and by reads. The
crash points are in the package's docstring.
"""

import asyncio
import functools
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cluster.clock import ZERO, Timestamp, is_far_ahead, is_timestamp, microseconds_of
from cluster.environment import REAL, Environment
from cluster.telemetry.log import get_logger
from cluster.threads import UNBOUNDED
from cluster.wire import PeerUnavailable, RemoteError
from storage.indexes import record
from storage.indexes.brake import Brake
from storage.indexes.catalog import Deletion
from storage.indexes.change import Change, change_of_create, change_of_move, change_of_page, change_of_rows
from storage.indexes.check import Check
from storage.indexes.database import Database, Settled
from storage.indexes.errors import bad_request, translated
from storage.indexes.header import Header
from storage.indexes.interfaces import Pull
from storage.indexes.recent import SECOND_US
from storage.indexes.reclaim import (
    Due,
    FloorFile,
    holding_of_database,
    holdings_of_rows,
    is_old,
    points_at,
    without_repeated,
)
from storage.indexes.reports import Report
from storage.indexes.shelf import Shelf
from storage.indexes.state import State, Taken, state_of
from storage.log.interface import START, Appended, Kind, Log, Position, segment_of
from storage.messages import (
    KEY_SIZE,
    ROWS_LIMIT,
    Changes,
    DatabaseKind,
    Frozen,
    Holding,
    IndexChanges,
    IndexCreate,
    IndexDelete,
    IndexFreeze,
    IndexInfo,
    IndexList,
    IndexMove,
    IndexReclaim,
    IndexRows,
    Info,
    Listing,
    ReclaimedDatabase,
    ReclaimStep,
    Refusal,
    Row,
)
from storage.ranges.pointers import RANGES, owner_of
from storage.ranges.state import ACCEPTED, RECLAIMED

HOLD_OWNER = "indexes"
PULL_WAIT_S = 5.0  # for the end of what is being pulled, before something is said of what is here
_AGES_S = (2, 10, 60)  # what is older than that is compared as a whole, when many rows would have to be pulled
_FILLING_S = 10.0  # after the last rows that were moved into a database
_UNTIL_DECIDED = float("inf")
_FORGOTTEN_PART = 8  # of the idle states are forgotten at once: looking for them costs a walk over all
_PAGES_LIMIT = 100_000  # of one synchronization

ResultT = TypeVar("ResultT")

log = get_logger("storage.indexes")


@dataclass(frozen=True, slots=True)
class Tuning:
    """Bounds and rhythms of one device's index store."""

    split_rows: int = 0  # live rows of a container, or of a range of it, beyond which it is split; 0: never

    merge_rows: int = 1000  # pending rows of a database that are merged at once; more: larger, cheaper batches
    merge_delay_s: float = 0.5  # the oldest pending row is merged after this; reads never wait for it
    waiting_rows: int = 50_000  # pending in all, about 1 KB of memory each; beyond, rows are refused BUSY
    states: int = 4096  # databases known in memory, about 1 KB each; a first row to another one reads its file
    handles: int = 128  # open databases, 2 files and about 0.26 MB each (measured), more for large ones
    jobs: int = 1000  # waiting for the database thread; beyond, BUSY
    checkpoint_delay_s: float = 30.0  # between checkpoints; longer: more to replay after a crash
    checkpoint_bytes: int = 32 << 20  # of records since the last checkpoint; the same
    sync_rows: int = 2000  # per page pulled from a peer


DEFAULT_TUNING = Tuning()


class IndexStore:
    """The index databases of one device. `recover`, then `start`, then operations, then `close`."""

    def __init__(
        self,
        directory: Path,
        log: Log,
        pull: Pull,
        tuning: Tuning = DEFAULT_TUNING,
        environment: Environment = REAL,
    ) -> None:
        self._log = log
        self._pull = pull
        self._tuning = tuning
        self._wall_us = environment.wall_us
        self._shelf = Shelf(directory, tuning.handles, environment.entropy, tuning.split_rows)
        self._thread = environment.threads(1, f"indexes {directory.name}", UNBOUNDED)  # `jobs` bounds it
        self._syncing = environment.threads(1, f"sync {directory.name}")
        self.on_catalog_damaged: Callable[[], None] = lambda: None  # called when only a new start helps
        self.on_damage: Callable[[], None] = lambda: None  # called when a database has to be made anew
        self._told_count = 0  # of those
        self._floor_file = FloorFile(directory)
        self._floor = ZERO  # below it nothing begins
        self._durable_floor = ZERO
        self._raising = asyncio.Lock()
        # whether another replica has a container that was made long ago, and of which nothing is here
        self.is_elsewhere: Callable[[bytes, str, str], Awaitable[bool]] = _anywhere
        # whether this device is moving rows of the container with this key, as housekeeping
        self.is_moving: Callable[[bytes], bool] = lambda _key: False
        self._job_count = 0
        self._states: OrderedDict[bytes, State] = OrderedDict()  # least recently used first
        self._loading: dict[bytes, asyncio.Task[State]] = {}
        self._dirty: dict[bytes, State] = {}  # those with something pending
        self._waiting_rows = 0  # durable or on their way, not yet handled by the database thread
        self._recorded_bytes = 0  # since the last checkpoint
        self._needed_from = START
        self._stored_position = START
        self._merge_timer: asyncio.TimerHandle | None = None
        self._checkpoint_timer: asyncio.TimerHandle | None = None
        self._checkpointing: asyncio.Task[None] | None = None
        self._checkpoint_lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"IndexStore({self._shelf!r}, {self._waiting_rows} rows waiting)"

    # ── life ────────────────────────────────────────────────────────────────────

    def recover(self) -> int:
        """Replay the log behind the last checkpoint; return the number of records. Blocking."""
        stored = self._shelf.open()
        if stored > self._log.end:
            stored = START  # another log than the one that the catalog knows
        self._stored_position = self._needed_from = stored
        self._floor = self._durable_floor = self._floor_file.read()
        return self._shelf.replay(self._log.scan(self._needed_from, Kind.INDEX), self._floor)

    def start(self) -> None:
        """Begin to take operations."""
        self._log.register(Kind.INDEX, self._apply, self._discard)
        self._log.hold(HOLD_OWNER, self._needed_from)
        self._schedule_checkpoint()

    async def close(self) -> None:
        """Write everything into the databases and close them."""
        for timer in (self._merge_timer, self._checkpoint_timer):
            if timer is not None:
                timer.cancel()
        if self._checkpointing is not None:
            await asyncio.wait({self._checkpointing})
        try:
            await self.checkpoint()
        finally:
            await self._thread.run(self._shelf.close)
            self._thread.close()
            self._syncing.close()

    def needed_from(self) -> Position:
        """Return the position before which the log holds no record that is still needed."""
        return self._needed_from

    # ── writes ──────────────────────────────────────────────────────────────────

    def rows(self, message: IndexRows) -> asyncio.Future[Any]:
        """Merge rows; the future resolves (to nothing of interest) when they are durable.

        Raise a refusal at once where it is known at once.
        """
        self._refuse_incomplete(message.key)
        state = self._states.get(message.key)
        if state is None:
            return asyncio.ensure_future(self._rows_of_unloaded(message))
        self._states.move_to_end(message.key)
        return self._append_rows(state, message)

    async def _rows_of_unloaded(self, message: IndexRows) -> None:
        state = await self._state(message.key)
        await self._append_rows(state, message)

    def _append_rows(self, state: State, message: IndexRows) -> asyncio.Future[Any]:
        change = change_of_rows(message)
        now = asyncio.get_running_loop().time()
        state.refuse_rows(change, now)
        if message.moved:
            state.filled_at = now
        else:
            state.slow_down(len(change.rows), now)
        unheard_of = self._is_of_long_ago(state, change)
        bound = not message.moved or state.closed or unheard_of
        if unheard_of or (bound and any(is_old(row, self._floor) for row in change.rows.values())):
            return asyncio.ensure_future(self._append_old(state, change))
        return self._append(state, change)

    # what is of long ago (storage.indexes.reclaim)

    def _is_of_long_ago(self, state: State, change: Change) -> bool:
        """Tell whether a container, of which nothing is here, may have been deleted since it was made."""
        unheard_of = state.kind == 0
        return unheard_of and change.kind == DatabaseKind.CONTAINER and change.put_timestamp < self._floor

    async def _append_old(self, state: State, change: Change) -> None:
        """Make rows durable of which some are below the floor; those that change nothing are left out."""
        with state.doubt():
            await self._expect_believable(state, change)
            await state.settled()
            names = [name for name, row in change.rows.items() if is_old(row, self._floor)]
            known = await self._query(state.key, lambda database: database.known(names))
            change = without_repeated(change, known or {}, self._floor)
            state.refuse_rows(change, asyncio.get_running_loop().time())
            if change.rows or state.kind == 0:
                await self._append(state, change)

    async def _expect_believable(self, state: State, change: Change) -> None:
        """Raise NOT_FOUND unless a container that is said to have been made long ago is known to somebody."""
        if self._is_of_long_ago(state, change):
            _expect(await self.is_elsewhere(change.key, change.account, change.container), Refusal.NOT_FOUND)

    def _refuse_earlier_life(self, state: State, change: Change) -> None:
        """Raise PROMISED for metadata of long ago that may be of a container whose deletion nobody remembers.

        What this life's own makers say again, they say with its put timestamp.
        """
        earlier = state.kind == 0 or change.put_timestamp < state.put_timestamp
        if earlier and any(timestamp < self._floor for _value, timestamp in change.metadata.values()):
            raise RemoteError(Refusal.PROMISED, self._floor)

    async def _create_old(self, state: State, change: Change) -> None:
        """The same for a creation: its maker takes a timestamp above the floor."""
        try:
            await self._expect_believable(state, change)
        except RemoteError as error:
            if error.code != Refusal.NOT_FOUND:
                raise
            raise RemoteError(Refusal.PROMISED, self._floor) from error

    async def create(self, message: IndexCreate) -> None:
        """Create the database, bring it back, or change its metadata."""
        self._refuse_incomplete(message.key)
        change = change_of_create(message)
        if change.put_timestamp == ZERO:
            raise bad_request("a database is created at a timestamp")
        state = await self._state(message.key)
        self._refuse_far_ahead(state, change.put_timestamp)
        with state.doubt():
            await self._create_old(state, change)
            self._refuse_earlier_life(state, change)
            await self._append(state, change)

    def _refuse_far_ahead(self, state: State, timestamp: Timestamp) -> None:
        """Raise CLOCK_AHEAD for what only a broken clock can have made (storage.blobs.commits)."""
        now_us = self._wall_us()
        known = max(state.put_timestamp, state.delete_timestamp)
        if is_far_ahead(timestamp, now_us) and is_far_ahead(timestamp, microseconds_of(known)):
            raise RemoteError(Refusal.CLOCK_AHEAD, now_us)

    async def freeze(self, message: IndexFreeze) -> Frozen:
        """Refuse rows for a while, or take them slowly; return what is known of its split.

        For a deletion only if no live row is there.
        """
        self._refuse_incomplete(message.key)
        state = await self._state(message.key)
        loop = asyncio.get_running_loop()
        _expect(state.exists, Refusal.NOT_FOUND)
        if message.rows_per_s:
            state.brake = Brake(message.rows_per_s, loop.time() + message.ttl_s)
            return state.frozen_state()
        if message.empty and state.refused is not None:
            raise RemoteError(Refusal.SPLIT, state.refused)
        if state.frozen(loop.time()) and state.freeze_token != message.token:
            raise RemoteError(Refusal.FROZEN, "another deletion or split is being decided")
        state.freeze(message.token, loop.time() + message.ttl_s)
        if message.empty:
            await self._thaw_unless_empty(state, message.token)
        else:
            await state.settled()
        return state.frozen_state()

    async def move(self, message: IndexMove) -> None:
        """Take in where rows are: what is decided, or, under a freeze that still holds, what this replica accepts."""
        self._refuse_incomplete(message.key)
        state = await self._state(message.key)
        change = change_of_move(message)
        if message.token is None:
            if not message.pointers:  # counters, or a deletion, of something that must be here
                _expect(state.exists, Refusal.NOT_FOUND)
            with state.doubt():
                await self._expect_believable(state, change)
                if message.pointers:
                    self._refuse_earlier_life(state, change)
                await self._append(state, change)
            return
        _expect(state.exists, Refusal.NOT_FOUND)
        frozen = state.frozen(asyncio.get_running_loop().time()) and state.freeze_token == message.token
        _expect(frozen and state.moved == message.base, Refusal.NOT_HELD)
        _expect(state.accepted is None or state.accepted.ballot < message.timestamp, Refusal.NOT_HELD)
        state.freeze(message.token, _UNTIL_DECIDED)  # no row may come into the log behind the acceptance
        try:
            await self._append(state, change)
        finally:
            state.thaw(message.token)

    async def sample(self, key: bytes, count: int) -> Sequence[str] | None:
        """Return the names of about `count` live rows, picked at random, in order; None without a database."""
        self._refuse_incomplete(key)
        return await self._query(key, lambda database: database.sample(min(count, ROWS_LIMIT)))

    def take_unsettled(self) -> list[bytes]:
        """Return the keys of databases that have to be split or merged, or in which that is not decided."""
        return self._shelf.unsettled.take()

    @property
    def split_counts(self) -> tuple[int, int]:
        """How many roots of split containers, and how many range databases, were merged into since the start."""
        return len(self._shelf.roots), len(self._shelf.ranges)

    def note_settled(self, key: bytes) -> None:
        """Ask no more for anything to be done about a database, until it changes."""
        self._shelf.unsettled.drop(key)

    async def purge(self) -> bool:
        """Drop the rows of one database that are elsewhere; tell whether there are more."""
        return await self._run(self._shelf.purge)

    def is_filling(self, key: bytes) -> bool:
        """Tell whether rows are being moved into a database: its replicas differ, and will be equal by themselves."""
        state = self._states.get(key)
        return state is not None and asyncio.get_running_loop().time() - state.filled_at < _FILLING_S

    async def header(self, key: bytes) -> Header | None:
        """Return what a database knows of itself."""
        return await self._query(key, lambda database: database.header)

    async def delete(self, message: IndexDelete) -> None:
        """Delete the database at a timestamp, under a freeze that still holds; or only end the freeze."""
        self._refuse_incomplete(message.key)
        state = await self._state(message.key)
        if message.timestamp is None:
            state.thaw(message.token)
            return
        if not is_timestamp(message.timestamp):
            raise bad_request("deletion without a timestamp")
        self._refuse_far_ahead(state, message.timestamp)
        _expect(state.exists, Refusal.NOT_FOUND)
        frozen = state.frozen(asyncio.get_running_loop().time()) and state.freeze_token == message.token
        _expect(frozen and state.accepted is None, Refusal.NOT_HELD)
        state.freeze(message.token, _UNTIL_DECIDED)
        await self._thaw_unless_empty(state, message.token)
        try:
            change = Change(state.kind, state.key, "", "", delete_timestamp=message.timestamp)
            await self._append(state, change)
        finally:
            state.thaw(message.token)

    async def _thaw_unless_empty(self, state: State, token: bytes) -> None:
        empty = False
        try:
            await state.settled()
            empty = bool(await self._query(state.key, lambda database: database.header.empty))
            _expect(empty, Refusal.NOT_EMPTY)
        finally:
            if not empty:
                state.thaw(token)

    def _append(self, state: State, change: Change) -> asyncio.Future[Any]:
        """Put `change` into the log; when the future resolves it is durable and pending."""
        if state.kind not in (0, change.kind):
            raise bad_request(f"database {state.key.hex()} is of kind {state.kind}")
        failure = self._shelf.failures.get(state.key)
        if failure is not None:
            raise RemoteError(failure.code, failure.detail)
        if self._waiting_rows >= self._tuning.waiting_rows:
            raise RemoteError(Refusal.BUSY, f"{self._waiting_rows} rows wait to be merged")
        try:
            packed = record.pack(change)
        except ValueError as error:
            raise bad_request(str(error)) from None
        future = self._log.append(Kind.INDEX, packed, context=(state, change))
        state.appended = future
        state.appending += 1
        self._waiting_rows += len(change.rows)
        self._recorded_bytes += len(packed)
        return future

    def _apply(self, records: Sequence[Appended]) -> None:
        """Take in records that have become durable."""
        for appended in records:
            state, change = appended.context
            state.appending -= 1
            state.absorb(change)
            self._dirty[state.key] = state
            if state.pending_rows >= self._tuning.merge_rows:
                self._merge([state])
        if self._dirty and self._merge_timer is None:
            loop = asyncio.get_running_loop()
            self._merge_timer = loop.call_later(self._tuning.merge_delay_s, self._merge_all)
        if self._recorded_bytes >= self._tuning.checkpoint_bytes:
            self._begin_checkpoint()

    def _discard(self, records: Sequence[Appended]) -> None:
        """Forget records that will never be durable."""
        for appended in records:
            state, change = appended.context
            state.appending -= 1
            self._waiting_rows -= len(change.rows)

    # ── merging ─────────────────────────────────────────────────────────────────

    def _merge_all(self) -> None:
        self._merge_timer = None
        self._merge(list(self._dirty.values()))

    def _merge(self, states: Iterable[State]) -> None:
        """Send what is pending to the database thread. Failures stay there, and are tried again."""
        taken = self._take(states)
        job = self._submit(self._shelf.merge_all, [item.change for item in taken])
        job.add_done_callback(lambda _job: self._handled(taken))

    def _take(self, states: Iterable[State]) -> list[Taken]:
        found = []
        for state in list(states):
            self._dirty.pop(state.key, None)
            taken = state.take()
            if taken is not None:
                found.append(taken)
        return found

    def _handled(self, taken: Iterable[Taken]) -> None:
        self._waiting_rows -= sum(item.row_count for item in taken)

    # ── reads ───────────────────────────────────────────────────────────────────

    async def info(self, message: IndexInfo) -> Info | None:
        """Return the state of a database; None when this device has none."""
        self._refuse_incomplete(message.key)
        if message.sync_from is not None:
            await self._pull_from(message, message.sync_from)
        return await self._query(message.key, Database.info)

    async def list(self, message: IndexList) -> Listing | None:
        """Return a page of live rows; None when this device has no such database."""
        self._refuse_incomplete(message.key)
        if message.sync_from is not None:
            await self._pull_from(message, message.sync_from)
        try:
            return await self._query(message.key, lambda database: database.page(message))
        except UnicodeEncodeError:
            raise bad_request("text that is not UTF-8") from None

    async def changes(self, message: IndexChanges) -> Changes | None:
        """Return a page of rows in the order of their changes; None when there is no such database."""
        self._refuse_incomplete(message.key)
        return await self._query(message.key, lambda database: database.changes(message))

    async def inventory(
        self, kind: int, start: bytes, end: bytes | None, limit: int
    ) -> Sequence[tuple[bytes, bytes]]:
        """Return (key, digest) of the databases of `kind` with `start` <= key < `end`, ordered."""
        self._refuse_when_busy()
        limit = max(0, min(limit, ROWS_LIMIT))
        taken = self._take(self._dirty.values())
        changes = [item.change for item in taken]
        try:
            return await self._run(self._shelf.inventory, changes, kind, start, end, limit)
        except RemoteError as error:
            self._tell_of_damage(error)
            raise
        finally:
            self._handled(taken)

    def take_reports(self, limit: int) -> dict[bytes, Report]:
        """Return up to `limit` rows (account, row), by container key, that accounts should be sent.

        Those that cannot be sent are given to `put_back_reports`.
        """
        return self._shelf.reports.take(limit)

    def put_back_reports(self, reports: dict[bytes, Report]) -> None:
        """Take back reports that were not sent."""
        self._shelf.reports.put_back(reports)

    async def _query(self, key: bytes, question: Callable[[Database], ResultT]) -> ResultT | None:
        """Merge what is pending of one database, and ask it, in one job."""
        if type(key) is not bytes or len(key) != KEY_SIZE:
            raise bad_request("not a key")
        self._refuse_when_busy()
        state = self._states.get(key)
        taken = self._take([state]) if state is not None else []
        change = taken[0].change if taken else None
        try:
            return await self._run(self._shelf.query, key, change, question)
        finally:
            self._handled(taken)

    # ── replicas ────────────────────────────────────────────────────────────────

    async def synchronize(
        self, kind: DatabaseKind, key: bytes, account: str, container: str, device_id: int
    ) -> Timestamp | None:
        """Bring over, durably, what device `device_id` has of a database and we lack; return the oldest of it.

        Raise BUSY when the device has accepted a split and does not know whether that was decided: what it answered for
        cannot be taken over then, and who wants to count as a replica must wait (storage.ranges).
        """
        oldest, undecided = await self._pull_from(IndexInfo(kind, key, account, container), device_id)
        if undecided:
            raise RemoteError(Refusal.BUSY, f"a split of database {key.hex()} is being decided")
        return oldest

    async def _pull_from(self, message: IndexInfo | IndexList, device_id: int) -> tuple[Timestamp | None, bool]:
        """Pull; return the oldest that was lacking, and whether a split is undecided there."""
        oldest: Timestamp | None = None
        kind, key = DatabaseKind(message.kind), message.key
        state = await self._state(key)
        async with state.synchronizing:
            known = await self._query(key, lambda database: database.cursor(device_id))
            incarnation, sequence = known or (b"", 0)
            seconds = [self._wall_us() // SECOND_US - ago_s for ago_s in _AGES_S]  # asked for once
            for _page in range(_PAGES_LIMIT):
                ask = IndexChanges(kind, key, incarnation, sequence, self._tuning.sync_rows, seconds)
                page = await self._pulled(device_id, ask, kind)
                if page is None:
                    return oldest, False
                newer = await self._merge_page(state, change_of_page(kind, key, page))
                if newer is not None:
                    oldest = newer.oldest() if oldest is None else min(oldest, newer.oldest())
                reached = await self._reached(key, page, seconds)
                seconds = []
                if (page.incarnation, reached) != (incarnation, sequence):
                    incarnation, sequence = page.incarnation, reached
                    await self._remember(key, device_id, incarnation, sequence)
                if not page.more:
                    info = page.info if isinstance(page.info, Info) else Info(*page.info)
                    return oldest, ACCEPTED in info.metadata
            raise RemoteError(Refusal.BUSY, f"device {device_id} has changes without end")

    async def _reached(self, key: bytes, page: Changes, seconds: Sequence[int]) -> int:
        """Return up to which sequence of the peer everything is here: beyond the page, if what is older is equal."""
        for second, values in zip(seconds, page.settled, strict=False):
            if values is not None:
                theirs = Settled(*values)
                ours = await self._query(key, functools.partial(Database.settled, second=second))
                if ours is not None and ours.digest == theirs.digest:
                    return max(page.sequence, theirs.sequence)
        return page.sequence

    async def _pulled(self, device_id: int, ask: IndexChanges, kind: DatabaseKind) -> Changes | None:
        try:
            return await self._pull(device_id, ask, kind)
        except PeerUnavailable as error:
            raise RemoteError(Refusal.BUSY, f"device {device_id} cannot be asked: {error}") from error

    async def _merge_page(self, state: State, change: Change) -> Change | None:
        """Make durable what is newer in `change` than here, and return it."""
        newer: Change | None
        found = await self._query(state.key, lambda database: (database.difference(change),))
        if found is not None:
            (newer,) = found
        elif change.put_timestamp != ZERO or change.delete_timestamp != ZERO:
            newer = change
        else:
            return None
        if newer is not None:
            await self._append(state, newer)
        return newer

    async def _remember(self, key: bytes, device_id: int, incarnation: bytes, sequence: int) -> None:
        """Store a cursor. What lies before it is durable in the log, and merged by the same job."""
        await self._query(key, lambda database: database.remember(device_id, incarnation, sequence))

    # ── damage ──────────────────────────────────────────────────────────────────

    @property
    def incomplete(self) -> Mapping[bytes, int]:
        """Databases, key -> kind, that were found damaged and are being made anew: they answer nobody."""
        return self._shelf.aside.waiting

    @property
    def damage_counts(self) -> tuple[int, int]:
        """How many databases were found damaged, and how many made anew, since the start."""
        return self._shelf.aside.found_count, self._shelf.aside.healed_count

    def _refuse_incomplete(self, key: bytes) -> None:
        """Raise CORRUPT for a database that does not know any more all that it once acknowledged."""
        if key in self._shelf.aside.waiting:
            raise RemoteError(Refusal.CORRUPT, "the database was damaged, and is being made anew")

    def begin_anew(self, key: bytes) -> bool:
        """Forget what is known of a damaged database; tell whether nothing of it is under way, so it can be filled."""
        return self._forget_state(key)

    async def made_anew(self, key: bytes) -> None:
        """Have a database that enough peers have filled durable in its file, and answer again."""
        await self.checkpoint()
        await self._run(self._shelf.made_anew, key)

    async def check_catalog(self) -> None:
        """Read the whole catalog, for damage; say so when there is some."""
        try:
            await self._run(self._shelf.check_catalog)
        except RemoteError as error:
            self._tell_of_damage(error)
            raise

    def _tell_of_damage(self, error: RemoteError) -> None:
        if error.code == Refusal.CORRUPT:
            log.error("catalog_damaged", store=repr(self), reason=str(error.detail))
            self.on_catalog_damaged()

    async def stored_bytes(self) -> int:
        """Return about how many bytes the databases have."""
        return await self._syncing.run(self._shelf.stored_bytes)

    async def check(self, key: bytes, check: Check) -> tuple[int, bool]:
        """Read on in a database, for damage; return the bytes, and whether all was read."""
        self._refuse_when_busy()
        return await self._run(self._shelf.check, key, check)

    async def forget(self, digests: Mapping[bytes, bytes]) -> Sequence[bytes]:
        """Hold databases (key -> digest) no more, as if they had never been here; return the keys of those that went.

        One that changes meanwhile stays. After a crash each is there whole, or not at all.
        """
        await self.checkpoint()  # the log is not needed for them any more: replay would bring parts of them back
        async with self._checkpoint_lock:
            idle = {key: digest for key, digest in digests.items() if self._forget_state(key)}
            return await self._run(self._shelf.forget, idle)

    # what was deleted long ago (storage.indexes.reclaim)

    @property
    def floor(self) -> Timestamp:
        """Below it no name begins, and no container."""
        return self._floor

    async def raise_floor(self, floor: Timestamp) -> None:
        """Let nothing begin below `floor`, from now on and for ever."""
        if microseconds_of(floor) > self._wall_us():
            raise RemoteError(Refusal.BUSY, "a floor in the future: clocks differ")
        self._floor = max(self._floor, floor)  # at once: what is let in from now on is not counted on
        async with self._raising:
            if self._floor > self._durable_floor:
                wanted = self._floor
                with translated():
                    await self._syncing.run(self._floor_file.write, wanted)
                self._durable_floor = wanted

    async def long_deleted(self, before_us: int, after: Deletion, limit: int) -> Sequence[Deletion]:
        """Return databases that remember something that was deleted before that, as of the last checkpoint."""
        return await self._run(self._shelf.deletions, before_us, after, limit)

    async def due(self, key: bytes, before: Timestamp, after: tuple[Timestamp, str], limit: int) -> Due | None:
        """Return what of a database was deleted before that; None without one."""
        return await self._query(
            key, lambda database: Due(database.header, database.old_tombstones(before, after, limit))
        )

    async def reclaim(self, message: IndexReclaim) -> "Sequence[bytes] | None":
        """Say what is here of what was deleted long ago: Holdings by database; or, told to, forget it."""
        items = [ReclaimedDatabase(*values) for values in message.databases]
        if message.step == ReclaimStep.FORGET:
            await self._forget_deleted(items, message.floor)
            return None
        await self.raise_floor(message.floor)
        if message.step == ReclaimStep.CLOSE:
            for item in items:
                await self._close(item, message.floor)
        return [await self._holdings(item, message.floor) for item in items]

    async def _close(self, item: ReclaimedDatabase, floor: Timestamp) -> None:
        """Let no rows of long ago be moved into a range database any more, durably."""
        state = await self._state(item.key)
        if item.account == RANGES and item.names and state.exists and not state.closed:
            change = Change(state.kind, item.key, "", "", metadata={RECLAIMED: (True, floor)})
            await self._append(state, change)

    async def _holdings(self, item: ReclaimedDatabase, floor: Timestamp) -> bytes:
        """Return what is here once everything has arrived that was let in before now."""
        try:
            return await self._held(item, floor)
        except RemoteError as error:
            if error.code != Refusal.CORRUPT:
                raise
        except TimeoutError:  # it takes long: another time
            pass
        return bytes([Holding.OTHER]) * max(1, len(item.names))

    async def _held(self, item: ReclaimedDatabase, floor: Timestamp) -> bytes:
        state = await self._state(item.key)
        # who pulls may have been given what the others have no more
        async with asyncio.timeout(PULL_WAIT_S), state.synchronizing:
            await state.settled()
            root = await self._query(item.root, lambda database: database.header) if item.root != item.key else None
            header, known = await self._known(item)
            if self._is_in_motion(state, item):
                return bytes([Holding.OTHER]) * max(1, len(item.names))
            if item.names:
                return holdings_of_rows(header, known, item.names, floor)
            pointed = points_at(root, owner_of(item.account, item.container).range_id)
            return bytes([Holding.OTHER if pointed else holding_of_database(header, floor)])

    async def _known(self, item: ReclaimedDatabase) -> tuple[Header | None, Mapping[str, Row]]:
        found = await self._query(item.key, lambda database: (database.header, database.known(item.names)))
        return (None, {}) if found is None else found

    def _is_in_motion(self, state: State, item: ReclaimedDatabase) -> bool:
        """Tell whether something is happening that what is in the database does not show."""
        range_id = owner_of(item.account, item.container).range_id
        waiting = self._shelf.aside.waiting
        incomplete = bool(waiting) if range_id else item.key in waiting
        return (
            state.doubts > 0
            or state.frozen(asyncio.get_running_loop().time())
            or incomplete
            or item.key in self._shelf.failures
            or self.is_moving(item.root)
            or self._may_lead_to(range_id, not item.names)
        )

    def _may_lead_to(self, range_id: str, by_others: bool) -> bool:
        """Tell whether it is undecided here that rows move to a range database; or, `by_others`, to whichever."""
        accepted = list(self._shelf.accepting.values())
        return range_id != "" and any(by_others or range_id in range_ids for range_ids in accepted)

    async def _forget_deleted(self, items: Sequence[ReclaimedDatabase], floor: Timestamp) -> None:
        """Forget tombstones, and databases; nothing of what they held down is needed from the log any more."""
        await self.checkpoint()
        digests: dict[bytes, bytes] = {}
        for item in items:
            state = await self._state(item.key)
            if item.names and not state.doubts:
                await self._run(self._shelf.forget_tombstones, item.key, item.names, floor)
            elif not item.names:
                header = await self.header(item.key)
                if header is not None and holding_of_database(header, floor) == Holding.TOMBSTONE:
                    digests[item.key] = header.digest()
        if digests:
            await self.forget(digests)

    def _forget_state(self, key: bytes) -> bool:
        """Forget what is known of a database, unless something is under way; whoever asks next reads its file."""
        state = self._states.get(key)
        if key in self._loading or (state is not None and not state.idle(asyncio.get_running_loop().time())):
            return False
        self._states.pop(key, None)
        return True

    # ── states ──────────────────────────────────────────────────────────────────

    async def _state(self, key: bytes) -> State:
        """Return what is known of the database, reading its file if need be."""
        state = self._states.get(key)
        if state is not None:
            self._states.move_to_end(key)
            return state
        if type(key) is not bytes or len(key) != KEY_SIZE:
            raise bad_request("not a key")
        self._refuse_when_busy()
        loading = self._loading.get(key)
        if loading is None:
            loading = self._loading[key] = asyncio.ensure_future(self._load(key))
            loading.add_done_callback(lambda _task: self._loading.pop(key))
        return await asyncio.shield(loading)

    async def _load(self, key: bytes) -> State:
        header = await self._run(self._shelf.header, key)
        self._forget_idle()
        state = self._states[key] = state_of(key, header)
        return state

    def _forget_idle(self) -> None:
        """Make room for a state: forget the least recently used that has nothing under way."""
        now = asyncio.get_running_loop().time()
        if len(self._states) >= self._tuning.states:
            idle = [key for key, state in self._states.items() if state.idle(now)]
            for key in idle[: max(1, self._tuning.states // _FORGOTTEN_PART)]:
                del self._states[key]

    # ── checkpoints ─────────────────────────────────────────────────────────────

    def _schedule_checkpoint(self) -> None:
        delay_s = self._tuning.checkpoint_delay_s
        self._checkpoint_timer = asyncio.get_running_loop().call_later(delay_s, self._checkpoint_due)

    def _checkpoint_due(self) -> None:
        self._schedule_checkpoint()
        self._begin_checkpoint()

    def _begin_checkpoint(self) -> None:
        if self._checkpointing is None:
            self._checkpointing = asyncio.ensure_future(self._checkpoint_and_forget())

    async def _checkpoint_and_forget(self) -> None:
        """Checkpoint; a failure is a failure of the device, shows in reads, and it is tried again."""
        try:
            await self.checkpoint()
        except RemoteError as error:
            log.warning("index_checkpoint_failed", store=repr(self), reason=str(error))
        finally:
            self._checkpointing = None

    async def checkpoint(self) -> None:
        """Make the databases durable in their files, one job each so that reads get in between."""
        async with self._checkpoint_lock:
            position, recorded_bytes = self._log.end, self._recorded_bytes
            taken = self._take(self._dirty.values())
            changes = [item.change for item in taken]
            try:
                dirty = await self._run(self._shelf.begin_checkpoint, changes)
            finally:
                self._handled(taken)
            if dirty or segment_of(position) != segment_of(self._stored_position):
                await self._write_checkpoint(dirty, position)
            self._recorded_bytes -= recorded_bytes
            self._needed_from = position
            self._log.hold(HOLD_OWNER, position)

    async def _write_checkpoint(self, dirty: dict[bytes, int], position: Position) -> None:
        try:
            for key in dirty:
                await self._syncing.run(self._shelf.sync_ahead, key)
                await self._run(self._shelf.checkpoint, key)
            await self._run(self._shelf.end_checkpoint, dirty, position)
        except BaseException:
            self._submit(self._shelf.abandon_checkpoint, dirty)
            raise
        self._stored_position = position

    # ── the database thread ─────────────────────────────────────────────────────

    async def _run(self, job: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """Run `job` on the database thread. It runs to its end even if nobody waits for it any more."""
        return await asyncio.shield(self._submit(job, *arguments))

    def _refuse_when_busy(self) -> None:
        """Raise BUSY when the thread is far behind. Called before anything pending is taken."""
        if self._job_count >= self._tuning.jobs:
            raise RemoteError(Refusal.BUSY, f"{self._job_count} jobs wait for the database thread")

    def _submit(self, job: Callable[..., ResultT], *arguments: Any) -> asyncio.Future[ResultT]:
        self._job_count += 1
        future = self._thread.run(job, *arguments)
        future.add_done_callback(self._job_done)
        return future

    def _job_done(self, future: asyncio.Future[Any]) -> None:
        self._job_count -= 1
        if self._shelf.aside.found_count != self._told_count:
            self._told_count = self._shelf.aside.found_count
            self.on_damage()
        if not future.cancelled():
            future.exception()  # seen, also when the one who asked has gone


async def _anywhere(_key: bytes, _account: str, _container: str) -> bool:
    return True


def _expect(condition: bool, refusal: Refusal) -> None:
    if not condition:
        raise RemoteError(refusal, refusal.name)
