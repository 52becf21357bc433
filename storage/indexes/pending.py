"""Changes of databases between the log and SQLite: durable, and merged in batches; a read merges its database first."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from cluster.wire import RemoteError
from storage.indexes import record
from storage.indexes.change import Change
from storage.indexes.database import Database
from storage.indexes.errors import bad_request
from storage.indexes.jobs import Jobs
from storage.indexes.shelf import Shelf
from storage.indexes.state import State, Taken
from storage.indexes.states import States
from storage.indexes.tuning import Tuning
from storage.log.interface import Appended, Kind, Log
from storage.messages import KEY_SIZE, Refusal

ResultT = TypeVar("ResultT")


class Pending:
    """Of one device."""

    def __init__(
        self, log: Log, shelf: Shelf, jobs: Jobs, states: States, tuning: Tuning, on_applied: Callable[[], None]
    ) -> None:
        """`on_applied` is called when something new is pending."""
        self._log = log
        self._shelf = shelf
        self._jobs = jobs
        self._states = states
        self._tuning = tuning
        self._on_applied = on_applied
        self.dirty: dict[bytes, State] = {}  # those with something pending
        self.waiting_rows = 0  # durable or on their way, not yet handled by the database thread
        self.recorded_bytes = 0  # since the last checkpoint

    async def add(self, state: State, change: Change) -> None:
        """Make `change` durable, and pending. Who is cancelled meanwhile does not take it back."""
        await asyncio.shield(self.append(state, change))

    def append(self, state: State, change: Change) -> asyncio.Future[Any]:
        """Put `change` into the log; when the future resolves it is durable and pending. Do not cancel the future."""
        if state.kind not in (0, change.kind):
            raise bad_request(f"database {state.key.hex()} is of kind {state.kind}")
        failure = self._shelf.failures.get(state.key)
        if failure is not None:
            raise RemoteError(failure.code, failure.detail)
        if self.waiting_rows >= self._tuning.waiting_rows:
            raise RemoteError(Refusal.BUSY, f"{self.waiting_rows} rows wait to be merged")
        try:
            packed = record.pack(change)
        except ValueError as error:
            raise bad_request(str(error)) from None
        future = self._log.append(Kind.INDEX, packed, context=(state, change))
        state.appended = future
        state.appending += 1
        self.waiting_rows += len(change.rows)
        self.recorded_bytes += len(packed)
        return future

    def apply(self, records: Sequence[Appended]) -> None:
        """Take in records that have become durable."""
        for appended in records:
            state, change = appended.context
            state.appending -= 1
            state.absorb(change)
            self.dirty[state.key] = state
            if state.pending_rows >= self._tuning.merge_rows:
                self.merge([state])
        self._on_applied()

    def discard(self, records: Sequence[Appended]) -> None:
        """Forget records that will never be durable."""
        for appended in records:
            state, change = appended.context
            state.appending -= 1
            self.waiting_rows -= len(change.rows)

    def merge(self, states: Iterable[State]) -> None:
        """Send what is pending to the database thread. Failures stay there, and are tried again."""
        taken = self.take(states)
        job = self._jobs.submit(self._shelf.merge_all, [item.change for item in taken])
        job.add_done_callback(lambda _job: self.handled(taken))

    def take(self, states: Iterable[State]) -> list[Taken]:
        """Return what is pending of these; it is the caller's, until `handled`."""
        found = []
        for state in list(states):
            self.dirty.pop(state.key, None)
            taken = state.take()
            if taken is not None:
                found.append(taken)
        return found

    def handled(self, taken: Iterable[Taken]) -> None:
        """Note that the database thread has seen to what was taken."""
        self.waiting_rows -= sum(item.row_count for item in taken)

    async def query(self, key: bytes, question: Callable[[Database], ResultT]) -> ResultT | None:
        """Merge what is pending of one database, and ask it, in one job."""
        if type(key) is not bytes or len(key) != KEY_SIZE:
            raise bad_request("not a key")
        self._jobs.refuse_when_busy()
        state = self._states.known.get(key)
        taken = self.take([state]) if state is not None else []
        change = taken[0].change if taken else None
        try:
            return await self._jobs.run(self._shelf.query, key, change, question)
        finally:
            self.handled(taken)

    def refuse_incomplete(self, key: bytes) -> None:
        """Raise CORRUPT for a database that does not know any more all that it once acknowledged."""
        if key in self._shelf.aside.waiting:
            raise RemoteError(Refusal.CORRUPT, "the database was damaged, and is being made anew")
