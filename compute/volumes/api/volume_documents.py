"""Volumes as documents."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select

from compute.records import IDS_PER_QUERY, record_of, words_of
from compute.volumes import volume_types
from compute.volumes.api.requests import Request, at_least, links, sees_all
from compute.volumes.attachments import Attachment
from compute.volumes.moments import iso
from compute.volumes.schema import attachments, volume_image_metadata, volume_metadata
from compute.volumes.statuses import AttachStatus
from compute.volumes.volumes import Volume

Document = dict[str, Any]


def brief(context: Request, rows: "Sequence[Row[Any]]") -> list[Document]:
    """Return volumes by their names only."""
    return [{"id": row.id, "name": row.name or "", "links": links(context, f"volumes/{row.id}")} for row in rows]


def detailed(context: Request, rows: "Sequence[Row[Any]]") -> list[Document]:
    """Return volumes with all that is shown of them."""
    return described(context, [record_of(Volume, row) for row in rows])


def shown(context: Request, volume: Volume) -> Document:
    """Return one volume with all that is shown of it."""
    return described(context, [volume])[0]


def summary(context: Request, volume: Volume) -> Document:
    """Return one volume as it is shown to who has just made or changed it."""
    return {name: value for name, value in shown(context, volume).items() if name not in _EXTENDED}


_EXTENDED = frozenset(
    (
        "os-vol-tenant-attr:tenant_id",
        "os-vol-host-attr:host",
        "os-vol-mig-status-attr:migstat",
        "os-vol-mig-status-attr:name_id",
        "volume_image_metadata",
    )
)


def described(context: Request, found: Sequence[Volume]) -> list[Document]:
    """Return volumes with all that is shown of them."""
    connection, ids = context.connection, [volume.id for volume in found]
    names = volume_types.names(connection)
    metadata = words_of(connection, volume_metadata, ids)
    of_images = words_of(connection, volume_image_metadata, ids)
    attached = _attached(context, ids)
    is_admin = sees_all(context)
    documents = []
    for volume in found:
        document = _plain(context, volume, names.get(volume.volume_type_id))
        document["metadata"] = metadata[volume.id]
        if volume.readonly is not None:
            document["metadata"]["readonly"] = str(volume.readonly)
        document["attachments"] = [_attachment(each, is_admin) for each in attached.get(volume.id, ())]
        if of_images[volume.id]:
            document["volume_image_metadata"] = of_images[volume.id]
        document["os-vol-tenant-attr:tenant_id"] = volume.project_id
        if is_admin:
            document["os-vol-host-attr:host"] = context.parts.settings.host
            document["os-vol-mig-status-attr:migstat"] = None
            document["os-vol-mig-status-attr:name_id"] = None
        documents.append(document | _newer(context, volume, is_admin))
    return documents


def _plain(context: Request, volume: Volume, type_name: str | None) -> Document:
    return {
        "id": volume.id,
        "name": volume.name,
        "description": volume.description,
        "size": volume.size,
        "status": volume.status,
        "bootable": str(volume.bootable).lower(),
        "multiattach": volume.multiattach,
        "encrypted": volume.encrypted,
        "availability_zone": volume.availability_zone,
        "volume_type": type_name,
        "snapshot_id": volume.snapshot_id,
        "source_volid": volume.source_volid,
        "user_id": volume.user_id,
        "created_at": iso(volume.created_at_us),
        "updated_at": iso(volume.updated_at_us),
        "replication_status": None,
        "migration_status": None,
        "consistencygroup_id": None,
        "links": links(context, f"volumes/{volume.id}"),
    }


def _newer(context: Request, volume: Volume, is_admin: bool) -> Document:
    """Return what newer versions of the API show, too."""
    found: Document = {}
    if at_least(context, 13):
        found["group_id"] = None
    if at_least(context, 21) and is_admin:
        found["provider_id"] = None
    if at_least(context, 48):
        found |= {"shared_targets": False, "service_uuid": None}
    if at_least(context, 61) and is_admin:
        found["cluster_name"] = None
    if at_least(context, 63):
        found["volume_type_id"] = volume.volume_type_id
    if at_least(context, 64) and volume.encrypted:
        found["encryption_key_id"] = None  # the gateway has it
    if at_least(context, 65):
        found["consumes_quota"] = True
    return found


def _attached(context: Request, ids: Sequence[str]) -> dict[str, list[Attachment]]:
    found: dict[str, list[Attachment]] = {}
    for start in range(0, len(ids), IDS_PER_QUERY):
        query = select(attachments).where(
            attachments.c.volume_id.in_(ids[start : start + IDS_PER_QUERY]),
            attachments.c.status == AttachStatus.ATTACHED,
        )
        for row in context.connection.execute(query.order_by(attachments.c.created_at_us)):
            found.setdefault(row.volume_id, []).append(record_of(Attachment, row))
    return found


def _attachment(attachment: Attachment, is_admin: bool) -> Document:
    return {
        "id": attachment.volume_id,
        "attachment_id": attachment.id,
        "volume_id": attachment.volume_id,
        "server_id": attachment.instance_id,
        "host_name": attachment.attached_host if is_admin or attachment.instance_id is None else None,
        "device": attachment.mountpoint,
        "attached_at": iso(attachment.attached_at_us),
    }
