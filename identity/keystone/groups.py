"""Groups of users, which can have roles as users can. Who is in them: `memberships`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from cluster.controlplane.database import refusing_duplicates
from cluster.controlplane.paging import Page, fetch
from identity.keystone import assignments, filters
from identity.keystone.errors import Conflict, NotFound
from identity.keystone.records import changed, columns_of, new_id, refuse_change
from identity.keystone.schema import groups, memberships

FILTERS = ("name", "domain_id")


@dataclass(frozen=True, slots=True)
class Group:
    """A group."""

    name: str
    domain_id: str
    description: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=new_id)


def get(connection: Connection, group_id: str) -> Group:
    """Return a group. Raise NotFound."""
    row = connection.execute(select(groups).where(groups.c.id == group_id)).one_or_none()
    if row is None:
        raise NotFound("group", group_id)
    return Group(**row._mapping)


def list_page(
    connection: Connection, query: Mapping[str, str], page: Page, *additional: "ColumnElement[bool]"
) -> tuple[list[Group], bool]:
    """Return the groups that a query asks for, and whether there are more."""
    wanted = [*filters.conditions(groups, query, FILTERS), *additional]
    listing = fetch(connection, select(groups).where(*wanted), groups.c.id, page)
    return [Group(**row._mapping) for row in listing.rows], listing.more


def has_member(user_id: str) -> "ColumnElement[bool]":
    """Return the condition that a user is in the group: for `list_page`."""
    return groups.c.id.in_(select(memberships.c.group_id).where(memberships.c.user_id == user_id))


def create(connection: Connection, group: Group) -> Group:
    """Store a new group. Raise Conflict."""
    with refusing_duplicates(_name_conflict(group)):
        connection.execute(insert(groups).values(**columns_of(group)))
    return group


def change(connection: Connection, group: Group, document: Mapping[str, Any]) -> Group:
    """Set the attributes in `document`. Return the group as it is stored."""
    new = changed(group, document)
    refuse_change(group, new, "domain_id")
    with refusing_duplicates(_name_conflict(new)):
        connection.execute(update(groups).where(groups.c.id == group.id).values(**columns_of(new)))
    return new


def remove(connection: Connection, group_id: str, now_us: int) -> None:
    """Delete a group, and the roles that its members have by it."""
    assignments.withdraw_all_of_group(connection, group_id, now_us)
    connection.execute(delete(groups).where(groups.c.id == group_id))


def _name_conflict(group: Group) -> Conflict:
    return Conflict("group", f"Duplicate entry found with name {group.name} at domain ID {group.domain_id}")
