"""Which tokens are void although they have not expired: a set of statements, and the question. Pure.

A statement says: tokens of this subject that were issued before this moment are void. A subject is what a token
says about itself: its user, its scope, a role, its own name or that of its chain. The identity service keeps
statements in its database and publishes them; a proxy follows them and asks `Revoked`.
"""

import enum
import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from identity.keystone.tokens.token import ScopeKind, Token


class Kind(enum.Enum):
    """What a statement is about; the value is how it is stored."""

    USER = "user"
    PROJECT = "project"
    DOMAIN = "domain"  # tokens for it, for projects in it, and of users in it
    ROLE = "role"
    GRANT = "grant"  # a user in a scope, that has other roles there now
    AUDIT = "audit"  # one token
    CHAIN = "chain"  # a token, and all that were made from it
    APPLICATION_CREDENTIAL = "application_credential"
    ALL = "all"


class Subject(NamedTuple):
    """What a statement is about."""

    kind: Kind
    id: str


ALL_TOKENS = Subject(Kind.ALL, "all")


def grant(user_id: str, target_id: str) -> Subject:
    """Return the subject of the tokens of a user for one project or domain, or for the system ("all")."""
    return Subject(Kind.GRANT, hashlib.sha256(f"{user_id}/{target_id}".encode()).hexdigest())


def subjects_of(token: Token) -> Iterator[Subject]:
    """Return everything that a statement which voids `token` can be about."""
    yield ALL_TOKENS
    yield Subject(Kind.AUDIT, token.audit_id)
    yield Subject(Kind.CHAIN, token.chain_id)
    yield Subject(Kind.USER, token.user.id)
    yield Subject(Kind.DOMAIN, token.user.domain_id)
    if token.scope is not None:
        if token.scope.kind is not ScopeKind.SYSTEM:
            yield Subject(Kind.DOMAIN, token.scope.domain_id)
        if token.scope.kind is not ScopeKind.DOMAIN:
            yield Subject(Kind.PROJECT, token.scope.id)
        yield grant(token.user.id, token.scope.id)
    for role in token.roles:
        yield Subject(Kind.ROLE, role.id)
    if token.application_credential_id is not None:
        yield Subject(Kind.APPLICATION_CREDENTIAL, token.application_credential_id)


class Revoked:
    """The statements that are known."""

    def __init__(self) -> None:
        self._issued_before_us: dict[Subject, int] = {}
        self.changes = 0  # grows when tokens may be void that were not: who remembers it need not ask again

    def __repr__(self) -> str:
        return f"Revoked({len(self._issued_before_us)} subjects)"

    def put(self, subject: Subject, issued_before_us: int) -> None:
        """Note a statement; an earlier moment than the known one changes nothing."""
        if issued_before_us > self._issued_before_us.get(subject, -1):
            self._issued_before_us[subject] = issued_before_us
            self.changes += 1

    def forget(self, subject: Subject) -> None:
        """Drop a statement, because all tokens that it voids have expired."""
        self._issued_before_us.pop(subject, None)

    def voids(self, token: Token) -> bool:
        """Tell whether a statement voids `token`."""
        before_us = self._issued_before_us
        return any(token.issued_at_us <= before_us.get(subject, -1) for subject in subjects_of(token))
