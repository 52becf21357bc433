"""What a kind of operation works with: its row, the database, and those who do things."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection

from cluster.controlplane.database import Database, retried
from compute.operations import journal
from compute.operations.journal import Operation

T = TypeVar("T")
ToolsT = TypeVar("ToolsT")
Outcome = Callable[[Connection, int], None]  # of a transaction and the time


class Lost(Exception):
    """Somebody else does the operation now: this process was held up for too long."""


class Work(Generic[ToolsT]):
    """One operation that is carried out. A service may know more of it: then it has a class below this."""

    def __init__(self, operation: Operation, database: Database, tools: ToolsT, clock_us: Callable[[], int]) -> None:
        self.operation = operation
        self.tools = tools
        self._database = database
        self._clock_us = clock_us

    def __repr__(self) -> str:
        return f"Work({self.operation.kind} {self.operation.subject}, {self.operation.step})"

    @property
    def subject_id(self) -> str:
        """Return the id of what it is about."""
        return self.operation.subject_id

    @property
    def details(self) -> Mapping[str, Any]:
        """Return what it takes to carry it out."""
        return self.operation.details or {}

    def read(self, ask: Callable[[Connection], T]) -> T:
        """Return what `ask` finds in the database."""
        with self._database.reading() as connection:
            return ask(connection)

    def reach(self, step: str, **details: Any) -> None:
        """Note what is about to be done, so that it is known after a crash. Raise Lost."""
        self.change(lambda _connection, _now_us: None, step, **details)

    def change(self, outcome: Outcome, step: str, **details: Any) -> None:
        """The same, with a state that clients see from now on. Raise Lost."""

        def work(connection: Connection) -> Operation | None:
            self._check(connection)
            outcome(connection, self._clock_us())
            journal.reach(connection, self.operation, step, {**self.details, **details})
            return journal.find(connection, self.operation.id)

        found = retried(self._database, work)
        assert found is not None
        self.operation = found

    def finish(self, outcome: Outcome) -> None:
        """End the operation: `outcome` sets the state that clients see, in the same transaction. Raise Lost."""

        def work(connection: Connection) -> None:
            self._check(connection)
            outcome(connection, self._clock_us())
            journal.forget(connection, self.operation)

        retried(self._database, work)

    def _check(self, connection: Connection) -> None:
        if not journal.is_owned(connection, self.operation):
            raise Lost(f"{self} is done by somebody else")


WorkT_contra = TypeVar("WorkT_contra", bound=Work[Any], contravariant=True)


class Kind(Protocol[WorkT_contra]):
    """A kind of operation: a module, or a class of static methods."""

    NAME: str

    def perform(self, work: WorkT_contra) -> None:
        """Do it, and finish. May be called again after any part of it. Raise BackendError."""

    def fail(self, work: WorkT_contra, why: str) -> None:
        """Clear up what was begun, and finish with a state of error. May be called again. Raise BackendError."""
