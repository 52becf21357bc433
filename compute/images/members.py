"""Members: the projects that an image is shared with, and what they think of it."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from cluster.controlplane.database import refusing_duplicates
from compute.errors import Conflict, NotFound, OverLimit
from compute.images.schema import members
from compute.images.statuses import MemberStatus


@dataclass(frozen=True, slots=True)
class Member:
    """A project that an image is shared with."""

    image_id: str
    project_id: str
    status: MemberStatus
    created_at_us: int
    updated_at_us: int


def list_all(connection: Connection, image_id: str) -> list[Member]:
    """Return the members of an image."""
    query = select(members).where(members.c.image_id == image_id).order_by(members.c.project_id)
    return [_member(row) for row in connection.execute(query)]


def find(connection: Connection, image_id: str, project_id: str | None) -> Member | None:
    """Return a project as a member of an image; None: it is not."""
    query = select(members).where(members.c.image_id == image_id, members.c.project_id == project_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else _member(row)


def get(connection: Connection, image_id: str, project_id: str) -> Member:
    """Return a project as a member of an image. Raise NotFound."""
    member = find(connection, image_id, project_id)
    if member is None:
        raise NotFound(f"{project_id} not found in the member list of the image {image_id}.")
    return member


def add(connection: Connection, image_id: str, project_id: str, limit: int, now_us: int) -> Member:
    """Share an image with a project. Raise Conflict when it is, OverLimit when it would be with more than `limit`."""
    count = connection.scalar(select(func.count()).where(members.c.image_id == image_id)) or 0
    if count >= limit:
        raise OverLimit(
            f"The limit has been exceeded on the number of allowed image members for this image. "
            f"Attempted: {count + 1}, Maximum: {limit}"
        )
    values = {"status": MemberStatus.PENDING.value, "created_at_us": now_us, "updated_at_us": now_us}
    with refusing_duplicates(Conflict(f"Member {project_id} is duplicated for image {image_id}")):
        connection.execute(insert(members).values(image_id=image_id, project_id=project_id, **values))
    return get(connection, image_id, project_id)


def set_status(connection: Connection, member: Member, status: MemberStatus, now_us: int) -> Member:
    """Note what a member thinks of the image."""
    connection.execute(
        update(members)
        .where(members.c.image_id == member.image_id, members.c.project_id == member.project_id)
        .values(status=status.value, updated_at_us=now_us)
    )
    return get(connection, member.image_id, member.project_id)


def remove(connection: Connection, member: Member) -> None:
    """Share an image with a project no more."""
    connection.execute(
        delete(members).where(members.c.image_id == member.image_id, members.c.project_id == member.project_id)
    )


def _member(row: Row[Any]) -> Member:
    return Member(**{**row._mapping, "status": MemberStatus(row.status)})
