"""What was done to servers, and what became of it: for users, as Nova's instance actions."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from compute.instances.schema.servers import server_actions
from compute.records import new_id, record_of

SUCCESS, ERROR = "Success", "Error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action, with the one event that it has."""

    id: str
    server_id: str
    request_id: str
    action: str
    project_id: str | None
    user_id: str | None
    message: str | None
    event: str | None
    event_result: str | None
    host: str | None
    started_at_us: int
    updated_at_us: int
    event_started_at_us: int | None
    event_ended_at_us: int | None


def note(
    connection: Connection,
    server_id: str,
    request_id: str,
    action: str,
    whose: tuple[str | None, str | None],
    now_us: int,
) -> str:
    """Note that somebody (project and user) has asked for something."""
    row = {
        "id": new_id(),
        "server_id": server_id,
        "request_id": request_id,
        "action": action,
        "project_id": whose[0],
        "user_id": whose[1],
        "started_at_us": now_us,
        "updated_at_us": now_us,
    }
    connection.execute(insert(server_actions).values(row))
    return str(row["id"])


def begin(connection: Connection, server_id: str, request_id: str, event: str, host: str | None, now_us: int) -> None:
    """Note that it is done now."""
    _change(connection, server_id, request_id, event=event, host=host, event_started_at_us=now_us, updated_at_us=now_us)


def end(connection: Connection, server_id: str, request_id: str, error: str | None, now_us: int) -> None:
    """Note what became of it."""
    result = {"message": "Error", "event_result": ERROR} if error is not None else {"event_result": SUCCESS}
    _change(connection, server_id, request_id, **result, event_ended_at_us=now_us, updated_at_us=now_us)


def of_server(connection: Connection, server_id: str) -> list[Action]:
    """Return what was done to a server, the last first."""
    query = select(server_actions).where(server_actions.c.server_id == server_id)
    query = query.order_by(server_actions.c.started_at_us.desc(), server_actions.c.id.desc())
    return [record_of(Action, row) for row in connection.execute(query)]


def _change(connection: Connection, server_id: str, request_id: str, **columns: Any) -> None:
    connection.execute(
        update(server_actions)
        .where(server_actions.c.server_id == server_id, server_actions.c.request_id == request_id)
        .values(**columns)
    )


def end_last(connection: Connection, server_id: str, action: str, error: str | None, now_us: int) -> None:
    """Note what became of the oldest action of a kind that has not ended."""
    query = select(server_actions).where(
        server_actions.c.server_id == server_id,
        server_actions.c.action == action,
        server_actions.c.event_ended_at_us.is_(None),
    )
    row = connection.execute(query.order_by(server_actions.c.started_at_us).limit(1)).first()
    if row is not None:
        end(connection, server_id, row.request_id, error, now_us)
