"""What this device has of what was deleted long ago, and how it forgets that (storage.indexes.reclaim)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from cluster.clock import Timestamp
from cluster.wire import RemoteError
from storage.indexes.catalog import Deletion
from storage.indexes.change import Change
from storage.indexes.header import Header
from storage.indexes.jobs import Jobs
from storage.indexes.pending import Pending
from storage.indexes.reclaim import Due, Floor, holding_of_database, holdings_of_rows, points_at
from storage.indexes.shelf import Shelf
from storage.indexes.state import State
from storage.indexes.states import States
from storage.messages import Holding, IndexReclaim, ReclaimedDatabase, ReclaimStep, Refusal, Row
from storage.ranges.pointers import RANGES, owner_of
from storage.ranges.state import RECLAIMED

PULL_WAIT_S = 5.0  # for the end of what is being pulled, before something is said of what is here

Forget = Callable[[Mapping[bytes, bytes]], Awaitable[Sequence[bytes]]]  # databases, key -> digest


class Reclaims:
    """Of one device."""

    def __init__(
        self,
        shelf: Shelf,
        jobs: Jobs,
        states: States,
        pending: Pending,
        floor: Floor,
        checkpoint: Callable[[], Awaitable[None]],
        forget: Forget,
        is_moving: Callable[[bytes], bool],
    ) -> None:
        """`checkpoint` and `forget` are those of the store; `is_moving`: see there."""
        self._shelf = shelf
        self._jobs = jobs
        self._states = states
        self._pending = pending
        self._floor = floor
        self._checkpoint = checkpoint
        self._forget = forget
        self._is_moving = is_moving

    async def long_deleted(self, before_us: int, after: Deletion, limit: int) -> Sequence[Deletion]:
        """Return databases that remember something that was deleted before that, as of the last checkpoint."""
        return await self._jobs.run(self._shelf.deletions, before_us, after, limit)

    async def due(self, key: bytes, before: Timestamp, after: tuple[Timestamp, str], limit: int) -> Due | None:
        """Return what of a database was deleted before that; None without one."""
        return await self._pending.query(
            key, lambda database: Due(database.header, database.old_tombstones(before, after, limit))
        )

    async def reclaim(self, message: IndexReclaim) -> "Sequence[bytes] | None":
        """Say what is here of what was deleted long ago: Holdings by database; or, told to, forget it."""
        items = [ReclaimedDatabase(*values) for values in message.databases]
        if message.step == ReclaimStep.FORGET:
            await self._forget_deleted(items, message.floor)
            return None
        await self._floor.raise_to(message.floor)
        if message.step == ReclaimStep.CLOSE:
            for item in items:
                await self._close(item, message.floor)
        return [await self._holdings(item, message.floor) for item in items]

    async def _close(self, item: ReclaimedDatabase, floor: Timestamp) -> None:
        """Let no rows of long ago be moved into a range database any more, durably."""
        state = await self._states.of(item.key)
        if item.account == RANGES and item.names and state.exists and not state.closed:
            change = Change(state.kind, item.key, "", "", metadata={RECLAIMED: (True, floor)})
            await self._pending.add(state, change)

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
        state = await self._states.of(item.key)
        # who pulls may have been given what the others have no more
        async with asyncio.timeout(PULL_WAIT_S), state.synchronizing:
            await state.settled()
            root = None
            if item.root != item.key:
                root = await self._pending.query(item.root, lambda database: database.header)
            header, known = await self._known(item)
            if self._is_in_motion(state, item):
                return bytes([Holding.OTHER]) * max(1, len(item.names))
            if item.names:
                return holdings_of_rows(header, known, item.names, floor)
            pointed = points_at(root, owner_of(item.account, item.container).range_id)
            return bytes([Holding.OTHER if pointed else holding_of_database(header, floor)])

    async def _known(self, item: ReclaimedDatabase) -> tuple[Header | None, Mapping[str, Row]]:
        found = await self._pending.query(item.key, lambda database: (database.header, database.known(item.names)))
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
            or self._is_moving(item.root)
            or self._may_lead_to(range_id, not item.names)
        )

    def _may_lead_to(self, range_id: str, by_others: bool) -> bool:
        """Tell whether it is undecided here that rows move to a range database; or, `by_others`, to whichever."""
        accepted = list(self._shelf.accepting.values())
        return range_id != "" and any(by_others or range_id in range_ids for range_ids in accepted)

    async def _forget_deleted(self, items: Sequence[ReclaimedDatabase], floor: Timestamp) -> None:
        """Forget tombstones, and databases; nothing of what they held down is needed from the log any more."""
        await self._checkpoint()
        digests: dict[bytes, bytes] = {}
        for item in items:
            state = await self._states.of(item.key)
            if item.names and not state.doubts:
                await self._jobs.run(self._shelf.forget_tombstones, item.key, item.names, floor)
            elif not item.names:
                header = await self._pending.query(item.key, lambda database: database.header)
                if header is not None and holding_of_database(header, floor) == Holding.TOMBSTONE:
                    digests[item.key] = header.digest()
        if digests:
            await self._forget(digests)
