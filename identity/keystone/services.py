"""Services: what there is in the catalog, by type; where it is, is said by endpoints."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from identity.keystone.errors import NotFound
from identity.keystone.records import columns_of, new_id
from identity.keystone.schema import services


@dataclass(frozen=True, slots=True)
class Service:
    """One service, as "object-store" is."""

    type: str
    name: str = ""
    description: str | None = None
    enabled: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=new_id)


def get(connection: Connection, service_id: str) -> Service:
    """Return a service. Raise NotFound."""
    row = connection.execute(select(services).where(services.c.id == service_id)).one_or_none()
    if row is None:
        raise NotFound("service", service_id)
    return Service(**row._mapping)


def list_all(
    connection: Connection, type: str | None = None, name: str | None = None  # noqa: A002 as in the API
) -> list[Service]:
    """Return the services by type and id; those of a type or a name only, if given."""
    query = select(services).order_by(services.c.type, services.c.id)
    if type is not None:
        query = query.where(services.c.type == type)
    if name is not None:
        query = query.where(services.c.name == name)
    return [Service(**row._mapping) for row in connection.execute(query)]


def create(connection: Connection, service: Service) -> Service:
    """Store a new service. Several may have one type."""
    connection.execute(insert(services).values(columns_of(service)))
    return service


def replace(connection: Connection, service: Service) -> Service:
    """Store `service` over the one with its id. Raise NotFound."""
    get(connection, service.id)
    connection.execute(update(services).where(services.c.id == service.id).values(columns_of(service)))
    return service


def remove(connection: Connection, service_id: str) -> None:
    """Remove a service and its endpoints. Raise NotFound."""
    get(connection, service_id)
    connection.execute(delete(services).where(services.c.id == service_id))
