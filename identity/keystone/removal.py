"""What goes when something goes: all that belongs to it, and the tokens and keys that it gave rights to."""

from sqlalchemy import Connection, select

from identity.keystone import (
    application_credentials,
    credentials,
    domains,
    groups,
    hierarchy,
    projects,
    roles,
    users,
)
from identity.keystone.projects import Project
from identity.keystone.schema import groups as group_rows
from identity.keystone.schema import users as user_rows


def remove_user(connection: Connection, user_id: str, now_us: int) -> None:
    """Delete a user, with credentials of all kinds."""
    credentials.remove_all_of(connection, user_id=user_id)
    application_credentials.remove_all_of(connection, now_us, user_id=user_id)
    users.remove(connection, user_id, now_us)


def remove_project(connection: Connection, project: Project, now_us: int) -> None:
    """Delete a project or domain, with the credentials that are for it. Raise Forbidden when it must stay."""
    if project.is_domain:
        remove_domain(connection, project, now_us)
        return
    projects.check_removable(connection, project)
    _remove_project(connection, project, now_us)


def remove_domain(connection: Connection, domain: Project, now_us: int) -> None:
    """Delete a domain and everything in it. Raise Forbidden when it must stay."""
    domains.check_removable(domain)
    for project_id in reversed(hierarchy.descendant_ids(connection, domain.id)):  # the lowest first
        _remove_project(connection, projects.get(connection, project_id), now_us)
    for user_id in connection.scalars(select(user_rows.c.id).where(user_rows.c.domain_id == domain.id)).all():
        remove_user(connection, user_id, now_us)
    for group_id in connection.scalars(select(group_rows.c.id).where(group_rows.c.domain_id == domain.id)).all():
        groups.remove(connection, group_id, now_us)
    roles.remove_of_domain(connection, domain.id)
    _remove_project(connection, domain, now_us)


def _remove_project(connection: Connection, project: Project, now_us: int) -> None:
    credentials.remove_all_of(connection, project_id=project.id)
    application_credentials.remove_all_of(connection, now_us, project_id=project.id)
    projects.remove(connection, project, now_us)
