"""Operations on volumes: listing, showing, changing, deleting. Beside: volume_creation, volume_actions."""

from typing import Any

from sqlalchemy import select

from cluster.controlplane.answer import Answer, ok
from compute.records import set_words
from compute.volumes import snapshots, volumes
from compute.volumes.api import lists, volume_documents
from compute.volumes.api.forms import NAME, TEXT, WORDS, Form, text, truth, words
from compute.volumes.api.requests import (
    Request,
    at_least,
    begin,
    own_target,
    project_of,
    sees_all,
    volume_for,
)
from compute.volumes.errors import Invalid, invalid_volume
from compute.volumes.listing import Listed
from compute.volumes.operations import deletion
from compute.volumes.schema import volume_image_metadata, volume_metadata
from compute.volumes.schema import volumes as table
from compute.volumes.statuses import DELETABLE_SNAPSHOT, DELETABLE_VOLUME, SnapshotStatus, VolumeStatus
from compute.volumes.volumes import Volume

LISTED = Listed(
    what="Volume",
    table=table,
    filters={
        "id": "id",
        "name": "name",
        "display_name": "name",
        "status": "status",
        "bootable": "bootable",
        "multiattach": "multiattach",
        "size": "size",
        "description": "description",
        "availability_zone": "availability_zone",
        "user_id": "user_id",
        "snapshot_id": "snapshot_id",
        "source_volid": "source_volid",
        "created_at": "created_at_us",
        "updated_at": "updated_at_us",
    },
    sort_keys={
        "id": "id",
        "name": "name",
        "display_name": "name",
        "status": "status",
        "size": "size",
        "created_at": "created_at_us",
        "updated_at": "updated_at_us",
        "bootable": "bootable",
        "availability_zone": "availability_zone",
    },
    like=frozenset(("name", "display_name", "description", "status", "availability_zone")),
)

_CHANGE = Form(
    "volume",
    {"name": NAME, "display_name": NAME, "description": TEXT, "display_description": TEXT, "metadata": WORDS},
)


def list_brief(context: Request) -> Answer:
    """GET /v3/volumes."""
    return _list(context, volume_documents.brief)


def list_detailed(context: Request) -> Answer:
    """GET /v3/volumes/detail."""
    return _list(context, volume_documents.detailed)


def show(context: Request, volume_id: str) -> Answer:
    """GET /v3/volumes/{volume_id}."""
    volume = volume_for(context, "volume:get", volume_id)
    return ok({"volume": volume_documents.shown(context, volume)})


def summarize(context: Request) -> Answer:
    """GET /v3/volumes/summary."""
    context.enforce("volume:get_all", own_target(context))
    all_projects = sees_all(context) and truth(context.query.get("all_tenants", "false"), "all_tenants")
    told: dict[str, Any] = dict(volumes.summary(context.connection, None if all_projects else project_of(context)))
    if at_least(context, 36):
        told["metadata"] = _all_words(context, None if all_projects else project_of(context))
    return ok({"volume-summary": told})


def change(context: Request, volume_id: str) -> Answer:
    """PUT /v3/volumes/{volume_id}."""
    volume = volume_for(context, "volume:update", volume_id)
    attributes = _CHANGE.read(context)
    columns = {column: text(attributes[name]) for name, column in _NAMES.items() if name in attributes}
    if not columns and "metadata" not in attributes:
        raise Invalid("Missing required element in request body: name, description or metadata.")
    if "metadata" in attributes:
        set_words(context.connection, volume_metadata, volume_id, words(attributes["metadata"]), replace=True)
    volumes.change(context.connection, volume.id, context.now_us, **columns)
    return ok({"volume": volume_documents.summary(context, volumes.get(context.connection, volume_id))})


def remove(context: Request, volume_id: str) -> Answer:
    """DELETE /v3/volumes/{volume_id}."""
    volume = volume_for(context, "volume:delete", volume_id)
    cascade = truth(context.query.get("cascade", "false"), "cascade")
    force = at_least(context, 23) and truth(context.query.get("force", "false"), "force")
    if force:
        context.enforce("volume:force_delete", {"project_id": volume.project_id})
    delete(context, volume, cascade, force)
    return Answer(202)


def delete(context: Request, volume: Volume, cascade: bool, force: bool) -> None:
    """Have a volume be deleted, with its snapshots if `cascade`, in whatever state if `force`."""
    connection = context.connection
    if not force:
        volumes.require_status(volume, DELETABLE_VOLUME, "be deleted")
    if volumes.is_attached(connection, volume.id):
        raise invalid_volume(f"Volume {volume.id} is still attached, detach volume first.")
    kept = snapshots.of_volume(connection, volume.id)
    if kept and not cascade:
        raise invalid_volume(f"Volume {volume.id} still has {len(kept)} dependent snapshots.")
    for snapshot in kept:
        if snapshot.status not in DELETABLE_SNAPSHOT and not force:
            raise invalid_volume(f"Snapshot {snapshot.id} is {snapshot.status}: it cannot be deleted.")
        snapshots.change(connection, snapshot.id, context.now_us, status=SnapshotStatus.DELETING)
    require_unused_as_source(context, table.c.source_volid == volume.id, "Volume", volume.id)
    for snapshot in kept:
        require_unused_as_source(context, table.c.snapshot_id == snapshot.id, "Snapshot", snapshot.id)
    volumes.change(connection, volume.id, context.now_us, status=VolumeStatus.DELETING, previous_status=None)
    begin(context, deletion.OfVolume.NAME, ("volume", volume.id), volume.project_id)


def require_unused_as_source(context: Request, condition: Any, what: str, identifier: str) -> None:
    """Raise Invalid while a volume is being made of a thing."""
    from_it = select(table.c.id).where(condition, table.c.status == VolumeStatus.CREATING).limit(1)
    if context.connection.scalar(from_it) is not None:
        raise Invalid(f"Invalid volume: {what} {identifier} is being used to create a volume.")


_NAMES = {
    "name": "name",
    "display_name": "name",
    "description": "description",
    "display_description": "description",
}


def _list(context: Request, show_rows: lists.Show) -> Answer:
    context.enforce("volume:get_all", own_target(context))
    special: dict[str, lists.Special] = {"metadata": lists.with_words(volume_metadata, table.c.id)}
    if at_least(context, 4):
        special["glance_metadata"] = lists.with_words(volume_image_metadata, table.c.id)
    for name in ("group_id", "consistencygroup_id", "migration_status", "host", "cluster_name"):
        special[name] = lambda _text: table.c.id.is_(None)  # none has any
    return lists.answer_of(context, LISTED, "volumes", show_rows, special)


def _all_words(context: Request, project_id: str | None) -> dict[str, list[str]]:
    query = select(volume_metadata.c.key, volume_metadata.c.value).distinct()
    if project_id is not None:
        query = query.join(table, table.c.id == volume_metadata.c.volume_id).where(table.c.project_id == project_id)
    told: dict[str, list[str]] = {}
    for row in context.connection.execute(query.order_by(volume_metadata.c.key, volume_metadata.c.value)):
        told.setdefault(row.key, []).append(row.value)
    return told
