"""How much a project and its users may have, and how much they have.

What they have is counted over the rows themselves, in the transaction that is to add one, which is the only writer at
that time (or, on PostgreSQL, is repeated if it was not). So requests at the same moment do not go beyond a limit
together. A user's limit is within that of the project.
"""

from collections.abc import Mapping
from dataclasses import fields

from sqlalchemy import Connection, delete, func, insert, select

from compute.instances import key_pairs, presence, server_groups
from compute.instances.errors import OverQuota
from compute.instances.schema.groups import server_groups as groups_table
from compute.instances.schema.quotas import quotas
from compute.instances.settings import QuotaDefaults

UNLIMITED = -1
DEFAULT_CLASS = "default"  # the class of all projects
COUNTED = tuple(field.name for field in fields(QuotaDefaults))
FILES = {"injected_files": 5, "injected_file_content_bytes": 10_240, "injected_file_path_bytes": 255}
PROXIED = {"fixed_ips": -1, "floating_ips": -1, "security_groups": -1, "security_group_rules": -1}
NOT_COUNTED: Mapping[str, int] = {**FILES, **PROXIED}  # what only old versions of the API speak of
_PROJECT, _CLASS = "project", "class"
_WHOLE = ""  # in place of a user


def class_limits(connection: Connection, defaults: QuotaDefaults, name: str = DEFAULT_CLASS) -> dict[str, int]:
    """Return the limits of a class: of projects that have none of their own."""
    builtin = {resource: getattr(defaults, resource) for resource in COUNTED}
    return {**builtin, **NOT_COUNTED, **_stored(connection, _CLASS, name, _WHOLE)}


def limits(
    connection: Connection, defaults: QuotaDefaults, project_id: str, user_id: str | None = None
) -> dict[str, int]:
    """Return the limits of a project, or of one of its users."""
    found = class_limits(connection, defaults) | _stored(connection, _PROJECT, project_id, _WHOLE)
    return found if user_id is None else found | _stored(connection, _PROJECT, project_id, user_id)


def usages(connection: Connection, project_id: str, user_id: str | None = None) -> dict[str, int]:
    """Return what a project has, or one of its users; of what is not there nothing is counted."""
    sums = presence.of_project(connection, project_id, user_id)
    query = select(func.count()).select_from(groups_table).where(groups_table.c.project_id == project_id)
    if user_id is not None:
        query = query.where(groups_table.c.user_id == user_id)
    count = int(connection.scalar(query) or 0)
    return {"instances": sums.instances, "cores": sums.cores, "ram": sums.ram, "server_groups": count}


def require(
    connection: Connection, defaults: QuotaDefaults, project_id: str, user_id: str, added: Mapping[str, int]
) -> None:
    """Raise OverQuota unless a user may have so much more in a project. Call it before the rows are there."""
    for whose in (None, user_id):
        if whose is not None and not _stored(connection, _PROJECT, project_id, whose):
            continue
        allowed, used = limits(connection, defaults, project_id, whose), usages(connection, project_id, whose)
        over = [
            name
            for name, amount in sorted(added.items())
            if amount > 0 and 0 <= allowed[name] < used.get(name, 0) + amount
        ]
        if over:
            requested, had, most = (
                ", ".join(str(numbers.get(name, 0)) for name in over) for numbers in (added, used, allowed)
            )
            names = ", ".join(over)
            raise OverQuota(
                f"Quota exceeded for {names}: Requested {requested}, but already used {had} of {most} {names}"
            )


def require_key_pair(connection: Connection, defaults: QuotaDefaults, project_id: str | None, user_id: str) -> None:
    """Raise OverQuota unless a user may have one more key pair."""
    allowed = limits(connection, defaults, project_id or "", user_id)["key_pairs"]
    if 0 <= allowed <= key_pairs.count(connection, user_id):
        raise OverQuota("Quota exceeded, too many key pairs.")


def require_group(connection: Connection, defaults: QuotaDefaults, project_id: str, user_id: str) -> None:
    """Raise OverQuota unless a user may have one more server group."""
    try:
        require(connection, defaults, project_id, user_id, {"server_groups": 1})
    except OverQuota:
        raise OverQuota("Quota exceeded, too many server groups.") from None


def require_members(
    connection: Connection, defaults: QuotaDefaults, project_id: str, user_id: str, group_id: str, added: int
) -> None:
    """Raise OverQuota unless a group may have so many more servers."""
    allowed = limits(connection, defaults, project_id, user_id)["server_group_members"]
    if 0 <= allowed < server_groups.count_members(connection, group_id) + added:
        raise OverQuota("Quota exceeded, too many servers in group")


# what administrators say


def set_limits(connection: Connection, project_id: str, wanted: Mapping[str, int], user_id: str | None = None) -> None:
    """Set limits of a project, or of one of its users."""
    _set(connection, _PROJECT, project_id, user_id or _WHOLE, wanted)


def set_class_limits(connection: Connection, name: str, wanted: Mapping[str, int]) -> None:
    """Set limits of a class."""
    _set(connection, _CLASS, name, _WHOLE, wanted)


def reset(connection: Connection, project_id: str, user_id: str | None = None) -> None:
    """Give a project and its users the limits that all have, or one of its users those of the project."""
    query = delete(quotas).where(quotas.c.kind == _PROJECT, quotas.c.owner == project_id)
    connection.execute(query if user_id is None else query.where(quotas.c.user_id == user_id))


def _stored(connection: Connection, kind: str, owner: str, user_id: str) -> dict[str, int]:
    query = select(quotas.c.resource, quotas.c.limit).where(
        quotas.c.kind == kind, quotas.c.owner == owner, quotas.c.user_id == user_id
    )
    return {row.resource: row.limit for row in connection.execute(query)}


def _set(connection: Connection, kind: str, owner: str, user_id: str, wanted: Mapping[str, int]) -> None:
    if not wanted:
        return
    same = (quotas.c.kind == kind, quotas.c.owner == owner, quotas.c.user_id == user_id)
    connection.execute(delete(quotas).where(*same, quotas.c.resource.in_(list(wanted))))
    whose = {"kind": kind, "owner": owner, "user_id": user_id}
    connection.execute(insert(quotas), [{**whose, "resource": name, "limit": limit} for name, limit in wanted.items()])
