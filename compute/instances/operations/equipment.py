"""A guest with all that it has on its host: brought there, and taken away. All of it can be done again.

A disk of a server's own is exported for a holder that is new for each host that the server comes to; before it goes to
another one the earlier holder is dismissed at the gateway, so that a host that was given up, and comes back by itself,
writes no more. With volumes of the volume service it is the same: there the holder is the attachment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from compute.agent.guest import Disk, Guest, GuestState, Nic, Power, document_of
from compute.instances import block_devices, cards, hosts, placing, servers
from compute.instances.block_devices import BLANK, IMAGE, RESCUE, SNAPSHOT, BlockDevice
from compute.instances.cards import Card
from compute.instances.interfaces import Volume
from compute.instances.operations.work import Work
from compute.instances.outside.volume_service import MARK
from compute.instances.servers import Server
from compute.instances.told import told_of
from compute.operations.work import Outcome
from compute.stored import InUse, NoSuch, NotYet, Refused, Removal

GIB = 1 << 30
MIB = 1 << 20
TOKEN = "token"  # noqa: S105 a name in an operation's details
BEING_MADE = ("creating", "downloading")


def devices_of(work: Work) -> list[BlockDevice]:
    """Return the disks of the server."""
    return work.read(lambda connection: block_devices.of_server(connection, work.subject_id))


def cards_of(work: Work) -> list[Card]:
    """Return the cards of the server."""
    return work.read(lambda connection: cards.of_server(connection, work.subject_id))


# ports


def bring_cards(work: Work, server: Server) -> None:
    """Have all ports of a server be there, and be bound to its host."""
    for card in cards_of(work):
        if card.state != cards.UNWANTED:
            bring_card(work, server, card)


def bring_card(work: Work, server: Server, card: Card) -> Nic:
    """Have a port be there, and be bound to the server's host; return it as the host is told of it."""
    zone = server.availability_zone or work.settings.availability_zone
    if card.port_id is None:
        port = work.tools.network.create_port(_port_document(server, card, zone))
    else:
        port = work.tools.network.bind(card.port_id, server.id, server.host or "", zone)
    info, network_id = cards.info_of(port), port.network_id
    if (card.port_id, card.info, card.network_id) != (port.id, info, network_id):
        work.note(
            lambda connection, _now_us: cards.change(
                connection, card.id, port_id=port.id, info=info, network_id=network_id
            )
        )
    return cards.nic_of(port)


def drop_card(work: Work, card: Card) -> None:
    """Let go of a port: one that was made for the server is deleted."""
    if card.port_id is not None and card.kept:
        work.tools.network.release(card.port_id)
    elif card.port_id is not None:
        work.tools.network.delete_port(card.port_id)


def _port_document(server: Server, card: Card, zone: str) -> dict[str, object]:
    document: dict[str, object] = {
        "name": f"server-{card.id}",
        "network_id": card.network_id,
        "project_id": server.project_id,
        "admin_state_up": True,
        "device_id": server.id,
        "device_owner": f"compute:{zone}",
        "binding:host_id": server.host,
    }
    if card.fixed_ip:
        document["fixed_ips"] = [{"ip_address": card.fixed_ip}]
    if card.security_groups:
        document["security_groups"] = list(card.security_groups)
    return document


# disks


def bring_disks(work: Work, server: Server) -> None:
    """Have all disks of a server be there, and be ready for its host."""
    for device in devices_of(work):
        if device.state != block_devices.UNWANTED:
            bring_disk(work, server, device)


def bring_disk(work: Work, server: Server, device: BlockDevice) -> Disk:
    """Have a disk be there; return it as the server's host is told of it."""
    if device.connected is not None:
        return device.connected
    if device.is_local:
        return _bring_own(work, server, device)
    volume_id = device.volume_id or _make_volume(work, device)
    work.soon(lambda: require_made(work, volume_id))
    attachment_id = device.attachment_id or work.tools.volumes.reserve(volume_id, server.id)
    if attachment_id != device.attachment_id:
        work.note(lambda connection, _now: block_devices.change(connection, device.id, attachment_id=attachment_id))
    disk = work.tools.volumes.connect(attachment_id, server.host or "", device.device_name or "")
    return _connected(work, device, disk)


def complete(work: Work) -> None:
    """Tell that all disks are in use."""
    for device in devices_of(work):
        if device.attachment_id is not None and device.state != block_devices.UNWANTED:
            work.tools.volumes.complete(device.attachment_id)


