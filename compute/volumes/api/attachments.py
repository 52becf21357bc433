"""Attachments (from 3.27 on): reserving a volume, connecting to it, and letting it go.

A host asks for the connection with its connector, connects, and says so (`os-complete`, from 3.44 on).
"""

from typing import Any

from cluster.controlplane.answer import NO_CONTENT, Answer, ok
from compute.actions import Dispatch
from compute.microversions import asking_first
from compute.records import record_of
from compute.volumes import attachments, connections, volumes
from compute.volumes.api import lists
from compute.volumes.api.forms import ID, ID_OR_NULL, Form
from compute.volumes.api.letting_go import ask_servers, let_go, require_free
from compute.volumes.api.parts import Parts
from compute.volumes.api.requests import Request, at_least, attachment_for, own_target, volume_for
from compute.volumes.attachments import Attachment
from compute.volumes.errors import NotFound, invalid_volume
from compute.volumes.listing import Listed
from compute.volumes.moments import iso
from compute.volumes.schema import attachments as table
from compute.volumes.statuses import AttachMode, AttachStatus

LISTED = Listed(
    what="Attachment",
    table=table,
    filters={
        "id": "id",
        "volume_id": "volume_id",
        "instance_id": "instance_id",
        "status": "status",
        "attach_status": "status",
        "attached_host": "attached_host",
    },
    sort_keys={"id": "id", "created_at": "created_at_us", "volume_id": "volume_id"},
)
_DELETION = "volume:attachment_delete"
_CONNECTOR = {"type": ["object", "null"]}
_CREATION = Form(
    "attachment",
    {
        "volume_uuid": ID,
        "instance_uuid": ID_OR_NULL,
        "connector": _CONNECTOR,
        "mode": {"enum": ["rw", "ro", "null", None]},
    },
    required=("volume_uuid",),
)
_CHANGE = Form("attachment", {"connector": {"type": "object", "minProperties": 1}}, required=("connector",))


def list_brief(context: Request) -> Answer:
    """GET /v3/attachments."""
    return _list(context, _brief)


def list_detailed(context: Request) -> Answer:
    """GET /v3/attachments/detail."""
    return _list(context, _detailed)


def show(context: Request, attachment_id: str) -> Answer:
    """GET /v3/attachments/{attachment_id}."""
    found = attachment_for(context, "volume:attachment_get", attachment_id)
    return ok({"attachment": _document(context, found)})


def create(context: Request) -> Answer:
    """POST /v3/attachments."""
    attributes = _CREATION.read(context)
    volume = volume_for(context, "volume:attachment_create", attributes["volume_uuid"])
    mode = AttachMode.READ_WRITE
    if at_least(context, 54) and attributes.get("mode") == AttachMode.READ_ONLY:
        mode = AttachMode.READ_ONLY
    if volume.readonly and attributes.get("mode") == AttachMode.READ_WRITE and at_least(context, 54):
        raise invalid_volume(f"volume {volume.id} is read-only: it is attached with mode ro.")
    made = attachments.reserve(context.connection, volume, context.now_us, attributes.get("instance_uuid"), mode)
    if attributes.get("connector"):
        made = attachments.connect(context.connection, made, attributes["connector"], context.now_us)
    return ok({"attachment": _document(context, made)})


def change(context: Request, attachment_id: str) -> Answer:
    """PUT /v3/attachments/{attachment_id}: with the connector of who is about to connect."""
    found = attachment_for(context, "volume:attachment_update", attachment_id)
    connector = _CHANGE.read(context)["connector"]
    changed = attachments.connect(context.connection, found, connector, context.now_us)
    return ok({"attachment": _document(context, changed)})


def _ask_server(parts: Parts, token: str, _document: Any, attachment_id: str) -> frozenset[str] | None:
    with parts.database.reading() as connection:
        found = attachments.find(connection, attachment_id)
    return ask_servers(parts, token, _DELETION, [found] if found else [])


@asking_first(_ask_server, of_path=True)
def remove(context: Request, attachment_id: str) -> Answer:
    """DELETE /v3/attachments/{attachment_id}: return what other attachments the volume has."""
    found = attachment_for(context, _DELETION, attachment_id)
    require_free(context, found)
    let_go(context, found)
    left = attachments.of_volume(context.connection, found.volume_id)
    return ok({"attachments": [_document(context, each) for each in left]})


def complete(context: Request, attachment_id: str, _about: Any) -> Answer:
    """Say that the volume is in use."""
    if not at_least(context, 44):
        raise NotFound("Action", "os-complete")
    found = attachment_for(context, "volume:attachment_complete", attachment_id)
    attachments.complete(context.connection, found, context.now_us)
    return NO_CONTENT


act = Dispatch({"os-complete": complete})


def _list(context: Request, show_rows: lists.Show) -> Answer:
    context.enforce("volume:attachment_get", own_target(context))
    return lists.answer_of(context, LISTED, "attachments", show_rows)


def _brief(_context: Request, rows: Any) -> list[dict[str, Any]]:
    return [
        {"id": row.id, "instance": row.instance_id, "volume_id": row.volume_id, "status": row.status} for row in rows
    ]


def _detailed(context: Request, rows: Any) -> list[dict[str, Any]]:
    return [_document(context, record_of(Attachment, row)) for row in rows]


def _document(context: Request, attachment: Attachment) -> dict[str, Any]:
    volume = volumes.get(context.connection, attachment.volume_id)
    info: dict[str, Any] = {}
    if attachment.status in (AttachStatus.ATTACHING, AttachStatus.ATTACHED):
        told = connections.connection_info(
            context.connection, context.parts.settings, volume, attachment.mode, attachment
        )
        info = {"driver_volume_type": told["driver_volume_type"], **told["data"]}
    return {
        "id": attachment.id,
        "instance": attachment.instance_id,
        "volume_id": attachment.volume_id,
        "status": attachment.status,
        "attach_mode": attachment.mode,
        "attached_at": iso(attachment.attached_at_us) or "",
        "detached_at": "",
        "connection_info": info,
    }
