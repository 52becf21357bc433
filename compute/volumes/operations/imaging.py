"""Filling a volume with an image anew: it keeps its id, its size, its snapshots. Nobody may use it.

Details: `image_id`, and `about`, what the volume keeps of the image.
"""

from sqlalchemy import Connection

from compute.records import set_words
from compute.stored import Refused
from compute.volumes import volumes
from compute.volumes.operations.work import Work
from compute.volumes.schema import volume_image_metadata
from compute.volumes.statuses import VolumeStatus

NAME = "reimage"


def perform(work: Work) -> None:
    """Fill it."""
    volume = work.read(lambda connection: volumes.get(connection, work.subject_id))
    golden = work.tools.images.golden(work.details["image_id"])
    if golden.size > volume.bytes:
        raise Refused(f"image {work.details['image_id']} has {golden.size} bytes: the volume is too small")
    work.tools.mover.copy(f"{golden.volume}@{golden.snapshot}", volume.backend_name)

    def outcome(connection: Connection, now_us: int) -> None:
        set_words(connection, volume_image_metadata, volume.id, work.details["about"], replace=True)
        volumes.back(connection, volume.id, now_us, bootable=True)

    work.finish(outcome)


def fail(work: Work, why: str) -> None:
    """Say that its content is nothing to rely on."""

    def outcome(connection: Connection, now_us: int) -> None:
        volumes.change(connection, work.subject_id, now_us, status=VolumeStatus.ERROR, previous_status=None)
        work.tell(connection, now_us, "reimage volume", why)

    work.finish(outcome)
