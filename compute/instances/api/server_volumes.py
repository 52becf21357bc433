"""os-volume_attachments: volumes of a server that come and go."""

from collections.abc import Mapping
from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.instances import block_devices, servers
from compute.instances.api.forms import BOOLEAN, Form, truth
from compute.instances.api.lists import limit_of
from compute.instances.api.parts import Parts
from compute.instances.api.requests import Request, at_least
from compute.instances.api.server_access import RULE, asking, note, server_for, settle, unlocked_for
from compute.instances.api.server_creation import check_attachable
from compute.instances.api.server_forms import DEVICE_NAME, TAG, UUID
from compute.instances.block_devices import VOLUME, BlockDevice
from compute.instances.errors import Conflict, Forbidden, Invalid, NotFound
from compute.instances.interfaces import Volume
from compute.instances.servers import Server
from compute.instances.statuses import VmState
from compute.microversions import asking_first, found
from compute.records import new_id

_STATES = (
    VmState.ACTIVE,
    VmState.STOPPED,
    VmState.PAUSED,
    VmState.SUSPENDED,
    VmState.RESIZED,
    VmState.SHELVED,
    VmState.OFFLOADED,
)
_DEVICE = {**DEVICE_NAME, "type": ["string", "null"]}
_CREATION = Form("volumeAttachment", {"volumeId": UUID, "device": _DEVICE}, required=("volumeId",))
_TAGGED = Form("volumeAttachment", {"volumeId": UUID, "device": _DEVICE, "tag": TAG}, required=("volumeId",))
_NEWEST = Form(
    "volumeAttachment",
    {"volumeId": UUID, "device": _DEVICE, "tag": TAG, "delete_on_termination": BOOLEAN},
    required=("volumeId",),
)
_CHANGE = Form(
    "volumeAttachment",
    {
        "volumeId": UUID,
        "delete_on_termination": BOOLEAN,
        "device": _DEVICE,
        "serverId": UUID,
        "id": UUID,
        "tag": {"type": ["string", "null"]},
    },
    required=("volumeId",),
)
_RULE = f"{RULE}os-volumes-attachments:"


def list_all(context: Request, server_id: str) -> Answer:
    """GET …/os-volume_attachments."""
    server = server_for(context, f"{_RULE}index", server_id)
    offset = int(context.query.get("offset", "0") or 0) if context.query.get("offset", "0").isdigit() else 0
    devices = _volumes(context, server)[offset : offset + limit_of(context)]
    return ok({"volumeAttachments": [_document(context, each) for each in devices]})


def show(context: Request, server_id: str, volume_id: str) -> Answer:
    """GET …/os-volume_attachments/{volume_id}."""
    server = server_for(context, f"{_RULE}show", server_id)
    return ok({"volumeAttachment": _document(context, _get(context, server, volume_id))})


def _ask_volume(parts: Parts, token: str, document: Mapping[str, Any]) -> Volume | None:
    about = document.get("volumeAttachment") if isinstance(document, Mapping) else None
    volume_id = about.get("volumeId") if isinstance(about, Mapping) else None
    if not isinstance(volume_id, str):
        return None
    with asking():
        return parts.volumes.show(volume_id, token)


@asking_first(_ask_volume)
def create(context: Request, server_id: str) -> Answer:
    """POST …/os-volume_attachments: attach a volume."""
    form = _NEWEST if at_least(context, 79) else _TAGGED if at_least(context, 49) else _CREATION
    attributes = form.read(context)
    server = unlocked_for(context, f"{_RULE}create", server_id)
    servers.require(server, "attach_volume", _STATES, ())
    volume: Volume | None = found(context)
    if volume is None:
        raise NotFound("Volume", attributes["volumeId"])
    devices = block_devices.of_server(context.connection, server.id)
    if any(each.volume_id == volume.id for each in devices):
        raise Invalid(f"Invalid volume: Volume {volume.id} is already attached to instance {server.id}")
    taken = block_devices.of_volume(context.connection, volume.id)
    if taken and not volume.multiattach:
        raise Invalid(f"Invalid volume: volume {volume.id} is already attached to an instance")
    if volume.multiattach and not at_least(context, 60):
        raise Invalid("Multiattach volumes are only supported starting with compute API version 2.60.")
    if server.vm_state == VmState.OFFLOADED and attributes.get("tag"):
        raise Invalid("Attaching tagged volumes to a shelved server is not possible.")
    check_attachable(volume)
    device = BlockDevice(
        id=new_id(),
        server_id=server.id,
        place=max((each.place for each in devices), default=-1) + 1,
        source=VOLUME,
        destination=VOLUME,
        created_at_us=context.now_us,
        device_name=_device_name(devices, server, attributes.get("device")),
        bus=server.image.get("properties", {}).get("hw_disk_bus", "virtio"),
        volume_id=volume.id,
        volume_gb=volume.size,
        delete_on_termination=truth(attributes.get("delete_on_termination", False), "delete_on_termination"),
        tag=attributes.get("tag"),
    )
    block_devices.add(context.connection, device)
    note(context, server, "attach_volume")
    settle(context, server)
    return ok({"volumeAttachment": _document(context, device)})


