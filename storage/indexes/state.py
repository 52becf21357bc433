"""What the loop's thread knows of one database: whether it exists, is frozen, and what waits to be merged.

Pure but for the future that it is handed; time is an argument.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from cluster.clock import ZERO, Timestamp
from cluster.wire import RemoteError
from storage.indexes.change import Change, newest_of
from storage.indexes.header import Header
from storage.messages import Refusal


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
    freeze_token: bytes | None = None
    frozen_until: float = 0.0  # loop time
    synchronizing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def exists(self) -> bool:
        """Whether it was created, and not deleted since."""
        return self.put_timestamp > self.delete_timestamp

    def idle(self, now: float) -> bool:
        """Whether nothing but the file's own contents is known here: it may be forgotten."""
        return not (self.pending or self.appending or self.frozen(now) or self.synchronizing.locked())

    def absorb(self, change: Change) -> None:
        """Take in a change that is durable."""
        self.kind = change.kind
        if change.put_timestamp > self.put_timestamp:
            self.put_timestamp = change.put_timestamp
        if change.delete_timestamp > self.delete_timestamp:
            self.delete_timestamp = change.delete_timestamp
        self.pending_rows += len(change.rows)
        if self.pending is None:
            self.pending = change
        else:
            self.pending.join(change)

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
        if self.frozen(now):
            raise RemoteError(Refusal.FROZEN, "a deletion is being decided")

    def frozen(self, now: float) -> bool:
        """Whether a deletion is being decided."""
        return self.freeze_token is not None and now < self.frozen_until

    def freeze(self, token: bytes, until: float) -> None:
        """Refuse rows until `until`, or until `thaw`."""
        self.freeze_token, self.frozen_until = token, until

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
    return State(key, header.kind, header.put_timestamp, header.delete_timestamp)
