"""What operations on a server begin with: whose it is, whether the caller may, and whether it is locked."""

from typing import Any

from compute.errors import Unavailable
from compute.instances import server_actions, servers
from compute.instances.api.requests import Request, is_admin, target_of
from compute.instances.errors import Conflict, NotFound
from compute.instances.servers import SUBJECT, Server
from compute.operations import journal
from compute.stored import BackendError

READ = "os_compute_api:servers:show"
RULE = "os_compute_api:"
FOR_SERVICES = frozenset((f"{RULE}os-volumes-attachments:show",))  # which ask it of servers that they may not see


def server_for(context: Request, rule: str, server_id: str) -> Server:
    """Return a server that the caller may do something to. Raise NotFound, Forbidden."""
    context.caller  # noqa: B018 who is nobody learns nothing
    found = servers.get(context.connection, server_id)
    permit(context, found, rule)
    return found


def permit(context: Request, found: Server, rule: str) -> None:
    """Raise unless the caller may do what a rule is about; NotFound, when not even to see it is for it."""
    target = target_of(found)
    if rule in FOR_SERVICES and context.allows(rule, target):
        return
    if not context.allows(READ, target):
        raise NotFound("Instance", found.id)
    context.enforce(rule, target)


def unlocked_for(context: Request, rule: str, server_id: str) -> Server:
    """The same, of a server that nobody has locked against the caller. Raise Conflict."""
    found = server_for(context, rule, server_id)
    if found.locked_by is not None and not is_admin(context):
        raise Conflict(f"Instance {found.id} is locked")
    return found


def begin(
    context: Request,
    server: Server,
    action: str,
    kind: str,
    columns: dict[str, Any] | None = None,
    at_once: bool = False,
    **details: Any,
) -> None:
    """Have something be done to a server once this request is committed.

    `columns`: what clients see meanwhile. `at_once`: before the answer is sent. Raise Conflict while something else is
    done to it.
    """
    note(context, server, action)
    if columns:
        servers.change(context.connection, server.id, context.now_us, **columns)
    operation_id = journal.note(
        context.connection,
        context.now_us,
        kind,
        (SUBJECT, server.id),
        server.project_id,
        context.request_id,
        **details,
    )
    if at_once:
        context.afterwards(lambda: context.parts.hasten(operation_id))
    context.afterwards(context.parts.poke)


def settle(context: Request, server: Server, at_once: bool = False) -> None:
    """Have what the rows ask for be done, now or after what is done to the server now.

    `at_once`: before the answer is sent, if nothing else is done.
    """
    operation_id = servers.settle(context.connection, server.id, context.now_us, context.request_id)
    if at_once and operation_id is not None:
        context.afterwards(lambda: context.parts.hasten(operation_id))
    context.afterwards(context.parts.poke)


def note(context: Request, server: Server, action: str) -> None:
    """Note for users that something was asked for."""
    whose = (context.project_id, context.caller.user.id)
    server_actions.note(context.connection, server.id, context.request_id, action, whose, context.now_us)
    server_actions.begin(
        context.connection, server.id, context.request_id, f"compute_{action}", server.host, context.now_us
    )


class asking:  # noqa: N801 used as a word
    """Within it, what is wrong with somebody who is asked becomes an answer: 503."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        if isinstance(error, BackendError):
            raise Unavailable(str(error)) from error
