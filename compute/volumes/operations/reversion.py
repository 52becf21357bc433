"""Making a volume what it was when its newest snapshot was taken. Nobody may use it. Details: `snapshot_id`."""

from sqlalchemy import Connection

from compute.volumes import snapshots, volumes
from compute.volumes.operations.work import Work
from compute.volumes.statuses import SnapshotStatus, VolumeStatus

NAME = "revert"


def perform(work: Work) -> None:
    """Make it so. To do it again changes nothing: nobody has written meanwhile."""
    volume = work.read(lambda connection: volumes.get(connection, work.subject_id))
    snapshot = work.read(lambda connection: snapshots.get(connection, work.details["snapshot_id"]))
    work.backend.roll_back(volume.backend_name, snapshot.backend_name)
    work.backend.resize(volume.backend_name, volume.bytes)

    def outcome(connection: Connection, now_us: int) -> None:
        volumes.back(connection, volume.id, now_us)
        snapshots.change(connection, snapshot.id, now_us, status=SnapshotStatus.AVAILABLE)

    work.finish(outcome)


def fail(work: Work, why: str) -> None:
    """Say so: nobody knows whether the volume is what it was, or as it is."""

    def outcome(connection: Connection, now_us: int) -> None:
        volumes.change(connection, work.subject_id, now_us, status=VolumeStatus.ERROR, previous_status=None)
        snapshots.change(connection, work.details["snapshot_id"], now_us, status=SnapshotStatus.AVAILABLE)
        work.tell(connection, now_us, "revert volume to snapshot", why)

    work.finish(outcome)
