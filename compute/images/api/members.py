"""Operations on members: with whom an image is shared, and what they think of it."""

from cluster.controlplane.answer import NO_CONTENT, Answer, ok
from compute.errors import BadRequest, Forbidden, NotFound
from compute.images import members
from compute.images.api.context import Context, found, target_of
from compute.images.api.documents import of_member
from compute.images.members import Member
from compute.images.records import Image
from compute.images.schema import PROJECT_LIMIT
from compute.images.statuses import MemberStatus, Visibility


def list_all(context: Context, image_id: str) -> Answer:
    """GET /v2/images/{image_id}/members: all for those whose image it is, itself for a member."""
    image = _shared(context, image_id)
    context.enforce("get_members", target_of(context.connection, image, context.caller))
    shown = members.list_all(context.connection, image.id)
    if not _owns(context, image):
        shown = [member for member in shown if member.project_id == context.project_id]
    return ok({"members": [of_member(member) for member in shown], "schema": "/v2/schemas/members"})


def add(context: Context, image_id: str) -> Answer:
    """POST /v2/images/{image_id}/members."""
    project_id = context.document.get("member")
    if not isinstance(project_id, str):
        raise BadRequest("Member to be added not specified")
    if not project_id or len(project_id) > PROJECT_LIMIT:
        raise BadRequest("Member can't be empty, or longer than 255 characters.")
    image = _shared(context, image_id)
    context.enforce("add_member", target_of(context.connection, image, context.caller))
    most = context.parts.settings.max_members
    return ok(of_member(members.add(context.connection, image.id, project_id, most, context.now_us)))


def show(context: Context, image_id: str, member_id: str) -> Answer:
    """GET /v2/images/{image_id}/members/{member_id}."""
    image = _shared(context, image_id)
    member = _seen(context, image, member_id)
    context.enforce("get_member", {"project_id": image.owner, "member_id": member.project_id})
    return ok(of_member(member))


def change(context: Context, image_id: str, member_id: str) -> Answer:
    """PUT /v2/images/{image_id}/members/{member_id}: by the member itself."""
    image = _shared(context, image_id)
    wanted = context.document.get("status")
    if wanted not in [status.value for status in MemberStatus]:
        raise BadRequest(f"Status can't be {wanted!r}: it is one of pending, accepted and rejected.")
    member = _seen(context, image, member_id)
    context.enforce("modify_member", {"project_id": image.owner, "member_id": member.project_id})
    return ok(of_member(members.set_status(context.connection, member, MemberStatus(wanted), context.now_us)))


def remove(context: Context, image_id: str, member_id: str) -> Answer:
    """DELETE /v2/images/{image_id}/members/{member_id}."""
    image = _shared(context, image_id)
    context.enforce("delete_member", target_of(context.connection, image, context.caller))
    members.remove(context.connection, members.get(context.connection, image.id, member_id))
    return NO_CONTENT


def _shared(context: Context, image_id: str) -> Image:
    image = found(context, image_id)
    if image.visibility is not Visibility.SHARED:
        raise Forbidden("Only shared images have members.")
    return image


def _seen(context: Context, image: Image, member_id: str) -> Member:
    """Return a member of an image; a member itself sees no other one. Raise NotFound."""
    if not _owns(context, image) and member_id != context.project_id:
        raise NotFound(f"{member_id} not found in the member list of the image {image.id}.")
    return members.get(context.connection, image.id, member_id)


def _owns(context: Context, image: Image) -> bool:
    return image.owner == context.project_id or context.allows("see_all")
