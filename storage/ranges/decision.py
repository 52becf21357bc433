"""To decide where the rows of a database are, as one who asks its replicas. The protocol: the package.

    async with Decision(placement, clock, named) as decision:
        frozen = await decision.freeze()          # rows wait from here on
        ...                                       # what was accepted before is to be proposed again: `frozen.inherited`
        await decision.gather(leader)             # one replica has all rows now
        ...                                       # what is left is copied
        await decision.accept(pointers)           # decided, if this returns
        await decision.announce(counts)           # everybody knows, and goes on

Leaving it without a decision thaws what was frozen. A decision that fails in `accept` is in doubt: somebody will find
what was accepted, and settle it. All of it goes by one version of the rings; newer ones make it fail.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple

from cluster.clock import ZERO, HybridClock, Timestamp
from cluster.wire import Reply
from storage.asking import ask, failures_of, refusals_of, replies_of
from storage.client import Placement, Replicas
from storage.messages import (
    DatabaseKind,
    Frozen,
    IndexCreate,
    IndexFreeze,
    IndexInfo,
    IndexMove,
    IndexThaw,
    Info,
    Operation,
    Refusal,
    parse,
)
from storage.ranges.pointers import Pointer, RangeMap, checked, created_at, new_range_id, owner_of, range_database
from storage.ranges.state import Accepted, accepted_of, moved_of

FREEZE_S = 5.0
THAW_TIMEOUT_S = 5.0
TIMEOUT_S = 10.0
KIND = DatabaseKind.CONTAINER
Counts = Mapping[str, tuple[Timestamp, int, int]]  # range id -> timestamp, objects, bytes


class Named(NamedTuple):
    """A database, by the names under which it is kept."""

    account: str
    container: str

    def range(self, range_id: str) -> "Named":
        """Return a range database of the same container."""
        owner = owner_of(self.account, self.container)
        return Named(*range_database(owner.account, owner.container, range_id))

    @property
    def root(self) -> "Named":
        """The root of the container."""
        owner = owner_of(self.account, self.container)
        return Named(owner.account, owner.container)


class Undecidable(Exception):
    """Too few replicas took part. What was begun ends by itself, or is settled by whoever tries next."""


class Gone(Exception):
    """The database was deleted."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a frozen quorum knows."""

    put_timestamp: Timestamp
    base: Timestamp  # of the last decision; ZERO: the rows are here
    pointers: list[Pointer]  # of that
    inherited: list[Pointer] | None  # accepted by somebody, maybe decided: nothing else can be now; []: deletion
    ballot: Timestamp  # the highest that was seen


