"""What is done to volumes beside changing their names: `POST /v3/volumes/{volume_id}/action`."""

from collections.abc import Mapping
from typing import Any

from cluster.controlplane.answer import Answer
from compute.actions import ACCEPTED, Action, Dispatch
from compute.microversions import asking_first
from compute.volumes import quotas, snapshots, volume_types, volumes
from compute.volumes.api import volume_attaching, volume_images
from compute.volumes.api import volumes as operations
from compute.volumes.api.forms import BOOLEAN, ID, REQUIRED_NAME, SIZE, TEXT, Form, size, truth
from compute.volumes.api.parts import Parts
from compute.volumes.api.requests import Request, at_least, begin, sees_all, volume_for
from compute.volumes.errors import Conflict, Invalid, NotFound, invalid_input, invalid_volume
from compute.volumes.operations import extension, retyping, reversion
from compute.volumes.statuses import RESETTABLE_VOLUME, AttachStatus, SnapshotStatus, VolumeStatus

_EXTENSION = Form("os-extend", {"new_size": SIZE}, required=("new_size",))
_RESET = Form("os-reset_status", {"status": TEXT, "attach_status": TEXT, "migration_status": TEXT})
_BOOTABLE = Form("os-set_bootable", {"bootable": BOOLEAN}, required=("bootable",))
_READONLY = Form("os-update_readonly_flag", {"readonly": BOOLEAN}, required=("readonly",))
_RETYPE = Form("os-retype", {"new_type": REQUIRED_NAME, "migration_policy": TEXT}, required=("new_type",))
_REVERT = Form("revert", {"snapshot_id": ID}, required=("snapshot_id",))


def extend(context: Request, volume_id: str, about: Any) -> Answer:
    """Make a volume larger; from 3.42 on also while it is used."""
    volume = volume_for(context, "volume:extend", volume_id)
    gigabytes = size(_EXTENSION.check(about)["new_size"], "new size")
    if volume.status == VolumeStatus.IN_USE and at_least(context, 42):
        context.enforce("volume:extend_attached_volume", {"project_id": volume.project_id})
    else:
        volumes.require_status(volume, (VolumeStatus.AVAILABLE,), "be extended")
    if gigabytes <= volume.size:
        raise invalid_input(
            f"New size for extend must be greater than current size. (current: {volume.size}, extended: {gigabytes})."
        )
    added = gigabytes - volume.size
    settings, connection = context.parts.settings, context.connection
    type_name = volume_types.names(connection).get(volume.volume_type_id)
    quotas.require_size(connection, settings.quotas, volume.project_id, gigabytes)
    quotas.require(connection, settings.quotas, volume.project_id, {"gigabytes": added}, type_name)
    volumes.pass_to(connection, volume, VolumeStatus.EXTENDING, context.now_us, reserved_gb=added)
    begin(context, extension.NAME, ("volume", volume.id), volume.project_id, size=gigabytes)
    return ACCEPTED


def complete_extension(context: Request, volume_id: str, _about: Any) -> Answer:
    """From 3.71 on: for backends that wait for the guest's host. This one does not."""
    if not at_least(context, 71):
        raise NotFound("Action", "os-extend_volume_completion")
    volume = volume_for(context, "volume:extend_volume_completion", volume_id)
    raise invalid_volume(f"Volume {volume.id} does not wait for the completion of an extension.")


def reset_status(context: Request, volume_id: str, about: Any) -> Answer:
    """Say what state a volume is in."""
    volume = volume_for(context, "volume_extension:volume_admin_actions:reset_status", volume_id)
    wanted = {name: str(value).lower() for name, value in _RESET.check(about).items() if value}
    if not wanted:
        raise Invalid("Must specify 'status', 'attach_status' or 'migration_status' for update.")
    status = wanted.get("status", volume.status)
    if status not in RESETTABLE_VOLUME:
        raise Invalid(f"Must specify a valid status: {status} is none.")
    attach_status = wanted.get("attach_status", AttachStatus.DETACHED)
    if attach_status not in (AttachStatus.ATTACHED, AttachStatus.DETACHED, AttachStatus.RESERVED, "attaching"):
        raise Invalid(f"Must specify a valid attach status: {attach_status} is none.")
    if wanted.get("migration_status") not in (None, "none", "error", "success", "completing", "migrating", "starting"):
        raise Invalid("Must specify a valid migration status.")
    if wanted.get("attach_status") == AttachStatus.DETACHED:
        volume_attaching.release_all(context, volume)
    if "status" in wanted:
        volumes.change(context.connection, volume.id, context.now_us, status=status, previous_status=None)
    return ACCEPTED


def force_delete(context: Request, volume_id: str, _about: Any) -> Answer:
    """Delete a volume in whatever state it is, if no server has it."""
    volume = volume_for(context, "volume_extension:volume_admin_actions:force_delete", volume_id)
    volume_attaching.require_none_servers(context, volume)
    volume_attaching.release_all(context, volume)
    operations.delete(context, volumes.get(context.connection, volume.id), cascade=False, force=True)
    return ACCEPTED


