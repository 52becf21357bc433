"""Taking a snapshot."""

from sqlalchemy import Connection

from compute.stored import Removal
from compute.volumes import remains, snapshots, volumes
from compute.volumes.operations.work import Work
from compute.volumes.statuses import SnapshotStatus

NAME = "snapshot"


def perform(work: Work) -> None:
    """Take it."""
    snapshot = work.read(lambda connection: snapshots.get(connection, work.subject_id))
    volume = work.read(lambda connection: volumes.get(connection, snapshot.volume_id))
    work.backend.snapshot(volume.backend_name, snapshot.backend_name)

    def outcome(connection: Connection, now_us: int) -> None:
        snapshots.change(connection, snapshot.id, now_us, status=SnapshotStatus.AVAILABLE)

    work.finish(outcome)


def fail(work: Work, why: str) -> None:
    """Leave nothing of it in the gateway; it is in error, until it is deleted."""
    snapshot = work.read(lambda connection: snapshots.get(connection, work.subject_id))
    volume = work.read(lambda connection: volumes.get(connection, snapshot.volume_id))
    removal = work.backend.delete_snapshot(volume.backend_name, snapshot.backend_name)

    def outcome(connection: Connection, now_us: int) -> None:
        if removal is Removal.KEPT:
            remains.add(connection, volume.backend_name, snapshot.backend_name, now_us)
        snapshots.change(connection, snapshot.id, now_us, status=SnapshotStatus.ERROR)
        work.tell(connection, now_us, "create snapshot", why)

    work.finish(outcome)