class Decision:
    """One try."""

    def __init__(
        self,
        placement: Placement,
        clock: HybridClock,
        database: Named,
        token: bytes,
        freeze_s: float | None = None,
    ) -> None:
        self._placement = placement
        self._clock = clock
        self._database = database
        self._freeze_s = FREEZE_S if freeze_s is None else freeze_s
        self._token = token
        self.key = placement.names.key(*database)
        self._replicas: Replicas = placement.replicas(KIND, self.key)
        self._frozen: dict[int, Frozen] = {}  # who takes no rows from others
        self._situation: Situation | None = None
        self._proposed: list[Pointer] = []
        self._ballot = ZERO
        self._decided = False

    async def __aenter__(self) -> "Decision":
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._frozen and not self._decided:
            self._thaw()

    @property
    def situation(self) -> Situation:
        """What was found when it was frozen."""
        assert self._situation is not None, "frozen first"
        return self._situation

    async def freeze(self) -> Situation:
        """Freeze a quorum; return what it knows. Raise Undecidable, Gone. Calling it again extends it.

        While it is open whether a database that has its rows itself is deleted nothing else is decided
        (storage.ranges.deletion).
        """
        await self._fill()
        message = IndexFreeze(KIND, self.key, self._token, self._freeze_s, False)
        answers = await self._ask(Operation.INDEX_FREEZE, message)
        self._frozen = {device: parse(Frozen, values) for device, values in replies_of(answers).items()}
        if not self._replicas.writers.reached(self._frozen):
            gone = refusals_of(answers, Refusal.NOT_FOUND)
            self._thaw()
            if self._replicas.read_quorum.reached(gone):
                raise Gone
            raise Undecidable(f"no quorum is frozen: {failures_of(answers)}")
        self._situation = _situation(self._frozen)
        if self._situation.inherited == [] and self._situation.base == ZERO:
            raise Undecidable("it is being deleted")
        for timestamp in (self._situation.put_timestamp, self._situation.base, self._situation.ballot):
            self._clock.observe(timestamp)
        await self._bring_up()
        return self._situation

    async def _fill(self) -> None:
        """Let devices that join a partition have the database: they would not know what to freeze."""
        replicas = self._replicas
        if replicas.writers.reached([device for device, _peer in replicas.readers]):
            return
        source = next((device for device, peer in replicas.readers if peer.up), None)
        joiners = [member for member in replicas.members if not replicas.read_quorum.share(member[0])]
        pull = IndexInfo(KIND, self.key, *self._database, source)
        await ask(self._placement, replicas, joiners, Operation.INDEX_INFO, pull)

    async def _bring_up(self) -> None:
        """Tell those who have missed the last decision: they accept nothing that comes after it."""
        situation = self.situation
        late = [device for device, frozen in self._frozen.items() if frozen.moved != situation.base]
        if late:
            message = self._move(situation.base, situation.pointers, {}, ZERO, None)
            members = [(device, self._replicas.peer(device)) for device in late]
            await ask(self._placement, self._replicas, members, Operation.INDEX_MOVE, message)

    async def gather(self, leader: int) -> None:
        """Let a frozen replica have all that the other frozen ones have. Those who cannot give it, count no more."""
        if leader not in self._frozen:
            raise Undecidable(f"device {leader} is not frozen")
        peer = self._replicas.peer(leader)
        for device in [device for device in self._frozen if device != leader]:
            pull = IndexInfo(KIND, self.key, *self._database, device)
            answers = await ask(
                self._placement, self._replicas, [(leader, peer)], Operation.INDEX_INFO, pull
            )
            if leader not in replies_of(answers):
                del self._frozen[device]
        if not self._replicas.writers.reached(self._frozen):
            raise Undecidable("no quorum's rows could be gathered")

    async def accept(self, pointers: Sequence[Pointer]) -> Timestamp:
        """Bring a quorum of those who are frozen to accept; return the ballot: it is decided. Raise Undecidable.

        No pointers: it is to be deleted.
        """
        floor = max(self.situation.put_timestamp, self.situation.base, self.situation.ballot)
        self._proposed, self._ballot = list(pointers), self._clock.after(floor)
        message = self._move(self._ballot, pointers, {}, self.situation.base, self._token)
        members = [(device, self._replicas.peer(device)) for device in self._frozen]
        answers = await ask(self._placement, self._replicas, members, Operation.INDEX_MOVE, message)
        if not self._replicas.writers.reached(replies_of(answers)):
            raise Undecidable(f"not accepted by a quorum: {failures_of(answers)}")
        self._decided = True
        return self._ballot

    async def announce(self, counts: Counts | None = None) -> None:
        """Tell all replicas what was decided. Who does not hear of it learns it from the others, as all else."""
        assert self._decided
        message = self._move(self._ballot, self._proposed, counts or {}, ZERO, None)
        if not self._proposed:
            message = message._replace(deleted=True)
        await self._ask(Operation.INDEX_MOVE, message)

    def _move(
        self,
        timestamp: Timestamp,
        pointers: Sequence[Pointer],
        counts: Counts,
        base: Timestamp,
        token: bytes | None,
    ) -> IndexMove:
        put_timestamp = self.situation.put_timestamp
        return IndexMove(
            KIND, self.key, *self._database, put_timestamp, timestamp, list(pointers), dict(counts), base, token
        )

    async def _ask(self, operation: Operation, message: Any) -> Mapping[int, Reply | BaseException]:
        return await ask(self._placement, self._replicas, self._replicas.members, operation, message)

    def _thaw(self) -> None:
        """End the freeze; nothing is awaited, for it ends by itself."""
        message = IndexThaw(KIND, self.key, self._token)
        for _device, peer in self._replicas.members:
            if peer.up:
                peer.call(Operation.INDEX_THAW, message, b"", THAW_TIMEOUT_S, self._placement.rings.version)


def _situation(frozen: Mapping[int, Frozen]) -> Situation:
    newest = max(frozen.values(), key=lambda item: item.moved)
    accepted = [Accepted(*item.accepted) for item in frozen.values() if item.accepted is not None]
    valid = [item for item in accepted if item.base == newest.moved]
    last = max(valid, key=lambda item: item.ballot, default=None)
    return Situation(
        max(item.put_timestamp for item in frozen.values()),
        newest.moved,
        checked(newest.pointers) if newest.moved != ZERO else [],
        None if last is None else [Pointer(*pair) for pair in last.pointers],
        max((item.ballot for item in accepted), default=ZERO),
    )


