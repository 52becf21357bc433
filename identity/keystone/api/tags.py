"""Operations on the tags of projects."""

from cluster.controlplane.answer import NO_CONTENT, Answer, ok
from cluster.controlplane.schema import Schema
from identity.keystone import projects, tags
from identity.keystone.api.context import Context
from identity.keystone.api.forms import TAGS
from identity.keystone.api.projects import permitted
from identity.keystone.errors import Immutable
from identity.keystone.projects import Project

_SCHEMA = Schema({"type": "object", "properties": {"tags": TAGS}, "required": ["tags"]})


def list_all(context: Context, project_id: str) -> Answer:
    """GET /v3/projects/{project_id}/tags."""
    return _answer(context, permitted(context, "identity:list_project_tags", project_id))


def replace(context: Context, project_id: str) -> Answer:
    """PUT /v3/projects/{project_id}/tags."""
    project = _changeable(context, "identity:update_project_tags", project_id)
    _SCHEMA.check(context.document)
    tags.replace(context.connection, project.id, context.document["tags"])
    return _answer(context, projects.get(context.connection, project.id))


def remove_all(context: Context, project_id: str) -> Answer:
    """DELETE /v3/projects/{project_id}/tags."""
    tags.replace(context.connection, _changeable(context, "identity:delete_project_tags", project_id).id, [])
    return NO_CONTENT


def check(context: Context, project_id: str, tag: str) -> Answer:
    """GET /v3/projects/{project_id}/tags/{tag}."""
    tags.check(context.connection, permitted(context, "identity:get_project_tag", project_id).id, tag)
    return NO_CONTENT


def add(context: Context, project_id: str, tag: str) -> Answer:
    """PUT /v3/projects/{project_id}/tags/{tag}."""
    project = _changeable(context, "identity:create_project_tag", project_id)
    tags.add(context.connection, project.id, tag)
    return Answer(201, headers={"Location": context.url(f"projects/{project.id}/tags/{tag}")})


def remove(context: Context, project_id: str, tag: str) -> Answer:
    """DELETE /v3/projects/{project_id}/tags/{tag}."""
    tags.remove(context.connection, _changeable(context, "identity:delete_project_tag", project_id).id, tag)
    return NO_CONTENT


def _changeable(context: Context, rule: str, project_id: str) -> Project:
    project = permitted(context, rule, project_id)
    if project.is_immutable:
        raise Immutable("update", "project", project.id)
    return project


def _answer(context: Context, project: Project) -> Answer:
    links = {"self": context.url(f"projects/{project.id}/tags"), "next": None, "previous": None}
    return ok({"tags": list(project.tags), "links": links})
