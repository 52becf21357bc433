"""The catalog of a token: which services there are, and at which URLs for this user and project."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from identity.keystone.endpoints import filled_in
from identity.keystone.schema import endpoints, services
from identity.keystone.tokens.token import Token


@dataclass(frozen=True, slots=True)
class CatalogEndpoint:
    """A URL, ready to use."""

    id: str
    interface: str
    region_id: str | None
    url: str


@dataclass(frozen=True, slots=True)
class CatalogService:
    """A service and its URLs."""

    id: str
    type: str
    name: str
    endpoints: tuple[CatalogEndpoint, ...]


def of_token(connection: Connection, token: Token) -> list[CatalogService]:
    """Return the enabled services, by type, with the enabled endpoints that make sense for `token`.

    An endpoint whose URL names the project is left out of a token without one; a service without endpoints is listed.
    """
    values = {"user_id": token.user.id}
    if token.project_id is not None:
        values |= {"project_id": token.project_id, "tenant_id": token.project_id}
    by_service: dict[str, list[CatalogEndpoint]] = {}
    for row in connection.execute(select(endpoints).where(endpoints.c.enabled).order_by(endpoints.c.id)):
        url = filled_in(row.url, values)
        if url is not None:
            entry = CatalogEndpoint(row.id, row.interface, row.region_id, url)
            by_service.setdefault(row.service_id, []).append(entry)
    rows = connection.execute(select(services).where(services.c.enabled).order_by(services.c.type, services.c.id))
    return [CatalogService(row.id, row.type, row.name, tuple(by_service.get(row.id, ()))) for row in rows]
