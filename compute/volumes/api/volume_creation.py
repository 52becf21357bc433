"""Making volumes: what they begin as, which type they have, and whether there is room in the project's quota."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.controlplane.answer import Answer
from compute.errors import Unavailable
from compute.microversions import asking_first, found
from compute.records import new_id, set_words, words_of
from compute.stored import BackendError
from compute.volumes import backups, parts_of_service, quotas, snapshots, volume_types, volumes
from compute.volumes.api import volume_documents
from compute.volumes.api.forms import ID_OR_NULL, NAME, SIZE, TEXT, WORDS_OR_NULL, Form, size, text, words
from compute.volumes.api.parts import Parts
from compute.volumes.api.requests import (
    Request,
    at_least,
    backup_for,
    begin,
    own_target,
    project_of,
    sees_all,
    snapshot_for,
    volume_for,
)
from compute.volumes.backend import Image
from compute.volumes.errors import Invalid, NotFound, invalid_input, invalid_volume
from compute.volumes.image_mapping import root_snapshot_id
from compute.volumes.image_service import gib_for
from compute.volumes.operations import creation, restoring
from compute.volumes.schema import volume_image_metadata, volume_metadata
from compute.volumes.statuses import BackupStatus, SnapshotStatus, VolumeStatus
from compute.volumes.volume_types import VolumeType
from compute.volumes.volumes import Volume


@dataclass(frozen=True, slots=True)
class Origin:
    """What a volume begins as."""

    kind: str = creation.EMPTY
    details: Mapping[str, str] | None = None
    least_gb: int = 0
    type_id: str | None = None
    bootable: bool = False
    about_image: Mapping[str, str] | None = None
    snapshot_id: str | None = None
    source_volid: str | None = None
    image: Image | None = None


_CREATION = Form(
    "volume",
    {
        "name": NAME,
        "display_name": NAME,
        "description": TEXT,
        "display_description": TEXT,
        "size": SIZE,
        "availability_zone": TEXT,
        "volume_type": TEXT,
        "metadata": WORDS_OR_NULL,
        "snapshot_id": ID_OR_NULL,
        "source_volid": ID_OR_NULL,
        "imageRef": {"type": ["string", "null"], "maxLength": 255},
        "image_id": ID_OR_NULL,
        "backup_id": ID_OR_NULL,
        "consistencygroup_id": ID_OR_NULL,
        "group_id": ID_OR_NULL,
    },
)


def _ask_image(parts: Parts, token: str, document: Mapping[str, Any]) -> Image | None:
    attributes = document.get("volume")
    reference = _image_of(attributes) if isinstance(attributes, dict) else None
    if reference is None:
        return None
    try:
        return parts.images.show(reference, token)
    except BackendError as error:
        raise Unavailable(str(error)) from error


@asking_first(_ask_image)
def create(context: Request) -> Answer:
    """POST /v3/volumes."""
    context.enforce("volume:create", own_target(context))
    attributes = _CREATION.read(context)
    _refuse_left_out(attributes)
    if attributes.get("backup_id") and at_least(context, 47):
        return _from_backup(context, attributes)
    origin = _origin(context, attributes)
    if attributes.get("size") in (None, "") and not origin.least_gb:
        raise invalid_input("a size is needed.")
    gigabytes = origin.least_gb if attributes.get("size") in (None, "") else size(attributes["size"])
    _require_room(origin, gigabytes)
    kind = _type(context, attributes, origin)
    made = _add(context, attributes, gigabytes, kind, origin)
    details = dict(origin.details or {})
    begin(context, creation.NAME, ("volume", made.id), made.project_id, source=origin.kind, **details)
    return Answer(202, {"volume": volume_documents.summary(context, made)})


def _refuse_left_out(attributes: Mapping[str, Any]) -> None:
    for name in ("consistencygroup_id", "group_id"):
        if attributes.get(name):
            raise NotFound("Group", str(attributes[name]))
    if attributes.get("source_replica"):
        raise Invalid("Volumes are not replicated to other clusters.")
    named = [name for name in ("snapshot_id", "source_volid", "imageRef", "image_id") if attributes.get(name)]
    if len(named) > 1 and set(named) != {"imageRef", "image_id"}:
        raise invalid_input(f"a volume begins as one thing, not as {' and '.join(named)}.")


def _image_of(attributes: Mapping[str, Any]) -> str | None:
    """Return the id of the image that is named, which may come as a URL."""
    reference = attributes.get("imageRef") or attributes.get("image_id")
    return str(reference).rstrip("/").rpartition("/")[2] if reference else None


def _origin(context: Request, attributes: Mapping[str, Any]) -> Origin:
    if attributes.get("snapshot_id"):
        return _of_snapshot(context, attributes["snapshot_id"])
    if attributes.get("source_volid"):
        return _of_volume(context, attributes["source_volid"])
    reference = _image_of(attributes)
    return Origin() if reference is None else _of_image(context, reference)


def _of_snapshot(context: Request, snapshot_id: str) -> Origin:
    snapshot = snapshot_for(context, "volume:get_snapshot", snapshot_id)
    snapshots.require_status(snapshot, (SnapshotStatus.AVAILABLE,), "create a volume of it")
    source = volumes.get(context.connection, snapshot.volume_id)
    return Origin(
        kind=creation.SNAPSHOT,
        details={"snapshot_id": snapshot.id},
        least_gb=snapshot.volume_size,
        type_id=snapshot.volume_type_id,
        bootable=source.bootable,
        about_image=_about_image(context, source.id),
        snapshot_id=snapshot.id,
    )


def _of_volume(context: Request, volume_id: str) -> Origin:
    source = volume_for(context, "volume:get", volume_id)
    volumes.require_status(source, (VolumeStatus.AVAILABLE, VolumeStatus.IN_USE), "create a volume of it")
    return Origin(
        kind=creation.VOLUME,
        details={"volume_id": source.id},
        least_gb=source.size,
        type_id=source.volume_type_id,
        bootable=source.bootable,
        about_image=_about_image(context, source.id),
        source_volid=source.id,
    )


def _of_image(context: Request, image_id: str) -> Origin:
    context.enforce("volume:create_from_image", own_target(context))
    image: Image | None = found(context)
    if image is None:
        raise Invalid(f"Invalid image identifier or unable to access requested image: {image_id}.")
    if image.status != "active":
        raise Invalid(f"Invalid input received: Image {image_id} is not active.")
    snapshot_id = root_snapshot_id(image) if at_least(context, 46) else None
    if snapshot_id is not None:
        return _of_snapshot(context, snapshot_id)
    return Origin(
        kind=creation.IMAGE,
        details={"image_id": image.id},
        bootable=True,
        about_image=image.about,
        image=image,
    )


def _about_image(context: Request, volume_id: str) -> Mapping[str, str]:
    return words_of(context.connection, volume_image_metadata, [volume_id])[volume_id]


def _require_room(origin: Origin, gigabytes: int) -> None:
    if gigabytes < origin.least_gb:
        what = "snapshot size" if origin.snapshot_id else "original volume size"
        raise invalid_input(f"Volume size '{gigabytes}'GB cannot be smaller than the {what} {origin.least_gb}GB.")
    if origin.image is not None:
        needed = max(origin.image.min_disk, gib_for(max(origin.image.virtual_size, 0)))
        if gigabytes < needed:
            raise Invalid(f"Volume size {gigabytes}GB cannot be smaller than the image minDisk size {needed}GB.")


def _type(context: Request, attributes: Mapping[str, Any], origin: Origin) -> VolumeType:
    named = attributes.get("volume_type")
    if named:
        return volume_types.visible(context.connection, named, context.project_id, sees_all(context))
    if origin.type_id is not None:
        return volume_types.get(context.connection, origin.type_id)
    of_image = (origin.about_image or {}).get("cinder_img_volume_type")
    if of_image:
        return volume_types.visible(context.connection, of_image, context.project_id, sees_all(context))
    return volume_types.default(context.connection, context.project_id)


def _add(
    context: Request,
    attributes: Mapping[str, Any],
    gigabytes: int,
    kind: VolumeType,
    origin: Origin,
    **columns: Any,
) -> Volume:
    """Store a volume that is being made, if there is room in the project's quota."""
    settings, connection = context.parts.settings, context.connection
    project_id = project_of(context)
    if parts_of_service.is_disabled(connection, parts_of_service.VOLUME):
        raise Unavailable("The volume service is disabled: it takes no new volumes.")
    zone = attributes.get("availability_zone") or settings.availability_zone
    if zone != settings.availability_zone:
        raise invalid_input(f"Availability zone '{zone}' is invalid.")
    quotas.require_size(connection, settings.quotas, project_id, gigabytes)
    quotas.require(connection, settings.quotas, project_id, {"volumes": 1, "gigabytes": gigabytes}, kind.name)
    made = volumes.add(
        connection,
        Volume(
            id=new_id(),
            project_id=project_id,
            user_id=context.caller.user.id,
            name=text(attributes.get("name", attributes.get("display_name"))),
            description=attributes.get("description", attributes.get("display_description")),
            size=gigabytes,
            volume_type_id=kind.id,
            availability_zone=zone,
            bootable=origin.bootable,
            multiattach=kind.multiattach,
            encrypted=volume_types.encryption(connection, kind.id) is not None,
            snapshot_id=origin.snapshot_id,
            source_volid=origin.source_volid,
            created_at_us=context.now_us,
            **columns,
        ),
    )
    set_words(connection, volume_metadata, made.id, words(attributes.get("metadata")))
    set_words(connection, volume_image_metadata, made.id, dict(origin.about_image or {}))
    return made