def set_bootable(context: Request, volume_id: str, about: Any) -> Answer:
    """Say whether guests can start from a volume."""
    volume = volume_for(context, "volume_extension:volume_actions:set_bootable", volume_id)
    bootable = truth(_BOOTABLE.check(about)["bootable"], "bootable")
    volumes.change(context.connection, volume.id, context.now_us, bootable=bootable)
    return Answer(200)


def set_readonly(context: Request, volume_id: str, about: Any) -> Answer:
    """Say whether hosts may change a volume that they attach from now on."""
    volume = volume_for(context, "volume:update_readonly_flag", volume_id)
    volumes.require_status(volume, (VolumeStatus.AVAILABLE,), "update its readonly flag")
    readonly = truth(_READONLY.check(about)["readonly"], "readonly")
    volumes.change(context.connection, volume.id, context.now_us, readonly=readonly)
    return ACCEPTED


def retype(context: Request, volume_id: str, about: Any) -> Answer:
    """Give a volume another type, where no data have to move."""
    volume = volume_for(context, "volume:retype", volume_id)
    connection, settings = context.connection, context.parts.settings
    wanted = _RETYPE.check(about)
    volumes.require_status(volume, (VolumeStatus.AVAILABLE, VolumeStatus.IN_USE), "be retyped")
    if wanted.get("migration_policy") not in (None, "never", "on-demand"):
        raise Invalid("migration_policy must be 'on-demand' or 'never'.")
    old = volume_types.get(connection, volume.volume_type_id)
    new = volume_types.visible(connection, wanted["new_type"], context.project_id, sees_all(context))
    if new.id == old.id:
        raise Invalid(f"Invalid volume type: New volume_type same as original: {new.id}.")
    if (volume_types.encryption(connection, new.id) is not None) != volume.encrypted:
        raise Invalid("Retype requires migration: the encryption of a volume stays as it was made.")
    if new.multiattach != old.multiattach and volume.status != VolumeStatus.AVAILABLE:
        raise invalid_input("Invalid volume_type passed: multiattach changes for a volume that is available only.")
    of_types = {quotas.of_type("volumes", new.name): 1, quotas.of_type("gigabytes", new.name): volume.size}
    quotas.require_of_type(connection, settings.quotas, volume.project_id, of_types)
    volumes.pass_to(
        connection,
        volume,
        VolumeStatus.RETYPING,
        context.now_us,
        volume_type_id=new.id,
        multiattach=new.multiattach,
    )
    begin(
        context,
        retyping.NAME,
        ("volume", volume.id),
        volume.project_id,
        old_type_id=old.id,
        old_multiattach=volume.multiattach,
    )
    return ACCEPTED


def revert(context: Request, volume_id: str, about: Any) -> Answer:
    """From 3.40 on: make a volume what its newest snapshot is."""
    if not at_least(context, 40):
        raise NotFound("Action", "revert")
    volume = volume_for(context, "volume:revert_to_snapshot", volume_id)
    snapshot_id = _REVERT.check(about)["snapshot_id"]
    snapshot = snapshots.get(context.connection, snapshot_id, volume.project_id)
    if volumes.snapshot_ids(context.connection, volume.id)[:1] != [snapshot.id]:
        raise Invalid(f"Specified snapshot {snapshot_id} is not the latest one of volume {volume.id}.")
    if volume.size != snapshot.volume_size:
        raise Invalid(f"Can't revert volume {volume.id}: it has been extended since {snapshot_id} was taken.")
    if volume.status != VolumeStatus.AVAILABLE or snapshot.status != SnapshotStatus.AVAILABLE:
        raise Conflict(f"Can't revert volume {volume.id}: it and its snapshot must be available.")
    volumes.pass_to(context.connection, volume, VolumeStatus.REVERTING, context.now_us)
    snapshots.change(context.connection, snapshot.id, context.now_us, status=SnapshotStatus.RESTORING)
    begin(context, reversion.NAME, ("volume", volume.id), volume.project_id, snapshot_id=snapshot.id)
    return ACCEPTED


ACTIONS: Mapping[str, Action] = {
    "os-extend": extend,
    "os-extend_volume_completion": complete_extension,
    "os-reset_status": reset_status,
    "os-force_delete": force_delete,
    "os-set_bootable": set_bootable,
    "os-update_readonly_flag": set_readonly,
    "os-set_image_metadata": volume_images.set_image_metadata,
    "os-show_image_metadata": volume_images.show_image_metadata,
    "os-unset_image_metadata": volume_images.unset_image_metadata,
    "os-retype": retype,
    "revert": revert,
    "os-volume_upload_image": volume_images.upload,
    "os-reimage": volume_images.reimage,
    **volume_attaching.ACTIONS,
}


def _ask(parts: Parts, token: str, document: Mapping[str, Any], volume_id: str) -> Any:
    """Ask what an action needs to know of others."""
    if "os-reimage" in document:
        return volume_images.ask_image(parts, token, document)
    return volume_attaching.ask_servers_first(parts, token, document, volume_id)


act = asking_first(_ask, of_path=True)(Dispatch(ACTIONS))
