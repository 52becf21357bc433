"""Actions by which hosts came to volumes before there were attachments, and some still do.

os-reserve, os-initialize_connection, os-attach … os-begin_detaching, os-terminate_connection, os-detach
"""

from collections.abc import Mapping
from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.actions import ACCEPTED, Action
from compute.volumes import attachments, connections, volumes
from compute.volumes.api.forms import ID_OR_NULL, TEXT, Form
from compute.volumes.api.letting_go import ask_servers, let_go, require_free
from compute.volumes.api.parts import Parts
from compute.volumes.api.requests import Request, volume_for
from compute.volumes.errors import Invalid, invalid_input, invalid_volume
from compute.volumes.statuses import AttachMode, VolumeStatus
from compute.volumes.volumes import Volume

_ATTACH = Form(
    "os-attach",
    {
        "instance_uuid": ID_OR_NULL,
        "host_name": TEXT,
        "mountpoint": {"type": "string", "minLength": 1, "maxLength": 255},
        "mode": {"enum": ["rw", "ro", None]},
    },
)
_CONNECTOR = Form("connector", {"connector": {"type": "object"}}, required=("connector",))
_DETACH = Form("os-detach", {"attachment_id": ID_OR_NULL})
_RULE = "volume_extension:volume_actions:"
_FORCE = "volume_extension:volume_admin_actions:force_detach"
_ASKING = {  # actions that servers may have something against, and their rules
    "os-detach": _RULE + "detach",
    "os-terminate_connection": _RULE + "terminate_connection",
    "os-force_detach": _FORCE,
    "os-force_delete": "volume_extension:volume_admin_actions:force_delete",
}


def ask_servers_first(parts: Parts, token: str, document: Mapping[str, Any], volume_id: str) -> frozenset[str] | None:
    """Return the ids of those attachments of a volume which no server has: see `letting_go`."""
    rule = next((_ASKING[each] for each in document if each in _ASKING), None)
    if rule is None:
        return frozenset()
    with parts.database.reading() as connection:
        held = attachments.of_volume(connection, volume_id)
    return ask_servers(parts, token, rule, held)


def reserve(context: Request, volume_id: str, _about: Any) -> Answer:
    """Keep a volume for who is about to attach it."""
    volume = volume_for(context, _RULE + "reserve", volume_id)
    allowed = {VolumeStatus.AVAILABLE}
    if volume.multiattach:
        allowed.add(VolumeStatus.IN_USE)
    volumes.require_status(volume, allowed, "be reserved")
    volumes.pass_to(context.connection, volume, VolumeStatus.ATTACHING, context.now_us)
    return ACCEPTED


def unreserve(context: Request, volume_id: str, _about: Any) -> Answer:
    """Keep a volume no more. Doing it again does nothing."""
    volume = volume_for(context, _RULE + "unreserve", volume_id)
    if volume.status == VolumeStatus.ATTACHING:
        _settle(context, volume)
    return ACCEPTED


def attach(context: Request, volume_id: str, about: Any) -> Answer:
    """Note who uses a volume."""
    volume = volume_for(context, _RULE + "attach", volume_id)
    wanted = _ATTACH.check(about)
    instance_id, host = wanted.get("instance_uuid"), wanted.get("host_name")
    if bool(instance_id) == bool(host):
        raise Invalid("Invalid request to attach volume to an invalid target: either a server or a host is needed.")
    mode = AttachMode(wanted.get("mode") or AttachMode.READ_WRITE)
    if volume.readonly:
        if mode is AttachMode.READ_WRITE and wanted.get("mode"):
            raise invalid_volume(f"volume {volume.id} is read-only: it is attached with mode ro.")
        mode = AttachMode.READ_ONLY
    volumes.require_status(volume, _attachable(volume), "be attached")
    if volume.status in (VolumeStatus.AVAILABLE, VolumeStatus.ATTACHING):
        volumes.change(context.connection, volume.id, context.now_us, status=VolumeStatus.AVAILABLE)
        volume = volumes.get(context.connection, volume.id)
    made = attachments.reserve(context.connection, volume, context.now_us, instance_id, mode)
    attachments.complete(
        context.connection,
        made,
        context.now_us,
        mountpoint=wanted.get("mountpoint"),
        attached_host=host,
        mode=mode,
    )
    volumes.change(context.connection, volume.id, context.now_us, previous_status=None)
    return ACCEPTED


