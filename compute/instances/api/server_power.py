"""Actions by which guests run, rest, and begin anew; locks; states that administrators set."""

from collections.abc import Collection
from typing import Any

from cluster.controlplane.answer import Answer
from cluster.controlplane.errors import Malformed
from compute.actions import Action
from compute.instances import servers
from compute.instances.api.forms import Form
from compute.instances.api.requests import Request, at_least, is_admin
from compute.instances.api.server_access import RULE, begin, note, server_for, unlocked_for
from compute.instances.operations import power
from compute.instances.statuses import Task, VmState

ACCEPTED = Answer(202)
_REBOOT = Form("", {"type": {"type": "string", "pattern": "^(?i:soft|hard)$"}}, required=("type",))
_STATE = Form("", {"state": {"enum": ["active", "error"]}}, required=("state",))
_LOCK = Form("", {"locked_reason": {"type": "string", "minLength": 1, "maxLength": 255}})
_REBOOTABLE = (VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED, VmState.SUSPENDED, VmState.ERROR)


def _changing(rule: str, action: str, kind: power.Change, task: Task, states: Collection[str]) -> Action:
    """Return the action that asks for a change of what a guest does."""

    def act(context: Request, server_id: str, about: Any) -> Answer:
        if about not in (None, {}):
            raise Malformed(f"Invalid input for {action}: there is nothing to be said.")
        server = unlocked_for(context, RULE + rule, server_id)
        servers.require(server, action, states)
        begin(context, server, action, kind.NAME, {"task_state": task})
        return ACCEPTED

    return act


start = _changing("servers:start", "start", power.START, Task.POWERING_ON, (VmState.STOPPED,))
stop = _changing(
    "servers:stop",
    "stop",
    power.STOP,
    Task.POWERING_OFF,
    (VmState.ACTIVE, VmState.ERROR, VmState.PAUSED),
)
pause = _changing("os-pause-server:pause", "pause", power.PAUSE, Task.PAUSING, (VmState.ACTIVE,))
unpause = _changing("os-pause-server:unpause", "unpause", power.UNPAUSE, Task.UNPAUSING, (VmState.PAUSED,))
suspend = _changing("os-suspend-server:suspend", "suspend", power.SUSPEND, Task.SUSPENDING, (VmState.ACTIVE,))
resume = _changing("os-suspend-server:resume", "resume", power.RESUME, Task.RESUMING, (VmState.SUSPENDED,))


def reboot(context: Request, server_id: str, about: Any) -> Answer:
    """Begin a guest anew: softly, by asking it, or hard."""
    hard = _REBOOT.check(about)["type"].upper() == "HARD"
    server = unlocked_for(context, f"{RULE}servers:reboot", server_id)
    if hard:
        tasks: Collection[str | None] = (None, Task.REBOOTING, Task.REBOOTING_HARD, Task.RESUMING, Task.UNPAUSING)
        servers.require(server, "reboot", _REBOOTABLE, tasks)
        begin(context, server, "reboot", power.REBOOT_HARD.NAME, {"task_state": Task.REBOOTING_HARD})
    else:
        servers.require(server, "reboot", (VmState.ACTIVE,))
        begin(context, server, "reboot", power.REBOOT.NAME, {"task_state": Task.REBOOTING})
    return ACCEPTED


def lock(context: Request, server_id: str, about: Any) -> Answer:
    """Keep everybody but administrators from changing a server."""
    server = server_for(context, f"{RULE}os-lock-server:lock", server_id)
    reason = None
    if about is not None:
        if not at_least(context, 73):
            about = {}
        reason = _LOCK.check(about).get("locked_reason")
    note(context, server, "lock")
    by = "owner" if server.project_id == context.project_id else "admin"
    servers.change(context.connection, server.id, context.now_us, locked_by=by, locked_reason=reason)
    return ACCEPTED


def unlock(context: Request, server_id: str, _about: Any) -> Answer:
    """Let a server be changed again."""
    server = server_for(context, f"{RULE}os-lock-server:unlock", server_id)
    if server.locked_by == "admin" and not is_admin(context):
        context.enforce(f"{RULE}os-lock-server:unlock:unlock_override")
    note(context, server, "unlock")
    servers.change(context.connection, server.id, context.now_us, locked_by=None, locked_reason=None)
    return ACCEPTED


def reset_state(context: Request, server_id: str, about: Any) -> Answer:
    """Say what a server is, whatever it is: for administrators."""
    state = _STATE.check(about)["state"]
    server = server_for(context, f"{RULE}os-admin-actions:reset_state", server_id)
    vm_state = VmState.ACTIVE if state == "active" else VmState.ERROR
    servers.change(context.connection, server.id, context.now_us, vm_state=vm_state, task_state=None)
    return ACCEPTED
