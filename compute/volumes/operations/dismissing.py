"""Keeping out who had a volume attached: the host may be gone, or come back, and must not write to it any more.

The attachment is gone in the transaction that notes this, and nobody gets the volume before this is done. It is tried
as long as it takes. Its subject is the attachment; details: `volume_id`.
"""

from compute.volumes import attachments, volumes
from compute.volumes.operations.work import Work

NAME = attachments.DISMISSAL


def perform(work: Work) -> None:
    """Cut its connections, and have the gateway refuse new ones."""
    work.backend.dismiss(volumes.backend_name_of(work.details["volume_id"]), work.subject_id)
    work.finish(lambda _connection, _now_us: None)


def fail(work: Work, _why: str) -> None:
    """Try on."""
    perform(work)
