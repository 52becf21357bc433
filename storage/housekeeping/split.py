"""Splits containers that have grown, merges ranges that have shrunk, and settles what others left undecided.

The protocol, and why it may die anywhere: storage.ranges. What is due is found where it is written (the root of a
container knows what its ranges hold: storage.indexes.unsettled), and done by one device at a time, under a lease
in coordination: one of LEASES, by the container's key. The lease spares work; nothing relies on it.

While rings change nothing new is begun. What is undecided is settled at any time: a device that joins waits for it.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from cluster.clock import HybridClock
from cluster.coordination.errors import CoordinationError, LeaseHeld
from cluster.coordination.lease import Lease
from cluster.environment import REAL, Environment
from cluster.telemetry.log import get_logger
from storage.asking import ask, failures_of, replies_of
from storage.client import Placement
from storage.indexes.header import Header
from storage.messages import Operation
from storage.ranges.decision import KIND, Gone, Known, Named, Tree, Undecidable, follow, look, settle_root
from storage.ranges.deletion import PATIENCE_S, settle_deletion
from storage.ranges.moving import TOKEN_SIZE, Mover
from storage.ranges.plan import Merge, Split, boundaries, due, pointers_at
from storage.ranges.pointers import Pointer, Span, new_range_id
from storage.ranges.state import accepted_of
from storage.rings.document import Stage
from storage.rings.store import RingStore

INTERVAL_S = 2.0  # between looks
PURGE_PAUSE_S = 0.02  # between two databases whose rows are dropped: others are read meanwhile
DELETIONS_LIMIT = 1000  # that are undecided, of which it is known since when
SAMPLE = 1000  # rows of which the boundaries are taken: an error of some percent
LEASES = 64
LEASE_TTL_S = 10.0
RENEW_S = 3.0
WHOLE = Span("", "", "")  # the span of a root
_log = get_logger("storage")

ResultT = TypeVar("ResultT")


class Databases(Protocol):
    """This device's databases."""

    def take_unsettled(self) -> list[bytes]:
        """Return the keys of databases that have to be split or merged, or in which that is not decided."""

    def note_settled(self, key: bytes) -> None:
        """Ask no more for anything to be done about a database, until it changes."""

    async def header(self, key: bytes) -> Header | None:
        """Return what a database knows of itself."""

    async def purge(self) -> bool:
        """Drop the rows of a database that are elsewhere; tell whether there are more."""


class Background(Protocol):
    """Coordination, on a thread of its own (storage.rings.background)."""

    async def run(self, work: Callable[[RingStore], ResultT]) -> ResultT:
        """Return what `work` returns when it is given the store."""


class _NotOurs(Exception):
    """Another device holds the lease."""


