"""Making a server: a host, ports, disks, and the guest that runs.

Details: `token`, the user's, sealed, where volumes are made for the user; `tried`, hosts that could not have it.
"""

from sqlalchemy import Connection

from compute.instances import block_devices, cards, claims, placing, server_actions, servers
from compute.instances.operations import equipment
from compute.instances.operations.work import Work
from compute.instances.servers import Server
from compute.instances.statuses import Power, Task, VmState
from compute.stored import BackendError, Refused

NAME = "build"
ATTEMPTS = 3  # hosts that are asked


def perform(work: Work) -> None:
    """Make it."""
    server = work.server()
    if server.host is None:
        server = _place(work)
    work.set(task_state=Task.NETWORKING)
    equipment.bring_cards(work, server)
    work.set(task_state=Task.MAPPING)
    equipment.bring_disks(work, server)
    work.set(task_state=Task.SPAWNING)
    server = work.server()  # it may have been deleted meanwhile
    try:
        work.host(server.host or "").define(equipment.guest_of(work, server), True)
    except Refused as error:
        _elsewhere(work, server, error)
        return
    equipment.complete(work)
    work.note(equipment.all_attached(server.id))
    work.end(vm_state=VmState.ACTIVE, power=Power.RUNNING, launched_at_us=work.now_us(), fault=None)


def fail(work: Work, why: str) -> None:
    """Leave nothing of it; the server is in error, until it is deleted."""
    server = work.server()
    if server.host is not None:
        equipment.remove_guest(work, server.host, server.id)
    drop_all(work)

    def outcome(connection: Connection, _now_us: int) -> None:
        for device in block_devices.of_server(connection, server.id):
            block_devices.remove(connection, device.id)
        for card in cards.of_server(connection, server.id):
            cards.remove(connection, card.id)
        claims.release(connection, server.id)

    work.end(outcome, why, vm_state=VmState.ERROR, host=None, power=Power.NONE)


def drop_all(work: Work) -> None:
    """Let go of all ports and disks of the server, and delete what goes with it. Raise InUse."""
    for card in equipment.cards_of(work):
        equipment.drop_card(work, card)
    for device in equipment.devices_of(work):
        equipment.drop_disk(work, device, delete=True)


def _place(work: Work) -> Server:
    tried = tuple(work.details.get("tried", ()))
    try:
        server = equipment.choose_host(work, tried)
    except placing.NoHost as error:
        raise Refused(f"{error} ({error.why})") from error

    def outcome(connection: Connection, now_us: int) -> None:
        server_actions.begin(
            connection,
            server.id,
            work.operation.request_id,
            "compute__do_build_and_run_instance",
            server.host,
            now_us,
        )

    work.note(outcome)
    return server


def _elsewhere(work: Work, server: Server, error: BackendError) -> None:
    """Try another host, if there is one. Raise Refused."""
    tried = [*work.details.get("tried", ()), server.host]
    if len(tried) >= ATTEMPTS or server.wish.get("forced_host"):
        raise error
    equipment.take_away(work, server, server.host or "")

    def outcome(connection: Connection, now_us: int) -> None:
        claims.release(connection, server.id)
        servers.change(connection, server.id, now_us, host=None, task_state=Task.SCHEDULING)

    work.change(outcome, work.operation.step, tried=tried)
    perform(work)
