"""Operations on projects."""

from typing import Any

from cluster.controlplane.answer import NO_CONTENT, Answer, created, ok
from identity.keystone import domains, effective, hierarchy, projects, removal
from identity.keystone.api.context import Context, Target
from identity.keystone.api.forms import (
    BOOLEAN,
    ID_OR_NULL,
    IMMUTABLE,
    SHORT_NAME,
    TAGS,
    TEXT_OR_NULL,
    Form,
    with_domain,
    without_nulls,
)
from identity.keystone.api.listing import Document, page_within_domain, shown
from identity.keystone.errors import NotFound
from identity.keystone.projects import Project
from identity.keystone.records import made
from identity.keystone.tokens.token import ScopeKind

_FORM = Form(
    "project",
    {
        "name": SHORT_NAME,
        "description": TEXT_OR_NULL,
        "domain_id": ID_OR_NULL,
        "parent_id": ID_OR_NULL,
        "is_domain": BOOLEAN,
        "enabled": BOOLEAN,
        "tags": TAGS,
        "options": IMMUTABLE,
    },
)


def document_of(context: Context, project: Project) -> Document:
    """Return what clients see of a project."""
    return shown(context, "projects", project)


def list_all(context: Context) -> Answer:
    """GET /v3/projects."""
    return page_within_domain(context, "projects", projects.list_page, document_of)


def create(context: Context) -> Answer:
    """POST /v3/projects."""
    attributes = without_nulls(_FORM.for_creation(context), "description")
    if not attributes.get("is_domain"):
        attributes = _placed(context, attributes)
    project = made(Project, attributes)
    context.enforce("identity:create_project", target_of(project))
    if project.domain_id is not None:
        domains.get(context.connection, project.domain_id)
    project = projects.create(context.connection, project, context.settings.max_project_depth)
    return created({"project": document_of(context, project)})


def show(context: Context, project_id: str) -> Answer:
    """GET /v3/projects/{project_id}, with what is above or below it if asked for."""
    project = permitted(context, "identity:get_project", project_id)
    document = document_of(context, project)
    if "parents_as_list" in context.query:
        document["parents"] = _wrapped(context, hierarchy.ancestor_ids(context.connection, project.id))
    if "subtree_as_list" in context.query:
        document["subtree"] = _wrapped(context, hierarchy.descendant_ids(context.connection, project.id))
    if "parents_as_ids" in context.query:
        document["parents"] = _parents_as_ids(context, project)
    if "subtree_as_ids" in context.query:
        document["subtree"] = _subtree_as_ids(hierarchy.children_by_parent(context.connection, project.id), project.id)
    return ok({"project": document})


def change(context: Context, project_id: str) -> Answer:
    """PATCH /v3/projects/{project_id}."""
    project = permitted(context, "identity:update_project", project_id)
    attributes = without_nulls(_FORM.for_change(context), "description")
    project = projects.change(context.connection, project, attributes, context.now_us)
    return ok({"project": document_of(context, project)})


def remove(context: Context, project_id: str) -> Answer:
    """DELETE /v3/projects/{project_id}."""
    project = permitted(context, "identity:delete_project", project_id)
    removal.remove_project(context.connection, project, context.now_us)
    return NO_CONTENT


def permitted(context: Context, rule: str, project_id: str) -> Project:
    """Return a project that the caller may act on."""
    return context.permitted(rule, lambda: projects.get(context.connection, project_id), target_of)


def target_of(project: Project) -> Target:
    """Return what rules can say of a project."""
    return {"target.project.id": project.id, "target.project.domain_id": project.domain_id}


def _placed(context: Context, attributes: dict[str, Any]) -> dict[str, Any]:
    """Return `attributes` with a domain: that of the parent, where only a parent is named."""
    parent_id = attributes.get("parent_id")
    found = projects.with_ids(context.connection, [parent_id]) if parent_id else []
    parent_domain_id = (found[0].domain_id or found[0].id) if found else None
    if context.domain_id is not None and parent_id and parent_domain_id != context.domain_id:
        context.enforce("identity:create_project")
        raise NotFound("project", parent_id)  # in another domain, or nowhere: it reads the same
    if found and not attributes.get("domain_id"):
        return {**attributes, "domain_id": parent_domain_id}
    return with_domain(context, attributes)


def _wrapped(context: Context, project_ids: list[str]) -> list[Document]:
    """Return projects as Keystone lists relatives: those that the caller has a role in, each under its name."""
    allowed = set(effective.places_of(context.connection, context.caller.user.id, ScopeKind.PROJECT))
    found = projects.with_ids(context.connection, [each for each in project_ids if each in allowed])
    return [{"project": document_of(context, each)} for each in found]


def _parents_as_ids(context: Context, project: Project) -> dict[str, Any] | None:
    nested: dict[str, Any] | None = None
    for project_id in reversed(hierarchy.ancestor_ids(context.connection, project.id)):
        nested = {project_id: nested}
    return nested


def _subtree_as_ids(children: dict[str, list[str]], project_id: str) -> dict[str, Any] | None:
    below = children.get(project_id)
    return {each: _subtree_as_ids(children, each) for each in below} if below else None
