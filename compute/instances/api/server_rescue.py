"""Actions by which a server begins with the disk of another image, to be mended, and with its own again."""

from collections.abc import Mapping
from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.instances import block_devices, servers
from compute.instances.api.forms import Form
from compute.instances.api.parts import Parts
from compute.instances.api.requests import Request, at_least
from compute.instances.api.server_access import RULE, asking, begin, unlocked_for
from compute.instances.api.server_asking import named, permitted
from compute.instances.api.server_creation import check_image, image_id_of, password_of
from compute.instances.block_devices import IMAGE, LOCAL, RESCUE, BlockDevice
from compute.instances.errors import Conflict, Invalid
from compute.instances.interfaces import Image
from compute.instances.operations.rescuing import Rescuing, Unrescuing
from compute.instances.servers import Server
from compute.instances.statuses import Task, VmState
from compute.microversions import found
from compute.records import new_id

ACCEPTED = Answer(202)
_FORM = Form("", {"adminPass": {"type": "string"}, "rescue_image_ref": {"type": "string", "minLength": 1}})
_OF_VOLUMES = 87  # the first version that rescues servers which begin with a volume


def ask_image(parts: Parts, token: str, document: Mapping[str, Any], server_id: str) -> Image | None:
    """Return the image that a server is to be rescued with: that which is named, or its own."""
    about = named(document, "rescue") or {}
    server = permitted(parts, token, server_id, f"{RULE}os-rescue")
    reference = image_id_of(about.get("rescue_image_ref")) or (server.image_id if server else None)
    if not reference:
        return None
    with asking():
        return parts.images.show(reference, token)


def rescue(context: Request, server_id: str, about: Any) -> Answer:
    """Have a server begin with the disk of an image, and have its own beside it."""
    attributes = _FORM.check(about or {})
    server = unlocked_for(context, f"{RULE}os-rescue", server_id)
    servers.require(server, "rescue", (VmState.ACTIVE, VmState.STOPPED, VmState.ERROR))
    if server.host is None:
        raise Conflict(f"Instance {server.id} is on no host.")
    image: Image | None = found(context)
    check_image(image, server.kind, attributes.get("rescue_image_ref"), has_local_root=False)
    if image is None:
        raise Invalid(f"Instance {server.id} cannot be rescued: there is no image to begin with.")
    devices = block_devices.of_server(context.connection, server.id)
    _require_rescuable(context, server, devices, image)
    for each in devices:  # of a rescue that somebody has ended by setting the state
        if each.use == RESCUE:
            raise Conflict(f"Instance {server.id} has a disk of a rescue already.")
    block_devices.add(context.connection, _disk(context, server, devices, image))
    columns = {"task_state": Task.RESCUING, "rescue_image_id": image.id}
    begin(context, server, "rescue", Rescuing.NAME, columns)
    return ok({"adminPass": password_of(attributes)})


def unrescue(context: Request, server_id: str, _about: Any) -> Answer:
    """Have a rescued server begin with its own disk again."""
    server = unlocked_for(context, f"{RULE}os-unrescue", server_id)
    servers.require(server, "unrescue", (VmState.RESCUED,))
    begin(context, server, "unrescue", Unrescuing.NAME, {"task_state": Task.UNRESCUING})
    return ACCEPTED


def _require_rescuable(context: Request, server: Server, devices: list[BlockDevice], image: Image) -> None:
    """Raise Invalid where Nova does: with volumes, unless the version is new, and the image says how."""
    root = next((each for each in devices if each.is_root), None)
    if root is not None and root.is_local:
        return
    is_stable = any(name in image.properties for name in ("hw_rescue_device", "hw_rescue_bus"))
    if not at_least(context, _OF_VOLUMES) or not is_stable:
        raise Invalid(f"Instance {server.id} cannot be rescued: Cannot rescue a volume-backed instance.")


def _disk(context: Request, server: Server, devices: list[BlockDevice], image: Image) -> BlockDevice:
    properties = image.properties
    return BlockDevice(
        id=new_id(),
        server_id=server.id,
        place=max((each.place for each in devices), default=-1) + 1,
        source=IMAGE,
        destination=LOCAL,
        use=RESCUE,
        created_at_us=context.now_us,
        bus=properties.get("hw_rescue_bus", properties.get("hw_disk_bus", "virtio")),
        device_name=block_devices.next_name(devices, server.root_device_name),
        image_id=image.id,
    )
