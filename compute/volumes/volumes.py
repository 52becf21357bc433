"""Volumes, as the database has them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from compute.records import columns_of, record_of
from compute.volumes.errors import NotFound, invalid_volume
from compute.volumes.schema import attachments, snapshots, volumes
from compute.volumes.statuses import AttachStatus, VolumeStatus

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume."""

    id: str
    project_id: str
    user_id: str
    size: int  # GiB
    volume_type_id: str
    availability_zone: str
    created_at_us: int
    status: str = VolumeStatus.CREATING
    name: str | None = None
    description: str | None = None
    reserved_gb: int = 0
    previous_status: str | None = None
    bootable: bool = False
    multiattach: bool = False
    encrypted: bool = False
    readonly: bool | None = None
    snapshot_id: str | None = None
    source_volid: str | None = None
    backup_id: str | None = None
    updated_at_us: int | None = None

    @property
    def backend_name(self) -> str:
        """Return what the gateway calls it."""
        return backend_name_of(self.id)

    @property
    def bytes(self) -> int:
        """Return its size in bytes."""
        return self.size * GIB


def backend_name_of(volume_id: str) -> str:
    """Return what the gateway calls a volume."""
    return f"volume-{volume_id}"


def get(connection: Connection, volume_id: str, project_id: str | None = None) -> Volume:
    """Return a volume; with a project, only if it is its. Raise NotFound."""
    query = select(volumes).where(volumes.c.id == volume_id)
    if project_id is not None:
        query = query.where(volumes.c.project_id == project_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("Volume", volume_id)
    return record_of(Volume, row)


def add(connection: Connection, volume: Volume) -> Volume:
    """Store a new volume."""
    connection.execute(insert(volumes).values(columns_of(volumes, volume)))
    return volume


def change(connection: Connection, volume_id: str, now_us: int, **columns: Any) -> None:
    """Change columns of a volume."""
    connection.execute(update(volumes).where(volumes.c.id == volume_id).values(**columns, updated_at_us=now_us))


def remove(connection: Connection, volume_id: str) -> None:
    """Forget a volume with what belongs to it. It must have no snapshots."""
    connection.execute(delete(volumes).where(volumes.c.id == volume_id))


def require_status(volume: Volume, allowed: Collection[str], verb: str) -> None:
    """Raise Invalid unless a volume is in one of some states."""
    if volume.status not in allowed:
        words = " or ".join(sorted(allowed))
        raise invalid_volume(
            f"Volume {volume.id} status must be {words} to {verb}, but current status is: {volume.status}."
        )


def pass_to(connection: Connection, volume: Volume, status: VolumeStatus, now_us: int, **columns: Any) -> None:
    """Have a volume in a passing state, from which `back` leads."""
    change(connection, volume.id, now_us, status=status, previous_status=volume.status, **columns)


def back(connection: Connection, volume_id: str, now_us: int, status: str | None = None, **columns: Any) -> None:
    """End a passing state: with `status`, or as the volume was before. One that is gone stays so."""
    try:
        volume = get(connection, volume_id)
    except NotFound:
        return
    change(
        connection,
        volume_id,
        now_us,
        status=status or volume.previous_status or settled_status(connection, volume),
        previous_status=None,
        **columns,
    )


def settled_status(connection: Connection, volume: Volume) -> VolumeStatus:
    """Return what a volume is by its attachments, when nothing is done to it."""
    statuses = set(connection.scalars(select(attachments.c.status).where(attachments.c.volume_id == volume.id)).all())
    if AttachStatus.ATTACHED in statuses:
        return VolumeStatus.IN_USE
    if AttachStatus.ATTACHING in statuses:
        return VolumeStatus.ATTACHING
    if AttachStatus.RESERVED in statuses:
        return VolumeStatus.RESERVED
    return VolumeStatus.AVAILABLE


def is_attached(connection: Connection, volume_id: str) -> bool:
    """Tell whether anybody may use a volume."""
    query = select(attachments.c.id).where(attachments.c.volume_id == volume_id).limit(1)
    return connection.scalar(query) is not None


def snapshot_ids(connection: Connection, volume_id: str) -> list[str]:
    """Return the snapshots of a volume, the newest first."""
    query = select(snapshots.c.id).where(snapshots.c.volume_id == volume_id)
    return list(connection.scalars(query.order_by(snapshots.c.created_at_us.desc(), snapshots.c.id.desc())).all())


def summary(connection: Connection, project_id: str | None) -> Mapping[str, int]:
    """Return how many volumes there are, and how large they are together; of one project, or of all."""
    query = select(volumes.c.size)
    if project_id is not None:
        query = query.where(volumes.c.project_id == project_id)
    sizes = connection.scalars(query).all()
    return {"total_size": sum(sizes), "total_count": len(sizes)}
