"""Tokens and keys to try rules with."""

from dataclasses import replace

from identity.keystone.tokens.token import Method, Person, Role, Scope, ScopeKind, Token

PHOTOS = "a" * 32
ANN = Person("b" * 32, "ann", "default", "Default")


def project(name: str = "photos", project_id: str = PHOTOS, domain_id: str = "default") -> Scope:
    """Return a project as a scope."""
    return Scope(ScopeKind.PROJECT, project_id, name, domain_id, domain_id.capitalize())


def token(*roles: str, scope: Scope | None = None, user: Person = ANN, **about: object) -> Token:
    """Return a token for the project `photos`, or for `scope`."""
    made = Token(
        user=user,
        methods=(Method.PASSWORD,),
        scope=scope or project(),
        roles=tuple(Role(f"id of {role}", role) for role in roles),
        issued_at_us=1_000_000,
        expires_at_us=3_601_000_000,
        audit_ids=("A" * 22,),
    )
    return replace(made, **about)  # type: ignore[arg-type]
