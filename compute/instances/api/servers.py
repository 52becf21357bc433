"""Servers: shown, changed, deleted."""

from typing import Any

from cluster.controlplane.answer import NO_CONTENT, Answer, ok
from compute.instances import servers
from compute.instances.api import server_documents, server_forms
from compute.instances.api.requests import Request
from compute.instances.api.server_access import RULE, note, server_for, settle, unlocked_for
from compute.instances.errors import Unfit
from compute.instances.statuses import Task
from compute.microversions import minor


def show(context: Request, server_id: str) -> Answer:
    """GET /v2.1/servers/{server_id}."""
    return ok({"server": server_documents.show(context, server_for(context, f"{RULE}servers:show", server_id))})


def change(context: Request, server_id: str) -> Answer:
    """PUT /v2.1/servers/{server_id}: its name, description, host name and addresses that clients keep there."""
    context.caller  # noqa: B018 what nobody sends is not looked at
    server_forms.change(minor(context)).check(context.document)
    server = server_for(context, f"{RULE}servers:update", server_id)
    columns = _columns(context.document["server"])
    if columns:
        servers.change(context.connection, server.id, context.now_us, **columns)
    return ok({"server": server_documents.changed(context, servers.get(context.connection, server.id))})


def remove(context: Request, server_id: str) -> Answer:
    """DELETE /v2.1/servers/{server_id}."""
    doom(context, unlocked_for(context, f"{RULE}servers:delete", server_id), "delete")
    return NO_CONTENT


def force_remove(context: Request, server_id: str, _about: Any) -> Answer:
    """Delete a server at once, as all are."""
    doom(context, unlocked_for(context, f"{RULE}os-deferred-delete:force", server_id), "delete")
    return Answer(202)


def restore(context: Request, server_id: str, _about: Any) -> Answer:
    """Refuse to bring back a server that is not deleted: those that are, are at once."""
    server = server_for(context, f"{RULE}os-deferred-delete:restore", server_id)
    raise Unfit("restore", server.id, "vm_state", server.vm_state)


def doom(context: Request, server: servers.Server, action: str) -> None:
    """Have a server be deleted, at once or after what is done to it now."""
    if server.deletion_wanted:
        return
    note(context, server, action)
    servers.change(
        context.connection, server.id, context.now_us, deletion_wanted=True, task_state=Task.DELETING, progress=0
    )
    settle(context, server)


def _columns(attributes: dict[str, Any]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if "name" in attributes:
        columns["name"] = attributes["name"].strip()
    if "description" in attributes:
        columns["description"] = attributes["description"]
    if "hostname" in attributes:
        columns["hostname"] = attributes["hostname"]
    if "OS-DCF:diskConfig" in attributes:
        columns["disk_config"] = attributes["OS-DCF:diskConfig"]
    if "accessIPv4" in attributes:
        columns["access_ipv4"] = attributes["accessIPv4"] or None
    if "accessIPv6" in attributes:
        columns["access_ipv6"] = attributes["accessIPv6"] or None
    return columns
