"""Gives out tokens, and finds out whether one holds: inside the identity service, with the database at hand.

`validate` believes a token only who somebody is. Whether the user, the project and everything above it are enabled, and
which roles the user has by now, it asks the database: what an administrator takes away is gone at once.
"""

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection

from cluster.controlplane.errors import Unavailable
from identity.keystone import application_credentials, effective, principals, revocations
from identity.keystone.errors import NotFound, Unauthorized
from identity.keystone.tokens import fernet
from identity.keystone.tokens.keys import Keys
from identity.keystone.tokens.token import Role, Scope, Token
from identity.keystone.tokens.validation import KeySource


def new_audit_id() -> str:
    """Return a name for a token, which logs and revocations may show."""
    return urlsafe_b64encode(secrets.token_bytes(fernet.AUDIT_ID_SIZE)).rstrip(b"=").decode()


class TokenProvider:
    """`api.context.Validator` with the keys of the cluster."""

    def __init__(self, keys: KeySource, wall_us: Callable[[], int]) -> None:
        self._keys = keys
        self._wall_us = wall_us

    def __repr__(self) -> str:
        return "TokenProvider()"

    def seal(self, token: Token) -> str:
        """Return the text of a token that was just made."""
        return fernet.encode(token, self._current().primary)

    def validate(self, connection: Connection, text: str) -> Token:
        """Return what `text` says, with the names and roles of now. Raise Unauthorized when it does not hold."""
        token = fernet.decode(text, self._current().candidates)
        now_us = self._wall_us()
        if token is None or token.expires_at_us <= now_us or revocations.is_revoked(connection, token):
            raise Unauthorized
        try:
            user = principals.enabled_person(connection, token.user.id)
            scope = token.scope and principals.enabled_scope(connection, token.scope.kind, token.scope.id)
            roles = roles_of(connection, token.user.id, scope, token.application_credential_id, now_us)
        except NotFound:
            raise Unauthorized from None
        return replace(token, user=user, scope=scope, roles=roles)

    def _current(self) -> Keys:
        keys = self._keys.current()
        if keys is None:
            raise Unavailable("The keys of tokens are not known yet; try again.")
        return keys


def roles_of(
    connection: Connection, user_id: str, scope: Scope | None, application_credential_id: str | None, now_us: int
) -> tuple[Role, ...]:
    """Return the roles that a user, or an application credential of it, has in `scope`. Raise Unauthorized for none."""
    if scope is None:
        return ()
    roles = tuple(Role(role.id, role.name) for role in effective.roles_in(connection, user_id, scope))
    if application_credential_id is not None:
        credential = application_credentials.get(connection, application_credential_id)
        if credential.is_expired(now_us):
            raise Unauthorized
        roles = application_credentials.effective_roles(connection, credential, roles)
    if not roles:
        raise Unauthorized
    return roles
