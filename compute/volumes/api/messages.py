"""Operations on messages: what failed after the answer (from 3.3 on)."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from cluster.controlplane.answer import NO_CONTENT, Answer, ok
from compute.records import record_of
from compute.volumes import messages
from compute.volumes.api import lists
from compute.volumes.api.requests import Request, links, own_target, permitted
from compute.volumes.listing import Listed
from compute.volumes.messages import Message
from compute.volumes.moments import iso
from compute.volumes.schema import messages as table

LISTED = Listed(
    what="Message",
    table=table,
    filters={
        "id": "id",
        "resource_type": "resource_type",
        "resource_uuid": "resource_id",
        "event_id": "event_id",
        "request_id": "request_id",
        "message_level": "level",
        "created_at": "created_at_us",
        "updated_at": "updated_at_us",
    },
    sort_keys={
        "id": "id",
        "created_at": "created_at_us",
        "event_id": "event_id",
        "resource_type": "resource_type",
        "resource_uuid": "resource_id",
        "message_level": "level",
        "request_id": "request_id",
    },
    like=frozenset(("resource_uuid", "resource_type", "event_id", "request_id", "message_level")),
)


def list_all(context: Request) -> Answer:
    """GET /v3/messages."""
    context.enforce("message:get_all", own_target(context))
    return lists.answer_of(context, LISTED, "messages", _documents)


def show(context: Request, message_id: str) -> Answer:
    """GET /v3/messages/{message_id}."""
    return ok({"message": _document(context, _found(context, "message:get", message_id))})


def remove(context: Request, message_id: str) -> Answer:
    """DELETE /v3/messages/{message_id}."""
    messages.remove(context.connection, _found(context, "message:delete", message_id).id)
    return NO_CONTENT


def _found(context: Request, rule: str, message_id: str) -> Message:
    context.caller  # noqa: B018 who is nobody learns nothing
    found = messages.get(context.connection, message_id)
    permitted(context, found, "message:get", rule, "Message", message_id)
    return found


def _documents(context: Request, rows: "Sequence[Row[Any]]") -> list[dict[str, Any]]:
    return [_document(context, record_of(Message, row)) for row in rows]


def _document(context: Request, message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "event_id": message.event_id,
        "user_message": message.text,
        "message_level": message.level,
        "resource_type": message.resource_type,
        "resource_uuid": message.resource_id,
        "request_id": message.request_id,
        "created_at": iso(message.created_at_us),
        "guaranteed_until": iso(message.expires_at_us),
        "links": links(context, f"messages/{message.id}"),
    }