def _from_backup(context: Request, attributes: Mapping[str, Any]) -> Answer:
    """Make a volume of a backup (from 3.47 on)."""
    backup = backup_for(context, "backup:restore", attributes["backup_id"])
    backups.require_status(backup, (BackupStatus.AVAILABLE,), "create a volume of it")
    gigabytes = backup.size if attributes.get("size") in (None, "") else size(attributes["size"])
    made = add_restored(context, {**type_of(context, backup), **attributes}, gigabytes, backup)
    return Answer(202, {"volume": volume_documents.summary(context, made)})


def require_as_secret(backup: backups.Backup, encrypted: bool) -> None:
    """Raise Invalid when a backup of an encrypted volume would come to lie open."""
    if backup.about.get("encrypted") and not encrypted:
        raise invalid_volume(f"backup {backup.id} is of an encrypted volume: it takes one of an encrypted type.")


def type_of(context: Request, backup: backups.Backup) -> dict[str, str]:
    """Return the type that a restored volume has: that of the old one, if it is still there for the caller."""
    name = backup.about.get("type")
    names = volume_types.names(context.connection).values()
    return {"volume_type": str(name)} if name in names else {}


def add_restored(context: Request, attributes: Mapping[str, Any], gigabytes: int, backup: backups.Backup) -> Volume:
    """Store a volume that is to be what a backup has, and have that be restored."""
    if gigabytes < backup.size:
        raise invalid_volume(f"volume size {gigabytes} is too small to restore backup of size {backup.size}.")
    about = backup.about
    origin = Origin(bootable=bool(about.get("bootable")), about_image=about.get("image") or {})
    kind = _type(context, attributes, origin)
    require_as_secret(backup, volume_types.encryption(context.connection, kind.id) is not None)
    meant = {**attributes, "metadata": attributes.get("metadata") or about.get("metadata") or {}}
    made = _add(context, meant, gigabytes, kind, origin, backup_id=backup.id, status=VolumeStatus.RESTORING)
    backups.change(context.connection, backup.id, context.now_us, status=BackupStatus.RESTORING)
    begin(context, restoring.NAME, ("backup", backup.id), made.project_id, volume_id=made.id, new=True)
    return made
