"""Routers: their rows, and what may be done to them. Which subnets they join is in `router_interfaces`."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from compute.network import gateways, quotas
from compute.network.attributes import ROUTER
from compute.network.errors import RouterInUse
from compute.network.networks import ACTIVE
from compute.network.schema import router_ports, routers
from compute.network.settings import Settings
from compute.network.work import AnyRow, Work, standard_of, tags_of

_GATEWAY = "external_gateway_info"


def create(work: Work, attributes: Mapping[str, Any]) -> str:
    """Make a router, and return its id. Raise what says why it cannot be."""
    quotas.require(work, attributes["project_id"], ROUTER.name)
    columns = {name: value for name, value in attributes.items() if name != _GATEWAY}
    router_id = work.add(ROUTER, {**columns, "enable_snat": True})
    gateways.bring(work, work.find(ROUTER, router_id), attributes[_GATEWAY])
    return router_id


def update(work: Work, row: AnyRow, attributes: Mapping[str, Any]) -> None:
    """Change a router. Raise what says why it cannot be."""
    if _GATEWAY in attributes:
        gateways.bring(work, row, attributes[_GATEWAY])
    work.revise(ROUTER, row.id, {name: value for name, value in attributes.items() if name != _GATEWAY})


def remove(work: Work, row: AnyRow) -> None:
    """Delete a router with its way out. Raise RouterInUse."""
    query = select(router_ports.c.port_id).where(router_ports.c.router_id == row.id).limit(1)
    if work.connection.scalar(query) is not None:
        raise RouterInUse(router_id=row.id)
    gateways.clear(work, row)
    work.remove(ROUTER, row.id)


def seen_by(project_id: str | None) -> "ColumnElement[bool]":
    """Return the condition of routers that a project sees."""
    return routers.c.project_id == project_id


def documents(connection: Connection, _settings: Settings, rows: Sequence[AnyRow]) -> list[dict[str, Any]]:
    """Return routers as documents, with all that they have."""
    marked, ways = tags_of(connection, [row.id for row in rows]), gateways.infos(connection, rows)
    return [
        {
            **standard_of(row),
            "name": row.name,
            "admin_state_up": row.admin_state_up,
            "status": ACTIVE,
            _GATEWAY: ways.get(row.id),
            "tags": marked[row.id],
        }
        for row in rows
    ]
