"""Which rows and creations a database takes, and as what: none of an earlier life, of clocks far ahead, of long ago.

What is of long ago, below the floor: storage.indexes.reclaim.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from cluster.clock import ZERO, Timestamp, is_far_ahead, microseconds_of
from cluster.wire import RemoteError
from storage.indexes.change import Change, change_of_create, change_of_rows
from storage.indexes.errors import bad_request, expect
from storage.indexes.pending import Pending
from storage.indexes.reclaim import Floor, is_old, without_repeated
from storage.indexes.state import State
from storage.indexes.states import States
from storage.messages import DatabaseKind, IndexCreate, IndexRows, Refusal

# tells whether another replica has a container (key, account, name) of which nothing is here, made long ago
IsElsewhere = Callable[[bytes, str, str], Awaitable[bool]]


class Admission:
    """Of one device."""

    def __init__(
        self, states: States, pending: Pending, floor: Floor, is_elsewhere: IsElsewhere, wall: Callable[[], int]
    ) -> None:
        self._states = states
        self._pending = pending
        self._floor = floor
        self._is_elsewhere = is_elsewhere
        self._wall_us = wall

    def append_rows(self, state: State, message: IndexRows) -> asyncio.Future[Any]:
        """Merge rows; the future resolves when they are durable. Raise a refusal at once where it is known at once."""
        now = asyncio.get_running_loop().time()
        if not message.moved and state.refused is None:
            state.slow_down(len(message.rows), now)  # before they are looked at, which costs more than anything here
        change = change_of_rows(message)
        state.refuse_rows(change, now)
        if message.moved:
            state.filled_at = now
        unheard_of = self._is_of_long_ago(state, change)
        bound = not message.moved or state.closed or unheard_of
        if unheard_of or (bound and any(is_old(row, self._floor.value) for row in change.rows.values())):
            return asyncio.ensure_future(self._append_old(state, change))
        return self._pending.append(state, change)

    def _is_of_long_ago(self, state: State, change: Change) -> bool:
        """Tell whether a container, of which nothing is here, may have been deleted since it was made."""
        unheard_of = state.kind == 0
        return unheard_of and change.kind == DatabaseKind.CONTAINER and change.put_timestamp < self._floor.value

    async def _append_old(self, state: State, change: Change) -> None:
        """Make rows durable of which some are below the floor; those that change nothing are left out."""
        with state.doubt():
            await self.expect_believable(state, change)
            await state.settled()
            names = [name for name, row in change.rows.items() if is_old(row, self._floor.value)]
            known = await self._pending.query(state.key, lambda database: database.known(names))
            change = without_repeated(change, known or {}, self._floor.value)
            state.refuse_rows(change, asyncio.get_running_loop().time())
            if change.rows or state.kind == 0:
                await self._pending.add(state, change)

    async def expect_believable(self, state: State, change: Change) -> None:
        """Raise NOT_FOUND unless a container that is said to have been made long ago is known to somebody."""
        if self._is_of_long_ago(state, change):
            expect(await self._is_elsewhere(change.key, change.account, change.container), Refusal.NOT_FOUND)

    def refuse_earlier_life(self, state: State, change: Change) -> None:
        """Raise PROMISED for metadata of long ago that may be of a container whose deletion nobody remembers.

        What this life's own makers say again, they say with its put timestamp.
        """
        earlier = state.kind == 0 or change.put_timestamp < state.put_timestamp
        if earlier and any(timestamp < self._floor.value for _value, timestamp in change.metadata.values()):
            raise RemoteError(Refusal.PROMISED, self._floor.value)

    async def _create_old(self, state: State, change: Change) -> None:
        """The same for a creation: its maker takes a timestamp above the floor."""
        try:
            await self.expect_believable(state, change)
        except RemoteError as error:
            if error.code != Refusal.NOT_FOUND:
                raise
            raise RemoteError(Refusal.PROMISED, self._floor.value) from error

    async def create(self, message: IndexCreate) -> None:
        """Create the database, bring it back, or change its metadata."""
        self._pending.refuse_incomplete(message.key)
        change = change_of_create(message)
        if change.put_timestamp == ZERO:
            raise bad_request("a database is created at a timestamp")
        state = await self._states.of(message.key)
        self.refuse_far_ahead(state, change.put_timestamp)
        with state.doubt():
            await self._create_old(state, change)
            self.refuse_earlier_life(state, change)
            await self._pending.add(state, change)

    def refuse_far_ahead(self, state: State, timestamp: Timestamp) -> None:
        """Raise CLOCK_AHEAD for what only a broken clock can have made (storage.blobs.commits)."""
        now_us = self._wall_us()
        known = max(state.put_timestamp, state.delete_timestamp)
        if is_far_ahead(timestamp, now_us) and is_far_ahead(timestamp, microseconds_of(known)):
            raise RemoteError(Refusal.CLOCK_AHEAD, now_us)
