"""What the loop's thread knows of one database: whether it exists, is frozen, and what waits to be merged.

Pure but for the future that it is handed; time is an argument.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cluster.clock import ZERO, Timestamp
from cluster.wire import RemoteError
from storage.indexes.brake import Brake
from storage.indexes.change import Change, Metadata, join_metadata, newest_of
from storage.indexes.header import Header
from storage.messages import Frozen, Refusal
from storage.ranges.state import (
    ACCEPTED,
    MOVED,
    RECLAIMED,
    Accepted,
    Refused,
    accepted_of,
    moved_of,
    refusal_of,
    settle,
)

_OF_SPLIT = (MOVED, ACCEPTED, RECLAIMED)
_UNTIL_DECIDED = float("inf")


@dataclass(slots=True, eq=False)
class Taken:
    """What was pending, on its way to the database thread."""

    change: Change
    row_count: int  # that were counted as waiting


@dataclass(slots=True, eq=False)
class State:
    """One database, loaded. Timestamps are those of everything durable, merged or not."""

    key: bytes
    kind: int = 0  # 0: nothing is known yet
    put_timestamp: Timestamp = ZERO
    delete_timestamp: Timestamp = ZERO
    pending: Change | None = None  # durable, not yet handed to the database thread
    pending_rows: int = 0
    appending: int = 0  # records on their way into the log
    appended: asyncio.Future[Any] | None = None  # of the newest of them
    split: Metadata = field(default_factory=dict)  # of the metadata what says where rows are
    moved: Timestamp = ZERO  # since when its rows are elsewhere (storage.ranges)
    refused: Refused | None = None  # why rows are refused: they are elsewhere, or may be
    accepted: Accepted | None = None
    freeze_token: bytes | None = None
    frozen_until: float = 0.0  # loop time
    filled_at: float = float("-inf")  # loop time: when rows of another database were last moved here
    brake: Brake | None = None  # while its rows are copied, and come in too fast for that
    doubts: int = 0  # messages of long ago of which it is being found out whether to take them
    synchronizing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def exists(self) -> bool:
        """Whether it was created, and not deleted since."""
        return self.put_timestamp > self.delete_timestamp

    @property
    def closed(self) -> bool:
        """Whether no rows of long ago are moved here any more (storage.indexes.reclaim)."""
        return RECLAIMED in self.split

    @contextmanager
    def doubt(self) -> Iterator[None]:
        """Find out whether to take a message of long ago; nothing is forgotten meanwhile."""
        self.doubts += 1
        try:
            yield
        finally:
            self.doubts -= 1

    def idle(self, now: float) -> bool:
        """Whether nothing but the file's own contents is known here: it may be forgotten."""
        return not (
            self.pending
            or self.appending
            or self.doubts
            or self.frozen(now)
            or (self.brake is not None and self.brake.holds(now))
            or self.synchronizing.locked()
        )

    def absorb(self, change: Change) -> None:
        """Take in a change that is durable."""
        self.kind = change.kind
        if change.put_timestamp > self.put_timestamp:
            self.put_timestamp = change.put_timestamp
        if change.delete_timestamp > self.delete_timestamp:
            self.delete_timestamp = change.delete_timestamp
        self.pending_rows += len(change.rows)
        if change.metadata or change.delete_timestamp != ZERO:
            self._absorb_split(change)
        if self.pending is None:
            self.pending = change
        else:
            self.pending.join(change)

    def _absorb_split(self, change: Change) -> None:
        """Keep up with what is durable of the split, as the header will (`Header.join`)."""
        split = self.split
        join_metadata(split, {name: pair for name, pair in change.metadata.items() if name in _OF_SPLIT})
        for name in [name for name, (_, timestamp) in split.items() if timestamp <= self.delete_timestamp]:
            del split[name]
        settle(split, self.delete_timestamp)
        self.load_split(split)

    def load_split(self, metadata: Metadata) -> None:
        """Take in what the database knows of its split."""
        self.split = {name: pair for name, pair in metadata.items() if name in _OF_SPLIT}
        moved = moved_of(self.split)
        self.moved = ZERO if moved is None else moved[0]
        self.accepted = accepted_of(self.split)
        self.refused = refusal_of(self.split)

    @property
    def abandoned(self) -> Timestamp:
        """The ballot below which nothing is accepted any more."""
        value, ballot = self.split.get(ACCEPTED, (None, ZERO))
        return ballot if value is None else ZERO

    def frozen_state(self) -> Frozen:
        """Return what whoever froze it must know."""
        moved = moved_of(self.split)
        pointers: list[Any] = [] if moved is None else list(moved[1])
        return Frozen(self.put_timestamp, self.moved, pointers, self.accepted)

    def take(self) -> Taken | None:
        """Return what is pending, which is the caller's from now on."""
        if self.pending is None:
            return None
        taken = Taken(self.pending, self.pending_rows)
        self.pending, self.pending_rows = None, 0
        return taken

    def refuse_rows(self, change: Change, now: float) -> None:
        """Raise NOT_FOUND or FROZEN when the rows of `change` may not be merged now."""
        deleted = self.delete_timestamp
        if deleted != ZERO and (
            change.put_timestamp <= deleted
            # a row of the life before, which would count for nothing: its writer must not think it listed
            or any(not row.deleted and newest_of(row) <= deleted for row in change.rows.values())
        ):
            raise RemoteError(Refusal.NOT_FOUND, "deleted")
        if not (self.exists or change.put_timestamp > deleted):
            raise RemoteError(Refusal.NOT_FOUND, "never created")
        if self.refused is not None:
            raise RemoteError(Refusal.SPLIT, self.refused)
        if self.frozen(now):
            raise RemoteError(Refusal.FROZEN, "a deletion or a split is being decided")

    def slow_down(self, row_count: int, now: float) -> None:
        """Raise BUSY when rows come in faster than they may."""
        if self.brake is not None and not self.brake.admits(row_count, now):
            raise RemoteError(Refusal.BUSY, "rows are being copied, and come in faster than that")

    def frozen(self, now: float) -> bool:
        """Whether a deletion or a split is being decided."""
        return self.freeze_token is not None and now < self.frozen_until

    @property
    def being_decided(self) -> bool:
        """Whether something is on its way into the log that was decided under the freeze."""
        return self.freeze_token is not None and self.frozen_until == _UNTIL_DECIDED

    def freeze(self, token: bytes, until: float) -> None:
        """Refuse rows until `until`, or until `thaw`."""
        self.freeze_token, self.frozen_until = token, until

    def freeze_until_decided(self, token: bytes) -> None:
        """Refuse rows until `thaw`, however long that takes."""
        self.freeze(token, _UNTIL_DECIDED)

    def thaw(self, token: bytes) -> None:
        """Take rows again, if it was `token` that froze."""
        if self.freeze_token == token:
            self.freeze_token, self.frozen_until = None, 0.0

    async def settled(self) -> None:
        """Wait until what is on its way into the log has arrived; the log keeps the order."""
        if self.appended is not None and not self.appended.done():
            await asyncio.wait({self.appended})


def state_of(key: bytes, header: Header | None) -> State:
    """Return the state of a database that was read from its file, or has none."""
    if header is None:
        return State(key)
    state = State(key, header.kind, header.put_timestamp, header.delete_timestamp)
    state.load_split(header.metadata)
    return state
