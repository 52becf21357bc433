"""Making a volume: an empty one, or a clone of a snapshot, of an image, or of a volume as it is now.

Details: `source` (empty, snapshot, image, volume), and for each what it names. A clone shares its source's encryption;
where the type wants another one, the data are copied instead.
"""

from typing import Any

from sqlalchemy import Connection

from compute.stored import NoSuch, Refused, Removal
from compute.volumes import qos_specs, remains, snapshots, volume_types, volumes
from compute.volumes.operations.work import Work
from compute.volumes.statuses import VolumeStatus
from compute.volumes.volumes import Volume

NAME = "create"
EMPTY, SNAPSHOT, IMAGE, VOLUME = "empty", "snapshot", "image", "volume"
_ACTION = "create volume"


def clone_snapshot_of(volume_id: str) -> str:
    """Return the snapshot of its source that a volume begins with which is made of another volume."""
    return f"clone-{volume_id}"


def perform(work: Work) -> None:
    """Make it."""
    volume = work.read(lambda connection: volumes.get(connection, work.subject_id))
    require_backend(work, volume)
    source = work.details["source"]
    if source == EMPTY:
        work.backend.create(volume.backend_name, volume.bytes, volume.encrypted)
    elif source == SNAPSHOT:
        snapshot = work.read(lambda connection: snapshots.get(connection, work.details["snapshot_id"]))
        parent = work.read(lambda connection: volumes.get(connection, snapshot.volume_id))
        _begin_as(work, volume, parent.backend_name, snapshot.backend_name)
    elif source == VOLUME:
        _begin_as_volume(work, volume)
    else:
        golden = work.tools.images.golden(work.details["image_id"])
        if golden.size > volume.bytes:
            raise Refused(f"image {work.details['image_id']} has {golden.size} bytes: the volume is too small")
        _begin_as(work, volume, golden.volume, golden.snapshot)
    limits = work.read(lambda connection: qos_specs.gateway_limits(connection, volume.volume_type_id))
    if any(limits.values()):
        work.backend.limit(volume.backend_name, limits)
    work.finish(_made(work, volume))


def require_backend(work: Work, volume: Volume) -> None:
    """Raise Refused unless there is a backend as the volume's type wants it."""
    unmet = work.read(lambda connection: volume_types.get(connection, volume.volume_type_id)).unmet()
    if unmet:
        raise Refused(f"No valid backend was found: none has {', '.join(unmet)}")


def fail(work: Work, why: str) -> None:
    """Leave nothing of it in the gateway; the volume is in error, until it is deleted."""
    removal = work.backend.remove(volumes.backend_name_of(work.subject_id))
    leftover = _given_up(work)

    def outcome(connection: Connection, now_us: int) -> None:
        volumes.change(connection, work.subject_id, now_us, status=VolumeStatus.ERROR)
        if removal is Removal.KEPT:
            remains.add(connection, volumes.backend_name_of(work.subject_id), remains.WHOLE, now_us)
        work.tell(connection, now_us, _ACTION, why)
        if leftover:
            remains.add(connection, *leftover, now_us)

    work.finish(outcome)


def _begin_as(work: Work, volume: Volume, parent: str, snapshot: str) -> None:
    stored = work.backend.find(parent)
    if stored is None or stored.snapshot(snapshot) is None:
        raise NoSuch(f"{parent}@{snapshot} is not there any more")
    if stored.encrypted == volume.encrypted:
        work.backend.clone(parent, snapshot, volume.backend_name)
        work.backend.resize(volume.backend_name, volume.bytes)
        return
    work.backend.create(volume.backend_name, volume.bytes, volume.encrypted)
    work.tools.mover.copy(f"{parent}@{snapshot}", volume.backend_name)


def _begin_as_volume(work: Work, volume: Volume) -> None:
    source, snapshot = volumes.backend_name_of(work.details["volume_id"]), clone_snapshot_of(volume.id)
    work.backend.snapshot(source, snapshot)
    _begin_as(work, volume, source, snapshot)


def _made(work: Work, volume: Volume) -> Any:
    leftover = _given_up(work)

    def outcome(connection: Connection, now_us: int) -> None:
        status = volumes.settled_status(connection, volume)  # somebody may have attached it already
        volumes.change(connection, volume.id, now_us, status=status, previous_status=None)
        if leftover:
            remains.add(connection, *leftover, now_us)

    return outcome


def _given_up(work: Work) -> tuple[str, str] | None:
    """Give up the snapshot that was only taken for the clone; return it if the clone still reads through it."""
    if work.details["source"] != VOLUME:
        return None
    source = volumes.backend_name_of(work.details["volume_id"])
    snapshot = clone_snapshot_of(work.subject_id)
    return None if work.backend.delete_snapshot(source, snapshot) is Removal.GONE else (source, snapshot)
