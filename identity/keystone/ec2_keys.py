"""What the proxies are told of an EC2 key, which is an S3 key: made up from the database when it is carried to them.

A key is published while its user and its project are enabled and the user has a role there. The secret stays sealed: a
proxy opens it with the cluster key. When a key has to be published anew is known to `stale_keys`; the format is
`published_key`.
"""

from typing import Any

from sqlalchemy import Connection, Row, select

from identity.keystone import effective, principals
from identity.keystone.errors import NotFound
from identity.keystone.published_key import PREFIX, PublishedKey, encode
from identity.keystone.schema import credentials
from identity.keystone.tokens.token import Role, ScopeKind


def current(connection: Connection, key: str) -> bytes | None:
    """Return what shall stand under `key` in coordination now; None: nothing."""
    row = connection.execute(
        select(credentials).where(credentials.c.access_hash == key.removeprefix(PREFIX))
    ).one_or_none()
    found = None if row is None else _published(connection, row)
    return None if found is None else encode(found)


def _published(connection: Connection, row: Row[Any]) -> PublishedKey | None:
    if row.project_id is None:
        return None
    try:
        user = principals.enabled_person(connection, row.user_id)
        project = principals.enabled_scope(connection, ScopeKind.PROJECT, row.project_id)
    except NotFound:
        return None
    roles = tuple(Role(role.id, role.name) for role in effective.roles_in(connection, user.id, project))
    return PublishedKey(row.id, row.encrypted_blob, user, project, roles) if roles else None
