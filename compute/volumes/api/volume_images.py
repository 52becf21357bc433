"""Volumes and images: what a volume knows of its image, images that are made of volumes, volumes filled anew."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from cluster.controlplane.answer import Answer, ok
from cluster.telemetry.log import get_logger
from compute.actions import ACCEPTED
from compute.errors import Unavailable
from compute.microversions import found
from compute.records import delete_word, new_id, set_words, words_of
from compute.stored import BackendError
from compute.volumes import volume_types, volumes
from compute.volumes.api.forms import BOOLEAN, ID, REQUIRED_NAME, TEXT, WORDS, Form, truth, words
from compute.volumes.api.parts import Parts
from compute.volumes.api.requests import Request, at_least, begin, project_of, volume_for
from compute.volumes.backend import Image, NewImage
from compute.volumes.errors import Invalid, NotFound
from compute.volumes.image_service import gib_for
from compute.volumes.moments import iso
from compute.volumes.operations import imaging, uploading
from compute.volumes.schema import volume_image_metadata
from compute.volumes.statuses import VolumeStatus
from compute.volumes.volumes import Volume

_METADATA = Form("os-set_image_metadata", {"metadata": WORDS}, required=("metadata",))
_KEY = Form("os-unset_image_metadata", {"key": REQUIRED_NAME}, required=("key",))
_REIMAGE = Form("os-reimage", {"image_id": ID, "reimage_reserved": BOOLEAN}, required=("image_id",))
_UPLOAD = Form(
    "os-volume_upload_image",
    {
        "image_name": REQUIRED_NAME,
        "force": BOOLEAN,
        "disk_format": {"enum": ["raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx", "", None]},
        "container_format": TEXT,
        "visibility": {"enum": ["community", "public", "private", "shared"]},
        "protected": BOOLEAN,
    },
    required=("image_name",),
)
_log = get_logger("volumes")
_FORMATS = ("raw", "qcow2", "vmdk")  # as `holdfast volume export` has them
_NOT_UPLOADED = frozenset(("image_id", "image_name", "checksum", "size", "min_disk", "min_ram"))


def set_image_metadata(context: Request, volume_id: str, about: Any) -> Answer:
    """Keep words about the image that a volume has."""
    volume = volume_for(context, "volume_extension:volume_image_metadata:set", volume_id)
    wanted = words(_METADATA.check(about)["metadata"])
    set_words(context.connection, volume_image_metadata, volume.id, wanted)
    return ok({"metadata": _image_metadata(context, volume)})


def show_image_metadata(context: Request, volume_id: str, _about: Any) -> Answer:
    """Return the words about the image that a volume has."""
    return ok({"metadata": _image_metadata(context, volume_for(context, "volume:get", volume_id))})


def unset_image_metadata(context: Request, volume_id: str, about: Any) -> Answer:
    """Forget one of the words about the image that a volume has."""
    volume = volume_for(context, "volume_extension:volume_image_metadata:remove", volume_id)
    key = _KEY.check(about)["key"]
    if not delete_word(context.connection, volume_image_metadata, volume.id, key):
        raise NotFound("Metadata item", key)
    return Answer(200)


def upload(context: Request, volume_id: str, about: Any) -> Answer:
    """Make an image of a volume."""
    volume = volume_for(context, "volume_extension:volume_actions:upload_image", volume_id)
    wanted = _UPLOAD.check(about)
    force = truth(wanted.get("force", False), "force")
    allowed = (VolumeStatus.AVAILABLE, VolumeStatus.IN_USE) if force else (VolumeStatus.AVAILABLE,)
    volumes.require_status(volume, allowed, "be copied to an image")
    image = _new_image(context, volume, wanted)
    if image.visibility == "public":
        context.enforce("volume_extension:volume_actions:upload_public", {"project_id": volume.project_id})
    volumes.pass_to(context.connection, volume, VolumeStatus.UPLOADING, context.now_us)
    begin(context, uploading.NAME, ("volume", volume.id), volume.project_id, image=asdict(image))
    context.afterwards(lambda: _announce(context.parts, image))
    kind = volume_types.get(context.connection, volume.volume_type_id)
    told = {
        "id": volume.id,
        "updated_at": iso(context.now_us),
        "status": VolumeStatus.UPLOADING,
        "display_description": volume.description,
        "size": volume.size,
        "volume_type": {"id": kind.id, "name": kind.name, "is_public": kind.is_public},
        "image_id": image.id,
        "container_format": image.container_format,
        "disk_format": image.disk_format,
        "image_name": image.name,
    }
    if at_least(context, 1):
        told |= {"visibility": image.visibility, "protected": image.protected}
    return Answer(202, {"os-volume_upload_image": told})


def ask_image(parts: Parts, token: str, document: Mapping[str, Any]) -> Image | None:
    about = document.get("os-reimage")
    if not isinstance(about, dict) or not isinstance(about.get("image_id"), str):
        return None
    try:
        return parts.images.show(about["image_id"], token)
    except BackendError as error:
        raise Unavailable(str(error)) from error


def reimage(context: Request, volume_id: str, about: Any) -> Answer:
    """From 3.68 on: fill a volume with an image anew."""
    if not at_least(context, 68):
        raise NotFound("Action", "os-reimage")
    volume = volume_for(context, "volume:reimage", volume_id)
    wanted = _REIMAGE.check(about)
    allowed = {VolumeStatus.AVAILABLE, VolumeStatus.ERROR}
    if truth(wanted.get("reimage_reserved", False), "reimage_reserved"):
        allowed.add(VolumeStatus.RESERVED)
    volumes.require_status(volume, allowed, "be re-imaged")
    image: Image | None = found(context)
    if image is None or image.status != "active":
        raise Invalid(f"Invalid image identifier or unable to access requested image: {wanted['image_id']}.")
    if volume.size < max(image.min_disk, gib_for(image.virtual_size)):
        raise Invalid(f"Volume {volume.id} is too small for image {image.id}.")
    settled = volumes.settled_status(context.connection, volume)
    volumes.change(
        context.connection, volume.id, context.now_us, status=VolumeStatus.DOWNLOADING, previous_status=settled
    )
    begin(
        context,
        imaging.NAME,
        ("volume", volume.id),
        volume.project_id,
        image_id=image.id,
        about=dict(image.about),
    )
    return ACCEPTED


def _announce(parts: Parts, image: NewImage) -> None:
    """Have the image be there when its id is told; the operation sees to it in any case."""
    try:
        parts.images.announce(image)
    except BackendError as error:
        _log.warning("image_not_announced", image=image.id, error=error)


def _image_metadata(context: Request, volume: Volume) -> dict[str, str]:
    return words_of(context.connection, volume_image_metadata, [volume.id])[volume.id]


def _new_image(context: Request, volume: Volume, wanted: Mapping[str, Any]) -> NewImage:
    disk_format = wanted.get("disk_format") or "raw"
    if disk_format not in _FORMATS:
        raise Invalid(f"Volumes become images in the formats {', '.join(_FORMATS)}, not {disk_format}.")
    container = wanted.get("container_format") or "bare"
    if container != "bare":
        raise Invalid(f"Volumes become images in the container format bare, not {container}.")
    about = _image_metadata(context, volume)
    return NewImage(
        id=new_id(),
        name=wanted["image_name"],
        owner=project_of(context),
        disk_format=disk_format,
        container_format=container,
        visibility=(wanted.get("visibility") or "private") if at_least(context, 1) else "private",
        protected=at_least(context, 1) and truth(wanted.get("protected", False), "protected"),
        properties={
            name: value
            for name, value in about.items()
            if name not in _NOT_UPLOADED and name not in ("disk_format", "container_format")
        },
    )