def change(context: Request, server_id: str, volume_id: str) -> Answer:
    """PUT …/os-volume_attachments/{volume_id}: whether it goes with the server."""
    attributes = _CHANGE.read(context)
    server = unlocked_for(context, f"{_RULE}update", server_id)
    device = _get(context, server, volume_id)
    if attributes["volumeId"] != volume_id:
        raise Conflict("Volumes are not swapped here: detach the one, and attach the other.")
    if not at_least(context, 85):
        raise Invalid("What an attachment is can be changed from version 2.85 on.")
    for name, value in (
        ("device", device.device_name),
        ("serverId", server.id),
        ("id", volume_id),
        ("tag", device.tag),
    ):
        if name in attributes and attributes[name] != value:
            raise Invalid(f"The {name} field of an attachment cannot be changed.")
    if "delete_on_termination" in attributes:
        goes = truth(attributes["delete_on_termination"], "delete_on_termination")
        block_devices.change(context.connection, device.id, delete_on_termination=goes)
    return Answer(202)


def remove(context: Request, server_id: str, volume_id: str) -> Answer:
    """DELETE …/os-volume_attachments/{volume_id}: detach a volume."""
    server = unlocked_for(context, f"{_RULE}delete", server_id)
    device = _get(context, server, volume_id)
    servers.require(server, "detach_volume", _STATES, ())
    if device.is_root:
        if server.vm_state != VmState.OFFLOADED:
            raise Forbidden("Cannot detach a root device volume")
        raise Forbidden("Cannot detach a root device volume of a shelved server")
    if device.state == block_devices.WANTED:
        raise Conflict(f"Volume {volume_id} is still being attached.")
    if device.state != block_devices.UNWANTED:
        block_devices.change(context.connection, device.id, state=block_devices.UNWANTED)
        note(context, server, "detach_volume")
    settle(context, server)
    return Answer(202)


def _volumes(context: Request, server: Server) -> list[BlockDevice]:
    return [each for each in block_devices.of_server(context.connection, server.id) if each.volume_id]


def _get(context: Request, server: Server, volume_id: str) -> BlockDevice:
    device = next((each for each in _volumes(context, server) if each.volume_id == volume_id), None)
    if device is None:
        raise NotFound("volume_id", f"{volume_id} as an attachment of instance {server.id}")
    return device


def _device_name(devices: list[BlockDevice], server: Server, wanted: str | None) -> str:
    if not wanted:
        return block_devices.next_name(devices, server.root_device_name)
    name = wanted if wanted.startswith("/dev/") else f"/dev/{wanted}"
    if any(each.device_name == name for each in devices):
        raise Conflict(f"The supplied device path ({name}) is in use.")
    if not name.removeprefix("/dev/").startswith(("vd", "sd", "xvd", "hd")):
        raise Invalid(f"The supplied device path ({name}) is invalid.")
    return name


def _document(context: Request, device: BlockDevice) -> dict[str, Any]:
    document: dict[str, Any] = {
        "volumeId": device.volume_id,
        "serverId": device.server_id,
        "device": device.device_name,
    }
    if at_least(context, 89):
        document |= {"attachment_id": device.attachment_id, "bdm_uuid": device.id}
    else:
        document["id"] = device.volume_id
    if at_least(context, 70):
        document["tag"] = device.tag
    if at_least(context, 79):
        document["delete_on_termination"] = device.delete_on_termination
    return document