def drop_disk(work: Work, device: BlockDevice, delete: bool) -> None:
    """Let go of a disk; with `delete` it is no more, if it is to go with the server. Raise InUse."""
    if device.is_local:
        if device.disk:
            work.tools.disks.dismiss(device.local_name, holder_of(device))
        if delete and work.tools.disks.remove(device.local_name) is Removal.KEPT:
            raise InUse(f"{device.local_name} has clones")
        return
    for attachment_id, volume_id in work.tools.volumes.attached(work.subject_id):
        if volume_id == device.volume_id:  # also one that the row does not know: who made it did not come so far
            work.tools.volumes.release(attachment_id)
    if delete and device.delete_on_termination and device.volume_id is not None:
        work.tools.volumes.delete(device.volume_id)


def holder_of(device: BlockDevice) -> str:
    """Return for whom a disk of a server's own is exported, as its host has it."""
    return str(device.disk["export"]).split("~")[1]


def _bring_own(work: Work, server: Server, device: BlockDevice) -> Disk:
    name, size = device.local_name, device.size
    if not size:
        size = _make_own(work, device)
        work.note(lambda connection, _now: block_devices.change(connection, device.id, size=size))
    number = work.server().subnames + device.place  # as it is now: `take_away` changes it
    disk = Disk(
        serial=device.id,
        host=work.settings.gateway_host,
        port=work.settings.gateway_port,
        export=work.settings.grants.export(name, f"{server.id}-{number}"),
        size=size,
    )
    return _connected(work, device, disk)


def _make_own(work: Work, device: BlockDevice) -> int:
    """Make a disk of the server's own, and return its size."""
    wanted = device.gib * (MIB if device.use == block_devices.SWAP else GIB)
    if device.source == BLANK:
        work.tools.disks.create(device.local_name, wanted, False)
        return wanted
    golden = work.soon(lambda: work.tools.images.golden(device.image_id or ""))
    if wanted and golden.size > wanted:
        raise Refused(
            f"Flavor's disk is too small for requested image. Flavor disk is {wanted} bytes, image is {golden.size} "
            "bytes."
        )
    work.tools.disks.clone(golden.volume, golden.snapshot, device.local_name)
    size = max(golden.size, wanted)
    work.tools.disks.resize(device.local_name, size)
    return size


def _make_volume(work: Work, device: BlockDevice) -> str:
    """Have the volume service make a volume, in the user's name."""
    sealed = str(work.details.get(TOKEN, ""))
    document: dict[str, object] = {
        "size": device.volume_gb,
        "name": "",
        "description": "",
        "metadata": {MARK: device.id},
    }
    if device.volume_type:
        document["volume_type"] = device.volume_type
    if device.source == IMAGE:
        document["imageRef"] = device.image_id
    if device.source == SNAPSHOT:
        document["snapshot_id"] = device.snapshot_id
    assert device.source in (IMAGE, SNAPSHOT, BLANK), device.source
    made = work.tools.volumes.create(document, work.settings.seal.decrypt(sealed.encode()).decode())
    work.note(
        lambda connection, _now: block_devices.change(connection, device.id, volume_id=made.id, volume_gb=made.size)
    )
    return made.id


def require_made(work: Work, volume_id: str) -> Volume:
    """Return a volume that is whole. Raise NotYet while it is being made or filled, Refused when that has failed."""
    found = work.tools.volumes.show(volume_id)
    if found is None:
        raise NoSuch(f"Volume {volume_id} could not be found.")
    if found.status in BEING_MADE:
        raise NotYet(f"Volume {volume_id} is {found.status}.")
    if found.status.startswith("error"):
        raise Refused(f"Volume {volume_id} is in error.")
    return found


def _connected(work: Work, device: BlockDevice, disk: Disk) -> Disk:
    found = replace(disk, boot_index=device.boot_index, bus=device.bus, kind=device.device_type)
    work.note(lambda connection, _now: block_devices.change(connection, device.id, disk=document_of(found)))
    return found


# guests


def guest_of(work: Work, server: Server) -> Guest:
    """Return all of what a server's guest shall be. Its disks and cards must have been brought."""
    devices = [each for each in devices_of(work) if each.state != block_devices.UNWANTED]
    its_cards = [each for each in cards_of(work) if each.state != cards.UNWANTED]
    ports = [card.port for card in its_cards if card.port is not None]
    told = told_of(server, its_cards, devices, work.tools.network.network_data(ports), _secret(work))
    properties = server.image.get("properties", {})
    extra = {**_hints(properties), **server.flavor.get("extra_specs", {})}
    return Guest(
        id=server.id,
        name=server.name,
        project_id=server.project_id,
        vcpus=server.vcpus,
        memory_mib=server.memory_mib,
        disks=_booting(devices),
        nics=tuple(nic for card in its_cards if (nic := card.nic) is not None),
        told=told,
        config_drive=server.config_drive,
        machine=_machine(properties),
        firmware="uefi" if properties.get("hw_firmware_type") == "uefi" else "bios",
        extra=extra,
    )


