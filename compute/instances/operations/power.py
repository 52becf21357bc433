"""What guests do: run, rest, begin anew. What cannot be done leaves the server as it is, with a fault."""

from collections.abc import Callable, Mapping
from typing import Any

from compute.instances.operations import equipment
from compute.instances.operations.work import Work
from compute.instances.servers import Server
from compute.instances.statuses import Power, VmState

Do = Callable[[Work, Server], None]
Columns = Mapping[str, Any]  # of the server

RUNNING: Columns = {"vm_state": VmState.ACTIVE, "power": Power.RUNNING}
OFF: Columns = {"vm_state": VmState.STOPPED, "power": Power.OFF}
PAUSED: Columns = {"vm_state": VmState.PAUSED, "power": Power.PAUSED}
SUSPENDED: Columns = {"vm_state": VmState.SUSPENDED, "power": Power.SUSPENDED}


class Change:
    """One kind: what is asked of the host, and what the server is then."""

    def __init__(self, name: str, do: Do, then: Columns, fails_in_error: bool = False) -> None:
        self.NAME = name
        self._do, self._then, self._fails_in_error = do, then, fails_in_error

    def __repr__(self) -> str:
        return f"Change({self.NAME})"

    def perform(self, work: Work) -> None:
        """Do it."""
        server = work.server()
        self._do(work, server)
        work.end(**self._then)

    def fail(self, work: Work, why: str) -> None:
        """Say so."""
        columns: Columns = {"vm_state": VmState.ERROR} if self._fails_in_error else {}
        work.end(why=why, **columns)


def _start(work: Work, server: Server) -> None:
    equipment.define(work, server, True)


def _stop(work: Work, server: Server) -> None:
    equipment.end_guest(work, server.host or "", server.id, patience_s(work, server))


def _resume(work: Work, server: Server) -> None:
    work.host(server.host or "").start(server.id)


def _pause(work: Work, server: Server) -> None:
    work.host(server.host or "").pause(server.id)


def _suspend(work: Work, server: Server) -> None:
    work.host(server.host or "").suspend(server.id)


def _reboot_soft(work: Work, server: Server) -> None:
    work.host(server.host or "").reboot(server.id, work.operation.id, patience_s(work, server))


def _reboot_hard(work: Work, server: Server) -> None:
    """Begin it anew, as it is to be: whatever state it is in."""
    if "off" not in work.details:
        equipment.end_guest(work, server.host or "", server.id, 0.0)
        work.reach("starting", off=True)
    equipment.define(work, server, True)


def patience_s(work: Work, server: Server) -> float:
    """Return how long a guest is let end by itself: its image may say."""
    text = server.image.get("properties", {}).get("os_shutdown_timeout", "")
    return float(text) if text.isdigit() else work.settings.shutdown_s


START = Change("start", _start, RUNNING)
STOP = Change("stop", _stop, OFF)
PAUSE = Change("pause", _pause, PAUSED)
UNPAUSE = Change("unpause", _resume, RUNNING)
SUSPEND = Change("suspend", _suspend, SUSPENDED)
RESUME = Change("resume", _resume, RUNNING)
REBOOT = Change("reboot", _reboot_soft, RUNNING)
REBOOT_HARD = Change("reboot-hard", _reboot_hard, {**RUNNING, "fault": None})

ALL = (START, STOP, PAUSE, UNPAUSE, SUSPEND, RESUME, REBOOT, REBOOT_HARD)
