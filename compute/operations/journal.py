"""The table of operations: noting one, claiming it, noting how far it is, and forgetting it.

Invariant: of a subject there is one operation at a time (a unique index), and an operation has one process at a time
that does it: whoever has a claim that is not over yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, case, delete, func, insert, or_, select, update

from cluster.controlplane.database import refusing_duplicates
from compute.errors import Conflict
from compute.operations.table import operations
from compute.records import new_id, record_of

CLAIM_US = 60_000_000  # until an operation is anybody's whose process does not renew its claim
BEGUN, FAILING = "begun", "failing"  # the first step, and the last one of what cannot be done


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation."""

    id: str
    kind: str
    subject: str  # sort:ID, such as volume:ID
    project_id: str
    request_id: str
    created_at_us: int
    step: str = BEGUN
    details: Mapping[str, Any] | None = None
    owner: str | None = None
    claimed_until_us: int = 0
    not_before_us: int = 0
    attempts: int = 0

    @property
    def subject_id(self) -> str:
        """Return the id of what it is about."""
        return self.subject.partition(":")[2]

    @property
    def subject_kind(self) -> str:
        """Return what sort of thing it is about."""
        return self.subject.partition(":")[0]


def note(
    connection: Connection,
    now_us: int,
    kind: str,
    subject: tuple[str, str],
    project_id: str,
    request_id: str,
    **details: Any,
) -> str:
    """Have something be done once this transaction is committed; return its id.

    Raise Conflict when something else is done to the subject: its state should have told.
    """
    made = Operation(new_id(), kind, ":".join(subject), project_id, request_id, now_us)
    with refusing_duplicates(Conflict(f"Something else is being done to {subject[0]} {subject[1]}.")):
        connection.execute(
            insert(operations).values(
                id=made.id,
                kind=kind,
                subject=made.subject,
                project_id=project_id,
                request_id=request_id,
                step=BEGUN,
                details=details,
                owner=None,
                claimed_until_us=0,
                not_before_us=now_us,
                attempts=0,
                created_at_us=now_us,
            )
        )
    return made.id


def find(connection: Connection, operation_id: str) -> Operation | None:
    """Return an operation; None: it is done."""
    row = connection.execute(select(operations).where(operations.c.id == operation_id)).one_or_none()
    return None if row is None else record_of(Operation, row)


def every(connection: Connection) -> list[Operation]:
    """Return all operations, the oldest first."""
    query = select(operations).order_by(operations.c.created_at_us, operations.c.id)
    return [record_of(Operation, row) for row in connection.execute(query)]


def subjects(connection: Connection) -> set[str]:
    """Return what something is done to."""
    return set(connection.scalars(select(operations.c.subject)).all())


def waits(connection: Connection, now_us: int) -> bool:
    """Tell whether an operation waits for somebody to do it."""
    return connection.execute(_free(now_us)).first() is not None


def next_due_us(connection: Connection) -> int | None:
    """Return when an operation waits for somebody to do it, as things are; None: there is none."""
    claimed_until_us = case((operations.c.owner.is_(None), 0), else_=operations.c.claimed_until_us + 1)
    free_us = case((claimed_until_us > operations.c.not_before_us, claimed_until_us), else_=operations.c.not_before_us)
    due_us: int | None = connection.scalar(select(func.min(free_us)))
    return due_us


def claim(connection: Connection, owner: str, now_us: int, operation_id: str | None = None) -> Operation | None:
    """Return an operation that waits, this one or any, which is the owner's from now on; None: none waits."""
    query = _free(now_us)
    row = connection.execute(query if operation_id is None else query.where(operations.c.id == operation_id)).first()
    if row is None:
        return None
    connection.execute(
        update(operations)
        .where(operations.c.id == row.id)
        .values(owner=owner, claimed_until_us=now_us + CLAIM_US, attempts=row.attempts + 1)
    )
    return find(connection, row.id)


def renew(connection: Connection, owner: str, now_us: int) -> None:
    """Keep what an owner has claimed."""
    connection.execute(update(operations).where(operations.c.owner == owner).values(claimed_until_us=now_us + CLAIM_US))


def release(connection: Connection, host: str) -> None:
    """Let go of what earlier processes of a host had claimed: owners are called HOST/…"""
    connection.execute(
        update(operations).where(operations.c.owner.startswith(f"{host}/", autoescape=True)).values(owner=None)
    )


def is_owned(connection: Connection, operation: Operation) -> bool:
    """Tell whether an operation is still done by who has claimed it."""
    query = select(operations.c.owner).where(operations.c.id == operation.id)
    return connection.scalar(query) == operation.owner


def reach(connection: Connection, operation: Operation, step: str, details: Mapping[str, Any]) -> None:
    """Note how far it is."""
    connection.execute(
        update(operations).where(operations.c.id == operation.id).values(step=step, details=dict(details))
    )


def put_off(connection: Connection, operation: Operation, until_us: int) -> None:
    """Have an operation be tried again later, by whoever comes first."""
    connection.execute(
        update(operations).where(operations.c.id == operation.id).values(owner=None, not_before_us=until_us)
    )


def forget(connection: Connection, operation: Operation) -> None:
    """Forget an operation: it is done, or undone."""
    connection.execute(delete(operations).where(operations.c.id == operation.id))


def _free(now_us: int) -> "Select[Any]":
    free = or_(operations.c.owner.is_(None), operations.c.claimed_until_us < now_us)
    query = select(operations).where(free, operations.c.not_before_us <= now_us)
    return query.order_by(operations.c.not_before_us, operations.c.id).limit(1)
