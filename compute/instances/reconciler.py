"""Brings together what hosts, the network, volumes and the gateway have with what servers there are: a chore.

As long as all goes well it finds nothing: operations see to that. It is for hosts that come back after they were given
up, and for what was deleted while somebody did not answer. What an operation works on is left to that.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from cluster.clock import wall_us
from cluster.controlplane.database import Database, retried
from cluster.telemetry.log import get_logger
from compute.instances import cards, servers
from compute.instances.operations.work import Tools
from compute.instances.servers import Server
from compute.instances.statuses import Power, VmState
from compute.operations import journal
from compute.stored import BackendError

_log = get_logger("compute")
_FOLLOWED = frozenset((VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED, VmState.SUSPENDED))


@dataclass(frozen=True, slots=True)
class Known:
    """What the database knows."""

    servers: dict[str, Server]
    busy: frozenset[str]  # ids of those that something is done to

    def hosts_of(self, server_id: str) -> set[str]:
        """Return where a server's guest may be."""
        server = self.servers.get(server_id)
        return set() if server is None else {each for each in (server.host, server.old_host) if each}


class Reconciler:
    """Over one database and those who do things."""

    def __init__(self, database: Database, tools: Tools, clock_us: Callable[[], int] = wall_us) -> None:
        self._database, self._tools, self._clock_us = database, tools, clock_us

    def step(self) -> int:
        """Look at all hosts and ports once; return how much was mended."""
        return sum(self._host(name) for name in self._tools.hosts.names()) + self._ports()

    def _known(self) -> Known:
        with self._database.reading() as connection:
            found = {each.id: each for each in servers.every(connection)}
            busy = frozenset(each.partition(":")[2] for each in journal.subjects(connection))
        return Known(found, busy)

    def _host(self, name: str) -> int:
        try:
            host = self._tools.hosts.get(name)
            guests = {each.id for each in host.seen().guests}
            known = self._known()  # after what was seen: a server that is newer has no guest among them
            strangers = [each for each in guests if each not in known.busy and name not in known.hosts_of(each)]
            for guest_id in strangers:
                _log.warning("guest_without_server", host=name, guest=guest_id, action="removed")
                host.remove(guest_id)
        except BackendError as error:
            _log.info("host_not_reconciled", host=name, error=error)
            return 0
        lost = list(_lost(known, name, guests))
        for server in lost:
            _log.warning("server_without_guest", host=name, server=server.id, action="shown as stopped")
            retried(self._database, partial(self._stopped, server=server))
        return len(strangers) + len(lost)

    def _stopped(self, connection: Connection, server: Server) -> None:
        """A server whose guest is gone can be started again: its disks are there."""
        found = servers.find(connection, server.id)
        if found == server and not servers.is_busy(connection, server.id):
            servers.change(
                connection, server.id, self._clock_us(), vm_state=VmState.STOPPED, power=Power.OFF, task_state=None
            )

    def _ports(self) -> int:
        """Bring what is known of ports up to date: their addresses, and floating ones."""
        with self._database.reading() as connection:
            known = {each.port_id: each for each in cards.every(connection) if each.port_id}
        if not known:
            return 0
        try:
            ports = self._tools.network.ports_of(sorted({each.server_id for each in known.values()}))
        except BackendError as error:
            _log.info("ports_not_reconciled", error=error)
            return 0
        changed = [
            (known[port.id], cards.info_of(port))
            for found in ports.values()
            for port in found
            if port.id in known and known[port.id].port != port
        ]
        for card, info in changed:
            retried(self._database, partial(cards.change, card_id=card.id, info=info))
        return len(changed)


def _lost(known: Known, host: str, guests: set[str]) -> Iterator[Server]:
    """Yield the servers that should have a guest on a host, and have none."""
    for server in known.servers.values():
        if server.host != host or server.id in guests or server.id in known.busy:
            continue
        if server.vm_state in _FOLLOWED and server.task_state is None and server.power != Power.OFF:
            yield server
