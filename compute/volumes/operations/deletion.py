"""Deleting a volume, with its snapshots where that was asked for, or a snapshot.

What clones read through stays in the gateway, noted in `remains`, and is nobody's any more.
"""

from typing import Any

from sqlalchemy import Connection

from compute.stored import Removal
from compute.volumes import remains, snapshots, volumes
from compute.volumes.operations.work import Work
from compute.volumes.statuses import SnapshotStatus, VolumeStatus


class OfVolume:
    """Of a volume with all it has."""

    NAME = "delete"

    @staticmethod
    def perform(work: Work) -> None:
        """Delete it."""
        volume = work.read(lambda connection: volumes.get(connection, work.subject_id))
        removal = work.backend.remove(volume.backend_name)

        def outcome(connection: Connection, now_us: int) -> None:
            for snapshot_id in volumes.snapshot_ids(connection, volume.id):
                snapshots.remove(connection, snapshot_id)
            volumes.remove(connection, volume.id)
            remains.gone(connection, volume.backend_name, remains.WHOLE)
            if removal is Removal.KEPT:
                remains.add(connection, volume.backend_name, remains.WHOLE, now_us)

        work.finish(outcome)

    @staticmethod
    def fail(work: Work, why: str) -> None:
        """Say that it is still there."""

        def outcome(connection: Connection, now_us: int) -> None:
            for snapshot_id in volumes.snapshot_ids(connection, work.subject_id):
                snapshots.change(connection, snapshot_id, now_us, status=SnapshotStatus.ERROR_DELETING)
            volumes.change(connection, work.subject_id, now_us, status=VolumeStatus.ERROR_DELETING)
            work.tell(connection, now_us, "delete volume", why)

        work.finish(outcome)


class OfSnapshot:
    """Of a snapshot."""

    NAME = "delete-snapshot"

    @staticmethod
    def perform(work: Work) -> None:
        """Delete it."""
        snapshot = work.read(lambda connection: snapshots.get(connection, work.subject_id))
        volume = work.read(lambda connection: volumes.get(connection, snapshot.volume_id))
        removal = work.backend.delete_snapshot(volume.backend_name, snapshot.backend_name)

        def outcome(connection: Connection, now_us: int) -> None:
            snapshots.remove(connection, snapshot.id)
            if removal is Removal.KEPT:
                remains.add(connection, volume.backend_name, snapshot.backend_name, now_us)

        work.finish(outcome)

    @staticmethod
    def fail(work: Work, why: str) -> None:
        """Say that it is still there."""
        work.finish(_failed(work, why, "delete snapshot", SnapshotStatus.ERROR_DELETING))


def _failed(work: Work, why: str, action: str, status: SnapshotStatus) -> Any:
    def outcome(connection: Connection, now_us: int) -> None:
        snapshots.change(connection, work.subject_id, now_us, status=status)
        work.tell(connection, now_us, action, why)

    return outcome
