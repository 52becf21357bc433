"""Domains: what users, groups and projects belong to. A domain is the project at the root of its projects."""

from collections.abc import Mapping

from sqlalchemy import Connection, select

from cluster.controlplane.paging import Page
from identity.keystone import projects
from identity.keystone.errors import Forbidden, Immutable, NotFound
from identity.keystone.projects import Project
from identity.keystone.schema import projects as rows


def get(connection: Connection, domain_id: str) -> Project:
    """Return a domain. Raise NotFound, also for a project that is none."""
    try:
        project = projects.get(connection, domain_id)
    except NotFound:
        raise NotFound("domain", domain_id) from None
    if not project.is_domain:
        raise NotFound("domain", domain_id)
    return project


def find(connection: Connection, name: str) -> Project:
    """Return the domain with this name. Raise NotFound."""
    domain_id = connection.scalar(select(rows.c.id).where(rows.c.name == name, rows.c.domain_id.is_(None)))
    if domain_id is None:
        raise NotFound("domain", name)
    return get(connection, domain_id)


def list_page(
    connection: Connection, query: Mapping[str, str], page: Page, only_id: str | None = None
) -> tuple[list[Project], bool]:
    """Return the domains that a query asks for, and whether there are more; perhaps but one of them."""
    wanted = {name: text for name, text in query.items() if name.partition("__")[0] in ("name", "enabled")}
    only = [] if only_id is None else [rows.c.id == only_id]
    return projects.list_page(connection, {**wanted, "is_domain": "true"}, page, *only)


def create(connection: Connection, domain: Project) -> Project:
    """Store a new domain. Raise Conflict."""
    assert domain.is_domain
    return projects.create(connection, domain, max_depth=0)


def check_removable(domain: Project) -> None:
    """Raise Forbidden when a domain must stay: it is in use, or immutable. All in it would go with it."""
    if domain.is_immutable:
        raise Immutable("delete", "domain", domain.id)
    if domain.enabled:
        raise Forbidden("Cannot delete a domain that is enabled, please disable it first.")