class SplitContainers:
    """The housekeeping task."""

    name = "split containers"

    def __init__(
        self,
        databases: Databases,
        placement: Placement,
        background: Background,
        process: str,
        split_rows: int,
        throttle: "Throttle | None" = None,
        environment: Environment = REAL,
    ) -> None:
        self._databases = databases
        self._placement = placement
        self._background = background
        self._process = process
        self._split_rows = split_rows
        self._throttle = throttle
        self._environment = environment
        self._clock = HybridClock(int.from_bytes(environment.entropy(4), "big"), environment.wall_us)
        self._mover = Mover(placement, self._clock, environment, self._pace)
        self._lease: Lease | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._deleting: dict[bytes, float] = {}  # databases whose deletion is undecided -> since when (loop time)
        self._attending = b""  # key of the root of the container whose rows may just be being moved from here
        self.split_count = self.merge_count = self.settled_count = 0
        self.waiting = ""  # why something due cannot be done now, in words

    @property
    def moved_rows(self) -> int:
        """Rows that were copied."""
        return self._mover.moved_rows

    @property
    def longest_freeze_s(self) -> float:
        """How long writers had to wait, at most."""
        return self._mover.longest_freeze_s

    async def step(self) -> float:
        """Do what is due for the containers of this device, and drop rows that are elsewhere."""
        self.waiting = ""
        for key in self._databases.take_unsettled():
            await self._attend(key)
        return PURGE_PAUSE_S if await self._databases.purge() else INTERVAL_S

    async def _attend(self, key: bytes) -> None:
        header = await self._databases.header(key)
        if header is None or not header.exists or not header.account:
            return
        database = Named(header.account, header.container)
        self._attending = self._placement.names.key(*database.root)
        try:
            await self._hold_lease(database.root)
            if (accepted := accepted_of(header.metadata)) is not None and accepted.deletes:
                await self._settle_deletion(database)
            await self._settle(database)
            if self._placement.rings.stage is Stage.STABLE:
                while await self._do_next(database.root):
                    pass
                if database != database.root:
                    self._databases.note_settled(key)
        except (_NotOurs, Gone):
            pass
        except (Undecidable, CoordinationError) as error:
            self.waiting = f"{database.root.account}/{database.root.container}: {error}"
            _log.info("split_waits", account=database.account, container=database.container, reason=str(error))
        finally:
            self._attending = b""
            await self._release()

    def is_attending(self, root_key: bytes) -> bool:
        """Tell whether rows of this container may just be being moved by this device."""
        return self._attending == root_key

    # what others left

    async def _settle(self, database: Named) -> None:
        """Decide what was accepted by some replicas of a database and not heard of again."""
        found = await look(self._placement, database)
        if found is None or (found.accepted is None and not found.behind):
            return
        if found.moved is not None:
            await settle_root(self._placement, self._clock, database, self._token(), lambda _: None)
        elif found.accepted == []:
            await self._settle_deletion(database)
        elif found.accepted is not None:
            span = await self._span_of(database)
            await self._mover.move(database, span, found.accepted)
        self.settled_count += 1
        _log.info("split_settled", account=database.account, container=database.container)

    async def _settle_deletion(self, database: Named) -> None:
        key, now = self._placement.names.key(*database), asyncio.get_running_loop().time()
        if len(self._deleting) >= DELETIONS_LIMIT:
            self._deleting.clear()
        may_abandon = now - self._deleting.setdefault(key, now) >= PATIENCE_S
        await settle_deletion(self._placement, self._clock, database, self._token(), may_abandon)
        del self._deleting[key]

    async def _span_of(self, database: Named) -> Span:
        """Return which names a database is for."""
        if database == database.root:
            return WHOLE
        root = await look(self._placement, database.root)
        if root is None:
            raise Gone
        if root.moved is None:
            raise Undecidable("its root does not point to it yet")
        tree = await follow(self._placement, database.root, root.moved)
        for span in tree.spans.spans:
            if database.root.range(span.range_id) == database:
                return span
        raise Undecidable("nobody points to it")

    # what is due

    async def _do_next(self, root: Named) -> bool:
        """Do one thing that is due for a container; tell whether there may be more."""
        found = await look(self._placement, root)
        if found is None:
            return False
        if found.moved is None:
            if not self._split_rows or found.info.object_count <= self._split_rows:
                return False
            return await self._split(root, root, WHOLE, found.info.object_count)
        tree = await follow(self._placement, root, found.moved)
        await self._settle_ranges(root, tree)
        if tree.spans.pointers != found.moved:
            await self._point_at(root, found, tree)
            return True
        counts = {range_id: known.info.object_count for range_id, known in tree.known.items()}
        task = due(tree.spans.spans, counts, self._split_rows)
        if isinstance(task, Split):
            assert task.span is not None
            return await self._split(root, root.range(task.span.range_id), task.span, task.rows)
        return isinstance(task, Merge) and await self._merge(root, task.spans)

    async def _settle_ranges(self, root: Named, tree: Tree) -> None:
        for range_id, known in tree.known.items():
            if known.accepted is not None:
                await self._settle(root.range(range_id))
                raise Undecidable("a range was undecided; it is looked at anew")

    async def _split(self, root: Named, source: Named, span: Span, rows: int) -> bool:
        names = [name for name in await self._sample(source) if name in span]
        cuts = boundaries(names, rows, self._split_rows, above=span.low)
        if not cuts:
            return False
        range_ids = [new_range_id(self._clock.now()) for _ in range(len(cuts) + 1)]
        _log.info("split_begins", account=root.account, container=root.container, rows=rows, parts=len(range_ids))
        await self._mover.move(source, span, pointers_at(span.low, cuts, range_ids))
        self.split_count += 1
        _log.info("split_done", account=root.account, container=root.container, parts=len(range_ids))
        return True

    async def _sample(self, source: Named) -> Sequence[str]:
        key = self._placement.names.key(*source)
        replicas = self._placement.replicas(KIND, key)
        for member in replicas.readers:
            answers = await ask(
                self._placement, replicas, [member], Operation.INDEX_SAMPLE, (int(KIND), key, SAMPLE)
            )
            names = replies_of(answers).get(member[0])
            if names:
                return list(names)
        raise Undecidable(f"no replica has rows: {failures_of(answers)}")

    async def _merge(self, root: Named, spans: Sequence[Span]) -> bool:
        range_id = new_range_id(self._clock.now())
        _log.info("merge_begins", account=root.account, container=root.container, ranges=len(spans))
        for span in spans:
            await self._mover.move(root.range(span.range_id), span, [Pointer(span.low, range_id)])
        self.merge_count += 1
        _log.info("merge_done", account=root.account, container=root.container, ranges=len(spans))
        return True

    async def _point_at(self, root: Named, found: Known, tree: Tree) -> None:
        """Let the root point to the ends of the tree."""
        pointers = tree.spans.pointers
        counts = await self._mover.counts(root, pointers, self._clock.now())
        await settle_root(
            self._placement,
            self._clock,
            root,
            self._token(),
            lambda situation: pointers if situation.base == found.base else None,
            counts,
        )

    def _token(self) -> bytes:
        return self._environment.entropy(TOKEN_SIZE)

    # alone

    async def _pace(self, rows: int, hurry: bool) -> None:
        """Leave room for clients unless it must come to an end; stop when somebody else may do the same."""
        if self._throttle is not None and hurry:
            self._throttle.spend(rows * ROW_COST)
        elif self._throttle is not None:
            await self._throttle.took(rows * ROW_COST)
        if self._lease is None:
            raise Undecidable("another device may have taken over")

    async def _hold_lease(self, root: Named) -> None:
        name = f"split-{self._placement.names.key(*root)[0] % LEASES}"
        try:
            self._lease = await self._background.run(
                lambda store: store.coordination.acquire(name, self._process, LEASE_TTL_S)
            )
        except LeaseHeld:
            raise _NotOurs from None
        self._renewing = asyncio.get_running_loop().create_task(self._renew(self._lease))

    async def _renew(self, lease: Lease) -> None:
        """Keep the lease for as long as it takes."""
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                await self._background.run(lambda store: store.coordination.renew(lease, LEASE_TTL_S))
            except CoordinationError as error:
                self._lease = None
                _log.info("lease_lost", name=lease.name, reason=str(error))
                return

    async def _release(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
        lease, self._lease = self._lease, None
        if lease is not None:
            try:
                await self._background.run(lambda store: store.coordination.release(lease))
            except CoordinationError as error:
                _log.info("lease_kept", reason=str(error))


ROW_COST = 512  # bytes that a row counts for


class Throttle(Protocol):
    """A budget of bytes per second (storage.housekeeping.budget)."""

    async def took(self, size: int) -> None:
        """Wait until `size` bytes are within it."""

    def spend(self, size: int) -> None:
        """Count `size` bytes without waiting."""
