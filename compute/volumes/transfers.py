"""Transfers: a volume that is offered to whoever has the key.

The key is shown once, and kept as salt and hash. Accepting it is one transaction: the volume, its snapshots and what
counts against quotas change hands, or nothing does.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from compute.records import columns_of, new_id, record_of
from compute.volumes import quotas, snapshots, volumes
from compute.volumes.errors import Invalid, NotFound, invalid_snapshot, invalid_volume
from compute.volumes.schema import snapshots as snapshots_table
from compute.volumes.schema import transfers, volume_types
from compute.volumes.settings import QuotaDefaults
from compute.volumes.statuses import SnapshotStatus, VolumeStatus

_KEY_BYTES, _SALT_BYTES = 16, 8


@dataclass(frozen=True, slots=True)
class Transfer:
    """One offer."""

    id: str
    volume_id: str
    name: str | None
    salt: str
    key_hash: str
    source_project_id: str
    no_snapshots: bool
    created_at_us: int
    updated_at_us: int | None = None


def get(connection: Connection, transfer_id: str, project_id: str | None = None) -> Transfer:
    """Return an offer; with a project, only if it is its. Raise NotFound."""
    query = select(transfers).where(transfers.c.id == transfer_id)
    if project_id is not None:
        query = query.where(transfers.c.source_project_id == project_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("Transfer", transfer_id)
    return record_of(Transfer, row)


def offer(
    connection: Connection, volume_id: str, project_id: str | None, name: str | None, no_snapshots: bool, now_us: int
) -> tuple[Transfer, str]:
    """Offer a volume; return the offer and its key. Raise NotFound, Invalid."""
    volume = volumes.get(connection, volume_id, project_id)
    if volume.status != VolumeStatus.AVAILABLE:
        raise invalid_volume(f"Volume {volume_id} status must be available to be transferred.")
    if volumes.is_attached(connection, volume_id):
        raise invalid_volume(f"Volume {volume_id} is attached.")
    for snapshot in snapshots.of_volume(connection, volume_id):
        if no_snapshots:
            raise invalid_volume(f"Volume {volume_id} has snapshots: they cannot stay behind.")
        if snapshot.status != SnapshotStatus.AVAILABLE:
            raise invalid_snapshot(f"Snapshot {snapshot.id} is {snapshot.status}.")
    key, salt = secrets.token_hex(_KEY_BYTES), secrets.token_hex(_SALT_BYTES)
    made = Transfer(new_id(), volume_id, name, salt, _hash(salt, key), volume.project_id, no_snapshots, now_us)
    connection.execute(insert(transfers).values(columns_of(transfers, made)))
    volumes.change(connection, volume_id, now_us, status=VolumeStatus.AWAITING_TRANSFER)
    return made, key


def opens(transfer: Transfer, key: str) -> bool:
    """Tell whether `key` is the one of an offer."""
    return hmac.compare_digest(_hash(transfer.salt, key), transfer.key_hash)


def withdraw(connection: Connection, transfer: Transfer, now_us: int) -> None:
    """Take an offer back."""
    volume = volumes.get(connection, transfer.volume_id)
    if volume.status == VolumeStatus.AWAITING_TRANSFER:
        volumes.change(connection, volume.id, now_us, status=VolumeStatus.AVAILABLE)
    connection.execute(delete(transfers).where(transfers.c.id == transfer.id))


def accept(
    connection: Connection,
    transfer: Transfer,
    key: str,
    project_id: str,
    user_id: str,
    defaults: QuotaDefaults,
    now_us: int,
) -> None:
    """Have a project own what was offered. Raise Invalid for a wrong key, OverQuota."""
    if not opens(transfer, key):
        raise Invalid(f"Invalid auth key: Attempt to transfer {transfer.id} with invalid auth key.")
    volume = volumes.get(connection, transfer.volume_id)
    if volume.status != VolumeStatus.AWAITING_TRANSFER:
        raise invalid_volume(f"Volume {volume.id} is {volume.status}, and was to wait for its transfer.")
    owned = snapshots.of_volume(connection, volume.id)
    if project_id != volume.project_id:
        type_name = connection.scalar(select(volume_types.c.name).where(volume_types.c.id == volume.volume_type_id))
        added = {
            "volumes": 1,
            "snapshots": len(owned),
            "gigabytes": volume.size + sum(snapshot.volume_size for snapshot in owned),
        }
        quotas.require(connection, defaults, project_id, added, type_name)
        quotas.require_size(connection, defaults, project_id, volume.size)
    volumes.change(connection, volume.id, now_us, project_id=project_id, user_id=user_id, status=VolumeStatus.AVAILABLE)
    connection.execute(
        update(snapshots_table)
        .where(snapshots_table.c.volume_id == volume.id)
        .values(project_id=project_id, user_id=user_id, updated_at_us=now_us)
    )
    connection.execute(delete(transfers).where(transfers.c.id == transfer.id))


def _hash(salt: str, key: str) -> str:
    """Return what is kept of a key: it is random, so no costly function is needed."""
    return hmac.new(salt.encode(), key.encode(), hashlib.sha256).hexdigest()