def detach(context: Request, volume_id: str, about: Any) -> Answer:
    """Note that somebody uses a volume no more. Of one that nobody uses it does nothing, as in Cinder."""
    volume = volume_for(context, _RULE + "detach", volume_id)
    if volume.status == VolumeStatus.AVAILABLE:
        return ACCEPTED
    volumes.require_status(volume, (VolumeStatus.IN_USE, VolumeStatus.DETACHING), "be detached")
    _release(context, volume, _DETACH.check(about or {}).get("attachment_id"))
    return ACCEPTED


def force_detach(context: Request, volume_id: str, about: Any) -> Answer:
    """Note that somebody uses a volume no more, whatever its state."""
    volume = volume_for(context, _FORCE, volume_id)
    attachment_id = _DETACH.check(about or {}).get("attachment_id")
    if volume.status == VolumeStatus.DETACHING or attachments.of_volume(context.connection, volume.id):
        _release(context, volume, attachment_id)
    _settle(context, volumes.get(context.connection, volume.id))
    return ACCEPTED


def begin_detaching(context: Request, volume_id: str, _about: Any) -> Answer:
    """Say that a volume is about to be free."""
    volume = volume_for(context, _RULE + "begin_detaching", volume_id)
    volumes.require_status(volume, (VolumeStatus.IN_USE,), "be detached")
    volumes.change(context.connection, volume.id, context.now_us, status=VolumeStatus.DETACHING)
    return ACCEPTED


def roll_detaching(context: Request, volume_id: str, _about: Any) -> Answer:
    """Say that a volume is used after all. Doing it again does nothing."""
    volume = volume_for(context, _RULE + "roll_detaching", volume_id)
    if volume.status == VolumeStatus.DETACHING:
        volumes.change(context.connection, volume.id, context.now_us, status=VolumeStatus.IN_USE)
    return ACCEPTED


def initialize_connection(context: Request, volume_id: str, about: Any) -> Answer:
    """Return how a host comes to a volume."""
    volume = volume_for(context, _RULE + "initialize_connection", volume_id)
    connector = _CONNECTOR.check(about)["connector"]
    mode = str(connector.get("mode") or AttachMode.READ_WRITE)
    info = connections.connection_info(context.connection, context.parts.settings, volume, mode)
    return ok({"connection_info": info})


def terminate_connection(context: Request, volume_id: str, about: Any) -> Answer:
    """Nothing: a host that hangs up has done all there is to do."""
    volume = volume_for(context, _RULE + "terminate_connection", volume_id)
    _CONNECTOR.check(about)
    require_none_servers(context, volume)
    return ACCEPTED


def require_none_servers(context: Request, volume: Volume) -> None:
    """Raise Conflict when a server has a volume, and the caller is no service."""
    for attachment in attachments.of_volume(context.connection, volume.id):
        require_free(context, attachment)


def release_all(context: Request, volume: Volume) -> None:
    """Have nobody use a volume any more, as far as the service is concerned: servers are not asked."""
    for attachment in attachments.of_volume(context.connection, volume.id):
        let_go(context, attachment)


def _attachable(volume: Volume) -> set[VolumeStatus]:
    allowed = {VolumeStatus.AVAILABLE, VolumeStatus.ATTACHING}
    if volume.multiattach:
        allowed.add(VolumeStatus.IN_USE)
    return allowed


def _release(context: Request, volume: Volume, attachment_id: str | None) -> None:
    held = attachments.of_volume(context.connection, volume.id)
    chosen = [each for each in held if attachment_id in (None, each.id)]
    if attachment_id is not None and not chosen:
        attachments.get(context.connection, attachment_id, volume.project_id)
        raise invalid_input("Mismatched volume and attachment.")
    if len(chosen) > 1:
        raise invalid_volume(f"Volume {volume.id} has {len(chosen)} attachments: say which one is to be released.")
    for attachment in chosen:
        require_free(context, attachment)
    if volume.status == VolumeStatus.DETACHING:
        _settle(context, volume)
    for attachment in chosen:
        let_go(context, attachment)


def _settle(context: Request, volume: Volume) -> None:
    status = volumes.settled_status(context.connection, volume)
    volumes.change(context.connection, volume.id, context.now_us, status=status, previous_status=None)


ACTIONS: Mapping[str, Action] = {
    "os-reserve": reserve,
    "os-unreserve": unreserve,
    "os-attach": attach,
    "os-detach": detach,
    "os-force_detach": force_detach,
    "os-begin_detaching": begin_detaching,
    "os-roll_detaching": roll_detaching,
    "os-initialize_connection": initialize_connection,
    "os-terminate_connection": terminate_connection,
}
