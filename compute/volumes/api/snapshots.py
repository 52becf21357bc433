"""Operations on snapshots."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from cluster.controlplane.answer import Answer, ok
from compute.actions import ACCEPTED, Dispatch
from compute.records import new_id, record_of, set_words, words_of
from compute.volumes import quotas, snapshots, volume_types, volumes
from compute.volumes.api import lists
from compute.volumes.api.forms import BOOLEAN, ID_OR_NULL, NAME, TEXT, WORDS_OR_NULL, Form, text, truth, words
from compute.volumes.api.requests import Request, at_least, begin, own_target, snapshot_for, volume_for
from compute.volumes.api.volumes import require_unused_as_source
from compute.volumes.errors import Invalid
from compute.volumes.listing import Listed
from compute.volumes.moments import iso
from compute.volumes.operations import deletion, snapshotting
from compute.volumes.schema import snapshot_metadata
from compute.volumes.schema import snapshots as table
from compute.volumes.schema import volumes as volumes_table
from compute.volumes.snapshots import Snapshot
from compute.volumes.statuses import DELETABLE_SNAPSHOT, RESETTABLE_SNAPSHOT, SnapshotStatus, VolumeStatus

LISTED = Listed(
    what="Snapshot",
    table=table,
    filters={
        "id": "id",
        "name": "name",
        "display_name": "name",
        "description": "description",
        "status": "status",
        "volume_id": "volume_id",
        "user_id": "user_id",
        "created_at": "created_at_us",
        "updated_at": "updated_at_us",
    },
    sort_keys={
        "id": "id",
        "name": "name",
        "display_name": "name",
        "status": "status",
        "volume_id": "volume_id",
        "created_at": "created_at_us",
        "updated_at": "updated_at_us",
    },
    like=frozenset(("name", "display_name", "description", "status", "volume_id")),
)
IN_USE_SINCE = 66  # a volume that is in use is kept without being forced to
_NAMES = {
    "name": "name",
    "display_name": "name",
    "description": "description",
    "display_description": "description",
}
_CREATION = Form(
    "snapshot",
    {
        "volume_id": ID_OR_NULL,
        "name": NAME,
        "display_name": NAME,
        "description": TEXT,
        "display_description": TEXT,
        "force": {**BOOLEAN, "type": ["boolean", "string", "integer", "null"]},
        "metadata": WORDS_OR_NULL,
    },
    required=("volume_id",),
)
_CHANGE = Form("snapshot", {"name": NAME, "display_name": NAME, "description": TEXT, "display_description": TEXT})
_RESET = Form("os-reset_status", {"status": {"type": "string"}}, required=("status",))
_UPDATE = Form(
    "os-update_snapshot_status",
    {"status": {"type": "string"}, "progress": {"type": "string", "pattern": r"^(100|[0-9]{1,2})%$"}},
    required=("status",),
)


def list_brief(context: Request) -> Answer:
    """GET /v3/snapshots."""
    return _list(context, _brief)


def list_detailed(context: Request) -> Answer:
    """GET /v3/snapshots/detail."""
    return _list(context, _detailed)


def show(context: Request, snapshot_id: str) -> Answer:
    """GET /v3/snapshots/{snapshot_id}."""
    found = snapshot_for(context, "volume:get_snapshot", snapshot_id)
    return ok({"snapshot": _documents(context, [found], detailed=True)[0]})


def create(context: Request) -> Answer:
    """POST /v3/snapshots."""
    attributes = _CREATION.read(context)
    volume = volume_for(context, "volume:create_snapshot", str(attributes["volume_id"]))  # of null, too
    connection, settings = context.connection, context.parts.settings
    allowed = {VolumeStatus.AVAILABLE}
    if at_least(context, IN_USE_SINCE):
        if "force" in attributes and not truth(attributes["force"], "force"):
            raise Invalid("Invalid input for field/attribute force: it is always true from 3.66 on.")
        allowed.add(VolumeStatus.IN_USE)
    elif truth(attributes.get("force") or False, "force"):
        allowed.add(VolumeStatus.IN_USE)
    volumes.require_status(volume, allowed, "be kept as a snapshot")
    type_name = volume_types.names(connection).get(volume.volume_type_id)
    added = {"snapshots": 1, "gigabytes": volume.size}
    quotas.require(connection, settings.quotas, volume.project_id, added, type_name)
    made = snapshots.add(
        connection,
        Snapshot(
            id=new_id(),
            project_id=volume.project_id,
            user_id=context.caller.user.id,
            volume_id=volume.id,
            volume_size=volume.size,
            volume_type_id=volume.volume_type_id,
            name=text(attributes.get("name", attributes.get("display_name"))),
            description=attributes.get("description", attributes.get("display_description")),
            created_at_us=context.now_us,
        ),
    )
    set_words(connection, snapshot_metadata, made.id, words(attributes.get("metadata")))
    begin(context, snapshotting.NAME, ("snapshot", made.id), made.project_id)
    return Answer(202, {"snapshot": _documents(context, [made], detailed=False)[0]})


def change(context: Request, snapshot_id: str) -> Answer:
    """PUT /v3/snapshots/{snapshot_id}."""
    found = snapshot_for(context, "volume:update_snapshot", snapshot_id)
    attributes = _CHANGE.read(context)
    columns = {column: text(attributes[name]) for name, column in _NAMES.items() if name in attributes}
    if not columns:
        raise Invalid("Missing required element in request body: name or description.")
    snapshots.change(context.connection, found.id, context.now_us, **columns)
    changed = snapshots.get(context.connection, found.id)
    return ok({"snapshot": _documents(context, [changed], detailed=False)[0]})


def remove(context: Request, snapshot_id: str) -> Answer:
    """DELETE /v3/snapshots/{snapshot_id}."""
    found = snapshot_for(context, "volume:delete_snapshot", snapshot_id)
    snapshots.require_status(found, DELETABLE_SNAPSHOT, "be deleted")
    return _delete(context, found)


def _delete(context: Request, snapshot: Snapshot) -> Answer:
    require_unused_as_source(context, volumes_table.c.snapshot_id == snapshot.id, "Snapshot", snapshot.id)
    snapshots.change(context.connection, snapshot.id, context.now_us, status=SnapshotStatus.DELETING)
    begin(context, deletion.OfSnapshot.NAME, ("snapshot", snapshot.id), snapshot.project_id)
    return ACCEPTED


def _reset_status(context: Request, snapshot_id: str, about: Any) -> Answer:
    found = snapshot_for(context, "volume_extension:snapshot_admin_actions:reset_status", snapshot_id)
    status = _RESET.check(about)["status"].lower()
    if status not in RESETTABLE_SNAPSHOT:
        raise Invalid(f"Must specify a valid status: {status} is none.")
    snapshots.change(context.connection, found.id, context.now_us, status=status, progress=None)
    return ACCEPTED


def _force_delete(context: Request, snapshot_id: str, _about: Any) -> Answer:
    found = snapshot_for(context, "volume_extension:snapshot_admin_actions:force_delete", snapshot_id)
    return _delete(context, found)


def _update_status(context: Request, snapshot_id: str, about: Any) -> Answer:
    """Take over what a driver of guests says of a snapshot that it takes."""
    found = snapshot_for(context, "snapshot_extension:snapshot_actions:update_snapshot_status", snapshot_id)
    told = _UPDATE.check(about)
    status = told["status"]
    leads_to = {
        SnapshotStatus.CREATING: (SnapshotStatus.CREATING, SnapshotStatus.AVAILABLE, SnapshotStatus.ERROR),
        SnapshotStatus.DELETING: (SnapshotStatus.DELETING, SnapshotStatus.ERROR_DELETING),
    }
    current = SnapshotStatus(found.status)
    if current not in leads_to:
        raise Invalid(f"Snapshot status {current} not allowed for update_snapshot_status.")
    if status not in leads_to[current]:
        raise Invalid(f"Provided snapshot status {status} not allowed for snapshot with status {current}.")
    progress = told.get("progress", "100%" if status == SnapshotStatus.AVAILABLE else None)
    snapshots.change(context.connection, found.id, context.now_us, status=status, progress=progress)
    return ACCEPTED


act = Dispatch(
    {
        "os-reset_status": _reset_status,
        "os-force_delete": _force_delete,
        "os-update_snapshot_status": _update_status,
    }
)


def _list(context: Request, show_rows: lists.Show) -> Answer:
    context.enforce("volume:get_all_snapshots", own_target(context))
    special: dict[str, lists.Special] = {}
    if at_least(context, 22):
        special["metadata"] = lists.with_words(snapshot_metadata, table.c.id)
    return lists.answer_of(context, LISTED, "snapshots", show_rows, special)


def _brief(context: Request, rows: "Sequence[Row[Any]]") -> list[dict[str, Any]]:
    return _documents(context, [record_of(Snapshot, row) for row in rows], detailed=False)


def _detailed(context: Request, rows: "Sequence[Row[Any]]") -> list[dict[str, Any]]:
    return _documents(context, [record_of(Snapshot, row) for row in rows], detailed=True)


def _documents(context: Request, found: Sequence[Snapshot], detailed: bool) -> list[dict[str, Any]]:
    metadata = words_of(context.connection, snapshot_metadata, [each.id for each in found])
    documents = []
    for each in found:
        document: dict[str, Any] = {
            "id": each.id,
            "name": each.name,
            "description": each.description,
            "volume_id": each.volume_id,
            "size": each.volume_size,
            "status": each.status,
            "metadata": metadata[each.id],
            "created_at": iso(each.created_at_us),
            "updated_at": iso(each.updated_at_us),
        }
        if detailed:
            usual = "100%" if each.status == SnapshotStatus.AVAILABLE else "0%"
            document["os-extended-snapshot-attributes:progress"] = each.progress or usual
            document["os-extended-snapshot-attributes:project_id"] = each.project_id
        if at_least(context, 14):
            document["group_snapshot_id"] = None
        if at_least(context, 41):
            document["user_id"] = each.user_id
        if at_least(context, 65):
            document["consumes_quota"] = True
        documents.append(document)
    return documents
