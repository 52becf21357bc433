"""Application credentials: passwords for programs, with which they act for a user in one project.

One has some of the roles that the user had in the project when it was made; what the user has lost since, it has lost,
too. It may be restricted to certain requests (`access_rules`). Unless it is unrestricted, who authenticates with it
cannot make or remove others: a program whose secret leaks does not let its thief stay.

The secret is shown once, when the credential is made; what is stored is its hash.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, delete, insert, select

from cluster.controlplane.database import refusing_duplicates
from identity.keystone import access_rules, implied, passwords, revocations
from identity.keystone.access_rules import AccessRule
from identity.keystone.errors import BadRequest, Conflict, NotFound
from identity.keystone.schema import (
    application_credential_access_rules,
    application_credential_roles,
    application_credentials,
    roles,
)
from identity.keystone.tokens.revoked import Kind, Subject
from identity.keystone.tokens.token import Role

_SECRET_SIZE = 64  # random bytes; 86 characters
# A generated secret cannot be guessed, and programs authenticate often: so it is hashed at less cost than a password.
# Who chooses a weak one has it guessed sooner; to guess it needs the id, which is random, or the user and the name.
COST = passwords.Cost(log_n=11)


@dataclass(frozen=True, slots=True)
class ApplicationCredential:
    """One of them."""

    user_id: str
    project_id: str
    name: str
    roles: tuple[Role, ...]
    created_at_us: int
    description: str | None = None
    expires_at_us: int | None = None  # None: never
    unrestricted: bool = False
    access_rules: tuple[AccessRule, ...] = ()
    secret_hash: str = field(default="", repr=False)
    id: str = field(default_factory=lambda: uuid4().hex)

    def is_expired(self, now_us: int) -> bool:
        """Tell whether nobody can authenticate with it any more."""
        return self.expires_at_us is not None and self.expires_at_us <= now_us

    def verifies(self, secret: str) -> bool:
        """Tell whether `secret` is the one that it was made with."""
        return len(secret) <= passwords.LONGEST and passwords.verifies(secret, self.secret_hash)


def new_secret() -> str:
    """Return a secret that nobody can guess."""
    return secrets.token_urlsafe(_SECRET_SIZE)


def hash_of(secret: str) -> str:
    """Return what is stored of `secret`. Raise BadRequest when it is empty or too long."""
    if not secret or len(secret) > passwords.LONGEST:
        raise BadRequest(f"Invalid input for field 'secret': it has from 1 to {passwords.LONGEST} characters.")
    return passwords.hash_of(secret, COST)


def get(connection: Connection, credential_id: str) -> ApplicationCredential:
    """Return an application credential. Raise NotFound."""
    row = connection.execute(
        select(application_credentials).where(application_credentials.c.id == credential_id)
    ).one_or_none()
    if row is None:
        raise NotFound("application credential", credential_id)
    return _credential(connection, row)


def by_name(connection: Connection, user_id: str, name: str) -> ApplicationCredential:
    """Return the application credential of a user that has this name. Raise NotFound."""
    for credential in list_all(connection, user_id, name):
        return credential
    raise NotFound("application credential", name)


def list_all(connection: Connection, user_id: str, name: str | None = None) -> list[ApplicationCredential]:
    """Return the application credentials of a user by id; the one of a name only, if given."""
    table = application_credentials
    query = select(table).where(table.c.user_id == user_id).order_by(table.c.id)
    if name is not None:
        query = query.where(table.c.name == name)
    return [_credential(connection, row) for row in connection.execute(query).all()]


def create(connection: Connection, credential: ApplicationCredential) -> ApplicationCredential:
    """Store a new one, with its rules. Raise Conflict when its user has one of this name."""
    kept = [access_rules.ensure(connection, credential.user_id, rule) for rule in credential.access_rules]
    with refusing_duplicates(Conflict("application_credential", f"Duplicate entry found with name {credential.name}")):
        connection.execute(
            insert(application_credentials).values(
                id=credential.id,
                user_id=credential.user_id,
                project_id=credential.project_id,
                name=credential.name,
                description=credential.description,
                secret_hash=credential.secret_hash,
                created_at_us=credential.created_at_us,
                expires_at_us=credential.expires_at_us,
                unrestricted=credential.unrestricted,
            )
        )
    own = {"application_credential_id": credential.id}
    for role in credential.roles:
        connection.execute(insert(application_credential_roles).values(role_id=role.id, **own))
    for rule_id in {rule.id for rule in kept}:
        connection.execute(insert(application_credential_access_rules).values(access_rule_id=rule_id, **own))
    return get(connection, credential.id)


def remove(connection: Connection, credential_id: str, now_us: int) -> None:
    """Remove one, and end the tokens that were made with it. Raise NotFound."""
    get(connection, credential_id)
    connection.execute(delete(application_credentials).where(application_credentials.c.id == credential_id))
    revocations.revoke(connection, Subject(Kind.APPLICATION_CREDENTIAL, credential_id), now_us)


def remove_all_of(
    connection: Connection, now_us: int, user_id: str | None = None, project_id: str | None = None
) -> None:
    """Remove all of a user, for a project, or of a user for a project: it has no part in it any more."""
    query = select(application_credentials.c.id)
    if user_id is not None:
        query = query.where(application_credentials.c.user_id == user_id)
    if project_id is not None:
        query = query.where(application_credentials.c.project_id == project_id)
    assert user_id is not None or project_id is not None
    for credential_id in connection.scalars(query).all():
        remove(connection, credential_id, now_us)


def effective_roles(
    connection: Connection, credential: ApplicationCredential, held: Iterable[Role]
) -> tuple[Role, ...]:
    """Return the roles that it gives now, and those that they imply, of those that its user holds in the project."""
    allowed = implied.expanded([role.id for role in credential.roles], implied.rules(connection))
    return tuple(role for role in held if role.id in allowed)


def _credential(connection: Connection, row: Row[Any]) -> ApplicationCredential:
    use = application_credential_roles
    held = connection.execute(
        select(roles.c.id, roles.c.name)
        .join(use, use.c.role_id == roles.c.id)
        .where(use.c.application_credential_id == row.id)
        .order_by(roles.c.name)
    )
    return ApplicationCredential(
        user_id=row.user_id,
        project_id=row.project_id,
        name=row.name,
        roles=tuple(Role(*each) for each in held),
        created_at_us=row.created_at_us,
        description=row.description,
        expires_at_us=row.expires_at_us,
        unrestricted=row.unrestricted,
        access_rules=tuple(access_rules.of_application_credential(connection, row.id)),
        secret_hash=row.secret_hash,
        id=row.id,
    )
