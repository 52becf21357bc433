"""Hosts, networks, volumes, images in memory, as the service knows them from outside; any call may end a process."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from compute.agent.guest import Disk, Guest, GuestState, HostState, Nic, Power, Told
from compute.agent.interface import Display, Host, Seen
from compute.instances.interfaces import Golden, Image, Port, Volume
from compute.stored import NoSuch, NotYet, Refused, Unreachable
from tests.unit.compute.crashes import Tripwire
from tests.unit.compute.instances.surroundings import state_of
from tests.unit.compute.volumes.memory import MemoryGateway, MemorySnapshot, MemoryVolume

T = TypeVar("T")


@dataclass
class MemoryGuest:
    guest: Guest
    power: Power = Power.OFF
    reboots: set[str] = field(default_factory=set)
    beginnings: int = 0


class MemoryHost:
    """See `compute.agent.interface.Host`."""

    def __init__(self, wire: Tripwire, name: str, gateway: MemoryGateway) -> None:
        self._wire, self.name, self._gateway = wire, name, gateway
        self.guests: dict[str, MemoryGuest] = {}
        self.is_away = False
        self.refuses = ""  # to have guests
        self.lingers = 0  # how often guests that are to end by themselves have not yet
        self.holds_on: set[str] = set()  # serials that guests do not let go of
        self.passwords: dict[str, tuple[str, str]] = {}  # of users, by guest
        self.patience_s: list[float] = []  # for which guests were let end by themselves, in order

    def state(self) -> HostState:
        return state_of(self.name)

    def seen(self, tag: str = "", wait_s: float = 0.0) -> Seen:
        self._require()
        states = tuple(self._state(each) for each in self.guests.values())
        return Seen(str(hash(states)), states)

    def find(self, guest_id: str) -> GuestState | None:
        self._require()
        return self._state(self.guests[guest_id]) if guest_id in self.guests else None

    def define(self, guest: Guest, running: bool) -> GuestState:
        return self._do(lambda: self._define(guest, running))

    def start(self, guest_id: str) -> GuestState:
        return self._do(lambda: self._set(guest_id, Power.RUNNING))

    def stop(self, guest_id: str, soft_s: float) -> GuestState:
        self.patience_s.append(soft_s)
        if soft_s and self.lingers:
            self.lingers -= 1
            return self._do(lambda: self._state(self._get(guest_id)))
        return self._do(lambda: self._set(guest_id, Power.OFF))

    def reboot(self, guest_id: str, request_id: str, soft_s: float) -> GuestState:
        return self._do(lambda: self._reboot(guest_id, request_id))

    def pause(self, guest_id: str) -> GuestState:
        return self._do(lambda: self._set(guest_id, Power.PAUSED))

    def suspend(self, guest_id: str) -> GuestState:
        return self._do(lambda: self._set(guest_id, Power.SUSPENDED))

    def remove(self, guest_id: str) -> None:
        self._do(lambda: self.guests.pop(guest_id, None))

    def attach(self, guest_id: str, disk: Disk) -> GuestState:
        return self._do(lambda: self._attach(guest_id, disk))

    def detach(self, guest_id: str, serial: str) -> GuestState:
        return self._do(lambda: self._detach(guest_id, serial))

    def resize(self, guest_id: str, serial: str, size: int) -> GuestState:
        return self._do(lambda: self._resize(guest_id, serial, size))

    def plug(self, guest_id: str, nic: Nic) -> GuestState:
        return self._do(lambda: self._nics(guest_id, nic.mac, nic))

    def unplug(self, guest_id: str, mac: str) -> GuestState:
        return self._do(lambda: self._nics(guest_id, mac, None))

    def tell(self, guest_id: str, told: Told) -> None:
        self._do(lambda: self._change(guest_id, told=told))

    def console_log(self, guest_id: str, lines: int | None) -> str:
        self._get(guest_id)
        text = ["GUEST up", "GUEST ready"]
        return "\n".join(text if lines is None else text[-lines:] if lines else [])

    def display(self, guest_id: str, kind: str) -> Display:
        self._get(guest_id)
        return Display(kind, "127.0.0.1", 5900, "secret-of-the-screen", "10.0.0.7", 8830, "a-ticket")

    def diagnostics(self, guest_id: str) -> dict[str, object]:
        return {"state": "running", "driver": "libvirt", "memory_details": {"maximum": 512, "used": 1}}

    def freeze(self, guest_id: str, frozen: bool) -> bool:
        return True

    def set_password(self, guest_id: str, user: str, password: str) -> bool:
        self.passwords[guest_id] = (user, password)
        return password != "nobody listens"

    def _do(self, work: Callable[[], T]) -> T:
        self._require()
        return self._wire.around(work)

    def _require(self) -> None:
        if self.is_away:
            raise Unreachable(f"{self.name} does not answer")

    def _get(self, guest_id: str) -> MemoryGuest:
        if guest_id not in self.guests:
            raise NoSuch(f"there is no guest {guest_id}")
        return self.guests[guest_id]

    def _define(self, guest: Guest, running: bool) -> GuestState:
        if self.refuses:
            raise Refused(self.refuses)
        known = self.guests.setdefault(guest.id, MemoryGuest(guest))
        if known.power is Power.OFF:
            known.guest = guest
        if running and known.power is not Power.RUNNING:
            known.power = Power.RUNNING
            known.beginnings += 1
        for disk in known.guest.disks:
            name, holder, _seal = disk.export.split("~")
            if (name, holder) in self._gateway.dismissed:
                raise Refused(f"{name} is not for {holder} any more")
        return self._state(known)

    def _set(self, guest_id: str, power: Power) -> GuestState:
        known = self._get(guest_id)
        known.power = power
        return self._state(known)

    def _reboot(self, guest_id: str, request_id: str) -> GuestState:
        known = self._get(guest_id)
        if request_id not in known.reboots:
            known.reboots.add(request_id)
            known.beginnings += 1
        return self._state(known)

    def _attach(self, guest_id: str, disk: Disk) -> GuestState:
        known = self._get(guest_id)
        others = tuple(each for each in known.guest.disks if each.serial != disk.serial)
        return self._change(guest_id, disks=(*others, disk))

    def _detach(self, guest_id: str, serial: str) -> GuestState:
        known = self._get(guest_id)
        if serial in self.holds_on:
            return self._state(known)
        return self._change(guest_id, disks=tuple(each for each in known.guest.disks if each.serial != serial))

    def _resize(self, guest_id: str, serial: str, size: int) -> GuestState:
        known = self._get(guest_id)
        disks = tuple(replace(each, size=size) if each.serial == serial else each for each in known.guest.disks)
        return self._change(guest_id, disks=disks)

    def _nics(self, guest_id: str, mac: str, nic: Nic | None) -> GuestState:
        known = self._get(guest_id)
        others = tuple(each for each in known.guest.nics if each.mac != mac)
        return self._change(guest_id, nics=others if nic is None else (*others, nic))

    def _change(self, guest_id: str, **changes: Any) -> GuestState:
        known = self._get(guest_id)
        known.guest = replace(known.guest, **changes)
        return self._state(known)

    def _state(self, known: MemoryGuest) -> GuestState:
        guest = known.guest
        return GuestState(
            id=guest.id,
            power=known.power,
            disks=tuple(each.serial for each in guest.disks),
            nics=tuple(each.mac for each in guest.nics),
            memory_mib=guest.memory_mib,
            vcpus=guest.vcpus,
        )


class MemoryHosts:
    """See `compute.agent.interface.Hosts`."""

    def __init__(self, wire: Tripwire, names: Sequence[str], gateway: MemoryGateway) -> None:
        self.by_name = {name: MemoryHost(wire, name, gateway) for name in names}

    def names(self) -> Sequence[str]:
        return list(self.by_name)

    def get(self, name: str) -> Host:
        if name not in self.by_name:
            raise NoSuch(f"there is no host {name}")
        return self.by_name[name]

    def guests(self) -> dict[str, list[str]]:
        """Return which guests are where."""
        found: dict[str, list[str]] = {}
        for host in self.by_name.values():
            for guest_id in host.guests:
                found.setdefault(guest_id, []).append(host.name)
        return found


@dataclass
class MemoryAttachment:
    id: str
    volume_id: str
    server_id: str
    status: str = "reserved"
    host: str = ""


class MemoryVolumes:
    """See `compute.instances.interfaces.Volumes`."""

    def __init__(self, wire: Tripwire) -> None:
        self._wire = wire
        self.volumes: dict[str, Volume] = {}
        self.owners: dict[str, str] = {}  # tokens by volume
        self.snapshots: dict[str, dict[str, Any]] = {}
        self.attachments: dict[str, MemoryAttachment] = {}
        self.marks: dict[str, str] = {}
        self.creating: set[str] = set()
        self.filled: dict[str, str] = {}  # with which image, by volume
        self.is_slow = False  # to fill them
        self.released: list[str] = []

    def put(self, owner: str = "alice", size: int = 1, **about: Any) -> str:
        """Have a volume that somebody sees."""
        volume_id = str(uuid.uuid4())
        known = {"status": "available", "bootable": True, "multiattach": False, "availability_zone": "nova", **about}
        self.volumes[volume_id] = Volume(volume_id, "", size=size, **known)
        self.owners[volume_id] = owner
        return volume_id

    def put_snapshot(self, owner: str = "alice", size: int = 1) -> str:
        """Have a snapshot that somebody sees."""
        snapshot_id = str(uuid.uuid4())
        self.snapshots[snapshot_id] = {"id": snapshot_id, "size": size, "owner": owner}
        return snapshot_id

    def show(self, volume_id: str, token: str = "") -> Volume | None:
        if token and self.owners.get(volume_id) != token:
            return None
        found = self.volumes.get(volume_id)
        if found is None:
            return None
        its = [each for each in self.attachments.values() if each.volume_id == volume_id]
        status = "in-use" if any(each.status == "attached" for each in its) else "reserved" if its else found.status
        return replace(found, status="creating" if volume_id in self.creating else status)

    def show_snapshot(self, snapshot_id: str, token: str) -> Mapping[str, Any] | None:
        found = self.snapshots.get(snapshot_id)
        return found if found and found["owner"] == token else None

    def create(self, document: Mapping[str, Any], token: str) -> Volume:
        return self._wire.around(lambda: self._create(document, token))

    def delete(self, volume_id: str) -> None:
        self._wire.around(lambda: self._delete(volume_id))

    def reserve(self, volume_id: str, server_id: str, token: str = "") -> str:
        return self._wire.around(lambda: self._reserve(volume_id, server_id))

    def connect(self, attachment_id: str, host: str, mountpoint: str) -> Disk:
        return self._wire.around(lambda: self._connect(attachment_id, host))

    def complete(self, attachment_id: str) -> None:
        self._wire.around(lambda: setattr(self.attachments[attachment_id], "status", "attached"))

    def release(self, attachment_id: str) -> None:
        self._wire.around(lambda: self._release(attachment_id))

    def reimage(self, volume_id: str, image_id: str) -> None:
        self._wire.around(lambda: self._reimage(volume_id, image_id))

    def snapshot(self, volume_id: str, name: str, token: str = "") -> str:
        return self._wire.around(lambda: self.put_snapshot())

    def attached(self, server_id: str) -> Sequence[tuple[str, str]]:
        return [(each.id, each.volume_id) for each in self.attachments.values() if each.server_id == server_id]

    def _create(self, document: Mapping[str, Any], token: str) -> Volume:
        mark = (document.get("metadata") or {}).get("holdfast_disk", str(uuid.uuid4()))
        if mark not in self.marks:
            self.marks[mark] = self.put(token, int(document["size"]))
        return self.volumes[self.marks[mark]]

    def _delete(self, volume_id: str) -> None:
        if any(each.volume_id == volume_id for each in self.attachments.values()):
            raise Refused(f"volume {volume_id} is attached")
        self.volumes.pop(volume_id, None)

    def _reserve(self, volume_id: str, server_id: str) -> str:
        its = [each for each in self.attachments.values() if each.volume_id == volume_id]
        for each in its:
            if each.server_id == server_id and each.status == "reserved":
                return each.id
        if any(each.server_id != server_id for each in its):
            raise Refused(f"volume {volume_id} is not free")
        made = MemoryAttachment(str(uuid.uuid4()), volume_id, server_id)
        self.attachments[made.id] = made
        return made.id

    def _connect(self, attachment_id: str, host: str) -> Disk:
        if attachment_id not in self.attachments:
            raise NoSuch(f"attachment {attachment_id} is not there any more")
        attachment = self.attachments[attachment_id]
        attachment.host = host
        if attachment.status == "reserved":
            attachment.status = "attaching"
        volume_id = attachment.volume_id
        export = f"volume-{volume_id}~{attachment_id}~seal"
        size = self.volumes[volume_id].size << 30
        return Disk(serial=volume_id, host="127.0.0.1", port=10809, export=export, size=size)

    def _reimage(self, volume_id: str, image_id: str) -> None:
        its = [each for each in self.attachments.values() if each.volume_id == volume_id]
        if any(each.status != "reserved" for each in its):
            raise Refused(f"volume {volume_id} is in use")
        self.filled[volume_id] = image_id
        if self.is_slow:
            self.creating.add(volume_id)

    def _release(self, attachment_id: str) -> None:
        if self.attachments.pop(attachment_id, None) is not None:
            self.released.append(attachment_id)


class MemoryImages:
    """See `compute.instances.interfaces.Images`."""

    def __init__(self, wire: Tripwire, gateway: MemoryGateway) -> None:
        self._wire, self._gateway = wire, gateway
        self.images: dict[str, Image] = {}
        self.owners: dict[str, str] = {}  # tokens; "": everybody's
        self.converting: set[str] = set()
        self.announced: dict[str, Mapping[str, Any]] = {}
        self.uploaded: dict[str, bytes] = {}

    def put(self, owner: str = "", size: int = 1 << 20, data: bytes = b"image", **about: Any) -> str:
        """Have an image."""
        known = {"name": "cirros", "status": "active", "min_disk": 0, "min_ram": 0, "size": 5, "virtual_size": size}
        made = Image(**{"id": str(uuid.uuid4()), **known, **about})
        image_id = made.id
        self.images[image_id] = made
        self.owners[image_id] = owner
        volume = MemoryVolume(uuid.uuid4().hex, f"image-{image_id}", size, data=data)
        volume.snapshots["golden"] = MemorySnapshot(uuid.uuid4().hex, size, data)
        self._gateway.volumes[volume.name] = volume
        return image_id

    def show(self, image_id: str, token: str = "") -> Image | None:
        return self.images.get(image_id) if self.owners.get(image_id) in ("", token) else None

    def golden(self, image_id: str) -> Golden:
        return self._wire.around(lambda: self._golden(image_id))

    def create(self, document: Mapping[str, Any], token: str = "") -> str:
        return self._wire.around(lambda: str(self.announced.setdefault(document["id"], document)["id"]))

    def upload_volume(self, image_id: str, export: str) -> None:
        self._wire.around(lambda: self._upload(image_id, export))

    def finish_empty(self, image_id: str) -> None:
        self._wire.around(lambda: self.uploaded.setdefault(image_id, b""))

    def backups(self, server_id: str, kind: str) -> Sequence[str]:
        wanted = {"instance_uuid": server_id, "image_type": "backup", "backup_type": kind}
        return [image_id for image_id, about in reversed(self.announced.items()) if wanted.items() <= about.items()]

    def discard(self, image_id: str) -> None:
        known: tuple[dict[str, Any], ...] = (self.announced, self.uploaded, self.images)
        self._wire.around(lambda: [each.pop(image_id, None) for each in known])

    def _golden(self, image_id: str) -> Golden:
        if image_id in self.converting:
            raise NotYet(f"image {image_id} is being converted")
        if image_id in self.uploaded and image_id not in self.images:
            self.put(data=self.uploaded[image_id], id=image_id)
        if image_id not in self.images:
            raise Refused(f"there is no image {image_id}")
        return Golden(f"image-{image_id}", "golden", self.images[image_id].virtual_size)

    def _upload(self, image_id: str, export: str) -> None:
        if image_id in self.uploaded:
            return
        name, _at, snapshot = export.partition("@")
        self.uploaded[image_id] = self._gateway.volumes[name].snapshots[snapshot].data


class MemoryNetwork:
    """See `compute.instances.interfaces.Network`."""

    def __init__(self, wire: Tripwire) -> None:
        self._wire = wire
        self.known: dict[str, dict[str, Any]] = {}
        self.owners: dict[str, str] = {}  # tokens; "": everybody's
        self.ports: dict[str, Port] = {}
        self.names: dict[str, str] = {}  # ports by name
        self.hosts: dict[str, str] = {}
        self.groups = {"group-1": "web", "group-0": "default"}

    def put(self, owner: str = "", name: str = "net") -> str:
        """Have a network."""
        network_id = str(uuid.uuid4())
        self.known[network_id] = {"id": network_id, "name": name, "subnets": ["subnet-1"]}
        self.owners[network_id] = owner
        return network_id

    def put_port(self, network_id: str, owner: str = "alice") -> str:
        """Have a port that nobody uses."""
        port = self._make(network_id, "")
        self.owners[port.id] = owner
        return port.id

    def networks(self, token: str) -> Sequence[Mapping[str, Any]]:
        return [each for each in self.known.values() if self.owners[each["id"]] in ("", token)]

    def security_groups(self, names: Sequence[str], token: str) -> Sequence[str]:
        ids = {name: group_id for group_id, name in self.groups.items()} | {each: each for each in self.groups}
        for name in names:
            if name not in ids:
                raise NoSuch(f"Security group {name} could not be found.")
        return [ids[name] for name in names]

    def group_names(self, group_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        return {each: {"id": each, "name": self.groups[each], "project_id": "p"} for each in group_ids}

    def set_groups(self, port_id: str, group_ids: Sequence[str]) -> Port:
        self.ports[port_id] = replace(self.ports[port_id], security_groups=tuple(group_ids))
        return self.ports[port_id]

    def show_port(self, port_id: str, token: str = "") -> Port | None:
        if token and self.owners.get(port_id) != token:
            return None
        return self.ports.get(port_id)

    def ports_of(self, server_ids: Sequence[str]) -> Mapping[str, Sequence[Port]]:
        return {each: [port for port in self.ports.values() if port.device_id == each] for each in server_ids}

    def create_port(self, document: Mapping[str, Any], token: str = "") -> Port:
        return self._wire.around(lambda: self._create(document))

    def bind(self, port_id: str, server_id: str, host: str, zone: str) -> Port:
        return self._wire.around(lambda: self._bind(port_id, server_id, host))

    def release(self, port_id: str) -> None:
        self._wire.around(lambda: self._release(port_id))

    def delete_port(self, port_id: str) -> None:
        self._wire.around(lambda: self.ports.pop(port_id, None))

    def network_data(self, ports: Sequence[Port]) -> Mapping[str, Any]:
        return {"links": [{"id": port.id} for port in ports], "networks": [], "services": []}

    def _make(self, network_id: str, server_id: str, address: str = "") -> Port:
        number = len(self.names) + len(self.ports) + 2
        made = Port(
            id=str(uuid.uuid4()),
            network_id=network_id,
            network_name=self.known[network_id]["name"],
            mac=f"fa:16:3e:00:00:{number:02x}",
            fixed_ips=((address or f"10.0.0.{number}", "subnet-1"),),
            security_groups=("group-0",),
            device_id=server_id,
        )
        self.ports[made.id] = made
        return made

    def _create(self, document: Mapping[str, Any]) -> Port:
        name = document["name"]
        if self.names.get(name) not in self.ports:
            fixed = document.get("fixed_ips") or [{}]
            address = fixed[0].get("ip_address", "")
            self.names[name] = self._make(document["network_id"], document["device_id"], address).id
        self.hosts[self.names[name]] = document["binding:host_id"]
        return self.ports[self.names[name]]

    def _bind(self, port_id: str, server_id: str, host: str) -> Port:
        if port_id not in self.ports:
            raise NoSuch(f"Port {port_id} could not be found.")
        self.ports[port_id] = replace(self.ports[port_id], device_id=server_id)
        self.hosts[port_id] = host
        return self.ports[port_id]

    def _release(self, port_id: str) -> None:
        if port_id in self.ports:
            self.ports[port_id] = replace(self.ports[port_id], device_id="")
