"""Servers that go to another flavor, another host, or both: resize, its two ends, cold migration, evacuation.

Disks are in the gateway, so nothing is copied: a guest ends here and begins there. `Resizing` ends in a state in which
somebody has to say whether it stays so; until then the claim of what it was is kept. Details: `exclude`, whether the
host has to be another one; `target`, which; `was_running`.
"""

from typing import Any

from sqlalchemy import Connection

from compute.instances import block_devices, claims, moves, placing, servers, usage
from compute.instances.flavors import Flavor
from compute.instances.operations import equipment, power
from compute.instances.operations.work import Work
from compute.instances.servers import Server
from compute.instances.statuses import Power, Task, VmState
from compute.operations.work import Outcome

GIB = 1 << 30


class Resizing:
    """To another flavor, or as it is to another host. The row has the new flavor from the beginning on."""

    NAME = "resize"

    @staticmethod
    def perform(work: Work) -> None:
        """Do it."""
        server = work.server()
        if "source" not in work.details:
            _claim(work, server)
        source = str(work.details["source"])
        server = work.server()
        running = bool(work.details["was_running"])
        _end_on(work, server, source, running)
        work.set(task_state=Task.RESIZE_MIGRATED)
        _grow_root(work, server)
        equipment.define(work, server, running)

        def outcome(connection: Connection, now_us: int) -> None:
            moves.reach(connection, server.id, now_us, status="finished", target=server.host)

        is_on = Power.RUNNING if running else Power.OFF
        work.end(outcome, vm_state=VmState.RESIZED, power=is_on, old_host=source, fault=None)

    @staticmethod
    def fail(work: Work, why: str) -> None:
        """Have it be where it was, as it was."""
        server = work.server()
        source = work.details.get("source")
        if source is not None and server.host != source:
            if work.details.get("ended"):
                equipment.take_away(work, server, str(server.host))
            elif work.details.get("leaving"):
                equipment.take_away(work, server, source)  # to its end, as its disks may be nobody's there by now
            work.set(host=source)

        def back(connection: Connection, now_us: int) -> None:
            found = servers.get(connection, server.id)
            _set_flavor(connection, found, now_us, dict(found.old_flavor or found.flavor))
            servers.change(connection, server.id, now_us, old_flavor=None, old_vm_state=None)
            if found.host is not None:
                again = servers.get(connection, server.id)
                claims.take(connection, server.id, found.host, again.vcpus, again.memory_mib)
            claims.release(connection, server.id, claims.MOVE)
            moves.reach(connection, server.id, now_us, status="error")

        if server.old_flavor is not None:
            work.note(back)
        server = work.server()
        running = bool(work.details.get("was_running"))
        if source is not None:
            equipment.define(work, server, running)
        work.end(why=why, vm_state=VmState.ACTIVE if running else VmState.STOPPED)


class Reverting:
    """Back to what it was before a resize. A disk that has grown stays so."""

    NAME = "revert-resize"

    @staticmethod
    def perform(work: Work) -> None:
        """Do it."""
        server = work.server()
        if "new_host" not in work.details:
            running = server.old_vm_state != VmState.STOPPED
            work.reach("reverting", new_host=server.host, was_running=running)
        new_host, running = str(work.details["new_host"]), bool(work.details["was_running"])
        if server.old_flavor is not None:
            _stop(work, server, new_host, running)
            if server.old_host != new_host:
                equipment.take_away(work, server, new_host)
            work.note(lambda connection, now_us: _take_back(connection, work, now_us))
        server = work.server()
        equipment.define(work, server, running)

        def outcome(connection: Connection, now_us: int) -> None:
            moves.reach(connection, server.id, now_us, status="reverted")

        work.end(outcome, **(power.RUNNING if running else power.OFF))

    @staticmethod
    def fail(work: Work, why: str) -> None:
        """Say so: an administrator has to look."""
        work.end(why=why, vm_state=VmState.ERROR)


class Evacuating:
    """From a host that is down, to another one. What it had is kept from the old host before anything begins."""

    NAME = "evacuate"

    @staticmethod
    def perform(work: Work) -> None:
        """Do it."""
        server = work.server()
        if "source" not in work.details:
            work.reach("leaving", source=server.host, was_running=server.power != Power.OFF)
        source = str(work.details["source"])
        if server.host == source:
            equipment.take_away(work, server, source, gone=True)
            server = equipment.choose_host(work, (source,), host=work.details.get("target"))
        running = bool(work.details["was_running"])
        equipment.define(work, server, running)

        def outcome(connection: Connection, now_us: int) -> None:
            moves.reach(connection, server.id, now_us, status="done", target=server.host)

        work.end(outcome, fault=None, **(power.RUNNING if running else power.OFF))

    @staticmethod
    def fail(work: Work, why: str) -> None:
        """Say so; it may be tried again."""

        def outcome(connection: Connection, now_us: int) -> None:
            moves.reach(connection, work.subject_id, now_us, status="error")

        work.end(outcome, why=why, vm_state=VmState.ERROR)


