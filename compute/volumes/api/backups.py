"""Operations on backups."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select

from cluster.controlplane.answer import Answer, created, ok
from compute.actions import ACCEPTED, Dispatch
from compute.errors import Unavailable
from compute.operations import journal
from compute.records import new_id, record_of, words_of
from compute.volumes import backups, parts_of_service, quotas, snapshots, volume_types, volumes
from compute.volumes.api import lists, volume_creation
from compute.volumes.api.forms import BOOLEAN, ID, ID_OR_NULL, NAME, TEXT, WORDS_OR_NULL, Form, text, truth, words
from compute.volumes.api.requests import (
    Request,
    at_least,
    backup_for,
    begin,
    links,
    own_target,
    project_of,
    sees_all,
    snapshot_for,
    volume_for,
)
from compute.volumes.backups import Backup
from compute.volumes.errors import Invalid, invalid_backup, invalid_snapshot, invalid_volume
from compute.volumes.listing import Listed
from compute.volumes.moments import iso
from compute.volumes.operations import backing_up, restoring
from compute.volumes.schema import backups as table
from compute.volumes.schema import volume_image_metadata, volume_metadata
from compute.volumes.statuses import (
    DELETABLE_BACKUP,
    RESETTABLE_BACKUP,
    BackupStatus,
    SnapshotStatus,
    VolumeStatus,
)
from compute.volumes.volumes import Volume

LISTED = Listed(
    what="Backup",
    table=table,
    filters={
        "id": "id",
        "name": "name",
        "description": "description",
        "status": "status",
        "volume_id": "volume_id",
        "snapshot_id": "snapshot_id",
        "user_id": "user_id",
        "created_at": "created_at_us",
        "updated_at": "updated_at_us",
    },
    sort_keys={
        "id": "id",
        "name": "name",
        "status": "status",
        "volume_id": "volume_id",
        "size": "size",
        "created_at": "created_at_us",
        "updated_at": "updated_at_us",
    },
    like=frozenset(("name", "description", "status", "volume_id")),
)
SERVICE = "cinder.backup.drivers.holdfast"  # whose records `import` takes, as Cinder would call it
_CREATION = Form(
    "backup",
    {
        "volume_id": ID,
        "name": NAME,
        "description": TEXT,
        "container": {"type": ["string", "null"], "maxLength": 200, "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]*$|^$"},
        "incremental": BOOLEAN,
        "force": BOOLEAN,
        "snapshot_id": ID_OR_NULL,
        "metadata": WORDS_OR_NULL,
        "availability_zone": TEXT,
    },
    required=("volume_id",),
)
_CHANGE = Form("backup", {"name": NAME, "description": TEXT, "metadata": WORDS_OR_NULL})
_RESTORE = Form("restore", {"volume_id": ID_OR_NULL, "name": NAME})
_RESET = Form("os-reset_status", {"status": {"type": "string"}}, required=("status",))
_IMPORT = Form(
    "backup-record",
    {"backup_service": {"type": "string"}, "backup_url": {"type": "string", "maxLength": 65536}},
    required=("backup_service", "backup_url"),
)
_ALLOWED = (VolumeStatus.AVAILABLE, VolumeStatus.IN_USE)


def list_brief(context: Request) -> Answer:
    """GET /v3/backups."""
    return _list(context, _brief)


def list_detailed(context: Request) -> Answer:
    """GET /v3/backups/detail."""
    return _list(context, _detailed)


def show(context: Request, backup_id: str) -> Answer:
    """GET /v3/backups/{backup_id}."""
    return ok({"backup": _document(context, backup_for(context, "backup:get", backup_id))})


def create(context: Request) -> Answer:
    """POST /v3/backups."""
    attributes = _CREATION.read(context)
    volume = volume_for(context, "backup:create", attributes["volume_id"])
    snapshot = None
    if attributes.get("snapshot_id"):
        snapshot = snapshot_for(context, "volume:get_snapshot", attributes["snapshot_id"])
        if snapshot.volume_id != volume.id:
            raise invalid_snapshot(f"{snapshot.id} is not a snapshot of volume {volume.id}.")
        snapshots.require_status(snapshot, (SnapshotStatus.AVAILABLE,), "be backed up")
    else:
        force = truth(attributes.get("force", False), "force")
        if volume.status == VolumeStatus.IN_USE and not force:
            raise invalid_volume(f"Backing up volume {volume.id}, which is in use, takes force.")
        volumes.require_status(volume, _ALLOWED, "be backed up")
    if parts_of_service.is_disabled(context.connection, parts_of_service.BACKUP):
        raise Unavailable("The backup service is disabled: it takes no new backups.")
    _require_alone(context, volume)
    parent = _parent(context, volume, attributes)
    added = {"backups": 1, "backup_gigabytes": volume.size}
    quotas.require(context.connection, context.parts.settings.quotas, volume.project_id, added)
    made = _add(context, attributes, volume, snapshot, parent)
    if snapshot is None:
        volumes.pass_to(context.connection, volume, VolumeStatus.BACKING_UP, context.now_us)
    else:
        snapshots.change(context.connection, snapshot.id, context.now_us, status=SnapshotStatus.BACKING_UP)
    place = context.parts.place_of(made.project_id, made.container)
    begin(
        context,
        backing_up.Taking.NAME,
        ("backup", made.id),
        made.project_id,
        place=place.document(),
        volume_id=volume.id,
        full=parent is None,
        sealed=volume.encrypted,
    )
    return Answer(202, {"backup": _brief(context, [made])[0]})


def change(context: Request, backup_id: str) -> Answer:
    """PUT /v3/backups/{backup_id} (from 3.9 on)."""
    found = backup_for(context, "backup:update", backup_id)
    attributes = _CHANGE.read(context)
    columns: dict[str, Any] = {name: text(attributes[name]) for name in ("name", "description") if name in attributes}
    if at_least(context, 43) and attributes.get("metadata") is not None:
        columns["metadata"] = words(attributes["metadata"])
    if not columns:
        raise Invalid("Missing required element in request body: name, description or metadata.")
    backups.change(context.connection, found.id, context.now_us, **columns)
    return ok({"backup": _brief(context, [backups.get(context.connection, found.id)])[0]})


def remove(context: Request, backup_id: str) -> Answer:
    """DELETE /v3/backups/{backup_id}."""
    found = backup_for(context, "backup:delete", backup_id)
    backups.require_status(found, DELETABLE_BACKUP, "be deleted")
    return _delete(context, found)


def restore(context: Request, backup_id: str) -> Answer:
    """POST /v3/backups/{backup_id}/restore: to a volume that is there, or a new one."""
    found = backup_for(context, "backup:restore", backup_id)
    attributes = _RESTORE.read(context)
    backups.require_status(found, (BackupStatus.AVAILABLE,), "be restored")
    if attributes.get("volume_id"):
        volume = volume_for(context, "volume:update", attributes["volume_id"])
        volumes.require_status(volume, (VolumeStatus.AVAILABLE,), "be restored to")
        if volume.size < found.size:
            raise invalid_volume(f"volume size {volume.size} is too small to restore backup of size {found.size}.")
        volume_creation.require_as_secret(found, volume.encrypted)
        volumes.pass_to(context.connection, volume, VolumeStatus.RESTORING, context.now_us)
        backups.change(context.connection, found.id, context.now_us, status=BackupStatus.RESTORING)
        begin(context, restoring.NAME, ("backup", found.id), volume.project_id, volume_id=volume.id, new=False)
    else:
        context.enforce("volume:create", own_target(context))
        name = attributes.get("name") or f"restore_backup_{found.id}"
        attributes = {"name": name, **volume_creation.type_of(context, found)}
        volume = volume_creation.add_restored(context, attributes, found.size, found)
    told = {"backup_id": found.id, "volume_id": volume.id, "volume_name": volume.name}
    return Answer(202, {"restore": told})


def export(context: Request, backup_id: str) -> Answer:
    """GET /v3/backups/{backup_id}/export_record: all that it takes to find the backup again."""
    found = backup_for(context, "backup:backup-export", backup_id)
    backups.require_status(found, (BackupStatus.AVAILABLE,), "be exported")
    record = {name: getattr(found, name) for name in _RECORD}
    url = base64.b64encode(json.dumps(record).encode()).decode()
    return ok({"backup-record": {"backup_service": SERVICE, "backup_url": url}})


def import_record(context: Request) -> Answer:
    """POST /v3/backups/import_record."""
    context.enforce("backup:backup-import", own_target(context))
    attributes = _IMPORT.read(context)
    if attributes["backup_service"] != SERVICE:
        raise Invalid(f"Records of {attributes['backup_service']} cannot be read here.")
    record = _record_of(attributes["backup_url"])
    there = context.connection.scalar(select(table.c.id).where(table.c.id == record["id"]))
    if there is not None:
        raise invalid_backup(f"Backup {record['id']} is there already.")
    made = backups.add(
        context.connection,
        Backup(
            **record,
            project_id=project_of(context),
            user_id=context.caller.user.id,
            created_at_us=context.now_us,
            status=BackupStatus.AVAILABLE,
        ),
    )
    return created({"backup": _brief(context, [made])[0]})


_RECORD: Mapping[str, type | tuple[type, ...]] = {  # attributes that a record has, and their types
    "id": str,
    "volume_id": str,
    "size": int,
    "container": str,
    "data_timestamp_us": int,
    "name": (str, type(None)),
    "description": (str, type(None)),
    "is_incremental": bool,
    "location": dict,
    "object_count": int,
    "about": dict,
    "metadata": dict,
}


def _record_of(url: str) -> dict[str, Any]:
    """Return the attributes in a record. Raise Invalid."""
    try:
        record = json.loads(base64.b64decode(url, validate=True))
    except (ValueError, binascii.Error):
        record = None
    if not isinstance(record, dict) or any(not isinstance(record.get(name), kind) for name, kind in _RECORD.items()):
        raise Invalid("Can't parse backup record.")
    if record["size"] <= 0 or not 0 < len(record["id"]) <= 36:
        raise Invalid("Can't parse backup record.")
    return {name: record[name] for name in _RECORD}


def _reset_status(context: Request, backup_id: str, about: Any) -> Answer:
    found = backup_for(context, "volume_extension:backup_admin_actions:reset_status", backup_id)
    status = _RESET.check(about)["status"].lower()
    if status not in RESETTABLE_BACKUP:
        raise Invalid(f"Must specify a valid status: {status} is none.")
    if found.location is None and status == BackupStatus.AVAILABLE:
        raise invalid_backup(f"{found.id} is not whole.")
    backups.change(context.connection, found.id, context.now_us, status=status)
    return ACCEPTED


def _force_delete(context: Request, backup_id: str, _about: Any) -> Answer:
    return _delete(context, backup_for(context, "volume_extension:backup_admin_actions:force_delete", backup_id))


act = Dispatch({"os-reset_status": _reset_status, "os-force_delete": _force_delete})


def _delete(context: Request, backup: Backup) -> Answer:
    backups.change(context.connection, backup.id, context.now_us, status=BackupStatus.DELETING)
    begin(context, backing_up.Deleting.NAME, ("backup", backup.id), backup.project_id)
    return ACCEPTED


def _require_alone(context: Request, volume: Volume) -> None:
    """Raise Invalid while another backup of a volume is taken: nobody could tell whose is what both have left."""
    for operation in journal.every(context.connection):
        if operation.kind == backing_up.Taking.NAME and (operation.details or {}).get("volume_id") == volume.id:
            raise invalid_volume(f"another backup of volume {volume.id} is being taken.")


def _parent(context: Request, volume: Volume, attributes: Any) -> Backup | None:
    """Return the backup that an incremental one is told to be based on. Raise Invalid when there is none."""
    if not truth(attributes.get("incremental", False), "incremental"):
        return None
    for each in backups.of_volume(context.connection, volume.id):
        if each.status == BackupStatus.AVAILABLE and each.project_id == volume.project_id:
            return each
    raise invalid_backup("No backups available to do an incremental backup.")


def _add(
    context: Request, attributes: Any, volume: Volume, snapshot: snapshots.Snapshot | None, parent: Backup | None
) -> Backup:
    connection = context.connection
    about = {
        "bootable": volume.bootable,
        "encrypted": volume.encrypted,
        "type": volume_types.names(connection).get(volume.volume_type_id),
        "metadata": words_of(connection, volume_metadata, [volume.id])[volume.id],
        "image": words_of(connection, volume_image_metadata, [volume.id])[volume.id],
    }
    container = attributes.get("container") or (
        parent.container if parent is not None else context.parts.settings.backup_container
    )
    return backups.add(
        connection,
        Backup(
            id=new_id(),
            project_id=volume.project_id,
            user_id=context.caller.user.id,
            volume_id=volume.id,
            snapshot_id=None if snapshot is None else snapshot.id,
            size=volume.size if snapshot is None else snapshot.volume_size,
            container=container,
            name=text(attributes.get("name")),
            description=attributes.get("description"),
            is_incremental=parent is not None,
            parent_id=None if parent is None else parent.id,
            availability_zone=attributes.get("availability_zone") or context.parts.settings.availability_zone,
            data_timestamp_us=context.now_us if snapshot is None else snapshot.created_at_us,
            created_at_us=context.now_us,
            about=about,
            metadata=words(attributes.get("metadata")) if at_least(context, 43) else {},
        ),
    )


def _list(context: Request, show_rows: lists.Show) -> Answer:
    context.enforce("backup:get_all", own_target(context))
    return lists.answer_of(context, LISTED, "backups", show_rows)


def _brief(context: Request, rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [{"id": row.id, "name": row.name, "links": links(context, f"backups/{row.id}")} for row in rows]


def _detailed(context: Request, rows: "Sequence[Row[Any]]") -> list[dict[str, Any]]:
    return [_document(context, record_of(Backup, row)) for row in rows]


def _document(context: Request, backup: Backup) -> dict[str, Any]:
    document: dict[str, Any] = {
        **_brief(context, [backup])[0],
        "description": backup.description,
        "status": backup.status,
        "size": backup.size,
        "object_count": backup.object_count,
        "container": backup.container,
        "availability_zone": backup.availability_zone,
        "volume_id": backup.volume_id,
        "snapshot_id": backup.snapshot_id,
        "fail_reason": backup.fail_reason,
        "is_incremental": backup.is_incremental,
        "has_dependent_backups": False,  # each is complete: none needs another
        "data_timestamp": iso(backup.data_timestamp_us),
        "created_at": iso(backup.created_at_us),
        "updated_at": iso(backup.updated_at_us),
    }
    if at_least(context, 18) and sees_all(context):
        document["os-backup-project-attr:project_id"] = backup.project_id
    if at_least(context, 43):
        document["metadata"] = dict(backup.metadata)
    if at_least(context, 56):
        document["user_id"] = backup.user_id
    if at_least(context, 64):
        document["encryption_key_id"] = None
    return document
