"""What is decided about a database while it takes no rows: that it is deleted, or where its rows are (storage.ranges).

Freezes are in memory: whoever decides finds his token gone after a restart, and begins again. From the moment that a
decision goes into the log nothing but its arrival there ends the freeze.
"""

import asyncio

from cluster.clock import ZERO, is_timestamp
from cluster.wire import RemoteError
from storage.indexes.admission import Admission
from storage.indexes.brake import Brake
from storage.indexes.change import Change, change_of_abandonment, change_of_move
from storage.indexes.errors import bad_request, expect
from storage.indexes.pending import Pending
from storage.indexes.state import State
from storage.indexes.states import States
from storage.messages import Frozen, IndexFreeze, IndexMove, IndexThaw, Refusal


class Freezes:
    """Of one device."""

    def __init__(self, states: States, pending: Pending, admission: Admission) -> None:
        self._states = states
        self._pending = pending
        self._admission = admission

    async def freeze(self, message: IndexFreeze) -> Frozen:
        """Refuse rows for a while, or take them slowly; return what is known of its split.

        For a deletion only if no live row is there.
        """
        self._pending.refuse_incomplete(message.key)
        state = await self._states.of(message.key)
        loop = asyncio.get_running_loop()
        expect(state.exists, Refusal.NOT_FOUND)
        if message.rows_per_s:
            state.brake = Brake(message.rows_per_s, loop.time() + message.ttl_s)
            return state.frozen_state()
        if message.empty and state.refused is not None and not (state.accepted and state.accepted.deletes):
            raise RemoteError(Refusal.SPLIT, state.refused)
        if state.frozen(loop.time()) and (state.freeze_token != message.token or state.being_decided):
            raise RemoteError(Refusal.FROZEN, "another deletion or split is being decided")
        state.freeze(message.token, loop.time() + message.ttl_s)
        if message.empty:
            await self._thaw_unless_empty(state, message.token)
        else:
            await state.settled()
        return state.frozen_state()

    async def move(self, message: IndexMove) -> None:
        """Take in where rows are: what is decided, or, under a freeze that still holds, what this replica accepts."""
        self._pending.refuse_incomplete(message.key)
        state = await self._states.of(message.key)
        change = change_of_move(message)
        if message.token is None:
            if message.deleted and message.timestamp <= state.delete_timestamp:
                return  # it has been heard of
            if not message.pointers:  # counters, or a deletion, of something that must be here
                expect(state.exists, Refusal.NOT_FOUND)
            with state.doubt():
                await self._admission.expect_believable(state, change)
                if message.pointers:
                    self._admission.refuse_earlier_life(state, change)
                await self._pending.add(state, change)
            return
        expect(state.exists, Refusal.NOT_FOUND)
        expect(self._is_held(state, message.token) and state.moved == message.base, Refusal.NOT_HELD)
        expect(state.accepted is None or state.accepted.ballot < message.timestamp, Refusal.NOT_HELD)
        if message.timestamp <= state.abandoned:
            raise RemoteError(Refusal.SUPERSEDED, state.abandoned)
        self._admission.refuse_far_ahead(state, message.timestamp)
        state.freeze_until_decided(message.token)
        if not message.pointers and state.moved == ZERO:
            await self._thaw_unless_empty(state, message.token)
        await self._decide(state, change, message.token)

    async def thaw(self, message: IndexThaw) -> None:
        """End a freeze; maybe after having forgotten what was accepted."""
        self._pending.refuse_incomplete(message.key)
        state = await self._states.of(message.key)
        if message.abandoned is None:
            if not state.being_decided:
                state.thaw(message.token)
            return
        if not is_timestamp(message.abandoned):
            raise bad_request("abandoned at no timestamp")
        expect(self._is_held(state, message.token), Refusal.NOT_HELD)
        if state.accepted is not None and state.accepted.ballot < message.abandoned:
            state.freeze_until_decided(message.token)
            await self._decide(state, change_of_abandonment(state.kind, state.key, message.abandoned), message.token)
        state.thaw(message.token)

    @staticmethod
    def _is_held(state: State, token: bytes) -> bool:
        """Tell whether it is `token` that keeps a database frozen, and nothing is being decided under it yet."""
        frozen = state.frozen(asyncio.get_running_loop().time())
        return frozen and state.freeze_token == token and not state.being_decided

    async def _decide(self, state: State, change: Change, token: bytes) -> None:
        """Make durable what is decided, and take rows again then: none may come into the log behind it, unaware of it.

        That holds also when whoever asked for it has gone meanwhile, and this is cancelled.
        """
        try:
            appended = self._pending.append(state, change)
        except BaseException:
            state.thaw(token)
            raise
        appended.add_done_callback(lambda _appended: state.thaw(token))
        await asyncio.shield(appended)

    async def _thaw_unless_empty(self, state: State, token: bytes) -> None:
        empty = False
        try:
            await state.settled()
            empty = bool(await self._pending.query(state.key, lambda database: database.header.empty))
            expect(empty, Refusal.NOT_EMPTY)
        finally:
            if not empty:
                state.thaw(token)
