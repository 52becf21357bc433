"""Tasks: imports that were asked for, are done, or are over. Whoever has the time claims the oldest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, select, update

from compute.errors import NotFound
from compute.images.records import new_id
from compute.images.schema import tasks
from compute.images.statuses import TaskStatus

IMPORT = "api_image_import"  # the only type of task there is
ATTEMPTS = 5  # at a task that fails for reasons that may pass, or that processes die of
RETRY_US = 5 * 1_000_000  # before the second; before the third twice as long, and so on
_DUE_US = tasks.c.updated_at_us + tasks.c.attempts * RETRY_US  # of one that waits


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asked for a task, and how."""

    owner: str | None
    user_id: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Task:
    """An import."""

    id: str
    image_id: str
    status: TaskStatus
    owner: str | None
    user_id: str
    request_id: str
    input: Mapping[str, Any]  # the import request
    message: str
    worker_id: str | None
    attempts: int
    created_at_us: int
    updated_at_us: int
    expires_at_us: int | None


def add(connection: Connection, image_id: str, asked: Asked, request: Mapping[str, Any], now_us: int) -> str:
    """Have an import done; return the id of its task."""
    task_id = new_id()
    connection.execute(
        insert(tasks).values(
            id=task_id,
            image_id=image_id,
            status=TaskStatus.PENDING.value,
            owner=asked.owner,
            user_id=asked.user_id,
            request_id=asked.request_id,
            input=dict(request),
            message="",
            attempts=0,
            created_at_us=now_us,
            updated_at_us=now_us,
        )
    )
    return task_id


def get(connection: Connection, task_id: str) -> Task:
    """Return a task. Raise NotFound."""
    row = connection.execute(select(tasks).where(tasks.c.id == task_id)).one_or_none()
    if row is None:
        raise NotFound(f"No task found with ID {task_id}")
    return _task(row)


def of_image(connection: Connection, image_id: str) -> list[Task]:
    """Return the tasks of an image, the newest first."""
    query = select(tasks).where(tasks.c.image_id == image_id).order_by(tasks.c.created_at_us.desc())
    return [_task(row) for row in connection.execute(query)]


def list_page(
    connection: Connection, filters: Mapping[str, str], owner: str | None, after: Task | None, limit: int
) -> list[Task]:
    """Return tasks that equal `filters`, the newest first; of `owner` alone, unless that is None."""
    query = select(tasks).order_by(tasks.c.created_at_us.desc(), tasks.c.id.desc()).limit(limit)
    if owner is not None:
        query = query.where(tasks.c.owner == owner)
    if "status" in filters:
        query = query.where(tasks.c.status == filters["status"])
    if after is not None:
        older = tasks.c.created_at_us < after.created_at_us
        query = query.where(older | ((tasks.c.created_at_us == after.created_at_us) & (tasks.c.id < after.id)))
    return [_task(row) for row in connection.execute(query)]


def any_due(connection: Connection, now_us: int) -> bool:
    """Tell whether there is a task to be taken up."""
    return connection.scalar(select(tasks.c.id).where(_is_due(now_us)).limit(1)) is not None


def next_due_us(connection: Connection) -> int | None:
    """Return when there is a task to be taken up, as things are; None: there is none."""
    query = select(func.min(_DUE_US)).where(tasks.c.status == TaskStatus.PENDING.value)
    due_us: int | None = connection.scalar(query)
    return due_us


def claim(connection: Connection, worker_id: str, now_us: int) -> Task | None:
    """Take up the task that has waited longest; None: none is due."""
    query = select(tasks).where(_is_due(now_us)).order_by(tasks.c.created_at_us).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    _set(
        connection,
        row.id,
        status=TaskStatus.PROCESSING.value,
        worker_id=worker_id,
        attempts=row.attempts + 1,
        updated_at_us=now_us,
    )
    return get(connection, row.id)


def is_claimed(connection: Connection, task: Task) -> bool:
    """Tell whether a task is still its worker's: nobody took that for dead, and the task up anew."""
    query = select(tasks.c.status, tasks.c.worker_id, tasks.c.attempts).where(tasks.c.id == task.id)
    row = connection.execute(query).one_or_none()
    return row is not None and tuple(row) == (TaskStatus.PROCESSING.value, task.worker_id, task.attempts)


def finish(connection: Connection, task: Task, failure: str | None, now_us: int, kept_us: int) -> None:
    """Note how a task ended; None: well."""
    status = TaskStatus.SUCCESS if failure is None else TaskStatus.FAILURE
    _set(
        connection,
        task.id,
        status=status.value,
        message=failure or "",
        worker_id=None,
        updated_at_us=now_us,
        expires_at_us=now_us + kept_us,
    )


def put_back(connection: Connection, task: Task, now_us: int) -> None:
    """Have a task done by somebody else: who had it is dead."""
    _set(connection, task.id, status=TaskStatus.PENDING.value, worker_id=None, updated_at_us=now_us)


def processing(connection: Connection) -> list[Task]:
    """Return the tasks that are being done."""
    query = select(tasks).where(tasks.c.status == TaskStatus.PROCESSING.value)
    return [_task(row) for row in connection.execute(query)]


def sweep(connection: Connection, now_us: int) -> int:
    """Forget tasks that have expired; return how many."""
    return connection.execute(delete(tasks).where(tasks.c.expires_at_us < now_us)).rowcount


def _is_due(now_us: int) -> "ColumnElement[bool]":
    return and_(tasks.c.status == TaskStatus.PENDING.value, now_us >= _DUE_US)


def _set(connection: Connection, task_id: str, **values: Any) -> None:
    connection.execute(update(tasks).where(tasks.c.id == task_id).values(**values))


def _task(row: Row[Any]) -> Task:
    return Task(**{**row._mapping, "status": TaskStatus(row.status)})