def _booting(devices: Sequence[BlockDevice]) -> tuple[Disk, ...]:
    """Return disks as a guest begins with them: with that of a rescue, if there is one."""
    found = [(each.use == RESCUE, disk) for each in devices if (disk := each.connected) is not None]
    if not any(rescues for rescues, _disk in found):
        return tuple(disk for _rescues, disk in found)
    found.sort(key=lambda each: not each[0])
    return tuple(replace(disk, boot_index=0 if rescues else None) for rescues, disk in found)


def define(work: Work, server: Server, running: bool) -> GuestState:
    """Have a server's guest be on its host with all that it has, running or not."""
    bring_cards(work, server)
    bring_disks(work, server)
    state = work.host(server.host or "").define(guest_of(work, server), running)
    complete(work)
    work.note(all_attached(server.id))
    return state


def end_guest(work: Work, host: str, server_id: str, patience_s: float) -> None:
    """Have a guest be off, which is let end by itself for a while. Raise NotYet until it is."""

    def ask() -> None:
        try:
            state = work.host(host).stop(server_id, patience_s)
        except NoSuch:  # somebody has removed it
            return
        if state.power is not Power.OFF:
            raise NotYet(f"guest {server_id} has not ended yet")

    work.soon(ask)


def take_away(work: Work, server: Server, host: str, gone: bool = False) -> None:
    """Have a server's guest be on a host no more, and its disks be for nobody there.

    `gone`: nobody can ask the host, which was given up: what it had is kept from it.
    """
    if not gone:
        work.host(host).remove(server.id)
    for device in devices_of(work):
        if not device.disk:
            continue
        attachment_id = device.attachment_id
        if device.is_local:
            work.tools.disks.dismiss(device.local_name, holder_of(device))
        elif attachment_id is not None and device.volume_id is not None:
            # another one first, so that nobody else gets the volume meanwhile
            new_id = work.tools.volumes.reserve(device.volume_id, server.id)
            work.tools.volumes.release(attachment_id)
            attachment_id = new_id
        work.note(_let_go(device, attachment_id))
    subnames = server.subnames + 1000  # holders of before are not for anybody any more
    work.note(lambda connection, now_us: _renamed(connection, server, subnames, now_us))


def remove_guest(work: Work, host: str, server_id: str) -> None:
    """Have a guest be on a host no more. One that nobody has seen for long is not asked: `reconciler` sees to it."""
    if work.read(lambda connection: _is_up(connection, host, work.now_us())):
        work.host(host).remove(server_id)


def choose_host(work: Work, tried: Sequence[str] = (), preferred: str | None = None, host: str | None = None) -> Server:
    """Claim a host for the server; return the server, as it is from now on. Raise NoHost."""

    def outcome(connection: Connection, now_us: int) -> None:
        server = servers.get(connection, work.subject_id)
        chosen = placing.place(connection, work.settings, server, now_us, tried, preferred, host)
        zone = placing.zone_of(connection, work.settings, chosen)
        servers.change(connection, server.id, now_us, host=chosen, availability_zone=zone)

    work.note(outcome)
    return work.server()


def all_attached(server_id: str) -> Outcome:
    """Return what notes that a host has all disks and cards that were brought."""

    def outcome(connection: Connection, _now_us: int) -> None:
        for device in block_devices.of_server(connection, server_id):
            if device.state == block_devices.WANTED and device.disk:
                block_devices.change(connection, device.id, state=block_devices.ATTACHED)
        for card in cards.of_server(connection, server_id):
            if card.state == cards.WANTED and card.info:
                cards.change(connection, card.id, state=cards.ATTACHED)

    return outcome


def _let_go(device: BlockDevice, attachment_id: str | None) -> Outcome:
    return lambda connection, _now_us: block_devices.change(connection, device.id, disk={}, attachment_id=attachment_id)


def _renamed(connection: Connection, server: Server, subnames: int, now_us: int) -> None:
    servers.change(connection, server.id, now_us, subnames=subnames)


def _is_up(connection: Connection, host: str, now_us: int) -> bool:
    return any(each.name == host and each.is_up(now_us) for each in hosts.every(connection))


def _secret(work: Work) -> bytes:
    return work.settings.grants.export("metadata", "seed").encode()


def _machine(properties: Mapping[str, str]) -> str:
    machine = properties.get("hw_machine_type", "")
    return "q35" if "q35" in machine else "pc" if machine.startswith(("pc", "i440")) else ""


def _hints(properties: Mapping[str, str]) -> dict[str, str]:
    """Return what an image says of the hardware, as flavors would."""
    return {name.replace("_", ":", 1): value for name, value in properties.items() if name.startswith(("hw_", "os_"))}
