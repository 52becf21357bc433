"""Making a volume larger, also while it is used: servers that have it are told. Details: `size`, in GiB."""

from sqlalchemy import Connection

from compute.volumes import attachments, volumes
from compute.volumes.operations.work import Work
from compute.volumes.statuses import VolumeStatus
from compute.volumes.volumes import GIB

NAME = "extend"


def perform(work: Work) -> None:
    """Make it larger."""
    volume = work.read(lambda connection: volumes.get(connection, work.subject_id))
    size = int(work.details["size"])
    work.backend.resize(volume.backend_name, size * GIB)

    def outcome(connection: Connection, now_us: int) -> None:
        volumes.back(connection, volume.id, now_us, size=size, reserved_gb=0)

    work.finish(outcome)
    attached = work.read(lambda connection: attachments.of_volume(connection, volume.id))
    server_ids = [each.instance_id for each in attached if each.instance_id and each.was_told]
    if server_ids:
        work.tools.servers.extended(volume.id, server_ids)


def fail(work: Work, why: str) -> None:
    """Give back what was reserved; the data are as they were."""

    def outcome(connection: Connection, now_us: int) -> None:
        volumes.change(
            connection,
            work.subject_id,
            now_us,
            status=VolumeStatus.ERROR_EXTENDING,
            previous_status=None,
            reserved_gb=0,
        )
        work.tell(connection, now_us, "extend volume", why)

    work.finish(outcome)
