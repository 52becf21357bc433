"""Which users are in which groups."""

from sqlalchemy import Connection, delete, insert, select

from identity.keystone import revocations, stale_keys
from identity.keystone.errors import NotFound
from identity.keystone.schema import memberships
from identity.keystone.tokens.revoked import Kind, Subject


def users_of(connection: Connection, group_id: str) -> list[str]:
    """Return the ids of a group's members."""
    query = select(memberships.c.user_id).where(memberships.c.group_id == group_id).order_by(memberships.c.user_id)
    return list(connection.scalars(query))


def groups_of(connection: Connection, user_id: str) -> list[str]:
    """Return the ids of the groups that a user is in."""
    query = select(memberships.c.group_id).where(memberships.c.user_id == user_id).order_by(memberships.c.group_id)
    return list(connection.scalars(query))


def check(connection: Connection, group_id: str, user_id: str) -> None:
    """Raise NotFound unless the user is in the group."""
    if not _exists(connection, group_id, user_id):
        raise NotFound(f"user in group {group_id}", user_id)


def add(connection: Connection, group_id: str, user_id: str) -> None:
    """Put a user into a group; nothing changes when it is in it."""
    if not _exists(connection, group_id, user_id):
        connection.execute(insert(memberships).values(group_id=group_id, user_id=user_id))
        stale_keys.mark_user(connection, user_id)


def remove(connection: Connection, group_id: str, user_id: str, now_us: int) -> None:
    """Take a user out of a group; the user's tokens end. Raise NotFound."""
    check(connection, group_id, user_id)
    connection.execute(
        delete(memberships).where(memberships.c.group_id == group_id, memberships.c.user_id == user_id)
    )
    revocations.revoke(connection, Subject(Kind.USER, user_id), now_us)


def _exists(connection: Connection, group_id: str, user_id: str) -> bool:
    query = select(memberships).where(memberships.c.group_id == group_id, memberships.c.user_id == user_id)
    return connection.execute(query).first() is not None
