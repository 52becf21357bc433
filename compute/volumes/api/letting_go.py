"""Letting go of attachments: the row goes, and whoever was told how to connect is kept out from then on."""

from compute.operations import journal
from compute.volumes import attachments
from compute.volumes.api.requests import Request
from compute.volumes.attachments import Attachment


def let_go(context: Request, attachment: Attachment) -> None:
    """Release an attachment. By the answer its connections are cut, if the gateway can be reached."""
    attachments.release(context.connection, attachment, context.now_us)
    if not attachment.was_told:
        return
    operation_id = journal.note(
        context.connection,
        context.now_us,
        attachments.DISMISSAL,
        ("attachment", attachment.id),
        attachment.project_id,
        context.request_id,
        volume_id=attachment.volume_id,
    )
    context.afterwards(lambda: context.parts.hasten(operation_id))
