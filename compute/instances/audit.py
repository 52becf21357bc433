"""What differs between the servers in the database and what is there for them, and how it is mended: `holdfast doctor`.

As long as nothing but this service touches what servers have nothing does: operations and the reconciler see to that.
It is for databases that were restored from a backup, for what was taken away behind the service's back, and for states
set by hand.

Nothing that might be wanted is deleted: a disk that nobody knows goes to the gateway's trash, and can be had back.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, select

from cluster.clock import wall_us
from cluster.config import Config
from cluster.controlplane.database import Database, retried
from cluster.layout import Layout
from compute.differences import Difference, lasting, mend
from compute.instances import block_devices, cards, cluster_settings, servers
from compute.instances.block_devices import BlockDevice
from compute.instances.cards import Card
from compute.instances.operations.work import Tools
from compute.instances.schema.servers import servers as table
from compute.instances.servers import Server
from compute.instances.statuses import Power, Task, VmState
from compute.operations import journal
from compute.records import record_of
from compute.stored import BackendError

KEEP_S = 7 * 86_400.0  # of a disk that nobody knows, in the trash
_OWN = re.compile(r"server-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:-.*)?")
_WITH_GUEST = frozenset((VmState.ACTIVE, VmState.PAUSED))


def examine(config: Config, layout: Layout, fix: bool) -> "list[Difference]":
    """Return what differs in a cluster; with `fix`, what is left of it after all was mended that can be.

    Raise BackendError when somebody who has to be asked does not answer.
    """
    database = Database(cluster_settings.database_url(config, layout))
    try:
        audit = Audit(database, cluster_settings.tools_of(config, layout, cluster_settings.settings_of(config)))
        found = audit.differences()
        return mend(found) if fix else found
    finally:
        database.close()


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the database has."""

    servers: dict[str, Server]  # those that are there
    gone: frozenset[str]  # those that were deleted not long ago
    devices: Sequence[BlockDevice]
    cards: Sequence[Card]
    busy: frozenset[str]

    @classmethod
    def of(cls, connection: Connection) -> "_Seen":
        rows = [record_of(Server, row) for row in connection.execute(select(table))]
        return cls(
            servers={each.id: each for each in rows if each.deleted_at_us is None},
            gone=frozenset(each.id for each in rows if each.deleted_at_us is not None),
            devices=block_devices.every(connection),
            cards=cards.every(connection),
            busy=frozenset(each.partition(":")[2] for each in journal.subjects(connection)),
        )


class Audit:
    """Of one database and those who have things for servers."""

    def __init__(self, database: Database, tools: Tools, clock_us: Callable[[], int] = wall_us) -> None:
        self._database, self._tools, self._clock_us = database, tools, clock_us

    def differences(self) -> list[Difference]:
        """Return what differs, and still differs when it is looked at again. Raise BackendError."""
        return lasting(self._look)

    def _look(self) -> list[Difference]:
        stored = {each.name: each.is_open for each in self._tools.disks.list() if _OWN.fullmatch(each.name)}
        guests = {name: self._guests(name) for name in self._tools.hosts.names()}
        with self._database.reading() as connection:
            seen = _Seen.of(connection)
        return [
            *self._disks(stored, seen),
            *self._strangers(guests, seen),
            *self._without_guests(guests, seen),
            *self._attachments(seen),
            *self._ports(seen),
            *self._stuck(seen),
        ]

    def _guests(self, host: str) -> frozenset[str] | None:
        """Return the guests of a host; None: it does not answer, which is told elsewhere."""
        try:
            return frozenset(each.id for each in self._tools.hosts.get(host).seen().guests)
        except BackendError:
            return None

    def _disks(self, stored: dict[str, bool], seen: _Seen) -> Iterator[Difference]:
        known = {each.local_name: each for each in seen.devices if each.is_local}
        for name, is_open in stored.items():
            match = _OWN.fullmatch(name)
            assert match is not None
            if is_open and name not in known and match[1] not in seen.busy:
                words = "the gateway has it, and no server does; it can go to the trash for a week"
                yield Difference(name, words, partial(self._tools.disks.put_aside, name, KEEP_S))
        for name, device in known.items():
            if device.size and name not in stored and device.server_id not in seen.busy:
                yield Difference(f"server {device.server_id}", f"the gateway does not have its disk {name}")

    def _strangers(self, guests: dict[str, frozenset[str] | None], seen: _Seen) -> Iterator[Difference]:
        for host, there in guests.items():
            for guest_id in there or ():
                server = seen.servers.get(guest_id)
                if guest_id in seen.busy or (server is not None and host in (server.host, server.old_host)):
                    continue
                words = f"host {host} has a guest of that id, and should not"
                yield Difference(f"server {guest_id}", words, partial(self._tools.hosts.get(host).remove, guest_id))

    def _without_guests(self, guests: dict[str, frozenset[str] | None], seen: _Seen) -> Iterator[Difference]:
        for server in seen.servers.values():
            there = guests.get(server.host or "")
            if there is None or server.id in there or server.id in seen.busy or server.vm_state not in _WITH_GUEST:
                continue
            columns: dict[str, object] = {"vm_state": VmState.STOPPED, "power": Power.OFF, "task_state": None}
            words = f"host {server.host} has no guest of it; it can be shown as stopped, and started again"
            yield Difference(f"server {server.id}", words, self._set(server, columns))

    def _attachments(self, seen: _Seen) -> Iterator[Difference]:
        ours = {each.attachment_id for each in seen.devices if each.attachment_id}
        for server_id in (*seen.servers, *seen.gone):
            if server_id in seen.busy:
                continue
            there = dict(self._tools.volumes.attached(server_id))
            for attachment_id, volume_id in there.items():
                if attachment_id not in ours:
                    words = f"volume {volume_id} is kept for it by attachment {attachment_id}, which it does not know"
                    release = partial(self._tools.volumes.release, attachment_id)
                    yield Difference(f"server {server_id}", words, release)
            for device in seen.devices:
                if device.server_id == server_id and device.attachment_id and device.attachment_id not in there:
                    yield Difference(f"server {server_id}", f"volume {device.volume_id} is not attached to it any more")

    def _ports(self, seen: _Seen) -> Iterator[Difference]:
        ours = {each.port_id for each in seen.cards}
        ids = [each for each in (*seen.servers, *seen.gone) if each not in seen.busy]
        for server_id, ports in self._tools.network.ports_of(ids).items():
            for port in ports:
                if port.id not in ours:
                    words = f"port {port.id} is its, and it does not know it"
                    yield Difference(f"server {server_id}", words, partial(self._tools.network.release, port.id))

    def _stuck(self, seen: _Seen) -> Iterator[Difference]:
        for server in seen.servers.values():
            if server.task_state is None or server.id in seen.busy:
                continue
            columns: dict[str, object] = {"task_state": None}
            if server.vm_state == VmState.BUILDING:
                columns["vm_state"] = VmState.ERROR
            words = f"it is shown as {server.task_state}, and nothing is done to it"
            if server.task_state == Task.DELETING:
                words = "it was to be deleted, and nobody does it; it can be shown as it was, and deleted again"
            yield Difference(f"server {server.id}", words, self._set(server, columns))

    def _set(self, server: Server, columns: dict[str, object]) -> Callable[[], None]:
        def change(connection: Connection) -> None:
            found = servers.find(connection, server.id)
            if found == server and not servers.is_busy(connection, server.id):
                servers.change(connection, server.id, self._clock_us(), deletion_wanted=False, **columns)

        return lambda: retried(self._database, change)
