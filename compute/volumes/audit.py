"""What differs between the database and the gateway, and how it is mended: for `holdfast doctor`.

As long as nothing but this service touches its volumes nothing does: operations see to that. It is for databases that
were restored from a backup, gateways that lost something, and administrators who set states by hand. Both sides are
looked at while they change, so each difference is looked at a second time before it is told.

Nothing that might be wanted is deleted: a volume that nobody knows goes to the gateway's trash, and can be had back.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from cluster.clock import wall_us
from cluster.config import Config
from cluster.controlplane.database import Database, retried
from cluster.layout import Layout
from compute.differences import Difference, lasting, mend
from compute.gateway import Gateway
from compute.operations import journal
from compute.records import record_of
from compute.stored import Stored
from compute.volumes import backups, cluster_settings, remains, snapshots, volumes
from compute.volumes.backend import Backend
from compute.volumes.operations import backing_up
from compute.volumes.operations.creation import clone_snapshot_of
from compute.volumes.schema import backups as backups_table
from compute.volumes.schema import snapshots as snapshots_table
from compute.volumes.schema import volumes as volumes_table
from compute.volumes.snapshots import Snapshot
from compute.volumes.statuses import BackupStatus, SnapshotStatus, VolumeStatus
from compute.volumes.volumes import GIB, Volume

KEEP_S = 7 * 86_400.0  # of a volume that nobody knows, in the trash
_PREFIXES = ("snapshot-", "clone-", "upload-")  # of snapshots that are ours
_PASSING = frozenset(
    (
        VolumeStatus.CREATING,
        VolumeStatus.DELETING,
        VolumeStatus.EXTENDING,
        VolumeStatus.REVERTING,
        VolumeStatus.RETYPING,
        VolumeStatus.UPLOADING,
        VolumeStatus.DOWNLOADING,
        VolumeStatus.BACKING_UP,
        VolumeStatus.RESTORING,
    )
)
_LOST = frozenset((VolumeStatus.CREATING, VolumeStatus.DELETING, VolumeStatus.RESTORING, VolumeStatus.DOWNLOADING))
_NOTHING_STORED = frozenset((VolumeStatus.ERROR, VolumeStatus.CREATING, VolumeStatus.DELETING, VolumeStatus.RESTORING))


def examine(config: Config, layout: Layout, fix: bool) -> list[Difference]:
    """Return what differs in a cluster; with `fix`, what is left of it after all was mended that can be.

    Raise BackendError when the gateway does not answer.
    """
    database = Database(cluster_settings.database_url(config, layout))
    try:
        audit = Audit(database, Gateway(layout, max(1, config.block.gateways)))
        found = audit.differences()
        return mend(found) if fix else found
    finally:
        database.close()


class Audit:
    """Of one database and one gateway."""

    def __init__(self, database: Database, backend: Backend, clock_us: Callable[[], int] = wall_us) -> None:
        self._database, self._backend, self._clock_us = database, backend, clock_us

    def differences(self) -> list[Difference]:
        """Return what differs, and still differs when it is looked at again. Raise BackendError."""
        return lasting(self._look)

    def _look(self) -> list[Difference]:
        stored = {each.name: each for each in self._backend.list()}
        with self._database.reading() as connection:
            seen = _Seen.of(connection)
        return [
            *self._unknown(stored, seen),
            *self._missing(stored, seen),
            *self._snapshots(stored, seen),
            *self._stuck(seen),
        ]

    def _unknown(self, stored: Mapping[str, Stored], seen: "_Seen") -> Iterator[Difference]:
        for name, each in stored.items():
            known = name.removeprefix("volume-") in seen.volumes or (name, remains.WHOLE) in seen.remains
            if not name.startswith("volume-") or known or not each.is_open:
                continue
            yield Difference(
                name,
                "the gateway has it, and the volume service does not know it; it can go to the trash for a week",
                lambda name=name: self._backend.put_aside(name, KEEP_S),  # type: ignore[misc]
            )

    def _missing(self, stored: Mapping[str, Stored], seen: "_Seen") -> Iterator[Difference]:
        for volume in seen.volumes.values():
            each = stored.get(volume.backend_name)
            subject = f"volume {volume.id}"
            if volume.id in seen.busy or (each is None and volume.status in _NOTHING_STORED):
                continue
            if each is None:
                yield Difference(subject, "the gateway does not have it", self._set(volume, VolumeStatus.ERROR))
            elif not each.is_open:
                yield Difference(
                    subject, f"it is in the gateway's trash: `holdfast volume undelete {volume.backend_name}`"
                )
            elif each.size < volume.bytes:
                yield Difference(
                    subject,
                    f"it has {each.size} bytes, and should have {volume.bytes}",
                    lambda volume=volume: self._backend.resize(volume.backend_name, volume.bytes),  # type: ignore[misc]
                )
            elif each.size >= volume.bytes + GIB:
                gigabytes = each.size // GIB
                yield Difference(
                    subject,
                    f"it has {gigabytes} GiB, and is taken for one of {volume.size}",
                    self._resize(volume, gigabytes),
                )

    def _snapshots(self, stored: Mapping[str, Stored], seen: "_Seen") -> Iterator[Difference]:
        for snapshot in seen.snapshots.values():
            each = stored.get(volumes.backend_name_of(snapshot.volume_id))
            busy = snapshot.id in seen.busy or snapshot.volume_id in seen.busy
            if busy or snapshot.status == SnapshotStatus.ERROR or each is None:
                continue
            if each.snapshot(snapshot.backend_name) is None:
                yield Difference(f"snapshot {snapshot.id}", "the gateway does not have it", self._lose(snapshot))
        for name, each in stored.items():
            if name.removeprefix("volume-") not in seen.volumes:
                continue
            for kept in each.snapshots:
                if kept.name.startswith(_PREFIXES) and not seen.knows(name, kept.name):
                    yield Difference(
                        f"{name}@{kept.name}",
                        "the gateway has it, and the volume service does not know it",
                        self._give_up(name, kept.name),
                    )

    def _stuck(self, seen: "_Seen") -> Iterator[Difference]:
        for volume in seen.volumes.values():
            if volume.status in _PASSING and volume.id not in seen.busy:
                mended = self._set(volume, VolumeStatus.ERROR) if volume.status in _LOST else self._back(volume)
                yield Difference(f"volume {volume.id}", f"it is {volume.status}, and nothing is done to it", mended)
            elif volume.reserved_gb and volume.id not in seen.busy:
                yield Difference(f"volume {volume.id}", "it reserves quota for nothing", self._back(volume))
        for snapshot in seen.snapshots.values():
            passing = snapshot.status in (
                SnapshotStatus.CREATING,
                SnapshotStatus.DELETING,
                SnapshotStatus.BACKING_UP,
                SnapshotStatus.RESTORING,
            )
            if passing and snapshot.id not in seen.busy and snapshot.volume_id not in seen.busy:
                yield Difference(
                    f"snapshot {snapshot.id}",
                    f"it is {snapshot.status}, and nothing is done to it",
                    self._lose(snapshot)
                    if snapshot.status in (SnapshotStatus.CREATING, SnapshotStatus.DELETING)
                    else self._keep(snapshot),
                )
        for backup_id, status in seen.backups.items():
            passing = status in (BackupStatus.CREATING, BackupStatus.DELETING, BackupStatus.RESTORING)
            if passing and backup_id not in seen.busy:
                yield Difference(
                    f"backup {backup_id}",
                    f"it is {status}, and nothing is done to it",
                    self._settle_backup(backup_id, BackupStatus(status)),
                )

    # mending

    def _write(self, work: Callable[[Connection, int], None]) -> Callable[[], None]:
        return lambda: retried(self._database, lambda connection: work(connection, self._clock_us()))

    def _set(self, volume: Volume, status: VolumeStatus) -> Callable[[], None]:
        return self._write(
            lambda connection, now_us: volumes.change(
                connection, volume.id, now_us, status=status, previous_status=None, reserved_gb=0
            )
        )

    def _back(self, volume: Volume) -> Callable[[], None]:
        return self._write(
            lambda connection, now_us: volumes.back(
                connection, volume.id, now_us, volumes.settled_status(connection, volume), reserved_gb=0
            )
        )

    def _resize(self, volume: Volume, gigabytes: int) -> Callable[[], None]:
        return self._write(lambda connection, now_us: volumes.change(connection, volume.id, now_us, size=gigabytes))

    def _lose(self, snapshot: Snapshot) -> Callable[[], None]:
        return self._write(
            lambda connection, now_us: snapshots.change(connection, snapshot.id, now_us, status=SnapshotStatus.ERROR)
        )

    def _keep(self, snapshot: Snapshot) -> Callable[[], None]:
        return self._write(
            lambda connection, now_us: snapshots.change(
                connection, snapshot.id, now_us, status=SnapshotStatus.AVAILABLE
            )
        )

    def _give_up(self, volume: str, snapshot: str) -> Callable[[], None]:
        return self._write(lambda connection, now_us: remains.add(connection, volume, snapshot, now_us))

    def _settle_backup(self, backup_id: str, status: BackupStatus) -> Callable[[], None]:
        settled = BackupStatus.AVAILABLE if status is BackupStatus.RESTORING else BackupStatus.ERROR
        return self._write(lambda connection, now_us: backups.change(connection, backup_id, now_us, status=settled))


@dataclass(frozen=True, slots=True)
class _Seen:
    """The database at one moment."""

    volumes: Mapping[str, Volume]  # by id
    snapshots: Mapping[str, Snapshot]
    backups: Mapping[str, str]  # status by id
    remains: frozenset[tuple[str, str]]
    busy: frozenset[str]  # ids of what an operation is about
    operations: frozenset[str]  # their ids

    @classmethod
    def of(cls, connection: Connection) -> "_Seen":
        found = [record_of(Volume, row) for row in connection.execute(select(volumes_table))]
        kept = [record_of(Snapshot, row) for row in connection.execute(select(snapshots_table))]
        saved = connection.execute(select(backups_table)).all()
        volume_of_backup = {row.id: (row.volume_id, row.snapshot_id) for row in saved}
        under_way = journal.every(connection)
        busy: set[str] = set()
        for operation in under_way:
            busy.add(operation.subject_id)
            details = operation.details or {}
            busy.update(str(details[name]) for name in ("volume_id", "snapshot_id") if details.get(name))
            if operation.kind == backing_up.Taking.NAME:
                busy.update(each for each in volume_of_backup.get(operation.subject_id, ()) if each)
        return cls(
            {each.id: each for each in found},
            {each.id: each for each in kept},
            {row.id: row.status for row in saved},
            frozenset((each.volume, each.snapshot) for each in remains.waiting(connection)),
            frozenset(busy),
            frozenset(operation.id for operation in under_way),
        )

    def knows(self, volume: str, snapshot: str) -> bool:
        """Tell whether a snapshot in the gateway has a reason to be there."""
        prefix, _hyphen, identifier = snapshot.partition("-")
        if (volume, snapshot) in self.remains or (volume, remains.WHOLE) in self.remains:
            return True
        if prefix == "snapshot":
            return identifier in self.snapshots
        if prefix == "clone":
            assert snapshot == clone_snapshot_of(identifier)
            return identifier in self.busy
        return identifier in self.operations
