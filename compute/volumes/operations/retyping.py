"""Giving a volume another type where no data move: the gateway keeps the new type's limits.

The row has the new type from the beginning, so that it counts there. Details: `old_type_id`, `old_multiattach`.
"""

from sqlalchemy import Connection

from compute.volumes import qos_specs, volumes
from compute.volumes.operations.work import Work

NAME = "retype"


def perform(work: Work) -> None:
    """Set the limits."""
    volume = work.read(lambda connection: volumes.get(connection, work.subject_id))
    limits = work.read(lambda connection: qos_specs.gateway_limits(connection, volume.volume_type_id))
    work.backend.limit(volume.backend_name, limits)
    work.finish(lambda connection, now_us: volumes.back(connection, volume.id, now_us))


def fail(work: Work, why: str) -> None:
    """Give it its old type back."""

    def outcome(connection: Connection, now_us: int) -> None:
        volumes.back(
            connection,
            work.subject_id,
            now_us,
            volume_type_id=work.details["old_type_id"],
            multiattach=work.details["old_multiattach"],
        )
        work.tell(connection, now_us, "retype volume", why)

    work.finish(outcome)
