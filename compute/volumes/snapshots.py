"""Snapshots, as the database has them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from compute.records import columns_of, record_of
from compute.volumes.errors import NotFound, invalid_snapshot
from compute.volumes.schema import snapshots
from compute.volumes.statuses import SnapshotStatus


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A volume as it was."""

    id: str
    project_id: str
    user_id: str
    volume_id: str
    volume_size: int  # GiB
    volume_type_id: str
    created_at_us: int
    status: str = SnapshotStatus.CREATING
    name: str | None = None
    description: str | None = None
    progress: str | None = None
    updated_at_us: int | None = None

    @property
    def backend_name(self) -> str:
        """Return what the gateway calls it."""
        return backend_name_of(self.id)


def backend_name_of(snapshot_id: str) -> str:
    """Return what the gateway calls a snapshot."""
    return f"snapshot-{snapshot_id}"


def get(connection: Connection, snapshot_id: str, project_id: str | None = None) -> Snapshot:
    """Return a snapshot; with a project, only if it is its. Raise NotFound."""
    query = select(snapshots).where(snapshots.c.id == snapshot_id)
    if project_id is not None:
        query = query.where(snapshots.c.project_id == project_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("Snapshot", snapshot_id)
    return record_of(Snapshot, row)


def of_volume(connection: Connection, volume_id: str) -> list[Snapshot]:
    """Return the snapshots of a volume, the newest first."""
    query = select(snapshots).where(snapshots.c.volume_id == volume_id)
    query = query.order_by(snapshots.c.created_at_us.desc(), snapshots.c.id.desc())
    return [record_of(Snapshot, row) for row in connection.execute(query)]


def add(connection: Connection, snapshot: Snapshot) -> Snapshot:
    """Store a new snapshot."""
    connection.execute(insert(snapshots).values(columns_of(snapshots, snapshot)))
    return snapshot


def change(connection: Connection, snapshot_id: str, now_us: int, **columns: Any) -> None:
    """Change columns of a snapshot."""
    query = update(snapshots).where(snapshots.c.id == snapshot_id)
    connection.execute(query.values(**columns, updated_at_us=now_us))


def remove(connection: Connection, snapshot_id: str) -> None:
    """Forget a snapshot."""
    connection.execute(delete(snapshots).where(snapshots.c.id == snapshot_id))


def summary(connection: Connection) -> Mapping[str, int]:
    """Return how many snapshots there are, and how large they are together, in GiB."""
    sizes = connection.scalars(select(snapshots.c.volume_size)).all()
    return {"total_size": sum(sizes), "total_count": len(sizes)}


def require_status(snapshot: Snapshot, allowed: Collection[str], verb: str) -> None:
    """Raise Invalid unless a snapshot is in one of some states."""
    if snapshot.status not in allowed:
        words = " or ".join(sorted(allowed))
        raise invalid_snapshot(
            f"Snapshot {snapshot.id} status must be {words} to {verb}, but current status is: {snapshot.status}."
        )
