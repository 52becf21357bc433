"""Images of servers: createImage, createBackup, and those that servers are shelved as."""

from collections.abc import Mapping
from typing import Any

from cluster.controlplane.answer import Answer
from compute.instances import block_devices, quotas, servers
from compute.instances.api.forms import LOOSE_NAME, METADATA, NAME_LIMIT, NUMBER, Form, number
from compute.instances.api.requests import Request, at_least
from compute.instances.api.server_access import RULE, begin, unlocked_for
from compute.instances.block_devices import BlockDevice
from compute.instances.errors import Invalid, OverQuota
from compute.instances.operations import imaging
from compute.instances.servers import Server
from compute.instances.statuses import Task, VmState
from compute.records import new_id
from compute.stored import BackendError

_FORM = Form("", {"name": LOOSE_NAME, "metadata": METADATA}, required=("name",))
_BACKUP = Form(
    "",
    {
        "name": LOOSE_NAME,
        "backup_type": {"type": "string", "maxLength": NAME_LIMIT},
        "rotation": NUMBER,
        "metadata": METADATA,
    },
    required=("name", "backup_type", "rotation"),
)
_LEFT_OUT = ("os_hash", "stores", "owner_specified", "os_glance")  # of the properties of the image that it began as
_STATES = (VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED, VmState.SUSPENDED)


def create(context: Request, server_id: str, about: Any) -> Answer:
    """Make an image of a server as it is now."""
    attributes = _FORM.check(about)
    server = unlocked_for(context, f"{RULE}servers:create_image", server_id)
    servers.require(server, "createImage", _STATES)
    metadata = _metadata(context, server, attributes)
    root = next((each for each in block_devices.of_server(context.connection, server.id) if each.is_root), None)
    if root is None:
        raise Invalid("The server has no disk to begin with.")
    if not root.is_local:
        context.enforce(f"{RULE}servers:create_image:allow_volume_backed", {"project_id": server.project_id})
    image = _document(context, server, attributes["name"], metadata, root.is_local)
    operation = {"task_state": Task.SNAPSHOT_PENDING}
    is_short = not root.is_local  # no data, which would take long; and clients look for it at once
    begin(context, server, "createImage", imaging.NAME, operation, at_once=is_short, image=image)
    if root.is_local:
        announce(context, image)
    return _accepted(context, image)


def back_up(context: Request, server_id: str, about: Any) -> Answer:
    """Make an image of a server as it is now, and delete the oldest of its kind that are too many."""
    attributes = _BACKUP.check(about)
    rotation = number(attributes["rotation"], "rotation", 0)
    server = unlocked_for(context, f"{RULE}os-create-backup", server_id)
    servers.require(server, "createBackup", _STATES)
    if own_root(context, server) is None:
        raise Invalid("Backup is not supported for volume-backed instances.")
    kind = {"image_type": "backup", "backup_type": attributes["backup_type"]}
    image = _document(context, server, attributes["name"], {**_metadata(context, server, attributes), **kind}, True)
    columns = {"task_state": Task.BACKUP}
    begin(context, server, "createBackup", imaging.NAME, columns, image=image, rotation=rotation)
    announce(context, image)
    return _accepted(context, image) if rotation else Answer(202)


def shelved(context: Request, server: Server) -> dict[str, Any] | None:
    """Return the document of the image that a server is shelved as; None: it needs none."""
    if own_root(context, server) is None:
        return None
    return _document(context, server, f"{server.name}-shelved", {}, True)


def own_root(context: Request, server: Server) -> BlockDevice | None:
    """Return the disk that a server begins with, if it is its own."""
    devices = block_devices.of_server(context.connection, server.id)
    return next((each for each in devices if each.use == block_devices.ROOT), None)


def announce(context: Request, image: dict[str, Any]) -> None:
    """Have clients see an image with the answer."""
    context.afterwards(lambda: _announce(context, image))


def _accepted(context: Request, image: dict[str, Any]) -> Answer:
    if at_least(context, 45):
        return Answer(202, {"image_id": image["id"]})
    return Answer(202, None, {"Location": f"{context.base_url}/images/{image['id']}"})


def _metadata(context: Request, server: Server, attributes: dict[str, Any]) -> dict[str, str]:
    """Return the properties that a client wants an image to have. Raise OverQuota."""
    metadata = dict(attributes.get("metadata") or {})
    limit = quotas.limits(context.connection, context.parts.settings.quotas, server.project_id)["metadata_items"]
    if 0 <= limit < len(metadata):
        raise OverQuota("Image property count exceeds the limit.")
    return metadata


def _announce(context: Request, image: dict[str, Any]) -> None:
    """Have clients see the image at once; the operation does it again."""
    try:
        context.parts.images.create(image)
    except BackendError:
        return


def _document(
    context: Request, server: Server, name: str, metadata: Mapping[str, str], is_local: bool
) -> dict[str, Any]:
    kept = dict(server.image.get("properties", {}))
    own = {
        "image_type": "snapshot",
        "instance_uuid": server.id,
        "user_id": server.user_id,
        "owner_id": server.project_id,
        "base_image_ref": server.image_id or "",
    }
    gib = max(server.kind.disk_gb if is_local else 0, int(server.image.get("min_disk") or 0))
    return {
        **{key: value for key, value in kept.items() if not key.startswith(_LEFT_OUT)},
        **own,
        **metadata,
        "id": new_id(),
        "name": name.strip(),
        "owner": server.project_id,
        "visibility": "private",
        "disk_format": context.parts.settings.image_format if is_local else "raw",
        "container_format": "bare",
        "min_disk": gib,
        "min_ram": int(server.image.get("min_ram") or 0),
    }
