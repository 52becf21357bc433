"""Letting go of attachments: the row goes, and whoever was told how to connect is kept out from then on.

What a server has is let go of by the compute service, which has the guest let go first. Of others it is refused, be it
the owner or an administrator, as long as the server is there and has the volume by that attachment: its guest would go
on with a disk that is somebody else's by now. Whoever has to free a volume nevertheless resets its state.

Source: Cinder, "Reject unsafe delete attachment calls" (bug 2004555, OSSA-2023-003).
"""

from collections.abc import Sequence

from compute.errors import Unauthorized
from compute.microversions import found
from compute.operations import journal
from compute.stored import BackendError
from compute.volumes import attachments
from compute.volumes.api.parts import Parts
from compute.volumes.api.requests import Request
from compute.volumes.attachments import Attachment
from compute.volumes.errors import Conflict, Unavailable

SERVICE_TOKEN_HEADER = "X-Service-Token"  # noqa: S105 the name of a header
_RULE = "volume:let_go_of_servers"


def ask_servers(parts: Parts, token: str, rule: str, held: Sequence[Attachment]) -> frozenset[str] | None:
    """Return the ids of those attachments which no server has; None: the compute service does not answer.

    Nothing is asked for who may not do what `rule` is about, nor for services, which need no answer.
    """
    caller = parts.tokens.validate(token)
    if caller is None or parts.policy.allows(_RULE, caller):
        return frozenset()
    asked = [each for each in held if _may_be_a_servers(each)]
    permitted = [each for each in asked if parts.policy.allows(rule, caller, {"project_id": each.project_id})]
    try:
        return frozenset(each.id for each in permitted if not _has(parts, each))
    except BackendError:
        return None


def require_free(context: Request, attachment: Attachment) -> None:
    """Raise Conflict when a server has a volume by an attachment, and the caller is no service. Raise Unavailable."""
    if not _may_be_a_servers(attachment) or _is_service(context):
        return
    without_server: frozenset[str] | None = found(context)
    if without_server is None:
        raise Unavailable(f"Whether server {attachment.instance_id} has the volume is not known just now.")
    if attachment.id not in without_server:
        raise Conflict(f"Detach volume from instance {attachment.instance_id} using the Compute API")


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


def _may_be_a_servers(attachment: Attachment) -> bool:
    """Tell whether a server may have a volume. One that was told nothing yet is refused when it asks."""
    return bool(attachment.instance_id) and attachment.was_told


def _has(parts: Parts, attachment: Attachment) -> bool:
    return parts.servers.attachment_of(attachment.instance_id or "", attachment.volume_id) == attachment.id


def _is_service(context: Request) -> bool:
    """Tell whether a service asks, or asks for somebody. Raise Unauthorized when it only says so."""
    text = context.request.get_header(SERVICE_TOKEN_HEADER)
    if text is None:
        return context.allows(_RULE)
    service = context.parts.tokens.validate(text)
    if service is None:
        raise Unauthorized()
    return context.parts.policy.allows(_RULE, service) or context.allows(_RULE)
