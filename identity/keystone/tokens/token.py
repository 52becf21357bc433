"""What a token says: who, by which methods, for what scope, with which roles, and until when.

Values only. A token carries everything that a service needs to decide without asking the identity
service: `fernet` turns it into text and back, `validation` tells whether it still holds. Times are
microseconds since 1970, UTC.
"""

import enum
from dataclasses import dataclass

DEFAULT_DOMAIN_ID = "default"  # of the domain that is there from the beginning


class ScopeKind(enum.Enum):
    """What a token is good for."""

    PROJECT = "project"
    DOMAIN = "domain"
    SYSTEM = "system"


class Method(enum.Enum):
    """How somebody proved who it is; the value is the name in the API."""

    PASSWORD = "password"  # noqa: S105 the name of a method
    TOKEN = "token"  # noqa: S105 the name of a method
    APPLICATION_CREDENTIAL = "application_credential"
    EC2 = "ec2credential"


@dataclass(frozen=True, slots=True)
class Person:
    """The user of a token."""

    id: str
    name: str
    domain_id: str
    domain_name: str


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token is good for: a project, a domain, or the whole system."""

    kind: ScopeKind
    id: str = "all"  # of the project or domain
    name: str = "all"
    domain_id: str = ""  # of a project: the domain that it belongs to; of a domain: its own
    domain_name: str = ""
    is_domain: bool = False  # a project that acts as a domain


SYSTEM_SCOPE = Scope(ScopeKind.SYSTEM)


@dataclass(frozen=True, slots=True)
class Role:
    """A role that the user has in the scope."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Token:
    """One token. Without a scope it proves who somebody is, and gives no rights."""

    user: Person
    methods: tuple[Method, ...]
    scope: Scope | None
    roles: tuple[Role, ...]
    issued_at_us: int
    expires_at_us: int
    audit_ids: tuple[str, ...]  # its own, and that of the first token of its chain when it was made from a token
    application_credential_id: str | None = None
    access_rules: bool = False  # the application credential names the requests that it may be used for
    unrestricted: bool = False  # the application credential may make and delete others

    @property
    def audit_id(self) -> str:
        """Return the name of this token in logs and revocations."""
        return self.audit_ids[0]

    @property
    def chain_id(self) -> str:
        """Return the name that all tokens made from one another share: the first one's audit id."""
        return self.audit_ids[-1]

    @property
    def project_id(self) -> str | None:
        """Return the project that the token is scoped to."""
        return self._scope_id(ScopeKind.PROJECT)

    @property
    def domain_id(self) -> str | None:
        """Return the domain that the token is scoped to."""
        return self._scope_id(ScopeKind.DOMAIN)

    @property
    def is_system(self) -> bool:
        """Tell whether the token is scoped to the whole system."""
        return self.scope is not None and self.scope.kind is ScopeKind.SYSTEM

    @property
    def role_names(self) -> frozenset[str]:
        """Return the names of its roles, in lower case, as policy compares them."""
        return frozenset(role.name.lower() for role in self.roles)

    def _scope_id(self, kind: ScopeKind) -> str | None:
        return self.scope.id if self.scope is not None and self.scope.kind is kind else None
