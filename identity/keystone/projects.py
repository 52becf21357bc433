"""Projects: what resources belong to. They form trees, whose roots are domains; a domain is itself a project.

Invariants: a project is in the domain of the project above it; no enabled project is below a disabled one; a project
with others below it, or one whose option `immutable` is set, is not deleted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update

from cluster.controlplane.database import refusing_duplicates
from cluster.controlplane.paging import Page, fetch
from identity.keystone import assignments, filters, hierarchy, revocations, stale_keys, tags
from identity.keystone.errors import BadRequest, Conflict, Forbidden, Immutable, NotFound
from identity.keystone.records import DERIVED, changed, columns_of, new_id, refuse_change
from identity.keystone.schema import projects, users
from identity.keystone.tokens.revoked import Kind, Subject

FILTERS = ("name", "domain_id", "parent_id", "is_domain", "enabled")


@dataclass(frozen=True, slots=True)
class Project:
    """A project; with `is_domain`, the project that a domain is."""

    name: str
    domain_id: str | None = None  # None: a domain
    parent_id: str | None = None  # the project above, or the domain; None: a domain
    is_domain: bool = False
    enabled: bool = True
    description: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=new_id)
    tags: tuple[str, ...] = field(default=(), metadata={**DERIVED, "ours": False})

    @property
    def is_immutable(self) -> bool:
        """Tell whether it may be neither changed nor deleted."""
        return bool(self.options.get("immutable"))


def get(connection: Connection, project_id: str) -> Project:
    """Return a project or domain. Raise NotFound."""
    row = connection.execute(select(projects).where(projects.c.id == project_id)).one_or_none()
    if row is None:
        raise NotFound("project", project_id)
    return _with_tags(connection, [row])[0]


def find(connection: Connection, name: str, domain_id: str) -> Project:
    """Return the project of a domain that has this name. Raise NotFound."""
    query = select(projects.c.id).where(projects.c.name == name, projects.c.domain_id == domain_id)
    project_id = connection.scalar(query)
    if project_id is None:
        raise NotFound("project", name)
    return get(connection, project_id)


def list_page(
    connection: Connection, query: Mapping[str, str], page: Page, *additional: "ColumnElement[bool]"
) -> tuple[list[Project], bool]:
    """Return the projects that a query asks for, and whether there are more. Domains only where `is_domain` says so."""
    wanted = [*filters.conditions(projects, query, FILTERS), *tags.conditions(query), *additional]
    if "is_domain" not in query:
        wanted.append(projects.c.is_domain.is_(False))
    listing = fetch(connection, select(projects).where(*wanted), projects.c.id, page)
    return _with_tags(connection, listing.rows), listing.more


def with_ids(connection: Connection, project_ids: list[str]) -> list[Project]:
    """Return the projects that are there of `project_ids`, by id."""
    query = select(projects).where(projects.c.id.in_(project_ids)).order_by(projects.c.id)
    return _with_tags(connection, connection.execute(query).all())


def create(connection: Connection, project: Project, max_depth: int) -> Project:
    """Store a new project or domain, and return it. A project without a parent is right below its domain."""
    if project.is_domain:
        if project.parent_id is not None:
            raise BadRequest("only root projects are allowed to act as domains.")
        project = replace(project, domain_id=None)
    else:
        project = replace(project, parent_id=project.parent_id or project.domain_id)
        _check_place(connection, project, max_depth)
    with refusing_duplicates(_name_conflict(project)):
        connection.execute(insert(projects).values(**columns_of(project)))
    tags.replace(connection, project.id, project.tags)
    return get(connection, project.id)


def change(connection: Connection, project: Project, document: Mapping[str, Any], now_us: int) -> Project:
    """Set the attributes in `document`; to disable a project ends its tokens. Return it as it is stored."""
    new = changed(project, document)
    if project.is_immutable and set(document) != {"options"}:
        raise Immutable("update", _kind(project), project.id)
    for attribute in ("domain_id", "is_domain"):
        refuse_change(project, new, attribute)
    if new.parent_id != project.parent_id:
        raise Forbidden("Update of `parent_id` is not allowed.")
    _check_enabled(connection, project, new)
    with refusing_duplicates(_name_conflict(new)):
        connection.execute(update(projects).where(projects.c.id == project.id).values(**columns_of(new)))
    (stale_keys.mark_domain if project.is_domain else stale_keys.mark_project)(connection, project.id)
    if "tags" in document:
        tags.replace(connection, project.id, new.tags)
    if project.enabled and not new.enabled:
        revoke_tokens(connection, project, now_us)
    return get(connection, project.id)


def check_removable(connection: Connection, project: Project) -> None:
    """Raise Forbidden when a project must stay: others are below it, or it is immutable."""
    if project.is_immutable:
        raise Immutable("delete", _kind(project), project.id)
    if hierarchy.children_exist(connection, project.id):
        raise Forbidden(
            f"Cannot delete the project {project.id} since it is not a leaf in the hierarchy. "
            "Delete the projects below it first."
        )


def remove(connection: Connection, project: Project, now_us: int) -> None:
    """Delete a project or domain, whatever its options; its tokens end. What else ends with it: `removal`."""
    revoke_tokens(connection, project, now_us)
    assignments.forget_target(connection, project.id)
    connection.execute(
        update(users).where(users.c.default_project_id == project.id).values(default_project_id=None)
    )
    connection.execute(delete(projects).where(projects.c.id == project.id))


def revoke_tokens(connection: Connection, project: Project, now_us: int) -> None:
    """End the tokens for a project, and of a domain also those of its users and projects."""
    revocations.revoke(connection, Subject(Kind.PROJECT, project.id), now_us)
    if project.is_domain:
        revocations.revoke(connection, Subject(Kind.DOMAIN, project.id), now_us)


def _check_place(connection: Connection, project: Project, max_depth: int) -> None:
    """Refuse a new project whose parent is not one that it can have."""
    assert project.parent_id is not None
    parent = get(connection, project.parent_id)
    if project.domain_id != (parent.id if parent.is_domain else parent.domain_id):
        raise BadRequest("Cannot create project, the parent project belongs to a different domain.")
    if not hierarchy.is_enabled(connection, parent.id):
        raise Forbidden(f"cannot create a project in a branch containing a disabled project: {project.parent_id}.")
    if hierarchy.depth(connection, parent.id) >= max_depth:
        raise Forbidden(f"Max hierarchy depth reached for {project.parent_id} branch.")


def _check_enabled(connection: Connection, old: Project, new: Project) -> None:
    if old.enabled == new.enabled or old.is_domain:
        return
    if new.enabled and old.parent_id and not hierarchy.is_enabled(connection, old.parent_id):
        raise Forbidden(f"cannot enable project {old.id} since it has disabled parents.")
    if old.enabled and hierarchy.enabled_descendant_exists(connection, old.id):
        raise Forbidden(f"cannot disable project {old.id} since its subtree contains enabled projects.")


def _with_tags(connection: Connection, rows: Sequence[Row[Any]]) -> list[Project]:
    names = tags.of_projects(connection, [row.id for row in rows])
    return [Project(**row._mapping, tags=names.get(row.id, ())) for row in rows]


def _kind(project: Project) -> str:
    return "domain" if project.is_domain else "project"


def _name_conflict(project: Project) -> Conflict:
    if project.is_domain:
        return Conflict("domain", f"Duplicate entry found with name {project.name}")
    return Conflict("project", f"Duplicate entry found with name {project.name} at domain ID {project.domain_id}")
