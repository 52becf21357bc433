"""Making an image of a volume as it is now: of a snapshot that is taken for it.

Details: `image`, the attributes of a `backend.NewImage`.
"""

from sqlalchemy import Connection

from compute.stored import Removal
from compute.volumes import remains, volumes
from compute.volumes.backend import NewImage
from compute.volumes.operations.work import Work

NAME = "upload"


def perform(work: Work) -> None:
    """Make it."""
    name, snapshot = volumes.backend_name_of(work.subject_id), _snapshot_of(work)
    work.backend.snapshot(name, snapshot)
    work.tools.images.upload(NewImage(**work.details["image"]), f"{name}@{snapshot}")
    _end(work, None)


def fail(work: Work, why: str) -> None:
    """Leave nothing of it; the volume is as it was."""
    work.tools.images.discard(work.details["image"]["id"])
    _end(work, why)


def _end(work: Work, why: str | None) -> None:
    name, snapshot = volumes.backend_name_of(work.subject_id), _snapshot_of(work)
    removal = work.backend.delete_snapshot(name, snapshot)

    def outcome(connection: Connection, now_us: int) -> None:
        volumes.back(connection, work.subject_id, now_us)
        if removal is Removal.KEPT:
            remains.add(connection, name, snapshot, now_us)
        if why is not None:
            work.tell(connection, now_us, "copy volume to image", why)

    work.finish(outcome)


def _snapshot_of(work: Work) -> str:
    return f"upload-{work.operation.id}"
