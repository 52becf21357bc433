"""Deleting a server, with what goes with it. It never gives up: it is begun anew until nothing is left."""

from sqlalchemy import Connection

from compute.instances import server_actions, servers
from compute.instances.operations import equipment, shelving
from compute.instances.operations.building import drop_all
from compute.instances.operations.work import Work
from compute.instances.statuses import Task, VmState

NAME = servers.DELETE


def perform(work: Work) -> None:
    """Delete it."""
    server = work.server()
    if server.task_state != Task.DELETING:
        work.set(task_state=Task.DELETING)
    for host in {server.host, server.old_host} - {None}:
        equipment.remove_guest(work, str(host), server.id)
    if server.vm_state == VmState.OFFLOADED:
        shelving.discard_image(work, server)
    drop_all(work)

    def outcome(connection: Connection, now_us: int) -> None:
        servers.remove(connection, server, now_us)
        server_actions.end(connection, server.id, work.operation.request_id, None, now_us)

    work.finish(outcome)


def fail(work: Work, _why: str) -> None:
    """Go on: what is to be deleted is."""
    perform(work)
