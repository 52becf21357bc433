"""Server groups: servers that shall be on one host, or on different ones.

A server joins with its first moment, in the transaction that makes it, and leaves when it is deleted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, func, insert, select

from compute.instances.errors import NotFound
from compute.instances.schema.groups import server_group_members, server_groups
from compute.records import IDS_PER_QUERY, columns_of, record_of

AFFINITY, ANTI_AFFINITY = "affinity", "anti-affinity"
SOFT_AFFINITY, SOFT_ANTI_AFFINITY = "soft-affinity", "soft-anti-affinity"
POLICIES = (AFFINITY, ANTI_AFFINITY, SOFT_AFFINITY, SOFT_ANTI_AFFINITY)
MOST_PER_HOST = "max_server_per_host"  # a rule, of anti-affinity


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group."""

    id: str
    project_id: str
    user_id: str
    name: str
    policy: str
    rules: Mapping[str, int] = field(default_factory=dict)
    created_at_us: int = 0
    updated_at_us: int | None = None

    @property
    def most_per_host(self) -> int:
        """Return how many of its servers a host may have, with anti-affinity."""
        return int(self.rules.get(MOST_PER_HOST, 1))


def get(connection: Connection, group_id: str) -> Group:
    """Return a group. Raise NotFound."""
    row = connection.execute(select(server_groups).where(server_groups.c.id == group_id)).one_or_none()
    if row is None:
        raise NotFound("Instance group", group_id)
    return record_of(Group, row)


def of_server(connection: Connection, server_id: str) -> Group | None:
    """Return the group of a server; None: it has none."""
    query = (
        select(server_groups)
        .join(server_group_members, server_group_members.c.group_id == server_groups.c.id)
        .where(server_group_members.c.server_id == server_id)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else record_of(Group, row)


def every(connection: Connection, project_id: str | None = None) -> list[Group]:
    """Return the groups of a project, or all."""
    query = select(server_groups).order_by(server_groups.c.created_at_us, server_groups.c.id)
    if project_id is not None:
        query = query.where(server_groups.c.project_id == project_id)
    return [record_of(Group, row) for row in connection.execute(query)]


def create(connection: Connection, wanted: Group) -> Group:
    """Store a group."""
    connection.execute(insert(server_groups).values(columns_of(server_groups, wanted)))
    return wanted


def remove(connection: Connection, group_id: str) -> None:
    """Forget a group; its servers stay where they are."""
    connection.execute(delete(server_group_members).where(server_group_members.c.group_id == group_id))
    connection.execute(delete(server_groups).where(server_groups.c.id == group_id))


# its servers


def members(connection: Connection, group_id: str) -> list[str]:
    """Return the servers of a group, in the order of joining."""
    return members_of(connection, [group_id])[group_id]


def members_of(connection: Connection, group_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the servers of groups, in the order of joining."""
    found: dict[str, list[str]] = {each: [] for each in group_ids}
    for start in range(0, len(group_ids), IDS_PER_QUERY):
        some = group_ids[start : start + IDS_PER_QUERY]
        query = select(server_group_members).where(server_group_members.c.group_id.in_(some))
        for row in connection.execute(query.order_by(server_group_members.c.place)):
            found[row.group_id].append(row.server_id)
    return found


def count_members(connection: Connection, group_id: str) -> int:
    """Return how many servers a group has."""
    query = select(func.count()).select_from(server_group_members).where(server_group_members.c.group_id == group_id)
    return int(connection.scalar(query) or 0)


def join(connection: Connection, group_id: str, server_id: str) -> None:
    """Have a server be in a group. What the quota says of it: `quotas.require_members`."""
    query = select(func.coalesce(func.max(server_group_members.c.place), 0))
    place = connection.scalar(query.where(server_group_members.c.group_id == group_id))
    row = {"server_id": server_id, "group_id": group_id, "place": int(place or 0) + 1}
    connection.execute(insert(server_group_members).values(row))


def leave(connection: Connection, server_id: str) -> None:
    """Have a server be in no group any more."""
    connection.execute(delete(server_group_members).where(server_group_members.c.server_id == server_id))
