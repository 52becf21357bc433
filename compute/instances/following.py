"""Follows what guests do by themselves: a host answers when something has changed, and servers are then what it says.

A guest that somebody has turned off from within is a server that is stopped; one that a host has begun again by itself
is active. What is just being changed is left to the operation that does it.
"""

import threading
import time
from collections.abc import Callable

from sqlalchemy import Connection

from cluster.clock import wall_us
from cluster.controlplane.database import Database, retried
from cluster.telemetry.log import get_logger
from compute.agent.guest import GuestState
from compute.agent.interface import Hosts, Seen
from compute.instances import servers
from compute.instances.servers import Server
from compute.instances.statuses import POWERS, VmState, settled
from compute.stored import BackendError

WAIT_S = 30.0  # for which a host is asked to wait for a change
_PAUSE_S = 5.0  # after one that did not answer

_FOLLOWING = frozenset((VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED, VmState.SUSPENDED))
_log = get_logger("compute")


class Follower:
    """Of one host."""

    def __init__(self, database: Database, hosts: Hosts, name: str, clock_us: Callable[[], int] = wall_us) -> None:
        self._database, self._hosts, self._name, self._clock_us = database, hosts, name, clock_us
        self._tag = ""

    def __repr__(self) -> str:
        return f"Follower({self._name})"

    def step(self, wait_s: float = WAIT_S) -> int:
        """Wait for a change, and note it; return how many servers are not what they were. Raise BackendError."""
        seen = self._hosts.get(self._name).seen(self._tag, wait_s if self._tag else 0.0)
        changed = self._differing(seen)
        if changed:
            retried(self._database, lambda connection: self._note(connection, seen))
        self._tag = seen.tag
        return changed

    def _differing(self, seen: Seen) -> int:
        with self._database.reading() as connection:
            return len(_changes(connection, self._name, seen))

    def _note(self, connection: Connection, seen: Seen) -> None:
        now_us = self._clock_us()
        for server, columns in _changes(connection, self._name, seen):
            _log.info("server_changed", server=server.id, host=self._name, **columns)
            servers.change(connection, server.id, now_us, **columns)


class Followers:
    """Of all hosts, each in a thread of its own."""

    def __init__(self, database: Database, hosts: Hosts) -> None:
        self._followers = [Follower(database, hosts, name) for name in hosts.names()]
        self._stopping = threading.Event()

    def __repr__(self) -> str:
        return f"Followers({len(self._followers)})"

    def start(self) -> None:
        """Begin to follow."""
        for each in self._followers:
            threading.Thread(target=self._run, args=(each,), name=f"follow-{each}", daemon=True).start()

    def stop(self) -> None:
        """Begin no further step."""
        self._stopping.set()

    def _run(self, follower: Follower) -> None:
        while not self._stopping.is_set():
            began_s = time.monotonic()
            try:
                follower.step()
            except BackendError:  # `hosts.Watcher` reports it
                self._stopping.wait(_PAUSE_S)
            except Exception as error:  # the database is away, most likely
                _log.error("following_failed", host=str(follower), error=error)
                self._stopping.wait(_PAUSE_S)
            if time.monotonic() - began_s < 0.1:
                self._stopping.wait(0.1)  # however fast a host changes


def _changes(connection: Connection, host: str, seen: Seen) -> list[tuple[Server, dict[str, object]]]:
    """Return which servers are not what their guests are, and what they are then."""
    by_id = {each.id: each for each in seen.guests}
    found = []
    for server in servers.of_host(connection, host):
        columns = _columns(server, by_id.get(server.id))
        if columns and not servers.is_busy(connection, server.id):
            found.append((server, columns))
    return found


def _columns(server: Server, guest: GuestState | None) -> dict[str, object]:
    if guest is None or server.task_state is not None:
        return {}
    power = POWERS[guest.power]
    columns: dict[str, object] = {} if power == server.power else {"power": int(power)}
    state = settled(power)
    if columns and server.vm_state in _FOLLOWING and state is not None and state != server.vm_state:
        columns["vm_state"] = str(state)
    return columns
