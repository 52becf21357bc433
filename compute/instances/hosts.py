"""Hosts: as they were seen last, and what administrators have said of them.

The compute daemon asks each host every SEEN_S what it has (`Watcher`); a host that has not answered for DOWN_S is down,
and gets no servers. Decisions go by what is here, so that no request waits for a host.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from cluster.clock import wall_us
from cluster.controlplane.database import Database, retried
from cluster.telemetry.log import get_logger
from compute.agent.guest import HostState, document_of, value_of
from compute.agent.interface import Hosts
from compute.instances.errors import NotFound
from compute.instances.schema.hosts import hosts
from compute.records import new_id
from compute.stored import BackendError

SERVICE = "nova-compute"  # what a host's part of the service is called
SEEN_S = 10.0
DOWN_S = 60.0

assert DOWN_S > 3 * SEEN_S

_log = get_logger("compute")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownHost:
    """One host."""

    name: str
    id: str  # of the hypervisor
    service_id: str
    number: int  # of both, in old versions of the API
    state: HostState | None  # as it was seen last; None: never
    seen_at_us: int
    disabled: bool = False  # gets no new servers
    disabled_reason: str | None = None
    forced_down: bool = False  # counts as down, whatever it answers
    created_at_us: int = 0

    def is_up(self, now_us: int) -> bool:
        """Tell whether it was seen of late, and nobody says that it is down."""
        return not self.forced_down and self.state is not None and now_us - self.seen_at_us < DOWN_S * 1e6

    def takes_servers(self, now_us: int) -> bool:
        """Tell whether it may get new servers."""
        return self.is_up(now_us) and not self.disabled


def every(connection: Connection) -> list[KnownHost]:
    """Return them all, by number."""
    return [_host(row) for row in connection.execute(select(hosts).order_by(hosts.c.number))]


def get(connection: Connection, name: str) -> KnownHost:
    """Return a host by its name. Raise NotFound."""
    row = connection.execute(select(hosts).where(hosts.c.name == name)).one_or_none()
    if row is None:
        raise NotFound("Compute host", name)
    return _host(row)


def note(connection: Connection, name: str, state: HostState | None, now_us: int) -> None:
    """Note that a host is there, and what it has; None: it does not answer."""
    known = connection.scalar(select(hosts.c.number).where(hosts.c.name == name))
    seen: dict[str, Any] = {"state": document_of(state), "seen_at_us": now_us} if state is not None else {}
    if known is not None:
        if seen:
            connection.execute(update(hosts).where(hosts.c.name == name).values(**seen))
        return
    number = int(connection.scalar(select(func.coalesce(func.max(hosts.c.number), 0))) or 0) + 1
    row = {"state": None, "seen_at_us": 0, "disabled": False, "disabled_reason": None, "forced_down": False, **seen}
    row |= {"name": name, "id": new_id(), "service_id": new_id(), "number": number, "created_at_us": now_us}
    connection.execute(insert(hosts).values(row))


def change(connection: Connection, name: str, **columns: Any) -> KnownHost:
    """Change what is said of a host. Raise NotFound."""
    if not connection.execute(update(hosts).where(hosts.c.name == name).values(**columns)).rowcount:
        raise NotFound("Compute host", name)
    return get(connection, name)


def remove(connection: Connection, name: str) -> None:
    """Forget a host; one that is still configured comes back as a new one."""
    connection.execute(delete(hosts).where(hosts.c.name == name))


class Watcher:
    """Asks all hosts what they have, each by itself: one that does not answer keeps no other waiting."""

    def __init__(self, database: Database, asked: Hosts, clock_us: Callable[[], int] = wall_us) -> None:
        self._database, self._hosts, self._clock_us = database, asked, clock_us
        self._away: set[str] = set()  # hosts that did not answer when they were asked last

    def __repr__(self) -> str:
        return f"Watcher({', '.join(self._hosts.names())})"

    def step(self) -> None:
        """Ask all hosts: a chore."""
        names = list(self._hosts.names())
        threads = [threading.Thread(target=self._ask, args=(name,), daemon=True) for name in names[1:]]
        for thread in threads:
            thread.start()
        for name in names[:1]:  # which needs no thread when it is the only one
            self._ask(name)
        for thread in threads:
            thread.join()

    def _ask(self, name: str) -> None:
        try:
            state = self._hosts.get(name).state()
        except BackendError as error:
            if name not in self._away:
                _log.warning("host_away", host=name, error=error)
            self._away.add(name)
            state = None
        else:
            if name in self._away:
                _log.info("host_back", host=name)
            self._away.discard(name)
        retried(self._database, lambda connection: note(connection, name, state, self._clock_us()))


def _host(row: Any) -> KnownHost:
    values = dict(row._mapping)
    state = values.pop("state")
    return KnownHost(**values, state=None if state is None else value_of(HostState, state))
