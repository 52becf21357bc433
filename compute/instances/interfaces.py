"""What the compute service needs of others: of volumes, images, networks and the block gateway.

All calls block, and may be made again: what is there already, or gone already, is no error. With a `token` it is asked
in the name of a user, who may not; without, in the service's own. What goes wrong is in `compute.stored`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from compute.agent.guest import Disk
from compute.stored import Removal, Stored


@dataclass(frozen=True, slots=True)
class Image:
    """An image, as the image service tells of it."""

    id: str
    name: str | None
    status: str
    min_disk: int  # GiB
    min_ram: int  # MiB
    size: int  # bytes, as uploaded
    virtual_size: int  # bytes of the disk; 0: not known
    properties: Mapping[str, str] = field(default_factory=dict)  # hw_disk_bus, os_type, block_device_mapping, …


@dataclass(frozen=True, slots=True)
class Golden:
    """An image as a snapshot in the gateway that can be cloned."""

    volume: str
    snapshot: str
    size: int  # bytes


class Images(Protocol):
    """The image service."""

    def show(self, image_id: str, token: str = "") -> Image | None:
        """Return an image; None: the user sees none."""

    def golden(self, image_id: str) -> Golden:
        """Return an image as a snapshot. Raise NotYet while it becomes one, Refused when it cannot."""

    def create(self, document: Mapping[str, Any], token: str = "") -> str:
        """Announce an image with the attributes of a document, among them its id; return the id."""

    def upload_volume(self, image_id: str, export: str) -> None:
        """Have an image that was announced be what an export of the gateway has."""

    def finish_empty(self, image_id: str) -> None:
        """Make an image whole that has no data of its own: what it is made of are snapshots of volumes."""

    def backups(self, server_id: str, kind: str) -> Sequence[str]:
        """Return the ids of a server's backups of a kind, the newest first."""

    def discard(self, image_id: str) -> None:
        """Delete an image that nobody needs any more."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume, as the volume service tells of it."""

    id: str
    name: str
    status: str
    size: int  # GiB
    bootable: bool
    multiattach: bool
    availability_zone: str
    image: Mapping[str, str] = field(default_factory=dict)  # properties of the image that it began as
    attachments: Sequence[Mapping[str, Any]] = ()


class Volumes(Protocol):
    """The volume service. Attachments are Cinder's, of version 3.27 and on."""

    def show(self, volume_id: str, token: str = "") -> Volume | None:
        """Return a volume; None: whoever asks sees none."""

    def show_snapshot(self, snapshot_id: str, token: str) -> Mapping[str, Any] | None:
        """Return a snapshot's document; None: the user sees none."""

    def create(self, document: Mapping[str, Any], token: str) -> Volume:
        """Make a volume of a document of Cinder's, for the user, or return the one that has the same mark."""

    def delete(self, volume_id: str) -> None:
        """Delete a volume that a server was made with; one that has snapshots stays. Raise InUse."""

    def reserve(self, volume_id: str, server_id: str, token: str = "") -> str:
        """Keep a volume for a server; return the id of the attachment. Raise Refused when it is not free.

        A server that has it already gets a second attachment, to move with.
        """

    def connect(self, attachment_id: str, host: str, mountpoint: str) -> Disk:
        """Tell which host is about to use a volume, and return how."""

    def complete(self, attachment_id: str) -> None:
        """Tell that a volume is in use."""

    def release(self, attachment_id: str) -> None:
        """Let go of a volume: by the answer, whoever used it is cut off."""

    def reimage(self, volume_id: str, image_id: str) -> None:
        """Have a volume be made anew of an image that is kept for a server, and that nobody uses; `show` tells when."""

    def snapshot(self, volume_id: str, name: str, token: str = "") -> str:
        """Take a snapshot of a volume that is in use; return its id."""

    def attached(self, server_id: str) -> Sequence[tuple[str, str]]:
        """Return the attachments of a server: their ids, and those of the volumes."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a network, as the network service tells of it."""

    id: str
    network_id: str
    network_name: str
    mac: str
    fixed_ips: tuple[tuple[str, str], ...]  # address, id of the subnet
    security_groups: tuple[str, ...] = ()  # ids
    device_id: str = ""
    mtu: int = 1500
    tenant_id: str = ""
    floating: tuple[str, ...] = ()  # floating address and the one that it leads to, with a space between


class Network(Protocol):
    """The network service."""

    def networks(self, token: str) -> Sequence[Mapping[str, Any]]:
        """Return the documents of the networks that a user may have ports in: its own, and shared ones."""

    def security_groups(self, names: Sequence[str], token: str) -> Sequence[str]:
        """Return the ids of security groups by name or id. Raise NoSuch."""

    def group_names(self, group_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the documents of security groups, by id."""

    def set_groups(self, port_id: str, group_ids: Sequence[str]) -> Port:
        """Have a port be filtered by these security groups."""

    def show_port(self, port_id: str, token: str = "") -> Port | None:
        """Return a port; None: whoever asks sees none."""

    def ports_of(self, server_ids: Sequence[str]) -> Mapping[str, Sequence[Port]]:
        """Return the ports of servers, by server."""

    def create_port(self, document: Mapping[str, Any], token: str = "") -> Port:
        """Make a port of a document of Neutron's, or return the one that is there for the same name and server."""

    def bind(self, port_id: str, server_id: str, host: str, zone: str) -> Port:
        """Have a port be a server's on a host."""

    def release(self, port_id: str) -> None:
        """Have a port be nobody's that a user has made."""

    def delete_port(self, port_id: str) -> None:
        """Delete a port that was made for a server."""

    def network_data(self, ports: Sequence[Port]) -> Mapping[str, Any]:
        """Return OpenStack's network_data.json for a guest with these ports."""


class Disks(Protocol):
    """The block gateway, for disks that servers have of their own. `compute.gateway.Gateway` is one."""

    def find(self, name: str) -> Stored | None:
        """Return a volume; None: there is none."""

    def list(self) -> Sequence[Stored]:
        """Return all volumes of the cluster, whoever made them."""

    def put_aside(self, name: str, keep_s: float) -> None:
        """Put a volume in the trash, from where an operator may take it back for a while. Raise InUse."""

    def create(self, name: str, size: int, encrypted: bool) -> None:
        """Make an empty volume."""

    def clone(self, parent: str, snapshot: str, name: str) -> None:
        """Make a volume that begins as a snapshot. Raise NoSuch."""

    def resize(self, name: str, size: int) -> None:
        """Make a volume larger, or leave it."""

    def snapshot(self, name: str, snapshot: str) -> None:
        """Keep a volume as it is now."""

    def delete_snapshot(self, name: str, snapshot: str) -> Removal:
        """Give up a snapshot, unless clones read through it."""

    def remove(self, name: str) -> Removal:
        """Delete a volume, unless clones read through it. Raise InUse when it has clients."""

    def dismiss(self, name: str, holder: str) -> None:
        """Have nobody use a volume as NAME~HOLDER any more."""
