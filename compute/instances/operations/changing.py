"""Disks and cards that come and go, one after the other, until the rows say nothing more. The server is as it was.

What cannot be done is undone, or goes on to be there, and the others are done nevertheless. A server without a host has
them when it gets one.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from compute.instances import block_devices, cards, server_actions, servers
from compute.instances.block_devices import BlockDevice
from compute.instances.cards import Card
from compute.instances.operations import equipment
from compute.instances.operations.work import Superseded, Work
from compute.instances.servers import Server
from compute.operations.work import Outcome
from compute.stored import InUse, NoSuch, Refused

NAME = servers.DEVICES
_LOOKS, _LOOK_S = 50, 0.2  # at a guest that is to let go


def perform(work: Work) -> None:
    """Do all of it."""
    while True:
        server = work.server()
        device = next((each for each in equipment.devices_of(work) if each.state != block_devices.ATTACHED), None)
        card = next((each for each in equipment.cards_of(work) if each.state != cards.ATTACHED), None)
        if device is not None:
            _settle_disk(work, server, device)
        elif card is not None:
            _settle_card(work, server, card)
        else:
            break

    def outcome(connection: Connection, _now_us: int) -> None:
        """There may be more by now: `settle` sees to it."""

    work.finish(outcome)


def fail(work: Work, why: str) -> None:
    """Leave what is to go, where it is; undo what was to come."""
    for device in equipment.devices_of(work):
        if device.state == block_devices.WANTED:
            _undo_disk(work, device, why)
        elif device.state == block_devices.UNWANTED:
            work.note(_disk_stays(device, why, work))
    for card in equipment.cards_of(work):
        if card.state == cards.WANTED:
            _undo_card(work, card, why)
        elif card.state == cards.UNWANTED:
            work.note(_card_stays(card))
    work.finish(lambda _connection, _now_us: None)


def _settle_disk(work: Work, server: Server, device: BlockDevice) -> None:
    if device.state == block_devices.UNWANTED:
        _detach(work, server, device)
        return
    try:
        if server.host is not None:
            disk = equipment.bring_disk(work, server, device)
            work.host(server.host).attach(server.id, disk)
            if device.is_local is False:
                _complete(work, device.id)
        else:
            _reserve(work, server, device)
            _complete(work, device.id)  # as in Nova: clients wait until it is in use, though no host uses it yet
    except Superseded:
        raise
    except Refused as error:
        _undo_disk(work, device, str(error))
        return
    work.note(_disk_there(work, device))


def _reserve(work: Work, server: Server, device: BlockDevice) -> None:
    if device.attachment_id is None and device.volume_id is not None:
        attachment_id = work.tools.volumes.reserve(device.volume_id, server.id)
        work.note(lambda connection, _now: block_devices.change(connection, device.id, attachment_id=attachment_id))


def _complete(work: Work, device_id: str) -> None:
    found = next((each for each in equipment.devices_of(work) if each.id == device_id), None)
    if found is not None and found.attachment_id is not None:
        work.tools.volumes.complete(found.attachment_id)


def _detach(work: Work, server: Server, device: BlockDevice) -> None:
    disk = device.connected
    if server.host is not None and disk is not None:
        _have_gone(work, lambda: work.host(server.host or "").detach(server.id, disk.serial).disks, disk.serial)
    equipment.drop_disk(work, device, delete=False)

    def outcome(connection: Connection, now_us: int) -> None:
        block_devices.remove(connection, device.id)
        server_actions.end_last(connection, server.id, "detach_volume", None, now_us)

    work.note(outcome)


def _undo_disk(work: Work, device: BlockDevice, why: str) -> None:
    found = next((each for each in equipment.devices_of(work) if each.id == device.id), device)
    server = work.server()
    disk = found.connected
    if server.host is not None and disk is not None:
        _have_gone(work, lambda: work.host(server.host or "").detach(server.id, disk.serial).disks, disk.serial)
    equipment.drop_disk(work, found, delete=False)

    def outcome(connection: Connection, now_us: int) -> None:
        block_devices.remove(connection, device.id)
        server_actions.end_last(connection, server.id, "attach_volume", why, now_us)

    work.note(outcome)


def _settle_card(work: Work, server: Server, card: Card) -> None:
    if card.state == cards.UNWANTED:
        _unplug(work, server, card)
        return
    try:
        if server.host is not None:
            nic = equipment.bring_card(work, server, card)
            work.host(server.host).plug(server.id, nic)
    except Superseded:
        raise
    except Refused as error:
        _undo_card(work, card, str(error))
        return

    def outcome(connection: Connection, now_us: int) -> None:
        cards.change(connection, card.id, state=cards.ATTACHED)
        server_actions.end_last(connection, server.id, "attach_interface", None, now_us)

    work.note(outcome)
    tell(work, server)


def _unplug(work: Work, server: Server, card: Card) -> None:
    nic = card.nic
    if server.host is not None and nic is not None:
        _have_gone(work, lambda: work.host(server.host or "").unplug(server.id, nic.mac).nics, nic.mac)
    equipment.drop_card(work, card)

    def outcome(connection: Connection, now_us: int) -> None:
        cards.remove(connection, card.id)
        server_actions.end_last(connection, server.id, "detach_interface", None, now_us)

    work.note(outcome)
    tell(work, server)


def _undo_card(work: Work, card: Card, why: str) -> None:
    found = next((each for each in equipment.cards_of(work) if each.id == card.id), card)
    server, nic = work.server(), found.nic
    if server.host is not None and nic is not None:
        _have_gone(work, lambda: work.host(server.host or "").unplug(server.id, nic.mac).nics, nic.mac)
    equipment.drop_card(work, found)

    def outcome(connection: Connection, now_us: int) -> None:
        cards.remove(connection, card.id)
        server_actions.end_last(connection, server.id, "attach_interface", why, now_us)

    work.note(outcome)


def tell(work: Work, server: Server) -> None:
    """Have a guest be told of itself what is so by now."""
    if server.host is not None:
        try:
            work.host(server.host).tell(server.id, equipment.guest_of(work, server).told)
        except NoSuch:
            return  # it is told when it is defined


def _have_gone(work: Work, ask: Callable[[], Sequence[str]], name: str) -> None:
    """Have a guest let go of something, and wait until it has. Raise InUse when that takes long."""
    for _look in range(_LOOKS):
        try:
            left = ask()
        except NoSuch:
            return
        if name not in left:
            return
        work.tools.sleep(_LOOK_S)
    raise InUse(f"the guest does not let go of {name}")


def _disk_there(work: Work, device: BlockDevice) -> Outcome:
    def outcome(connection: Connection, now_us: int) -> None:
        block_devices.change(connection, device.id, state=block_devices.ATTACHED)
        server_actions.end_last(connection, work.subject_id, "attach_volume", None, now_us)

    return outcome


def _disk_stays(device: BlockDevice, why: str, work: Work) -> Outcome:
    def outcome(connection: Connection, now_us: int) -> None:
        block_devices.change(connection, device.id, state=block_devices.ATTACHED)
        server_actions.end_last(connection, work.subject_id, "detach_volume", why, now_us)

    return outcome


def _card_stays(card: Card) -> Outcome:
    return lambda connection, _now_us: cards.change(connection, card.id, state=cards.ATTACHED)
