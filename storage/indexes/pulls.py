"""What other replicas of a database have, and this one lacks, is pulled page by page and made durable here."""

import functools
from collections.abc import Callable, Sequence

from cluster.clock import ZERO, Timestamp
from cluster.wire import PeerUnavailable, RemoteError
from storage.indexes.change import Change, change_of_page
from storage.indexes.database import Database, Settled
from storage.indexes.interfaces import Pull
from storage.indexes.pending import Pending
from storage.indexes.recent import SECOND_US
from storage.indexes.state import State
from storage.indexes.states import States
from storage.messages import Changes, DatabaseKind, IndexChanges, IndexInfo, IndexList, Info, Refusal
from storage.ranges.state import accepted_of

_AGES_S = (2, 10, 60)  # what is older than that is compared as a whole, when many rows would have to be pulled
_PAGES_LIMIT = 100_000  # of one synchronization


class Pulls:
    """Of one device."""

    def __init__(
        self, pull: Pull, states: States, pending: Pending, page_rows: int, wall: Callable[[], int]
    ) -> None:
        self._pull = pull
        self._states = states
        self._pending = pending
        self._page_rows = page_rows
        self._wall_us = wall

    async def pull(self, message: IndexInfo | IndexList, device_id: int) -> tuple[Timestamp | None, bool]:
        """Pull; return the oldest that was lacking, and whether a split is undecided there."""
        oldest: Timestamp | None = None
        kind, key = DatabaseKind(message.kind), message.key
        state = await self._states.of(key)
        async with state.synchronizing:
            known = await self._pending.query(key, lambda database: database.cursor(device_id))
            incarnation, sequence = known or (b"", 0)
            seconds = [self._wall_us() // SECOND_US - ago_s for ago_s in _AGES_S]  # asked for once
            for _page in range(_PAGES_LIMIT):
                ask = IndexChanges(kind, key, incarnation, sequence, self._page_rows, seconds)
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
                    return oldest, accepted_of(info.metadata) is not None
            raise RemoteError(Refusal.BUSY, f"device {device_id} has changes without end")

    async def _reached(self, key: bytes, page: Changes, seconds: Sequence[int]) -> int:
        """Return up to which sequence of the peer everything is here: beyond the page, if what is older is equal."""
        for second, values in zip(seconds, page.settled, strict=False):
            if values is not None:
                theirs = Settled(*values)
                ours = await self._pending.query(key, functools.partial(Database.settled, second=second))
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
        found = await self._pending.query(state.key, lambda database: (database.difference(change),))
        if found is not None:
            (newer,) = found
        elif change.put_timestamp != ZERO or change.delete_timestamp != ZERO:
            newer = change
        else:
            return None
        if newer is not None:
            await self._pending.add(state, newer)
        return newer

    async def _remember(self, key: bytes, device_id: int, incarnation: bytes, sequence: int) -> None:
        """Store a cursor. What lies before it is durable in the log, and merged by the same job."""
        await self._pending.query(key, lambda database: database.remember(device_id, incarnation, sequence))
