"""What was done to servers (os-instance-actions), and where they went (os-migrations)."""

import hashlib
from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.instances import moves, server_actions, servers
from compute.instances.api.lists import limit_of, next_links, page
from compute.instances.api.requests import Request, at_least, is_admin, links, target_of
from compute.instances.api.server_access import READ, RULE, server_for
from compute.instances.errors import Invalid, NotFound
from compute.instances.moments import iso_micro, parse
from compute.instances.moves import Move
from compute.instances.server_actions import Action
from compute.instances.servers import Server

_RULE = f"{RULE}os-instance-actions:"
_OF_DELETED_SINCE, _UPDATED_SINCE, _PAGED_SINCE = 21, 58, 58


def list_actions(context: Request, server_id: str) -> Answer:
    """GET …/os-instance-actions."""
    server = _server(context, f"{_RULE}list", server_id)
    found = server_actions.of_server(context.connection, server.id)
    if not at_least(context, _PAGED_SINCE):
        return ok({"instanceActions": [_action(context, each) for each in found]})
    for name, keeps in (("changes-since", int.__ge__), ("changes-before", int.__le__)):
        text = context.query.get(name)
        if text is not None and (name == "changes-since" or at_least(context, 66)):
            moment_us = _moment(name, text)
            found = [each for each in found if keeps(each.updated_at_us, moment_us)]
    shown = page(context, found, lambda each: each.request_id)
    document: dict[str, Any] = {"instanceActions": [_action(context, each) for each in shown]}
    if "limit" in context.query:
        document |= {
            "links" if name == "instanceActions_links" else name: value
            for name, value in next_links(context, "instanceActions", shown, lambda each: each.request_id).items()
        }
    return ok(document)


def show_action(context: Request, server_id: str, request_id: str) -> Answer:
    """GET …/os-instance-actions/{request_id}."""
    server = _server(context, f"{_RULE}show", server_id)
    found = next(
        (each for each in server_actions.of_server(context.connection, server.id) if each.request_id == request_id),
        None,
    )
    if found is None:
        raise NotFound("Action", f"{request_id} of instance {server_id}")
    document = _action(context, found)
    if at_least(context, 51) or is_admin(context):
        document["events"] = _events(context, server, found)
    return ok({"instanceAction": document})


def list_moves(context: Request) -> Answer:
    """GET /v2.1/os-migrations."""
    context.enforce(f"{RULE}os-migrations:index")
    found = moves.every(context.connection)
    for name, field in (
        ("host", None),
        ("status", "status"),
        ("instance_uuid", "server_id"),
        ("migration_type", "kind"),
        ("source_compute", "source"),
        ("user_id", "user_id"),
        ("project_id", "project_id"),
    ):
        wanted = context.query.get(name)
        if wanted is None:
            continue
        if field is None:
            found = [each for each in found if wanted in (each.source, each.target)]
        else:
            found = [each for each in found if getattr(each, field) == wanted]
    if not at_least(context, 59):
        return ok({"migrations": [_move(context, each) for each in found]})
    shown = page(context, found, lambda each: each.id)
    document: dict[str, Any] = {"migrations": [_move(context, each) for each in shown]}
    if len(shown) == limit_of(context):
        document |= next_links(context, "migrations", shown, lambda each: each.id)
    return ok(document)


def list_own_moves(context: Request, server_id: str) -> Answer:
    """GET …/migrations (from 2.23 on): live migrations under way, of which there are none."""
    context.enforce(f"{RULE}servers:migrations:index")
    server_for(context, READ, server_id)
    return ok({"migrations": []})


def _server(context: Request, rule: str, server_id: str) -> Server:
    if not at_least(context, _OF_DELETED_SINCE):
        return server_for(context, rule, server_id)
    context.caller  # noqa: B018 who is nobody learns nothing
    found = servers.find(context.connection, server_id)
    if found is None or not context.allows(READ, target_of(found)):
        raise NotFound("Instance", server_id)
    context.enforce(rule, target_of(found))
    return found


def _action(context: Request, action: Action) -> dict[str, Any]:
    document: dict[str, Any] = {
        "action": action.action,
        "instance_uuid": action.server_id,
        "request_id": action.request_id,
        "user_id": action.user_id,
        "project_id": action.project_id,
        "start_time": iso_micro(action.started_at_us),
        "message": action.message,
    }
    if at_least(context, _UPDATED_SINCE):
        document["updated_at"] = iso_micro(action.updated_at_us)
    return document


def _events(context: Request, server: Server, action: Action) -> list[dict[str, Any]]:
    if action.event is None:
        return []
    event: dict[str, Any] = {
        "event": action.event,
        "start_time": iso_micro(action.event_started_at_us),
        "finish_time": iso_micro(action.event_ended_at_us),
        "result": action.event_result,
    }
    if is_admin(context):
        event["traceback"] = None
    if at_least(context, 62):
        event["hostId"] = _host_id(server, action.host)
        if is_admin(context):
            event["host"] = action.host
    if at_least(context, 84) and is_admin(context):
        event["details"] = action.message
    return [event]


def _host_id(server: Server, host: str | None) -> str:
    return hashlib.sha224(f"{server.project_id}{host}".encode()).hexdigest() if host else ""


def _move(context: Request, move: Move) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": move.number,
        "instance_uuid": move.server_id,
        "status": move.status,
        "source_compute": move.source,
        "source_node": move.source,
        "dest_compute": move.target,
        "dest_node": move.target,
        "dest_host": move.target,
        "old_instance_type_id": None,
        "new_instance_type_id": None,
        "created_at": iso_micro(move.created_at_us),
        "updated_at": iso_micro(move.updated_at_us),
    }
    if at_least(context, 23):
        document["migration_type"] = move.kind
        document["links"] = links(context, f"servers/{move.server_id}/migrations/{move.number}")
        if move.kind != "live-migration":
            del document["links"]
    if at_least(context, 59):
        document["uuid"] = move.id
    if at_least(context, 80):
        document |= {"user_id": move.user_id, "project_id": move.project_id}
    return document


def _moment(name: str, text: str) -> int:
    try:
        return parse(text)
    except ValueError:
        raise Invalid(f"Invalid input for query parameters {name}. Value: {text}.") from None
