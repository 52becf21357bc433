"""Users and scopes as tokens name them: with their domains, and only while all of them are enabled.

Two short queries, since this is asked for every token: the noun modules bring more, and end tokens themselves.
"""

from sqlalchemy import Connection, func, select

from identity.keystone import hierarchy
from identity.keystone.errors import NotFound
from identity.keystone.schema import projects, users
from identity.keystone.tokens.token import SYSTEM_SCOPE, Person, Scope, ScopeKind

_domains = projects.alias("domains")


def enabled_person(connection: Connection, user_id: str) -> Person:
    """Return a user. Raise NotFound when it is not there, or it or its domain is disabled."""
    row = connection.execute(
        select(users.c.id, users.c.name, _domains.c.id, _domains.c.name)
        .join(_domains, _domains.c.id == users.c.domain_id)
        .where(users.c.id == user_id, users.c.enabled, _domains.c.enabled)
    ).one_or_none()
    if row is None:
        raise NotFound("user", user_id)
    return Person(*row)


def enabled_scope(connection: Connection, kind: ScopeKind, scope_id: str) -> Scope:
    """Return a scope. Raise NotFound when it is not there, or it or what it is in is disabled."""
    if kind is ScopeKind.SYSTEM:
        return SYSTEM_SCOPE
    row = connection.execute(
        select(projects.c.id, projects.c.name, _domains.c.id, _domains.c.name, projects.c.is_domain)
        .join(_domains, _domains.c.id == func.coalesce(projects.c.domain_id, projects.c.id))
        .where(projects.c.id == scope_id)
    ).one_or_none()
    if row is None or not hierarchy.is_enabled(connection, scope_id):
        raise NotFound(kind.value, scope_id)
    if kind is ScopeKind.PROJECT:
        return Scope(kind, *row)
    if not row.is_domain:
        raise NotFound("domain", scope_id)
    return Scope(kind, *row[:4])
