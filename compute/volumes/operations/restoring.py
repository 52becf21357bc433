"""Making a volume what a backup has: a new one, or one that is there.

The subject is the backup, so that it stays meanwhile. Details: `volume_id`, `new`.
"""

from sqlalchemy import Connection

from compute.stored import Refused
from compute.volumes import backups, qos_specs, volumes
from compute.volumes.operations.creation import require_backend
from compute.volumes.operations.work import Work
from compute.volumes.statuses import BackupStatus, VolumeStatus

NAME = "restore"


def perform(work: Work) -> None:
    """Restore it. It may be begun again: all is written that the backup has, zeros where it has nothing."""
    backup = work.read(lambda connection: backups.get(connection, work.subject_id))
    volume = work.read(lambda connection: volumes.get(connection, work.details["volume_id"]))
    if backup.location is None:
        raise Refused(f"backup {backup.id} is not whole")
    if work.details["new"]:
        require_backend(work, volume)
        work.backend.create(volume.backend_name, volume.bytes, volume.encrypted)
        limits = work.read(lambda connection: qos_specs.gateway_limits(connection, volume.volume_type_id))
        if any(limits.values()):
            work.backend.limit(volume.backend_name, limits)
    work.tools.archive.restore(backup.location, volume.backend_name)

    def outcome(connection: Connection, now_us: int) -> None:
        volumes.back(connection, volume.id, now_us, VolumeStatus.AVAILABLE)
        backups.change(connection, backup.id, now_us, status=BackupStatus.AVAILABLE, restored_volume_id=volume.id)

    work.finish(outcome)


def fail(work: Work, why: str) -> None:
    """Say that the volume is nothing to rely on; the backup is as it was. A new one leaves nothing in the gateway."""
    volume_id = work.details["volume_id"]
    if work.details["new"]:
        work.backend.remove(volumes.backend_name_of(volume_id))

    def outcome(connection: Connection, now_us: int) -> None:
        status = VolumeStatus.ERROR if work.details["new"] else VolumeStatus.ERROR_RESTORING
        volumes.change(connection, volume_id, now_us, status=status, previous_status=None)
        backups.change(connection, work.subject_id, now_us, status=BackupStatus.AVAILABLE)
        work.tell(connection, now_us, "restore backup", why)

    work.finish(outcome)