@dataclass(frozen=True, slots=True)
class Known:
    """What a read quorum says of a database, without merging them."""

    info: Info  # the one that most agree on
    moved: list[Pointer] | None
    base: Timestamp  # of that
    accepted: list[Pointer] | None  # by one of them, for the state after that
    behind: bool  # one of them has not heard of it


async def look(placement: Placement, database: Named) -> Known | None:
    """Return what a read quorum knows of a database; None: it does not exist. Raise Undecidable."""
    key = placement.names.key(*database)
    replicas = placement.replicas(KIND, key)
    message = IndexInfo(KIND, key, *database)
    answers = await ask(placement, replicas, replicas.readers, Operation.INDEX_INFO, message)
    replies = replies_of(answers)
    if not replicas.read_quorum.reached(replies):
        raise Undecidable(f"too few replicas of {database.container!r} answered: {failures_of(answers)}")
    infos = [parse(Info, values) for values in replies.values() if values is not None]
    put = max((info.put_timestamp for info in infos), default=ZERO)
    if put <= max((info.delete_timestamp for info in infos), default=ZERO):
        return None
    live = [info for info in infos if info.put_timestamp == put]
    digests = [info.digest for info in live]
    most = max(live, key=lambda info: (digests.count(info.digest), info.object_count))
    moved = max((pair for info in live if (pair := moved_of(info.metadata))), default=None)
    accepted = [found for info in live if (found := accepted_of(info.metadata))]
    base = ZERO if moved is None else moved[0]
    last = max((item for item in accepted if item.base == base), default=None)
    behind = any((moved_of(info.metadata) or (ZERO,))[0] != base for info in live)
    return Known(most, None if moved is None else moved[1], base, None if last is None else last.pointers, behind)


@dataclass(frozen=True, slots=True)
class Tree:
    """A split container: where its rows are in the end."""

    spans: RangeMap
    known: dict[str, Known]  # by range id; one that is missing was deleted


async def follow(placement: Placement, root: Named, pointers: Sequence[Pointer]) -> Tree:
    """Follow pointers to the ends of the tree. Raise Undecidable."""
    spans = RangeMap(pointers)
    known: dict[str, Known] = {}
    seen: set[str] = set()
    while True:
        unseen = [span.range_id for span in spans.spans if span.range_id not in seen]
        if not unseen:
            return Tree(spans, known)
        looks = await asyncio.gather(*(look(placement, root.range(range_id)) for range_id in unseen))
        for range_id, found in zip(unseen, looks, strict=True):
            seen.add(range_id)
            if found is None:
                continue
            if found.moved is None:
                known[range_id] = found
            else:
                spans = spans.following(range_id, found.moved)


async def create(placement: Placement, database: Named, range_id: str) -> None:
    """Make a range database on a quorum; one that is there stays as it is. Raise Undecidable."""
    key = placement.names.key(*database)
    replicas = placement.replicas(KIND, key)
    message = IndexCreate(KIND, key, *database, created_at(range_id), {})
    answers = await ask(placement, replicas, replicas.members, Operation.INDEX_CREATE, message)
    if not replicas.writers.reached(replies_of(answers)):
        raise Undecidable(f"a range database could not be made: {failures_of(answers)}")


async def settle_root(
    placement: Placement,
    clock: HybridClock,
    root: Named,
    token: bytes,
    change: Callable[[Situation], list[Pointer] | None],
    counts: Counts | None = None,
) -> bool:
    """Decide about the pointers of a root; tell whether that is done.

    What somebody else has begun is finished first, and counts as not done. `change` gives the new pointers, None:
    they stay. Raise Undecidable, Gone.
    """
    async with Decision(placement, clock, root, token) as decision:
        situation = await decision.freeze()
        if situation.inherited is not None:
            await decision.accept(situation.inherited)
            await decision.announce()
            return False
        pointers = change(situation) if situation.base != ZERO else None
        if pointers is None:
            return False
        await decision.accept(pointers)
        await decision.announce(counts)
        return True


async def replace(
    placement: Placement, clock: HybridClock, root: Named, token: bytes, range_id: str
) -> bool:
    """Put a new range database in the place of one that is deleted while its container is not.

    Raise Undecidable, Gone.
    """
    fresh = new_range_id(clock.now())
    await create(placement, root.range(fresh), fresh)

    def pointers(situation: Situation) -> list[Pointer] | None:
        if all(pointer.range_id != range_id for pointer in situation.pointers):
            return None
        return [
            Pointer(pointer.low, fresh if pointer.range_id == range_id else pointer.range_id)
            for pointer in situation.pointers
        ]

    return await settle_root(placement, clock, root, token, pointers)
