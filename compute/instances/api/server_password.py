"""changePassword: a user's password inside of a guest, which an agent there changes."""

from collections.abc import Mapping
from typing import Any

from cluster.controlplane.answer import Answer
from compute.agent.interface import Host
from compute.instances import servers
from compute.instances.api.forms import Form
from compute.instances.api.parts import Parts
from compute.instances.api.requests import Request
from compute.instances.api.server_access import RULE, note, unlocked_for
from compute.instances.api.server_asking import is_admin_here, named, of_host
from compute.instances.errors import Conflict
from compute.instances.servers import Server
from compute.instances.statuses import VmState
from compute.microversions import found

_RULE = f"{RULE}os-admin-password"
_FORM = Form("", {"adminPass": {"type": "string"}}, required=("adminPass",))
_USER = "root"  # unless the image says another one


def ask_guest(parts: Parts, token: str, document: Mapping[str, Any], server_id: str) -> bool | None:
    """Have a guest change the password; tell whether it has an agent that can. None: it was not asked."""
    password = (named(document, "changePassword") or {}).get("adminPass")

    def ask(host: Host, server: Server) -> bool | None:
        is_locked = server.locked_by is not None and not is_admin_here(parts, token)
        if server.vm_state != VmState.ACTIVE or server.task_state or is_locked or not server.has_agent:
            return None
        properties = server.image.get("properties", {})
        return host.set_password(server.id, properties.get("os_admin_user", _USER), str(password))

    return of_host(parts, token, server_id, _RULE, ask) if isinstance(password, str) else None


def change(context: Request, server_id: str, about: Any) -> Answer:
    """Tell whether the password was changed."""
    _FORM.check(about)
    server = unlocked_for(context, _RULE, server_id)
    servers.require(server, "changePassword", (VmState.ACTIVE,))
    if not server.has_agent:
        raise Conflict(f"QEMU guest agent is not enabled for instance {server.id}: its image does not say so.")
    if not found(context):
        raise Conflict(f"Failed to set admin password on {server.id}: no agent in the guest answers, or it is locked.")
    note(context, server, "changePassword")
    return Answer(202)
