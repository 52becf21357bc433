"""Backups, as the database has them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from compute.records import columns_of, record_of
from compute.volumes.errors import NotFound, invalid_backup
from compute.volumes.schema import backups
from compute.volumes.statuses import BackupStatus


@dataclass(frozen=True, slots=True)
class Backup:
    """A volume as it was, in a bucket. Each is complete: none needs another one."""

    id: str
    project_id: str
    user_id: str
    volume_id: str
    size: int  # GiB
    container: str
    data_timestamp_us: int
    created_at_us: int
    status: str = BackupStatus.CREATING
    name: str | None = None
    description: str | None = None
    snapshot_id: str | None = None
    fail_reason: str | None = None
    is_incremental: bool = False
    parent_id: str | None = None
    location: Mapping[str, Any] | None = None  # what `archive` finds it by; None: it is not whole yet
    object_count: int = 0
    availability_zone: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    restored_volume_id: str | None = None
    updated_at_us: int | None = None


def get(connection: Connection, backup_id: str, project_id: str | None = None) -> Backup:
    """Return a backup; with a project, only if it is its. Raise NotFound."""
    query = select(backups).where(backups.c.id == backup_id)
    if project_id is not None:
        query = query.where(backups.c.project_id == project_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("Backup", backup_id)
    return record_of(Backup, row)


def of_volume(connection: Connection, volume_id: str) -> list[Backup]:
    """Return the backups of a volume, the newest first."""
    query = select(backups).where(backups.c.volume_id == volume_id)
    query = query.order_by(backups.c.data_timestamp_us.desc(), backups.c.id.desc())
    return [record_of(Backup, row) for row in connection.execute(query)]


def add(connection: Connection, backup: Backup) -> Backup:
    """Store a new backup."""
    connection.execute(insert(backups).values(columns_of(backups, backup)))
    return backup


def change(connection: Connection, backup_id: str, now_us: int, **columns: Any) -> None:
    """Change columns of a backup."""
    connection.execute(update(backups).where(backups.c.id == backup_id).values(**columns, updated_at_us=now_us))


def remove(connection: Connection, backup_id: str) -> None:
    """Forget a backup."""
    connection.execute(delete(backups).where(backups.c.id == backup_id))


def require_status(backup: Backup, allowed: Collection[str], verb: str) -> None:
    """Raise Invalid unless a backup is in one of some states."""
    if backup.status not in allowed:
        words = " or ".join(sorted(allowed))
        raise invalid_backup(f"Backup status must be {words} to {verb}, but current status is: {backup.status}.")
