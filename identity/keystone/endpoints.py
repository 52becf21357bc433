"""Endpoints: the URLs of services, by region and by who is to use them.

A URL may have gaps, `$(project_id)s` and the like, that the catalog of a token fills in. What cannot be filled in
is refused when the endpoint is stored, so that no catalog fails over it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from identity.keystone import regions, services
from identity.keystone.errors import BadRequest, NotFound
from identity.keystone.records import columns_of, new_id
from identity.keystone.schema import endpoints

_GAP = re.compile(r"[$%]\((\w+)\)s")
_FILLABLE = frozenset({"project_id", "tenant_id", "user_id"})
INTERFACES = ("public", "internal", "admin")  # who an endpoint is for


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One URL of a service."""

    service_id: str
    interface: str  # one of INTERFACES
    url: str
    region_id: str | None = None
    enabled: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=new_id)


def get(connection: Connection, endpoint_id: str) -> Endpoint:
    """Return an endpoint. Raise NotFound."""
    row = connection.execute(select(endpoints).where(endpoints.c.id == endpoint_id)).one_or_none()
    if row is None:
        raise NotFound("endpoint", endpoint_id)
    return Endpoint(**row._mapping)


def list_all(
    connection: Connection,
    service_id: str | None = None,
    interface: str | None = None,
    region_id: str | None = None,
) -> list[Endpoint]:
    """Return the endpoints by id; of a service, an interface or a region only, if given."""
    query = select(endpoints).order_by(endpoints.c.id)
    if service_id is not None:
        query = query.where(endpoints.c.service_id == service_id)
    if interface is not None:
        query = query.where(endpoints.c.interface == interface)
    if region_id is not None:
        query = query.where(endpoints.c.region_id == region_id)
    return [Endpoint(**row._mapping) for row in connection.execute(query)]


def create(connection: Connection, endpoint: Endpoint) -> Endpoint:
    """Store a new endpoint. Raise BadRequest when its service or region is not there, or its URL is no use."""
    _check(connection, endpoint)
    connection.execute(insert(endpoints).values(columns_of(endpoint)))
    return endpoint


def replace(connection: Connection, endpoint: Endpoint) -> Endpoint:
    """Store `endpoint` over the one with its id. Raise NotFound, and BadRequest as `create` does."""
    get(connection, endpoint.id)
    _check(connection, endpoint)
    connection.execute(update(endpoints).where(endpoints.c.id == endpoint.id).values(columns_of(endpoint)))
    return endpoint


def remove(connection: Connection, endpoint_id: str) -> None:
    """Remove an endpoint. Raise NotFound."""
    get(connection, endpoint_id)
    connection.execute(delete(endpoints).where(endpoints.c.id == endpoint_id))


def filled_in(url: str, values: Mapping[str, str]) -> str | None:
    """Return `url` with its gaps filled from `values`, or None when there is no value for one of them."""
    if any(name not in values for name in _GAP.findall(url)):
        return None
    return _GAP.sub(lambda gap: values[gap[1]], url)


def _check(connection: Connection, endpoint: Endpoint) -> None:
    unknown = set(_GAP.findall(endpoint.url)) - _FILLABLE
    if unknown or re.search(r"[$%]\(", _GAP.sub("", endpoint.url)):
        raise BadRequest(f"the catalog cannot fill in {endpoint.url!r}: it knows {', '.join(sorted(_FILLABLE))}")
    try:
        services.get(connection, endpoint.service_id)
        if endpoint.region_id is not None:
            regions.get(connection, endpoint.region_id)
    except NotFound as error:
        raise BadRequest(str(error)) from None
