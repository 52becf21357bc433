"""Which published S3 keys are no longer what the database says: noted in the outbox, with the change that is why.

What is published of a key is made up when it is carried (`ec2_keys.current`), from the state of then. So it does not
matter in which order a transaction does things, nor which of two is carried first.
"""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, insert, literal, or_, select

from identity.keystone.published_key import PREFIX
from identity.keystone.schema import credentials, outbox, projects, users


def mark(connection: Connection, access_hash: str) -> None:
    """Have one key published as it is, or that it is not there."""
    connection.execute(insert(outbox).values(key=PREFIX + access_hash, data=None))


def mark_user(connection: Connection, user_id: str) -> None:
    """Have the keys of a user published as they are: its roles, name or state may have changed."""
    _mark(connection, credentials.c.user_id == user_id)


def mark_project(connection: Connection, project_id: str) -> None:
    """Have the keys for a project published as they are: its name or state may have changed."""
    _mark(connection, credentials.c.project_id == project_id)


def mark_domain(connection: Connection, domain_id: str) -> None:
    """Have the keys of users in a domain, and for projects in it, published as they are."""
    user_ids = select(users.c.id).where(users.c.domain_id == domain_id)
    project_ids = select(projects.c.id).where(projects.c.domain_id == domain_id)
    _mark(
        connection,
        or_(
            credentials.c.user_id.in_(user_ids),
            credentials.c.project_id.in_(project_ids),
            credentials.c.project_id == domain_id,
        ),
    )


def mark_all(connection: Connection) -> None:
    """Have all keys published as they are: what roles imply may have changed."""
    _mark(connection, literal(True))


def mark_differing(connection: Connection, published: Iterable[str]) -> None:
    """Have the keys looked at that are published (by their names in coordination) or stored, and not both.

    A key of somebody who is disabled is stored only, rightly: it is looked at in vain. Others are so after the database
    was put back to a copy.
    """
    stored = set(connection.scalars(select(credentials.c.access_hash).where(credentials.c.access_hash.is_not(None))))
    for access_hash in stored ^ {key.removeprefix(PREFIX) for key in published}:
        mark(connection, access_hash)


def _mark(connection: Connection, condition: "ColumnElement[bool]") -> None:
    keys = (
        select(literal(PREFIX).concat(credentials.c.access_hash))
        .where(credentials.c.access_hash.is_not(None), condition)
        .order_by(credentials.c.id)
    )
    connection.execute(insert(outbox).from_select(["key"], keys))
