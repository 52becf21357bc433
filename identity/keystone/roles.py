"""Roles: names that policy knows. A domain's own role stands for the roles that it implies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from cluster.controlplane.database import refusing_duplicates
from cluster.controlplane.paging import Page, fetch
from identity.keystone import filters, revocations
from identity.keystone.errors import Conflict, Immutable, NotFound
from identity.keystone.records import changed, columns_of, new_id, refuse_change
from identity.keystone.schema import roles
from identity.keystone.tokens.revoked import Kind, Subject

FILTERS = ("name", "domain_id")


@dataclass(frozen=True, slots=True)
class Role:
    """A role."""

    name: str
    domain_id: str | None = None
    description: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=new_id)

    @property
    def is_immutable(self) -> bool:
        """Tell whether it may be neither changed nor deleted."""
        return bool(self.options.get("immutable"))


def get(connection: Connection, role_id: str) -> Role:
    """Return a role. Raise NotFound."""
    row = connection.execute(select(roles).where(roles.c.id == role_id)).one_or_none()
    if row is None:
        raise NotFound("role", role_id)
    return Role(**row._mapping)


def find(connection: Connection, name: str, domain_id: str | None = None) -> Role:
    """Return the role with this name: a domain's own, or one of all. Raise NotFound."""
    role_id = connection.scalar(select(roles.c.id).where(roles.c.name == name, roles.c.domain_id == domain_id))
    if role_id is None:
        raise NotFound("role", name)
    return get(connection, role_id)


def list_page(connection: Connection, query: Mapping[str, str], page: Page) -> tuple[list[Role], bool]:
    """Return the roles that a query asks for, and whether there are more. Without domain_id: those of no domain."""
    wanted = filters.conditions(roles, query, FILTERS)
    if "domain_id" not in query:
        wanted.append(roles.c.domain_id.is_(None))
    listing = fetch(connection, select(roles).where(*wanted), roles.c.id, page)
    return [Role(**row._mapping) for row in listing.rows], listing.more


def by_id(connection: Connection, role_ids: set[str] | None = None) -> dict[str, Role]:
    """Return roles by their ids; None: all of them."""
    query = select(roles).order_by(roles.c.id)
    if role_ids is not None:
        query = query.where(roles.c.id.in_(sorted(role_ids)))
    return {row.id: Role(**row._mapping) for row in connection.execute(query)}


def create(connection: Connection, role: Role) -> Role:
    """Store a new role. Raise Conflict."""
    with refusing_duplicates(_name_conflict(role)):
        connection.execute(insert(roles).values(**columns_of(role)))
    return role


def change(connection: Connection, role: Role, document: Mapping[str, Any], now_us: int) -> Role:
    """Set the attributes in `document`. Return the role as it is stored. Tokens with another name for it end."""
    new = changed(role, document)
    if role.is_immutable and set(document) != {"options"}:
        raise Immutable("update", "role", role.id)
    refuse_change(role, new, "domain_id")
    with refusing_duplicates(_name_conflict(new)):
        connection.execute(update(roles).where(roles.c.id == role.id).values(**columns_of(new)))
    if new.name != role.name:
        revocations.revoke(connection, Subject(Kind.ROLE, role.id), now_us)
    return new


def remove(connection: Connection, role: Role, now_us: int) -> None:
    """Delete a role, wherever it is assigned or implied. Tokens with it end."""
    if role.is_immutable:
        raise Immutable("delete", "role", role.id)
    connection.execute(delete(roles).where(roles.c.id == role.id))
    revocations.revoke(connection, Subject(Kind.ROLE, role.id), now_us)


def remove_of_domain(connection: Connection, domain_id: str) -> None:
    """Delete the roles that are a domain's own. They are in no token."""
    connection.execute(delete(roles).where(roles.c.domain_id == domain_id))


def _name_conflict(role: Role) -> Conflict:
    return Conflict("role", f"Duplicate entry found with name {role.name}")
