"""Which images a project sees at all, and which of them its listings have. Administrators see all.

Source: Glance, "Image visibility". `community` images are for everybody who knows of them, and not in listings unless
asked for; a `shared` image is in those of a member that has accepted it.
"""

from sqlalchemy import ColumnElement, Connection, and_, or_, select, true

from compute.images import members as sharing
from compute.images.records import Image
from compute.images.schema import images, members
from compute.images.statuses import MemberStatus, Visibility

ALL = "all"  # of a filter


def sees(connection: Connection, image: Image, project_id: str | None) -> bool:
    """Tell whether a project sees an image."""
    if image.visibility in (Visibility.PUBLIC, Visibility.COMMUNITY):
        return True
    if project_id is None:
        return False
    if image.owner == project_id:
        return True
    return image.visibility is Visibility.SHARED and sharing.find(connection, image.id, project_id) is not None


def listed(
    project_id: str | None, is_admin: bool, wanted: str | None, member_status: str
) -> "ColumnElement[bool]":
    """Return what rows of the listing fulfil; `wanted`: a visibility, ALL, or None for what is usually listed."""
    if is_admin:
        return true() if wanted in (None, ALL) else images.c.visibility == wanted
    own = images.c.owner == project_id
    public = images.c.visibility == Visibility.PUBLIC.value
    community = images.c.visibility == Visibility.COMMUNITY.value
    shared = and_(images.c.visibility == Visibility.SHARED.value, or_(own, _shared_with(project_id, member_status)))
    if wanted is None:
        return or_(own, public, shared)
    if wanted == ALL:
        return or_(own, public, shared, community)
    return {
        Visibility.PUBLIC.value: public,
        Visibility.COMMUNITY.value: community,
        Visibility.SHARED.value: shared,
        Visibility.PRIVATE.value: and_(own, images.c.visibility == wanted),
    }[wanted]


def _shared_with(project_id: str | None, member_status: str) -> "ColumnElement[bool]":
    wanted = members.c.project_id == project_id
    if member_status != ALL:
        assert member_status in [status.value for status in MemberStatus]
        wanted = and_(wanted, members.c.status == member_status)
    return images.c.id.in_(select(members.c.image_id).where(wanted))