def confirm(connection: Connection, server: Server, now_us: int) -> None:
    """Note that a resized server stays as it is: nothing is left of what it was."""
    claims.release(connection, server.id, claims.MOVE)
    vm_state = VmState.STOPPED if server.power == Power.OFF else VmState.ACTIVE
    servers.change(
        connection,
        server.id,
        now_us,
        vm_state=vm_state,
        task_state=None,
        old_flavor=None,
        old_host=None,
        old_vm_state=None,
    )
    moves.reach(connection, server.id, now_us, status="confirmed")


def begin_resize(connection: Connection, server: Server, flavor: Flavor, now_us: int, **columns: Any) -> None:
    """Note the flavor that a server is to have from now on, and the one that it may go back to."""
    old = dict(server.flavor)
    servers.change(connection, server.id, now_us, old_flavor=old, old_vm_state=server.vm_state, **columns)
    _set_flavor(connection, server, now_us, plain(flavor))


def plain(flavor: Flavor) -> dict[str, Any]:
    """Return a flavor, as a server keeps it."""
    return {
        "id": flavor.id,
        "name": flavor.name,
        "memory_mib": flavor.memory_mib,
        "vcpus": flavor.vcpus,
        "disk_gb": flavor.disk_gb,
        "ephemeral_gb": flavor.ephemeral_gb,
        "swap_mib": flavor.swap_mib,
        "rxtx_factor": flavor.rxtx_factor,
        "is_public": flavor.is_public,
        "disabled": flavor.disabled,
        "description": flavor.description,
        "extra_specs": dict(flavor.extra_specs),
    }


def _set_flavor(connection: Connection, server: Server, now_us: int, flavor: dict[str, Any]) -> None:
    kind = Flavor(**flavor)
    servers.change(
        connection,
        server.id,
        now_us,
        flavor=flavor,
        flavor_id=kind.id,
        vcpus=kind.vcpus,
        memory_mib=kind.memory_mib,
        disk_gb=kind.disk_gb + kind.ephemeral_gb,
    )
    usage.begin(connection, server.id, server.project_id, server.user_id, server.name, kind, now_us)


def _claim(work: Work, server: Server) -> None:
    """Claim a host for what the server is to be, and keep what it was."""
    source = server.host
    running = server.old_vm_state != VmState.STOPPED

    def outcome(connection: Connection, now_us: int) -> None:
        found = servers.get(connection, server.id)
        old = Flavor(**(found.old_flavor or found.flavor))
        assert source is not None
        claims.take(connection, server.id, source, old.vcpus, old.memory_mib, claims.MOVE)
        claims.release(connection, server.id, claims.SERVER)
        tried = (source,) if work.details.get("exclude") else ()
        preferred = None if tried else source
        chosen = placing.place(connection, work.settings, found, now_us, tried, preferred, work.details.get("target"))
        zone = placing.zone_of(connection, work.settings, chosen)
        servers.change(connection, server.id, now_us, host=chosen, availability_zone=zone)
        moves.reach(connection, server.id, now_us, status="migrating", target=chosen)

    work.change(outcome, "moving", source=source, was_running=running)


def _end_on(work: Work, server: Server, source: str, running: bool) -> None:
    """Have the guest be off where it was, and gone, if it goes elsewhere."""
    if work.details.get("ended"):
        return
    _stop(work, server, source, running)
    if server.host != source:
        work.reach("leaving", leaving=True)
        equipment.take_away(work, server, source)
    work.reach("ended", ended=True)


def _stop(work: Work, server: Server, host: str, running: bool) -> None:
    equipment.end_guest(work, host, server.id, power.patience_s(work, server) if running else 0.0)


def _grow_root(work: Work, server: Server) -> None:
    for device in equipment.devices_of(work):
        wanted = server.kind.disk_gb * GIB
        if device.use != block_devices.ROOT or wanted <= device.size:
            continue
        work.tools.disks.resize(device.local_name, wanted)
        disk = {**device.disk, "size": wanted} if device.disk else {}
        work.note(_grown(device.id, server.kind.disk_gb, wanted, disk))


def _grown(device_id: str, gib: int, size: int, disk: dict[str, Any]) -> Outcome:
    return lambda connection, _now_us: block_devices.change(connection, device_id, gib=gib, size=size, disk=disk)


def _take_back(connection: Connection, work: Work, now_us: int) -> None:
    found = servers.get(connection, work.subject_id)
    old = Flavor(**(found.old_flavor or found.flavor))
    host = found.old_host or found.host
    assert host is not None
    claims.release(connection, found.id, claims.MOVE)
    claims.take(connection, found.id, host, old.vcpus, old.memory_mib)
    _set_flavor(connection, found, now_us, plain(old))
    zone = placing.zone_of(connection, work.settings, host)
    servers.change(
        connection,
        found.id,
        now_us,
        host=host,
        availability_zone=zone,
        old_host=None,
        old_flavor=None,
        old_vm_state=None,
    )
