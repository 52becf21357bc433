"""Taking a backup, of a volume or of one of its snapshots; and deleting one.

Details: `volume_id`, `place`, `full`, `sealed`; and, from the beginning on, `known`, the backups that the place had
before: what is there beside them afterwards is what an interrupted attempt has left, and it is this one. So a volume
has one backup taken at a time.
"""

from sqlalchemy import Connection

from compute.volumes import backups, snapshots, volumes
from compute.volumes.backend import Place, WhatToTake
from compute.volumes.backups import Backup
from compute.volumes.operations.work import Work
from compute.volumes.statuses import BackupStatus, SnapshotStatus


class Taking:
    """Of a volume as it is, or was."""

    NAME = "backup"

    @staticmethod
    def perform(work: Work) -> None:
        """Take it."""
        backup = work.read(lambda connection: backups.get(connection, work.subject_id))
        name = volumes.backend_name_of(backup.volume_id)
        snapshot = None if backup.snapshot_id is None else snapshots.backend_name_of(backup.snapshot_id)
        place = Place(**work.details["place"])
        if "known" not in work.details:
            work.reach("taking", known=list(work.tools.archive.known(name, place)))
        details = work.details
        wanted = WhatToTake(name, snapshot, place, bool(details["full"]), bool(details["sealed"]))
        taken = work.tools.archive.take(wanted, details["known"])

        def outcome(connection: Connection, now_us: int) -> None:
            backups.change(
                connection,
                backup.id,
                now_us,
                status=BackupStatus.AVAILABLE,
                location=dict(taken.location),
                object_count=taken.object_count,
            )
            _let_go(connection, backup.volume_id, backup.snapshot_id, now_us)

        work.finish(outcome)

    @staticmethod
    def fail(work: Work, why: str) -> None:
        """Say so. What was sent is not sent again by the next one."""
        backup = work.read(lambda connection: backups.get(connection, work.subject_id))

        def outcome(connection: Connection, now_us: int) -> None:
            backups.change(connection, backup.id, now_us, status=BackupStatus.ERROR, fail_reason=why)
            _let_go(connection, backup.volume_id, backup.snapshot_id, now_us)
            work.tell(connection, now_us, "create backup", why)

        work.finish(outcome)


class Deleting:
    """Of a backup: of what no other one has."""

    NAME = "delete-backup"

    @staticmethod
    def perform(work: Work) -> None:
        """Delete it."""
        backup = work.read(lambda connection: backups.get(connection, work.subject_id))
        if backup.location is not None and not work.read(lambda connection: _is_shared(connection, backup)):
            work.tools.archive.delete(backup.location)
        work.finish(lambda connection, _now_us: backups.remove(connection, backup.id))

    @staticmethod
    def fail(work: Work, why: str) -> None:
        """Say that it is still there."""

        def outcome(connection: Connection, now_us: int) -> None:
            backups.change(connection, work.subject_id, now_us, status=BackupStatus.ERROR_DELETING, fail_reason=why)
            work.tell(connection, now_us, "delete backup", why)

        work.finish(outcome)


def _is_shared(connection: Connection, backup: Backup) -> bool:
    """Tell whether another row is of the same objects: records may be imported under another id."""
    others = backups.of_volume(connection, backup.volume_id)
    return any(each.id != backup.id and each.location == backup.location for each in others)


def _let_go(connection: Connection, volume_id: str, snapshot_id: str | None, now_us: int) -> None:
    if snapshot_id is not None:
        snapshots.change(connection, snapshot_id, now_us, status=SnapshotStatus.AVAILABLE)
    else:
        volumes.back(connection, volume_id, now_us)
