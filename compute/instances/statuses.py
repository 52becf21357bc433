"""The states of servers, with the names that Nova gave them: what a server is, what is done to it, what clients see."""

from collections.abc import Mapping
from enum import IntEnum, StrEnum

from compute.agent.guest import Power as GuestPower


class VmState(StrEnum):
    """What a server is."""

    BUILDING = "building"
    ACTIVE = "active"
    STOPPED = "stopped"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    RESCUED = "rescued"
    RESIZED = "resized"  # and somebody has to say whether it stays so
    SHELVED = "shelved"
    OFFLOADED = "shelved_offloaded"
    ERROR = "error"
    DELETED = "deleted"


class Task(StrEnum):
    """What is done to a server."""

    SCHEDULING = "scheduling"
    NETWORKING = "networking"
    MAPPING = "block_device_mapping"
    SPAWNING = "spawning"
    SNAPSHOT_PENDING = "image_snapshot_pending"
    BACKUP = "image_backup"
    UPLOADING = "image_uploading"
    UPDATING_PASSWORD = "updating_password"  # noqa: S105 no password
    RESIZE_PREP = "resize_prep"
    RESIZE_MIGRATED = "resize_migrated"
    RESIZE_REVERTING = "resize_reverting"
    RESIZE_CONFIRMING = "resize_confirming"
    REBOOTING = "rebooting"
    REBOOTING_HARD = "rebooting_hard"
    PAUSING = "pausing"
    UNPAUSING = "unpausing"
    SUSPENDING = "suspending"
    RESUMING = "resuming"
    POWERING_OFF = "powering-off"
    POWERING_ON = "powering-on"
    RESCUING = "rescuing"
    UNRESCUING = "unrescuing"
    REBUILDING = "rebuilding"
    MIGRATING = "migrating"
    DELETING = "deleting"
    SHELVING = "shelving"
    SHELVING_PENDING = "shelving_image_pending_upload"
    SHELVING_UPLOADING = "shelving_image_uploading"
    OFFLOADING = "shelving_offloading"
    UNSHELVING = "unshelving"


class Power(IntEnum):
    """What a guest does, as Nova counts it."""

    NONE = 0
    RUNNING = 1
    PAUSED = 3
    OFF = 4
    CRASHED = 6
    SUSPENDED = 7


POWERS: Mapping[GuestPower, Power] = {
    GuestPower.RUNNING: Power.RUNNING,
    GuestPower.WAITING: Power.RUNNING,  # it goes on by itself
    GuestPower.PAUSED: Power.PAUSED,
    GuestPower.SUSPENDED: Power.SUSPENDED,
    GuestPower.OFF: Power.OFF,
    GuestPower.CRASHED: Power.CRASHED,
}

_STATUSES: Mapping[str, str] = {
    VmState.BUILDING: "BUILD",
    VmState.ACTIVE: "ACTIVE",
    VmState.STOPPED: "SHUTOFF",
    VmState.PAUSED: "PAUSED",
    VmState.SUSPENDED: "SUSPENDED",
    VmState.RESCUED: "RESCUE",
    VmState.RESIZED: "VERIFY_RESIZE",
    VmState.SHELVED: "SHELVED",
    VmState.OFFLOADED: "SHELVED_OFFLOADED",
    VmState.ERROR: "ERROR",
    VmState.DELETED: "DELETED",
}
_RESIZE: Mapping[str, str] = {Task.RESIZE_PREP: "RESIZE", Task.RESIZE_MIGRATED: "RESIZE", Task.REBUILDING: "REBUILD"}
_REBOOT: Mapping[str, str] = {Task.REBOOTING: "REBOOT", Task.REBOOTING_HARD: "HARD_REBOOT"}
_BY_TASK: Mapping[str, Mapping[str, str]] = {
    VmState.ACTIVE: {**_RESIZE, **_REBOOT, Task.UPDATING_PASSWORD: "PASSWORD", Task.MIGRATING: "MIGRATING"},
    VmState.STOPPED: {**_RESIZE, Task.REBOOTING_HARD: "HARD_REBOOT", Task.MIGRATING: "MIGRATING"},
    VmState.PAUSED: {**_REBOOT, Task.REBUILDING: "REBUILD"},
    VmState.SUSPENDED: {**_REBOOT, Task.REBUILDING: "REBUILD"},
    VmState.RESIZED: {Task.RESIZE_REVERTING: "REVERT_RESIZE"},
    VmState.ERROR: {Task.REBUILDING: "REBUILD", Task.REBOOTING_HARD: "HARD_REBOOT"},
}


def status_of(vm_state: str, task: str | None) -> str:
    """Return what clients see."""
    return _BY_TASK.get(vm_state, {}).get(task or "", _STATUSES.get(vm_state, "UNKNOWN"))


def vm_states_of(status: str) -> tuple[list[str], list[str]]:
    """Return the states that clients see as `status`, and the tasks, if only with some of them; nothing: unknown."""
    wanted = status.upper()
    states = [state for state, shown in _STATUSES.items() if shown == wanted]
    tasks = list[str]()
    for state, by_task in _BY_TASK.items():
        found = [task for task, shown in by_task.items() if shown == wanted]
        if found:
            states.append(state)
            tasks += found
    return states, tasks


def settled(power: Power) -> VmState | None:
    """Return what a server is whose guest does that, when nobody has asked for anything; None: nothing can be said."""
    return {
        Power.RUNNING: VmState.ACTIVE,
        Power.PAUSED: VmState.PAUSED,
        Power.OFF: VmState.STOPPED,
        Power.CRASHED: VmState.STOPPED,
        Power.SUSPENDED: VmState.SUSPENDED,
    }.get(power)
