"""Tags of projects: words that projects are found by. A tag is compared as it is, case included."""

import re
from collections.abc import Iterable, Mapping

from sqlalchemy import ColumnElement, Connection, delete, exists, func, insert, select

from identity.keystone.errors import BadRequest, NotFound
from identity.keystone.schema import project_tags, projects

LIMIT = 80  # of one project
_TAG = re.compile(r"[^,/]{1,255}")  # a comma separates tags in queries, a slash ends them in paths


def of_projects(connection: Connection, project_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the tags by project, in order; a project without tags is left out."""
    query = (
        select(project_tags)
        .where(project_tags.c.project_id.in_(list(project_ids)))
        .order_by(project_tags.c.project_id, project_tags.c.name)
    )
    found: dict[str, list[str]] = {}
    for row in connection.execute(query):
        found.setdefault(row.project_id, []).append(row.name)
    return {project_id: tuple(names) for project_id, names in found.items()}


def replace(connection: Connection, project_id: str, names: Iterable[str]) -> None:
    """Give a project these tags and no others. Raise BadRequest."""
    wanted = sorted(set(names))
    _check(wanted)
    connection.execute(delete(project_tags).where(project_tags.c.project_id == project_id))
    if wanted:
        connection.execute(insert(project_tags), [{"project_id": project_id, "name": name} for name in wanted])


def add(connection: Connection, project_id: str, name: str) -> None:
    """Give a project one more tag; nothing changes when it has it. Raise BadRequest."""
    replace(connection, project_id, [*of_projects(connection, [project_id]).get(project_id, ()), name])


def check(connection: Connection, project_id: str, name: str) -> None:
    """Raise NotFound unless the project has the tag."""
    if name not in of_projects(connection, [project_id]).get(project_id, ()):
        raise NotFound("project tag", name)


def remove(connection: Connection, project_id: str, name: str) -> None:
    """Take one tag away. Raise NotFound when the project does not have it."""
    check(connection, project_id, name)
    connection.execute(
        delete(project_tags).where(project_tags.c.project_id == project_id, project_tags.c.name == name)
    )


def conditions(query: Mapping[str, str]) -> list["ColumnElement[bool]"]:
    """Return what projects must fulfil by `tags`, `tags-any`, `not-tags` and `not-tags-any` in a query."""
    found: list[ColumnElement[bool]] = []
    for key, text in query.items():
        names = sorted({name for name in text.split(",") if name})
        if key == "tags":
            found.append(_has_all(names))
        elif key == "tags-any":
            found.append(_has_any(names))
        elif key == "not-tags":
            found.append(~_has_all(names))
        elif key == "not-tags-any":
            found.append(~_has_any(names))
    return found


def _check(names: list[str]) -> None:
    if len(names) > LIMIT:
        raise BadRequest(f"Invalid input for field 'tags': a project has at most {LIMIT} tags.")
    for name in names:
        if _TAG.fullmatch(name) is None:
            raise BadRequest(f"Invalid input for field 'tags': {name!r}: from 1 to 255 characters, none of them , or /")


def _has_any(names: list[str]) -> "ColumnElement[bool]":
    return exists().where(project_tags.c.project_id == projects.c.id, project_tags.c.name.in_(names))


def _has_all(names: list[str]) -> "ColumnElement[bool]":
    count = (
        select(func.count())
        .where(project_tags.c.project_id == projects.c.id, project_tags.c.name.in_(names))
        .correlate(projects)
        .scalar_subquery()
    )
    return count == len(names)
