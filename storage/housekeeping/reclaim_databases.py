"""Old tombstones of rows, and containers deleted long ago, are given up everywhere or nowhere. docs/reclaim.md.

A row that is deleted, T, holds down what a replica that missed the deletion still has (V, live, older), and what a late
message would bring (W). It goes as an object's tombstone does (storage.housekeeping.reclaim), by the same two questions
to every device of the rings. What differs: not one version is given up, but all that is no live row below a *floor* F;
and rows can come from another database of the same container. The device's part: storage.indexes.reclaim.

1. LOOK. Each device raises its floor to F, durably: no live row below F begins a name any more, whoever sends it.
   Then, when what it had let in has arrived, and what it was pulling has come, it says what it has of each name:
   NOTHING; a TOMBSTONE below F; or OTHER. OTHER also: a message of long ago of which it is finding out whether to take
   it; the database frozen, damaged, moved, or a move of it accepted; or rows of that container being moved from here.
   For a range database also: a move *to* it accepted by any database here.
2. CLOSE, when there are range databases among them: the same, and they take no rows of long ago from other databases
   any more. Nobody needs to move any there: all have said in 1 that no move to them is undecided. (A primary that has
   missed the range database takes none either, because that was made below F: younger ones are left alone.)
3. LOOK, about the names for which nobody said OTHER.
4. FORGET: who has the tombstones deletes them, behind a checkpoint; the leader last.

Invariant: after 3 no device has a live row below F of those names, and none can come to have one. Whence it could:

- a late INDEX_ROWS, of a proxy that slept, of one with a slow clock, of housekeeping for a proxy that died, of a
  report: begins no name below F. What was let in before F was raised has arrived, or is OTHER.
- pulling (synchronization, a merge for a listing, joining, rebuilding, standing in, retiring): brings what its source
  has. Nobody had a live row in 1, so from a source that had answered none comes; from one that had not, the page
  arrived before its taker's answer in 3, which waits for it.
- a move out of the database: V may have been read from a replica before that learnt of T, and T be forgotten
  before it was read. But from before 1 to after 3 nobody moved and nobody had accepted. What was copied in between and
  not accepted has no pointer to it; what was accepted is OTHER in 3.
- a move into it: the mover is known to its own device (OTHER), until it dies; what it had sent by then is refused
  when it arrives after 2, and seen in 3 if before. Another one that would go on needs an acceptance: there is none.
- a replica that was away: every device is up, and asked. One that lost data, or went back in time, refuses to be
  asked until it has been filled; what it has of old databases is forgotten before that.
- a log that is replayed: storage.indexes.reclaim.

What may stop: the leader anywhere, a device anywhere: then T is here and there, and goes later. Digests differ until
then, so listings merge replicas; primaries behind the first lead too, after a longer while, for what is left with them.
A device that stops between its answers has made durable what it answered for. T that comes back does no harm.

*Containers* that were deleted before F go alike, as a whole. What they hold down is messages of their life: a creation
or rows under a put timestamp below F. A device that has nothing of such a container asks the other primaries before
it believes in it (`Elsewhere`); while it does, it says OTHER. Before they go, the account is told once more, for nobody
could find out any more that its row is out of date.

*Range databases* whose rows have moved away go when no pointer leads to them from their root, as a read quorum has it,
no replica of the root points there, and nothing is undecided anywhere.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cluster.clock import ZERO, Timestamp, pack, wall_us
from cluster.wire import RemoteError
from storage.asking import ask, replies_of
from storage.client import Placement
from storage.copying import Budget
from storage.housekeeping.everybody import FLOOR_STEPS, Everybody, NotNow, floor_at
from storage.indexes.catalog import NO_DELETION, Deletion
from storage.indexes.header import Header
from storage.indexes.reclaim import Due, holding_of_database
from storage.messages import (
    RECLAIM_LIMIT,
    DatabaseKind,
    Holding,
    IndexInfo,
    IndexReclaim,
    Info,
    Operation,
    ReclaimedDatabase,
    ReclaimStep,
    Refusal,
    Row,
    parse,
)
from storage.ranges.decision import Named, Undecidable, look
from storage.ranges.pointers import RANGES, Pointer, owner_of

INTERVAL_S = 300.0  # between passes over what is due
RETRY_S = 30.0  # when nothing can be given up just now
PAUSE_S = 0.05  # between steps of RECLAIM_LIMIT tombstones
COST = 4 << 10  # bytes that a tombstone counts for, on each device: it costs time
_PAGE = 64  # databases looked at in a step
_HIDDEN = "\0"  # containers whose names begin so are in no account's listing
_BEFORE_ALL = (ZERO, "")


class Databases(Protocol):
    """Those of this device (storage.indexes.store)."""

    async def checkpoint(self) -> None:
        """Have `long_deleted` know of what was deleted before now."""

    async def raise_floor(self, floor: Timestamp) -> None:
        """Let nothing begin below `floor`, from now on and for ever."""

    async def long_deleted(self, before_us: int, after: Deletion, limit: int) -> Sequence[Deletion]:
        """Return databases that remember something that was deleted before that."""

    async def due(self, key: bytes, before: Timestamp, after: tuple[Timestamp, str], limit: int) -> Due | None:
        """Return what of a database was deleted before that."""


class Sender(Protocol):
    """Brings rows to a quorum (storage.housekeeping.rows)."""

    async def send(
        self, kind: DatabaseKind, account: str, container: str, put_timestamp: Timestamp, rows: list[Row]
    ) -> bool:
        """Tell whether a quorum has taken `rows`."""


@dataclass(frozen=True, slots=True)
class _Cursor:
    """How far a pass has come."""

    after: Deletion = NO_DELETION
    within: bytes = b""  # key of the database behind that, of whose tombstones some were looked at
    tombstone: tuple[Timestamp, str] = _BEFORE_ALL  # the last of those


class ReclaimDatabases:
    """The housekeeping task."""

    name = "give up old rows"

    def __init__(
        self,
        databases: Databases,
        placement: Placement,
        device_id: int,
        age_s: float,
        sender: Sender,
        budget: Budget,
        wall: Callable[[], int] = wall_us,
        clock_is_trusted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._databases = databases
        self._placement = placement
        self._device_id = device_id
        self._age_s = age_s
        self._sender = sender
        self._budget = budget
        self._wall_us = wall
        self._clock_is_trusted = clock_is_trusted
        self._cursor = _Cursor()
        self._kept_in_pass = 0
        self.reclaimed_rows = self.reclaimed_databases = 0
        self.kept_count = 0  # rows and databases in the last pass of which somebody had something else
        self.waiting = ""  # why nothing is given up, in words

    async def step(self) -> float:
        """Give up some of what is due."""
        if not self._clock_is_trusted():
            self.waiting = "this node's clock is not trusted"
            return RETRY_S
        due: list[ReclaimedDatabase] = []
        try:
            if self._cursor == _Cursor():
                await self._databases.raise_floor(floor_at(self._wall_us(), self._age_s))
                await self._databases.checkpoint()
            due, following = await self._gather()
            due = [item for item in due if item.names or await self._may_go(item)]
            if due:
                await self._give_up(due)
        except (NotNow, RemoteError, Undecidable) as reason:
            self.waiting = f"{_count(due)} old rows and databases or more stay: {reason}"
            return RETRY_S
        self._cursor, self.waiting = following, ""
        if following != _Cursor():
            return PAUSE_S
        self.kept_count, self._kept_in_pass = self._kept_in_pass, 0
        return min(INTERVAL_S, self._age_s / FLOOR_STEPS)

    # what is due

    async def _gather(self) -> tuple[list[ReclaimedDatabase], _Cursor]:
        """Return what is to be given up next, and where to go on: at the beginning, when there is no more."""
        cursor = self._cursor
        found = await self._databases.long_deleted(self._before_us(0), cursor.after, _PAGE)
        items: list[ReclaimedDatabase] = []
        room = RECLAIM_LIMIT
        for deletion in found:
            start = cursor.tombstone if cursor.within == deletion.key else _BEFORE_ALL
            due = await self._due(deletion, start, room)
            if due is not None:
                items.append(self._item(due))
                room -= _count(items[-1:])
                if len(due.tombstones) and not room:
                    return items, _Cursor(cursor.after, deletion.key, due.tombstones[-1])
            cursor = _Cursor(deletion)
            if not room:
                return items, cursor
        return items, cursor if len(found) == _PAGE else _Cursor()

    async def _due(self, deletion: Deletion, start: tuple[Timestamp, str], limit: int) -> Due | None:
        """Return what this device leads of a database."""
        before_us = self._before_us(self._turn(DatabaseKind(deletion.kind), deletion.key))
        if deletion.at >= before_us:
            return None
        before = pack(before_us, 0, 0)
        due = await self._databases.due(deletion.key, before, start, limit)
        if due is None or (due.header.account == RANGES and due.header.put_timestamp >= before):
            return None  # a range that was made since: who has missed it could not tell which rows come too late
        if due.tombstones:
            return due
        return due if holding_of_database(due.header, before) == Holding.TOMBSTONE else None

    def _turn(self, kind: DatabaseKind, key: bytes) -> int:
        """Return which of the primaries this device is; those later in turn see to what those before have left."""
        members = [device_id for device_id, _peer in self._placement.replicas(kind, key).members]
        return members.index(self._device_id) if self._device_id in members else FLOOR_STEPS * len(members)

    def _before_us(self, turn: int) -> int:
        return self._wall_us() - int(self._age_s * 1e6 * (1 + turn / FLOOR_STEPS))

    def _item(self, due: Due) -> ReclaimedDatabase:
        header = due.header
        root = Named(header.account, header.container).root if header.account == RANGES else None
        key = header.key if root is None else self._placement.names.key(*root)
        names = tuple(name for _timestamp, name in due.tombstones)
        return ReclaimedDatabase(header.kind, header.key, header.account, header.container, key, names)

    # databases

    async def _may_go(self, item: ReclaimedDatabase) -> bool:
        """Tell whether a database as a whole may go, as far as others are concerned that are not its replicas."""
        due = await self._databases.due(item.key, ZERO, _BEFORE_ALL, 1)
        if due is None or not due.header.container:
            return False  # somebody else knows its name
        if item.account == RANGES:
            return not due.header.exists or not await self._is_reachable(due.header)
        return item.container.startswith(_HIDDEN) or await self._tell_account(due.header)

    async def _tell_account(self, header: Header) -> bool:
        """See to it that the account knows of the deletion: the proxy may have died before it could say so."""
        at = header.delete_timestamp
        row = Row(header.container, at, True, 0)
        return await self._sender.send(DatabaseKind.ACCOUNT, header.account, "", at, [row])

    async def _is_reachable(self, header: Header) -> bool:
        """Tell whether pointers lead from the root to a range database. Raise Undecidable."""
        root = Named(header.account, header.container).root
        range_id = owner_of(header.account, header.container).range_id
        known = await look(self._placement, root)
        if known is None:
            return False
        if known.accepted is not None:
            return True
        seen: set[str] = set()
        pointers: list[Pointer] = list(known.moved or ())
        while pointers:
            pointer = pointers.pop()
            if pointer.range_id not in seen:
                seen.add(pointer.range_id)
                known = await look(self._placement, root.range(pointer.range_id))
                pointers += (known.moved if known is not None else None) or ()
        return range_id in seen

    # all devices

    async def _give_up(self, items: Sequence[ReclaimedDatabase]) -> None:
        """Have all devices forget that of `items` of which nobody has anything else. Raise NotNow."""
        everybody = Everybody(self._placement, Operation.INDEX_RECLAIM)
        floor = floor_at(self._wall_us(), self._age_s)
        await self._budget.took(_count(items) * len(everybody.peers) * COST)
        free = list(items)
        held: Mapping[int, Sequence[bytes]] = {}
        for step in _steps(items):
            held = await self._ask(everybody, IndexReclaim(floor, tuple(free), step))
            free, held = _unheld(free, held)
            if not free:
                break
        self._kept_in_pass += _count(items) - _count(free)
        messages = {
            device_id: IndexReclaim(floor, wanted, ReclaimStep.FORGET)
            for device_id, own in held.items()
            if (wanted := _held_of(free, own))
        }
        mine = messages.pop(self._device_id, None)
        await everybody.tell(messages)
        if mine is not None:
            await everybody.tell({self._device_id: mine})
        self.reclaimed_rows += sum(len(item.names) for item in free)
        self.reclaimed_databases += sum(not item.names for item in free)

    async def _ask(self, everybody: Everybody, message: IndexReclaim) -> Mapping[int, Sequence[bytes]]:
        """Return what each device has. Raise NotNow unless all say."""
        said: Mapping[int, Sequence[bytes]] = await everybody.ask(message)
        wanted = [max(1, len(item.names)) for item in message.databases]
        for device_id, own in said.items():
            if [len(held) for held in own] != wanted:
                raise NotNow(f"device {device_id} does not say what it has of each")
        return said


def _count(items: Sequence[ReclaimedDatabase]) -> int:
    return sum(max(1, len(item.names)) for item in items)


def _steps(items: Sequence[ReclaimedDatabase]) -> Sequence[ReclaimStep]:
    """Return what is to be asked before anything is forgotten."""
    if any(item.account == RANGES for item in items):
        return ReclaimStep.LOOK, ReclaimStep.CLOSE, ReclaimStep.LOOK
    return ReclaimStep.LOOK, ReclaimStep.LOOK


def _unheld(
    items: Sequence[ReclaimedDatabase], held: Mapping[int, Sequence[bytes]]
) -> tuple[list[ReclaimedDatabase], Mapping[int, Sequence[bytes]]]:
    """Return that of `items` of which nobody has anything else, and what is held of that."""
    free: list[ReclaimedDatabase] = []
    left: dict[int, list[bytes]] = {device_id: [] for device_id in held}
    for number, item in enumerate(items):
        each = {device_id: own[number] for device_id, own in held.items()}
        columns = range(max(1, len(item.names)))
        kept = [column for column in columns if all(own[column] != Holding.OTHER for own in each.values())]
        if not kept:
            continue
        free.append(_narrowed(item, kept))
        for device_id, own in each.items():
            left[device_id].append(bytes(own[column] for column in kept))
    return free, left


def _narrowed(item: ReclaimedDatabase, columns: Sequence[int]) -> ReclaimedDatabase:
    """Return `item` with these of its names only."""
    return item._replace(names=tuple(item.names[column] for column in columns)) if item.names else item


def _held_of(items: Sequence[ReclaimedDatabase], held: Sequence[bytes]) -> tuple[ReclaimedDatabase, ...]:
    """Return that of `items` of which a device has a tombstone."""
    found = []
    for item, own in zip(items, held, strict=True):
        columns = [column for column, holding in enumerate(own) if holding == Holding.TOMBSTONE]
        if columns:
            found.append(_narrowed(item, columns))
    return tuple(found)


def elsewhere(placement: Placement, device_id: int) -> Callable[[bytes, str, str], Awaitable[bool]]:
    """Return what asks the other primaries whether they have a container that a device has never heard of."""

    async def is_elsewhere(key: bytes, account: str, container: str) -> bool:
        replicas = placement.replicas(DatabaseKind.CONTAINER, key)
        others = [member for member in replicas.readers if member[0] != device_id]
        message = IndexInfo(DatabaseKind.CONTAINER, key, account, container)
        answers = replies_of(await ask(placement, replicas, others, Operation.INDEX_INFO, message))
        if any(_exists(values) for values in answers.values()):
            return True
        if not replicas.read_quorum.reached([*answers, device_id]):
            raise RemoteError(Refusal.BUSY, "too few can say whether there is such a container")
        return False

    return is_elsewhere


def _exists(values: Any) -> bool:
    if values is None:
        return False
    info = parse(Info, values)
    return info.put_timestamp > info.delete_timestamp
