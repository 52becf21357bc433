"""Container and account databases of one device, as the storage daemon sees them: INDEX_* operations, put together.

All methods are called on the event loop's thread. Writes become records of the device's log, and are
answered when durable (`pending`); SQLite is touched by one thread (`jobs`), in batches, and by reads. The
crash points are in the package's docstring.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.clock import Timestamp
from cluster.environment import REAL, Environment
from cluster.telemetry.log import get_logger
from cluster.threads import UNBOUNDED
from cluster.wire import RemoteError
from storage.indexes.admission import Admission
from storage.indexes.check import Check
from storage.indexes.database import Database
from storage.indexes.errors import bad_request
from storage.indexes.freezes import Freezes
from storage.indexes.header import Header
from storage.indexes.interfaces import Pull
from storage.indexes.jobs import Jobs
from storage.indexes.pending import Pending
from storage.indexes.pulls import Pulls
from storage.indexes.reclaim import Floor
from storage.indexes.reclaims import Reclaims
from storage.indexes.reports import Report
from storage.indexes.shelf import Shelf
from storage.indexes.states import States
from storage.indexes.tuning import DEFAULT_TUNING, Tuning
from storage.log.interface import START, Kind, Log, Position, segment_of
from storage.messages import (
    ROWS_LIMIT,
    Changes,
    DatabaseKind,
    IndexChanges,
    IndexInfo,
    IndexList,
    IndexRows,
    Info,
    Listing,
    Refusal,
)

HOLD_OWNER = "indexes"
_FILLING_S = 10.0  # after the last rows that were moved into a database

log = get_logger("storage.indexes")


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
        self._tuning = tuning
        self._shelf = Shelf(directory, tuning.handles, environment.entropy, tuning.split_rows)
        self._thread = environment.threads(1, f"indexes {directory.name}", UNBOUNDED)  # `jobs` bounds it
        self._syncing = environment.threads(1, f"sync {directory.name}")
        self.on_catalog_damaged: Callable[[], None] = lambda: None  # called when only a new start helps
        self.on_damage: Callable[[], None] = lambda: None  # called when a database has to be made anew
        self._told_count = 0  # of those
        # whether another replica has a container that was made long ago, and of which nothing is here
        self.is_elsewhere: Callable[[bytes, str, str], Awaitable[bool]] = _anywhere
        # whether this device is moving rows of the container with this key, as housekeeping
        self.is_moving: Callable[[bytes], bool] = lambda _key: False
        self._needed_from = START
        self._stored_position = START
        self._merge_timer: asyncio.TimerHandle | None = None
        self._checkpoint_timer: asyncio.TimerHandle | None = None
        self._checkpointing: asyncio.Task[None] | None = None
        self._checkpoint_lock = asyncio.Lock()
        self._floor = Floor(directory, self._syncing, environment.wall_us)
        self._put_together(pull, environment.wall_us)
        self._offer_operations()

    def _put_together(self, pull: Pull, wall: Callable[[], int]) -> None:
        """Make what answers operations."""
        shelf, tuning, floor = self._shelf, self._tuning, self._floor
        self._jobs = jobs = Jobs(self._thread, tuning.jobs, self._job_ended)
        self._states = states = States(shelf, jobs, tuning.states)
        self._pending = pending = Pending(self._log, shelf, jobs, states, tuning, self._applied)
        self._pulls = Pulls(pull, states, pending, tuning.sync_rows, wall)
        self._admission = Admission(states, pending, floor, lambda *container: self.is_elsewhere(*container), wall)
        self._freezes = Freezes(states, pending, self._admission)
        self._reclaims = Reclaims(
            shelf, jobs, states, pending, floor, self.checkpoint, self.forget, lambda key: self.is_moving(key)
        )

    def _offer_operations(self) -> None:
        """Offer as ours what the parts do."""
        self.create = self._admission.create
        self.freeze = self._freezes.freeze
        self.move = self._freezes.move
        self.thaw = self._freezes.thaw
        self.raise_floor = self._floor.raise_to
        self.long_deleted = self._reclaims.long_deleted
        self.due = self._reclaims.due
        self.reclaim = self._reclaims.reclaim

    def __repr__(self) -> str:
        return f"IndexStore({self._shelf!r}, {self._pending.waiting_rows} rows waiting)"

    # ── life ────────────────────────────────────────────────────────────────────

    def recover(self) -> int:
        """Replay the log behind the last checkpoint; return the number of records. Blocking."""
        stored = self._shelf.open()
        if stored > self._log.end:
            stored = START  # another log than the one that the catalog knows
        self._stored_position = self._needed_from = stored
        self._floor.read()
        return self._shelf.replay(self._log.scan(self._needed_from, Kind.INDEX), self._floor.value)

    def start(self) -> None:
        """Begin to take operations."""
        self._log.register(Kind.INDEX, self._pending.apply, self._pending.discard)
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

    @property
    def floor(self) -> Timestamp:
        """Below it no name begins, and no container."""
        return self._floor.value

    # ── writes ──────────────────────────────────────────────────────────────────

    def rows(self, message: IndexRows) -> asyncio.Future[Any]:
        """Merge rows; the future resolves (to nothing of interest) when they are durable.

        Raise a refusal at once where it is known at once.
        """
        self._pending.refuse_incomplete(message.key)
        known = self._states.known
        state = known.get(message.key)
        if state is None:
            return asyncio.ensure_future(self._rows_of_unloaded(message))
        known.move_to_end(message.key)
        return self._admission.append_rows(state, message)

    async def _rows_of_unloaded(self, message: IndexRows) -> None:
        await asyncio.shield(self._admission.append_rows(await self._states.of(message.key), message))

    def _applied(self) -> None:
        """See to it that what has become durable is merged before long."""
        if self._pending.dirty and self._merge_timer is None:
            loop = asyncio.get_running_loop()
            self._merge_timer = loop.call_later(self._tuning.merge_delay_s, self._merge_all)
        if self._pending.recorded_bytes >= self._tuning.checkpoint_bytes:
            self._begin_checkpoint()

    def _merge_all(self) -> None:
        self._merge_timer = None
        self._pending.merge(list(self._pending.dirty.values()))

    async def sample(self, key: bytes, count: int) -> Sequence[str] | None:
        """Return the names of about `count` live rows, picked at random, in order; None without a database."""
        self._pending.refuse_incomplete(key)
        return await self._pending.query(key, lambda database: database.sample(min(count, ROWS_LIMIT)))

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
        return await self._jobs.run(self._shelf.purge)

    def is_filling(self, key: bytes) -> bool:
        """Tell whether rows are being moved into a database: its replicas differ, and will be equal by themselves."""
        state = self._states.known.get(key)
        return state is not None and asyncio.get_running_loop().time() - state.filled_at < _FILLING_S

    async def header(self, key: bytes) -> Header | None:
        """Return what a database knows of itself."""
        return await self._pending.query(key, lambda database: database.header)

    # ── reads ───────────────────────────────────────────────────────────────────

    async def info(self, message: IndexInfo) -> Info | None:
        """Return the state of a database; None when this device has none."""
        self._pending.refuse_incomplete(message.key)
        if message.sync_from is not None:
            await self._pulls.pull(message, message.sync_from)
        return await self._pending.query(message.key, Database.info)

    async def list(self, message: IndexList) -> Listing | None:
        """Return a page of live rows; None when this device has no such database."""
        self._pending.refuse_incomplete(message.key)
        if message.sync_from is not None:
            await self._pulls.pull(message, message.sync_from)
        try:
            return await self._pending.query(message.key, lambda database: database.page(message))
        except UnicodeEncodeError:
            raise bad_request("text that is not UTF-8") from None

    async def changes(self, message: IndexChanges) -> Changes | None:
        """Return a page of rows in the order of their changes; None when there is no such database."""
        self._pending.refuse_incomplete(message.key)
        return await self._pending.query(message.key, lambda database: database.changes(message))

    async def inventory(
        self, kind: int, start: bytes, end: bytes | None, limit: int
    ) -> Sequence[tuple[bytes, bytes]]:
        """Return (key, digest) of the databases of `kind` with `start` <= key < `end`, ordered."""
        self._jobs.refuse_when_busy()
        limit = max(0, min(limit, ROWS_LIMIT))
        taken = self._pending.take(self._pending.dirty.values())
        changes = [item.change for item in taken]
        try:
            return await self._jobs.run(self._shelf.inventory, changes, kind, start, end, limit)
        except RemoteError as error:
            self._tell_of_damage(error)
            raise
        finally:
            self._pending.handled(taken)

    async def inventory_for_peers(
        self, kind: int, start: bytes, end: bytes | None, limit: int
    ) -> Sequence[tuple[bytes, bytes]]:
        """Return the same, with the databases that are being made anew among them: their digest is b"".

        Whoever copies all that is here has to find out that he cannot have these.
        """
        found = dict(await self.inventory(kind, start, end, limit))
        end = max(found) + b"\0" if 0 < limit <= len(found) else end
        for key, of_kind in self.incomplete.items():
            if of_kind in (0, kind) and start <= key and (end is None or key < end):
                found[key] = b""
        return sorted(found.items())[: max(0, limit)]

    def take_reports(self, limit: int) -> dict[bytes, Report]:
        """Return up to `limit` rows (account, row), by container key, that accounts should be sent.

        Those that cannot be sent are given to `put_back_reports`.
        """
        return self._shelf.reports.take(limit)

    def put_back_reports(self, reports: dict[bytes, Report]) -> None:
        """Take back reports that were not sent."""
        self._shelf.reports.put_back(reports)

    # ── replicas ────────────────────────────────────────────────────────────────

    async def synchronize(
        self, kind: DatabaseKind, key: bytes, account: str, container: str, device_id: int
    ) -> Timestamp | None:
        """Bring over, durably, what device `device_id` has of a database and we lack; return the oldest of it.

        Raise BUSY when the device has accepted a split and does not know whether that was decided: what it answered for
        cannot be taken over then, and who wants to count as a replica must wait (storage.ranges).
        """
        oldest, undecided = await self._pulls.pull(IndexInfo(kind, key, account, container), device_id)
        if undecided:
            raise RemoteError(Refusal.BUSY, f"a split of database {key.hex()} is being decided")
        return oldest

    # ── damage ──────────────────────────────────────────────────────────────────

    @property
    def incomplete(self) -> Mapping[bytes, int]:
        """Databases, key -> kind, that were found damaged and are being made anew: they answer nobody."""
        return self._shelf.aside.waiting

    @property
    def damage_counts(self) -> tuple[int, int]:
        """How many databases were found damaged, and how many made anew, since the start."""
        return self._shelf.aside.found_count, self._shelf.aside.healed_count

    def begin_anew(self, key: bytes) -> bool:
        """Forget what is known of a damaged database; tell whether nothing of it is under way, so it can be filled."""
        return self._states.forget(key)

    async def made_anew(self, key: bytes) -> None:
        """Have a database that enough peers have filled durable in its file, and answer again."""
        await self.checkpoint()
        await self._jobs.run(self._shelf.made_anew, key)

    async def check_catalog(self) -> None:
        """Read the whole catalog, for damage; say so when there is some."""
        try:
            await self._jobs.run(self._shelf.check_catalog)
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
        self._jobs.refuse_when_busy()
        return await self._jobs.run(self._shelf.check, key, check)

    async def forget(self, digests: Mapping[bytes, bytes]) -> Sequence[bytes]:
        """Hold databases (key -> digest) no more, as if they had never been here; return the keys of those that went.

        One that changes meanwhile stays. After a crash each is there whole, or not at all.
        """
        await self.checkpoint()  # the log is not needed for them any more: replay would bring parts of them back
        async with self._checkpoint_lock:
            idle = {key: digest for key, digest in digests.items() if self._states.forget(key)}
            return await self._jobs.run(self._shelf.forget, idle)

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
            position, recorded_bytes = self._log.end, self._pending.recorded_bytes
            taken = self._pending.take(self._pending.dirty.values())
            changes = [item.change for item in taken]
            try:
                dirty = await self._jobs.run(self._shelf.begin_checkpoint, changes)
            finally:
                self._pending.handled(taken)
            if dirty or segment_of(position) != segment_of(self._stored_position):
                await self._write_checkpoint(dirty, position)
            self._pending.recorded_bytes -= recorded_bytes
            self._needed_from = position
            self._log.hold(HOLD_OWNER, position)

    async def _write_checkpoint(self, dirty: dict[bytes, int], position: Position) -> None:
        try:
            for key in dirty:
                await self._syncing.run(self._shelf.sync_ahead, key)
                await self._jobs.run(self._shelf.checkpoint, key)
            await self._jobs.run(self._shelf.end_checkpoint, dirty, position)
        except BaseException:
            self._jobs.submit(self._shelf.abandon_checkpoint, dirty)
            raise
        self._stored_position = position

    def _job_ended(self) -> None:
        if self._shelf.aside.found_count != self._told_count:
            self._told_count = self._shelf.aside.found_count
            self.on_damage()


async def _anywhere(_key: bytes, _account: str, _container: str) -> bool:
    return True
