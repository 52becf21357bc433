"""Quotas: how much a project may have, and has. Usage is counted within the transaction that adds to it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, select

from compute.network.errors import OverQuota
from compute.network.schema import (
    floating_ips,
    networks,
    ports,
    quotas,
    routers,
    security_group_rules,
    security_groups,
    subnets,
)
from compute.network.settings import QuotaDefaults
from compute.network.work import Work

RESOURCES: Mapping[str, Table] = {
    "network": networks,
    "subnet": subnets,
    "port": ports,
    "security_group": security_groups,
    "security_group_rule": security_group_rules,
    "router": routers,
    "floatingip": floating_ips,
}
_OWN_PORTS = "network:"  # of the service itself: nobody's quota has them


def defaults_of(defaults: QuotaDefaults) -> dict[str, int]:
    """Return the limits of projects that have none of their own."""
    return {name: getattr(defaults, name) for name in RESOURCES}


def limits(connection: Connection, defaults: QuotaDefaults, project_id: str) -> dict[str, int]:
    """Return the limits of a project."""
    return defaults_of(defaults) | own_limits(connection).get(project_id, {})


def own_limits(connection: Connection) -> dict[str, dict[str, int]]:
    """Return the limits that projects have of their own, by project."""
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(select(quotas).order_by(quotas.c.project_id)):
        found.setdefault(row.project_id, {})[row.resource] = row.limit
    return found


def set_limits(connection: Connection, project_id: str, wanted: Mapping[str, int]) -> None:
    """Set limits of a project."""
    names = list(wanted)
    connection.execute(delete(quotas).where(quotas.c.project_id == project_id, quotas.c.resource.in_(names)))
    rows: list[dict[str, Any]] = [
        {"project_id": project_id, "resource": name, "limit": limit} for name, limit in wanted.items()
    ]
    if rows:
        connection.execute(insert(quotas), rows)


def reset(connection: Connection, project_id: str) -> bool:
    """Give a project the limits that all have; tell whether it had others."""
    return connection.execute(delete(quotas).where(quotas.c.project_id == project_id)).rowcount > 0


def used(connection: Connection, project_id: str, resource: str) -> int:
    """Return how many a project has."""
    table = RESOURCES[resource]
    query = select(func.count()).select_from(table).where(table.c.project_id == project_id)
    if table is ports:
        query = query.where(~ports.c.device_owner.startswith(_OWN_PORTS, autoescape=True))
    return int(connection.scalar(query) or 0)


def require(work: Work, project_id: str, resource: str, added: int = 1) -> None:
    """Raise OverQuota unless a project may have so many more. Call it before the rows are there."""
    limit = limits(work.connection, work.settings.quotas, project_id)[resource]
    if limit >= 0 and used(work.connection, project_id, resource) + added > limit:
        raise OverQuota(overs=[resource])
