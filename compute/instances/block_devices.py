"""Disks of servers: volumes of the volume service, and disks of their own in the gateway.

A row is `wanted` until its host has the disk, and `unwanted` from when it is to go until everything about it is gone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from compute.agent.guest import Disk, value_of
from compute.instances.schema.devices import block_devices
from compute.records import IDS_PER_QUERY, columns_of, record_of

IMAGE, SNAPSHOT, VOLUME, BLANK = "image", "snapshot", "volume", "blank"
LOCAL = "local"
WANTED, ATTACHED, UNWANTED = "wanted", "attached", "unwanted"
ROOT, EPHEMERAL, SWAP, RESCUE = "root", "ephemeral", "swap", "rescue"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDevice:
    """One disk of a server."""

    id: str
    server_id: str
    place: int
    source: str
    destination: str
    created_at_us: int
    state: str = WANTED
    boot_index: int | None = None
    device_name: str | None = None
    bus: str = "virtio"
    device_type: str = "disk"
    image_id: str | None = None
    snapshot_id: str | None = None
    volume_id: str | None = None
    volume_gb: int | None = None
    volume_type: str | None = None
    use: str = ""
    gib: int = 0
    size: int = 0
    delete_on_termination: bool = False
    tag: str | None = None
    attachment_id: str | None = None
    disk: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_local(self) -> bool:
        """Tell whether it is one of the server's own."""
        return self.destination == LOCAL

    @property
    def is_root(self) -> bool:
        """Tell whether the server begins with it."""
        return self.boot_index == 0

    @property
    def local_name(self) -> str:
        """Return what the gateway calls a disk of the server's own."""
        return local_name(self.server_id, self.use, self.id)

    @property
    def connected(self) -> Disk | None:
        """Return it as its host has it; None: no host was told of it."""
        return value_of(Disk, self.disk) if self.disk else None


def local_name(server_id: str, use: str, device_id: str) -> str:
    """Return what the gateway calls a disk of a server's own."""
    return f"server-{server_id}" if use == ROOT else f"server-{server_id}-{use}-{device_id[:8]}"


def of_server(connection: Connection, server_id: str) -> list[BlockDevice]:
    """Return the disks of a server, in their order."""
    return of_servers(connection, [server_id])[server_id]


def of_servers(connection: Connection, server_ids: Sequence[str]) -> dict[str, list[BlockDevice]]:
    """Return the disks of servers."""
    found: dict[str, list[BlockDevice]] = {each: [] for each in server_ids}
    for start in range(0, len(server_ids), IDS_PER_QUERY):
        some = server_ids[start : start + IDS_PER_QUERY]
        query = select(block_devices).where(block_devices.c.server_id.in_(some)).order_by(block_devices.c.place)
        for row in connection.execute(query):
            found[row.server_id].append(record_of(BlockDevice, row))
    return found


def of_volume(connection: Connection, volume_id: str) -> list[BlockDevice]:
    """Return the disks that a volume is."""
    query = select(block_devices).where(block_devices.c.volume_id == volume_id)
    return [record_of(BlockDevice, row) for row in connection.execute(query)]


def every(connection: Connection) -> list[BlockDevice]:
    """Return the disks of all servers."""
    return [record_of(BlockDevice, row) for row in connection.execute(select(block_devices))]


def add(connection: Connection, device: BlockDevice) -> BlockDevice:
    """Store a new disk."""
    connection.execute(insert(block_devices).values(columns_of(block_devices, device)))
    return device


def change(connection: Connection, device_id: str, **columns: Any) -> None:
    """Change columns of a disk."""
    connection.execute(update(block_devices).where(block_devices.c.id == device_id).values(**columns))


def remove(connection: Connection, device_id: str) -> None:
    """Forget a disk."""
    connection.execute(delete(block_devices).where(block_devices.c.id == device_id))


def has_changes(connection: Connection, server_id: str) -> bool:
    """Tell whether a disk of a server is to come, or to go."""
    query = select(block_devices.c.id).where(block_devices.c.server_id == server_id, block_devices.c.state != ATTACHED)
    return connection.scalar(query.limit(1)) is not None


def next_name(devices: Sequence[BlockDevice], root_device_name: str | None) -> str:
    """Return a device name that no disk of a server has."""
    prefix = "/dev/vd" if not root_device_name else root_device_name.rstrip("0123456789")[:-1] or "/dev/vd"
    taken = {(each.device_name or "").removeprefix("/dev/") for each in devices}
    for letter in _letters():
        name = f"{prefix}{letter}"
        if name.removeprefix("/dev/") not in taken:
            return name
    raise AssertionError("there are more letters than disks")


def _letters() -> list[str]:
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    return [*alphabet, *(first + second for first in alphabet for second in alphabet)]
