"""What a kind of operation works with: its row, the database, and those who do things."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

from cluster.controlplane.database import Database, retried
from compute.volumes import messages
from compute.volumes.backend import Archive, Backend, Images, Mover
from compute.volumes.operations import journal
from compute.volumes.operations.journal import Operation
from compute.volumes.settings import Settings

T = TypeVar("T")
Outcome = Callable[[Connection, int], None]  # of a transaction and the time


class Lost(Exception):
    """Somebody else does the operation now: this process was held up for too long."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Those who do things."""

    backend: Backend
    archive: Archive
    mover: Mover
    images: Images


class Work:
    """One operation that is carried out."""

    def __init__(
        self, operation: Operation, database: Database, tools: Tools, settings: Settings, clock_us: Callable[[], int]
    ) -> None:
        self.operation = operation
        self.tools = tools
        self.settings = settings
        self._database = database
        self._clock_us = clock_us

    def __repr__(self) -> str:
        return f"Work({self.operation.kind} {self.operation.subject}, {self.operation.step})"

    @property
    def backend(self) -> Backend:
        """Return the gateway."""
        return self.tools.backend

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

        def work(connection: Connection) -> Operation | None:
            self._check(connection)
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

    def tell(self, connection: Connection, now_us: int, action: str, why: str) -> None:
        """Leave a message for the user about what failed."""
        operation = self.operation
        messages.tell(
            connection,
            now_us,
            operation.project_id,
            operation.request_id,
            (operation.subject_kind, operation.subject_id),
            action,
            why,
            self.settings.message_days,
        )

    def _check(self, connection: Connection) -> None:
        if not journal.is_owned(connection, self.operation):
            raise Lost(f"{self} is done by somebody else")


class Kind(Protocol):
    """A kind of operation; the modules beside are such."""

    NAME: str

    def perform(self, work: Work) -> None:
        """Do it, and finish. May be called again after any part of it. Raise BackendError."""

    def fail(self, work: Work, why: str) -> None:
        """Clear up what was begun, and finish with a state of error. May be called again. Raise BackendError."""
