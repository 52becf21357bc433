"""Projects above and below one another. A domain is above all of its projects; no cycle can be made."""

from sqlalchemy import Connection, Select, exists, func, literal, select
from sqlalchemy.sql.selectable import CTE

from identity.keystone.schema import projects


def ancestor_ids(connection: Connection, project_id: str) -> list[str]:
    """Return the ids of the projects above one, the nearest first; the last one is its domain."""
    above = _above(project_id)
    return list(connection.scalars(select(above.c.id).where(above.c.distance > 0).order_by(above.c.distance)))


def descendant_ids(connection: Connection, project_id: str) -> list[str]:
    """Return the ids of the projects below one, the nearest first."""
    below = _below(project_id)
    return list(connection.scalars(select(below.c.id).where(below.c.distance > 0).order_by(below.c.distance)))


def children_exist(connection: Connection, project_id: str) -> bool:
    """Tell whether there are projects right below one."""
    return bool(connection.scalar(select(exists().where(projects.c.parent_id == project_id))))


def enabled_descendant_exists(connection: Connection, project_id: str) -> bool:
    """Tell whether a project below one is enabled."""
    below = _below(project_id)
    query = _joined(below).where(below.c.distance > 0, projects.c.enabled)
    return connection.execute(query.limit(1)).first() is not None


def is_enabled(connection: Connection, project_id: str) -> bool:
    """Tell whether a project and all above it, its domain included, are enabled."""
    above = _above(project_id)
    return connection.execute(_joined(above).where(projects.c.enabled.is_(False)).limit(1)).first() is None


def depth(connection: Connection, project_id: str) -> int:
    """Return how many projects there are from the top to this one, the domain not counted."""
    above = _above(project_id)
    return int(connection.scalar(select(func.count()).select_from(above)) or 0) - 1


def children_by_parent(connection: Connection, project_id: str) -> dict[str, list[str]]:
    """Return the ids of the projects below one, by the id of the project that they are right below."""
    below = _below(project_id)
    children: dict[str, list[str]] = {}
    query = select(projects.c.id, projects.c.parent_id).join(below, below.c.id == projects.c.id)
    for row in connection.execute(query.where(below.c.distance > 0).order_by(projects.c.id)):
        children.setdefault(row.parent_id, []).append(row.id)
    return children


def _joined(tree: CTE) -> "Select[tuple[str]]":
    return select(projects.c.id).join(tree, tree.c.id == projects.c.id)


def _above(project_id: str) -> CTE:
    """Return a table of a project and those above it: (id, parent_id, distance)."""
    start = select(projects.c.id, projects.c.parent_id, literal(0).label("distance"))
    tree = start.where(projects.c.id == project_id).cte("above", recursive=True)
    step = select(projects.c.id, projects.c.parent_id, tree.c.distance + 1)
    return tree.union_all(step.join(tree, projects.c.id == tree.c.parent_id))


def _below(project_id: str) -> CTE:
    """Return a table of a project and those below it: (id, distance)."""
    start = select(projects.c.id, literal(0).label("distance")).where(projects.c.id == project_id)
    tree = start.cte("below", recursive=True)
    step = select(projects.c.id, tree.c.distance + 1).join(tree, projects.c.parent_id == tree.c.id)
    return tree.union_all(step)
