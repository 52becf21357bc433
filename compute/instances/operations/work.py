"""What a kind of operation works with here: see `compute.operations.work`."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection

from cluster.controlplane.database import Database
from compute.agent.interface import Host, Hosts
from compute.instances import server_actions, servers
from compute.instances.interfaces import Disks, Images, Network, Volumes
from compute.instances.servers import Server
from compute.instances.settings import Settings
from compute.instances.statuses import VmState
from compute.operations import journal, work
from compute.operations.journal import Operation
from compute.operations.work import Outcome
from compute.stored import NotYet, Refused

T = TypeVar("T")

_PATIENCE_S = 5.0  # for what is on its way, before somebody else's operation gets its turn
_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Tools:
    """Those who do things."""

    hosts: Hosts
    volumes: Volumes
    images: Images
    network: Network
    disks: Disks
    sleep: Callable[[float], None] = time.sleep


class Superseded(Refused):
    """The server is to be deleted: nothing else is done to it."""


class Work(work.Work[Tools]):
    """One operation of a server that is carried out."""

    def __init__(
        self, operation: Operation, database: Database, tools: Tools, settings: Settings, clock_us: Callable[[], int]
    ) -> None:
        super().__init__(operation, database, tools, clock_us)
        self.settings = settings

    def server(self) -> Server:
        """Return the server. Raise Superseded, NotFound."""
        found = self.read(lambda connection: servers.get(connection, self.subject_id))
        if found.deletion_wanted and self.operation.kind != servers.DELETE and self.operation.step != journal.FAILING:
            raise Superseded("The server is to be deleted.")
        return found

    def now_us(self) -> int:
        """Return the time."""
        return self._clock_us()

    def host(self, name: str) -> Host:
        """Return a host."""
        return self.tools.hosts.get(name)

    def soon(self, ask: Callable[[], T]) -> T:
        """Return what `ask` returns, once it does not raise NotYet any more, if that is soon. Raise NotYet."""
        for _attempt in range(int(_PATIENCE_S / _PAUSE_S)):
            try:
                return ask()
            except NotYet:
                self.tools.sleep(_PAUSE_S)
        return ask()

    def note(self, outcome: Outcome) -> None:
        """Change something in the database, while the operation goes on. Raise Lost."""
        self.change(outcome, self.operation.step)

    def set(self, **columns: Any) -> None:
        """Change columns of the server, while the operation goes on. Raise Lost."""
        self.note(lambda connection, now_us: self._change(connection, now_us, columns))

    def finish(self, outcome: Outcome) -> None:
        """End the operation, and begin what was asked for meanwhile. Raise Lost."""

        def whole(connection: Connection, now_us: int) -> None:
            outcome(connection, now_us)
            journal.forget(connection, self.operation)
            servers.settle(connection, self.subject_id, now_us, self.operation.request_id)

        super().finish(whole)

    def end(self, outcome: Outcome | None = None, why: str | None = None, **columns: Any) -> None:
        """End the operation: nothing is done to the server any more. `why`: it came to nothing."""

        def whole(connection: Connection, now_us: int) -> None:
            if outcome is not None:
                outcome(connection, now_us)
            if why is not None:
                columns["fault"] = servers.fault_of(why, now_us)
            self._change(connection, now_us, {"task_state": None, "progress": 0, **columns})
            server_actions.end(connection, self.subject_id, self.operation.request_id, why, now_us)

        self.finish(whole)

    def _change(self, connection: Connection, now_us: int, columns: Mapping[str, Any]) -> None:
        """Change columns of the server; one that is to be deleted is shown as that, and not as having failed."""
        found = servers.find(connection, self.subject_id)
        if found is not None and found.deletion_wanted:
            failed = {"vm_state"} if columns.get("vm_state") == VmState.ERROR else set[str]()
            columns = {name: value for name, value in columns.items() if name not in {"task_state", "fault"} | failed}
        servers.change(connection, self.subject_id, now_us, **columns)


Kind = work.Kind[Work]
