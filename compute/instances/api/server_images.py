"""Images of servers: createImage, and createBackup without rotation."""

from typing import Any

from cluster.controlplane.answer import Answer
from compute.instances import block_devices, quotas, servers
from compute.instances.api.forms import LOOSE_NAME, METADATA, Form
from compute.instances.api.requests import Request, at_least
from compute.instances.api.server_access import RULE, begin, unlocked_for
from compute.instances.errors import Invalid, OverQuota
from compute.instances.operations import imaging
from compute.instances.servers import Server
from compute.instances.statuses import Task, VmState
from compute.records import new_id
from compute.stored import BackendError

_FORM = Form("", {"name": LOOSE_NAME, "metadata": METADATA}, required=("name",))
_LEFT_OUT = ("os_hash", "stores", "owner_specified", "os_glance")  # of the properties of the image that it began as
_STATES = (VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED, VmState.SUSPENDED)


def create(context: Request, server_id: str, about: Any) -> Answer:
    """Make an image of a server as it is now."""
    attributes = _FORM.check(about)
    server = unlocked_for(context, f"{RULE}servers:create_image", server_id)
    servers.require(server, "createImage", _STATES)
    limit = quotas.limits(context.connection, context.parts.settings.quotas, server.project_id)["metadata_items"]
    if 0 <= limit < len(attributes.get("metadata") or {}):
        raise OverQuota("Image property count exceeds the limit.")
    root = next((each for each in block_devices.of_server(context.connection, server.id) if each.is_root), None)
    if root is None:
        raise Invalid("The server has no disk to begin with.")
    if not root.is_local:
        context.enforce(f"{RULE}servers:create_image:allow_volume_backed", {"project_id": server.project_id})
    image = _document(context, server, attributes, root.is_local)
    operation = {"task_state": Task.SNAPSHOT_PENDING}
    operation_id = begin(context, server, "createImage", imaging.NAME, operation, image=image)
    if root.is_local:
        context.afterwards(lambda: _announce(context, image))
    else:  # clients look for it at once; there are no data that would take long
        context.afterwards(lambda: context.parts.hasten(operation_id))
    if at_least(context, 45):
        return Answer(202, {"image_id": image["id"]})
    return Answer(202, None, {"Location": f"{context.base_url}/images/{image['id']}"})


def _announce(context: Request, image: dict[str, Any]) -> None:
    """Have clients see the image at once; the operation does it again."""
    try:
        context.parts.images.create(image)
    except BackendError:
        return


def _document(context: Request, server: Server, attributes: dict[str, Any], is_local: bool) -> dict[str, Any]:
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
        **(attributes.get("metadata") or {}),
        "id": new_id(),
        "name": attributes["name"].strip(),
        "owner": server.project_id,
        "visibility": "private",
        "disk_format": context.parts.settings.image_format if is_local else "raw",
        "container_format": "bare",
        "min_disk": gib,
        "min_ram": int(server.image.get("min_ram") or 0),
    }
