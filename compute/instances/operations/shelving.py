"""Taking a server off its host for a while, and bringing it back, perhaps to another one.

Its disks stay in the gateway, so nothing is copied, and no image is made. Details of unshelving: `target`, a host.
"""

from sqlalchemy import Connection

from compute.instances import claims, servers
from compute.instances.operations import equipment
from compute.instances.operations.work import Work
from compute.instances.statuses import Power, VmState
from compute.stored import NoSuch


class Shelving:
    """Off its host."""

    NAME = "shelve"

    @staticmethod
    def perform(work: Work) -> None:
        """Do it."""
        server = work.server()
        if server.host is not None:
            try:
                work.host(server.host).stop(server.id, work.settings.shutdown_s)
            except NoSuch:
                server = work.server()
            equipment.take_away(work, server, server.host or "")

        def outcome(connection: Connection, _now_us: int) -> None:
            claims.release(connection, server.id)

        work.end(outcome, vm_state=VmState.OFFLOADED, power=Power.NONE, host=None)

    @staticmethod
    def fail(work: Work, why: str) -> None:
        """Say so."""
        work.end(why=why, vm_state=VmState.ERROR)


class Unshelving:
    """Back to a host."""

    NAME = "unshelve"

    @staticmethod
    def perform(work: Work) -> None:
        """Do it."""
        server = work.server()
        if server.host is None:
            server = equipment.choose_host(work, host=work.details.get("target"))
        equipment.define(work, server, True)
        work.end(vm_state=VmState.ACTIVE, power=Power.RUNNING, fault=None)

    @staticmethod
    def fail(work: Work, why: str) -> None:
        """Have it be off all hosts again."""
        server = work.server()
        if server.host is not None:
            equipment.take_away(work, server, server.host)

        def outcome(connection: Connection, now_us: int) -> None:
            claims.release(connection, server.id)
            servers.change(connection, server.id, now_us, host=None)

        work.end(outcome, why=why, vm_state=VmState.OFFLOADED, power=Power.NONE)
