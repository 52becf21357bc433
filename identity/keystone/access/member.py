"""Somebody in a project, as object storage sees it: the account of the project, and what roles and lists allow.

Source: OpenStack Swift, "Keystone Auth" and "Container ACLs". A project PROJECT has the account AUTH_PROJECT, by id.
There, `admin`, `manager` and `member` may do everything, `reader` may read. Who has the role admin in the project
`admin` or `service` of the default domain, or the role ResellerAdmin in any project of it, may do everything in every
account. In access lists `PROJECT:USER` by ids
names somebody, in the default domain also by names; either part may be `*`. A role names those who have it in the
container's own project.

Invariant: names count for users and projects of the default domain only: others may give the same names to theirs.
A token for a domain, for the system, for a project that is a domain, or for nothing has no account and no rights here.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field

from identity.actions import Action
from identity.keystone.published_key import PublishedKey
from identity.keystone.tokens.token import DEFAULT_DOMAIN_ID, Person, Role, Scope, ScopeKind, Token
from identity.users import ACCOUNT_PREFIX

OPERATORS = frozenset(("admin", "manager", "member"))
READER = "reader"
ADMIN = "admin"
RESELLER = "reselleradmin"  # the name of the role that Swift knows; the operator makes it
ADMIN_PROJECTS = frozenset(("admin", "service"))  # of the default domain


@dataclass(frozen=True, slots=True)
class Member:
    """`identity.interfaces.Signer`: a user of the identity service in one of its projects."""

    account: str  # empty: none
    id: str
    display_name: str
    roles: frozenset[str]  # in lower case
    names: frozenset[str]  # that lists of any account have for it
    admin: bool  # may do anything in any account
    secret_key: str = field(default="", repr=False)  # empty: it came with a token

    def may(self, account: str, action: Action) -> bool:
        """See `identity.interfaces.Principal`."""
        if self.admin and account.startswith(ACCOUNT_PREFIX):
            return True
        if not self.account or account != self.account:
            return False
        return bool(self.roles & OPERATORS) or (action is Action.READ and READER in self.roles)

    def listed_as(self, account: str) -> Collection[str]:
        """See `identity.interfaces.Principal`."""
        return self.names | self.roles if self.account and account == self.account else self.names


def of_token(token: Token) -> Member:
    """Return who has `token`, which was found to be good."""
    return _member(token.user, token.scope, token.roles, "")


def of_key(key: PublishedKey, secret: str) -> Member:
    """Return who signs with `key`."""
    return _member(key.user, key.project, key.roles, secret)


def _member(user: Person, scope: Scope | None, roles: tuple[Role, ...], secret: str) -> Member:
    if scope is None or scope.kind is not ScopeKind.PROJECT or scope.is_domain:
        return Member("", "", user.name, frozenset(), frozenset(), admin=False, secret_key=secret)
    account = ACCOUNT_PREFIX + scope.id
    role_names = frozenset(role.name.lower() for role in roles)
    is_default = scope.domain_id == DEFAULT_DOMAIN_ID
    return Member(
        account=account,
        id=hashlib.sha256(account.encode()).hexdigest(),
        display_name=scope.name,
        roles=role_names,
        names=_names(user, scope, by_name=is_default and user.domain_id == DEFAULT_DOMAIN_ID),
        admin=is_default and (RESELLER in role_names or (scope.name in ADMIN_PROJECTS and ADMIN in role_names)),
        secret_key=secret,
    )


def _names(user: Person, project: Scope, by_name: bool) -> frozenset[str]:
    projects, users = {"*", project.id}, {"*", user.id}
    if by_name:
        projects.add(project.name)
        users.add(user.name)
    return frozenset(f"{each}:{own}" for each in projects for own in users)
