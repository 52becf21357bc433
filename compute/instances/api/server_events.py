"""os-server-external-events: what the volume and the network service tell of what servers have.

An event about a volume that has grown has the guest see it; one about a network brings what is known of ports up to
date. Others are taken, and need nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.controlplane.answer import Answer
from compute.instances import block_devices, cards, server_actions, servers
from compute.instances.api.forms import Form
from compute.instances.api.parts import Parts
from compute.instances.api.requests import Request
from compute.instances.api.server_access import RULE, asking, note
from compute.instances.errors import NotFound
from compute.instances.interfaces import Port
from compute.microversions import asking_first, found
from compute.policy import ANYTHING
from compute.stored import NoSuch

GIB = 1 << 30
_NAMES = (
    "network-changed",
    "network-vif-plugged",
    "network-vif-unplugged",
    "network-vif-deleted",
    "volume-extended",
    "volume-reimaged",
    "power-update",
    "accelerator-request-bound",
)
_EVENT = {
    "type": "object",
    "properties": {
        "name": {"enum": list(_NAMES)},
        "server_uuid": {"type": "string"},
        "status": {"enum": ["completed", "failed", "in-progress"]},
        "tag": {"type": "string", "maxLength": 255},
    },
    "required": ["name", "server_uuid"],
}
_FORM = Form("", {"events": {"type": "array", "minItems": 1, "items": _EVENT}}, required=("events",))


@dataclass(slots=True)
class Learned:
    """What was found before the transaction."""

    ports: Mapping[str, Any] = field(default_factory=dict)  # by server
    sizes: dict[str, int] = field(default_factory=dict)  # bytes, by volume


def _ask(parts: Parts, token: str, document: Mapping[str, Any]) -> Learned:
    events = document.get("events") if isinstance(document, Mapping) else None
    caller = parts.tokens.validate(token)
    if caller is None or not parts.policy.allows(f"{RULE}os-server-external-events:create", caller, ANYTHING):
        return Learned()
    learned = Learned()
    told = [each for each in events if isinstance(each, Mapping)] if isinstance(events, list) else []
    with asking():
        changed = {str(each.get("server_uuid")) for each in told if str(each.get("name")).startswith("network-")}
        if changed:
            learned.ports = parts.network.ports_of(sorted(changed))
        for each in told:
            if each.get("name") == "volume-extended":
                _grow(parts, str(each.get("server_uuid")), str(each.get("tag")), learned)
    return learned


def _grow(parts: Parts, server_id: str, volume_id: str, learned: Learned) -> None:
    """Have a guest see that a volume has grown; one that does not run sees it when it starts."""
    with parts.database.reading() as connection:
        server = servers.find(connection, server_id)
        devices = block_devices.of_server(connection, server_id)
    volume = parts.volumes.show(volume_id)
    if server is None or volume is None or all(each.volume_id != volume_id for each in devices):
        return
    learned.sizes[volume_id] = volume.size * GIB
    if server.host is not None:
        try:
            parts.hosts.get(server.host).resize(server_id, volume_id, volume.size * GIB)
        except NoSuch:
            return


@asking_first(_ask)
def create(context: Request) -> Answer:
    """POST /v2.1/os-server-external-events."""
    context.enforce(f"{RULE}os-server-external-events:create")
    events = _FORM.read(context)["events"]
    learned: Learned = found(context)
    answered, status = [], 200
    for each in events:
        done = _take(context, each, learned)
        status = status if done == 200 else 207
        answered.append({**each, "status": each.get("status", "completed"), "code": done})
    if all(each["code"] == 404 for each in answered):
        raise NotFound("Instances", "of all events")
    return Answer(status, {"events": answered})


def _take(context: Request, event: Mapping[str, Any], learned: Learned) -> int:
    server = servers.find(context.connection, event["server_uuid"])
    if server is None or server.deleted_at_us is not None:
        return 404
    if event["name"] == "volume-extended":
        for device in block_devices.of_server(context.connection, server.id):
            size = learned.sizes.get(event.get("tag", ""))
            if device.volume_id == event.get("tag") and size is not None:
                disk = {**device.disk, "size": size} if device.disk else {}
                block_devices.change(context.connection, device.id, volume_gb=size // GIB, disk=disk)
                note(context, server, "extend_volume")
                server_actions.end(context.connection, server.id, context.request_id, None, context.now_us)
    if event["name"].startswith("network-"):
        _learn(context, server.id, learned.ports.get(server.id, ()))
    return 200


def _learn(context: Request, server_id: str, ports: Any) -> None:
    by_id: dict[str, Port] = {port.id: port for port in ports}
    for card in cards.of_server(context.connection, server_id):
        if card.port_id in by_id:
            cards.change(context.connection, card.id, info=cards.info_of(by_id[card.port_id]))
