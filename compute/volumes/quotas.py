"""How much a project may have, and how much it has.

What it has is counted over the rows themselves, in the transaction that is to add one, which is the only writer at that
time (or, on PostgreSQL, is repeated if it was not). So requests at the same moment do not go beyond a limit together,
and nothing is ever counted that is not there. What is being made counts from its first moment; what an extension under
way will add is `reserved`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from sqlalchemy import Connection, delete, func, insert, select

from compute.volumes.errors import NotFound, OverQuota
from compute.volumes.schema import backups, quotas, snapshots, volume_types, volumes
from compute.volumes.settings import QuotaDefaults

RESOURCES = tuple(field.name for field in fields(QuotaDefaults))
OF_TYPES = ("volumes", "snapshots", "gigabytes")  # which each type has a limit of, too: volumes_TYPE, …
UNLIMITED = -1
DEFAULT_CLASS = "default"  # the class of all projects
_PROJECT, _CLASS = "project", "class"

_WORDS = {
    "volumes": "Maximum number of volumes allowed ({limit}) exceeded for quota '{name}'.",
    "snapshots": "Maximum number of snapshots allowed ({limit}) exceeded for quota '{name}'.",
    "backups": "Maximum number of backups allowed ({limit}) exceeded",
    "gigabytes": (
        "Requested volume or snapshot exceeds allowed {name} quota. Requested {added}G, quota is {limit}G and {used}G"
        " has been consumed."
    ),
    "backup_gigabytes": (
        "Requested backup exceeds allowed Backup gigabytes quota. Requested {added}G, quota is {limit}G and {used}G"
        " has been consumed."
    ),
}


@dataclass(frozen=True, slots=True)
class Usage:
    """How much there is of a resource."""

    in_use: int = 0
    reserved: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.in_use + other.in_use, self.reserved + other.reserved)

    @property
    def total(self) -> int:
        """Return what counts."""
        return self.in_use + self.reserved


def resources(connection: Connection) -> list[str]:
    """Return all resources that have limits, those of types, too."""
    names = connection.scalars(select(volume_types.c.name).order_by(volume_types.c.name)).all()
    return [*RESOURCES, *(of_type(resource, name) for name in names for resource in OF_TYPES)]


def of_type(resource: str, type_name: str) -> str:
    """Return what a resource is called that is counted for one type only."""
    return f"{resource}_{type_name}"


def class_limits(connection: Connection, defaults: QuotaDefaults, name: str = DEFAULT_CLASS) -> dict[str, int]:
    """Return the limits of a class: of projects that have none of their own."""
    builtin = {resource: getattr(defaults, resource, UNLIMITED) for resource in resources(connection)}
    return builtin | _stored(connection, _CLASS, name)


def limits(connection: Connection, defaults: QuotaDefaults, project_id: str) -> dict[str, int]:
    """Return the limits of a project."""
    return class_limits(connection, defaults) | _stored(connection, _PROJECT, project_id)


def set_limits(connection: Connection, project_id: str, wanted: Mapping[str, int]) -> None:
    """Set limits of a project."""
    _set(connection, _PROJECT, project_id, wanted)


def set_class_limits(connection: Connection, name: str, wanted: Mapping[str, int]) -> None:
    """Set limits of a class."""
    _set(connection, _CLASS, name, wanted)


def reset(connection: Connection, project_id: str) -> None:
    """Give a project the limits that all have."""
    connection.execute(delete(quotas).where(quotas.c.kind == _PROJECT, quotas.c.owner == project_id))


def require_known(connection: Connection, names: Iterable[str]) -> None:
    """Raise NotFound unless all are resources that have limits."""
    unknown = set(names) - set(resources(connection))
    if unknown:
        raise NotFound("Quota resource", ", ".join(sorted(unknown)))


def usages(connection: Connection, project_id: str) -> dict[str, Usage]:
    """Return what a project has, by resource; what is not there is not used."""
    found: dict[str, Usage] = {}

    def add(resource: str, type_name: str | None, in_use: int, reserved: int = 0) -> None:
        for name in (resource, of_type(resource, type_name) if type_name and resource in OF_TYPES else None):
            if name is not None:
                found[name] = found.get(name, Usage()) + Usage(in_use, reserved)

    by_type = (
        select(volume_types.c.name, func.count(), func.sum(volumes.c.size), func.sum(volumes.c.reserved_gb))
        .join(volume_types, volume_types.c.id == volumes.c.volume_type_id)
        .where(volumes.c.project_id == project_id)
        .group_by(volume_types.c.name)
    )
    for type_name, count, size, reserved in connection.execute(by_type):
        add("volumes", type_name, count)
        add("gigabytes", type_name, int(size), int(reserved))
    by_type = (
        select(volume_types.c.name, func.count(), func.sum(snapshots.c.volume_size))
        .select_from(snapshots.outerjoin(volume_types, volume_types.c.id == snapshots.c.volume_type_id))
        .where(snapshots.c.project_id == project_id)
        .group_by(volume_types.c.name)
    )
    for type_name, count, size in connection.execute(by_type):
        add("snapshots", type_name, count)
        add("gigabytes", type_name, int(size))
    of_backups = select(func.count(), func.coalesce(func.sum(backups.c.size), 0)).where(
        backups.c.project_id == project_id
    )
    count, size = connection.execute(of_backups).one()
    add("backups", None, count)
    add("backup_gigabytes", None, int(size))
    return found


def require(
    connection: Connection,
    defaults: QuotaDefaults,
    project_id: str,
    added: Mapping[str, int],
    type_name: str | None = None,
) -> None:
    """Raise OverQuota unless a project may have so much more. Call it before the rows are there."""
    allowed, used = limits(connection, defaults, project_id), usages(connection, project_id)
    for resource, amount in added.items():
        names = [resource, of_type(resource, type_name)] if type_name and resource in OF_TYPES else [resource]
        for name in names:
            limit, total = allowed.get(name, UNLIMITED), used.get(name, Usage()).total
            if amount > 0 and limit >= 0 and total + amount > limit:
                raise OverQuota(_WORDS[resource].format(limit=limit, name=name, added=amount, used=total))


def require_of_type(connection: Connection, defaults: QuotaDefaults, project_id: str, added: Mapping[str, int]) -> None:
    """Raise OverQuota unless a project may have so much more of one type; `added` by names as `of_type` returns."""
    allowed, used = limits(connection, defaults, project_id), usages(connection, project_id)
    for name, amount in added.items():
        limit, total = allowed.get(name, UNLIMITED), used.get(name, Usage()).total
        if limit >= 0 and total + amount > limit:
            words = _WORDS[name.partition("_")[0]]
            raise OverQuota(words.format(limit=limit, name=name, added=amount, used=total))


def require_size(connection: Connection, defaults: QuotaDefaults, project_id: str, size: int) -> None:
    """Raise OverQuota unless a project may have a volume so large."""
    limit = limits(connection, defaults, project_id)["per_volume_gigabytes"]
    if 0 <= limit < size:
        raise OverQuota(f"Requested volume size {size}G is larger than maximum allowed limit {limit}G.")


def _stored(connection: Connection, kind: str, owner: str) -> dict[str, int]:
    query = select(quotas.c.resource, quotas.c.limit).where(quotas.c.kind == kind, quotas.c.owner == owner)
    return {row.resource: row.limit for row in connection.execute(query)}


def _set(connection: Connection, kind: str, owner: str, wanted: Mapping[str, int]) -> None:
    if not wanted:
        return
    connection.execute(
        delete(quotas).where(quotas.c.kind == kind, quotas.c.owner == owner, quotas.c.resource.in_(list(wanted)))
    )
    connection.execute(
        insert(quotas),
        [{"kind": kind, "owner": owner, "resource": name, "limit": limit} for name, limit in wanted.items()],
    )
