"""Flavors: what kinds of servers there are, and who may have them.

A server keeps what its flavor was when it was made: flavors may be deleted while servers are there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from cluster.controlplane.database import refusing_duplicates
from compute.instances.errors import Conflict, NotFound
from compute.instances.schema.flavors import flavor_access, flavors
from compute.records import columns_of, record_of

UNLIMITED_RXTX = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """One kind."""

    id: str
    name: str
    memory_mib: int
    vcpus: int
    disk_gb: int  # of the root disk; 0: as large as the image
    ephemeral_gb: int = 0
    swap_mib: int = 0
    rxtx_factor: float = UNLIMITED_RXTX
    is_public: bool = True
    disabled: bool = False
    description: str | None = None
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    created_at_us: int = 0
    updated_at_us: int | None = None


DEFAULTS = (
    Flavor(id="1", name="m1.tiny", memory_mib=512, vcpus=1, disk_gb=1),
    Flavor(id="2", name="m1.small", memory_mib=2048, vcpus=1, disk_gb=20),
    Flavor(id="3", name="m1.medium", memory_mib=4096, vcpus=2, disk_gb=40),
    Flavor(id="4", name="m1.large", memory_mib=8192, vcpus=4, disk_gb=80),
    Flavor(id="5", name="m1.xlarge", memory_mib=16_384, vcpus=8, disk_gb=160),
    Flavor(id="42", name="m1.nano", memory_mib=128, vcpus=1, disk_gb=0),  # for trying things out
)


def ensure_defaults(connection: Connection, now_us: int) -> None:
    """Make the flavors that there are at first, unless there are some."""
    if connection.scalar(select(flavors.c.id).limit(1)) is None:
        for each in DEFAULTS:
            create(connection, replace(each, created_at_us=now_us))


def get(connection: Connection, flavor_id: str) -> Flavor:
    """Return a flavor. Raise NotFound."""
    row = connection.execute(select(flavors).where(flavors.c.id == flavor_id)).one_or_none()
    if row is None:
        raise NotFound("Flavor", flavor_id)
    return record_of(Flavor, row)


def visible(connection: Connection, flavor_id: str, project_id: str | None, sees_all: bool) -> Flavor:
    """Return a flavor, if a project may use it. Raise NotFound."""
    found = get(connection, flavor_id)
    if sees_all or found.is_public or project_id in projects_of(connection, flavor_id):
        return found
    raise NotFound("Flavor", flavor_id)


def every(connection: Connection) -> list[Flavor]:
    """Return them all."""
    return [record_of(Flavor, row) for row in connection.execute(select(flavors).order_by(flavors.c.id))]


def create(connection: Connection, wanted: Flavor) -> Flavor:
    """Store a new flavor. Raise Conflict when its id or its name is taken."""
    for column, value, what in ((flavors.c.id, wanted.id, "ID"), (flavors.c.name, wanted.name, "name")):
        if connection.scalar(select(flavors.c.id).where(column == value)) is not None:
            raise Conflict(f"Flavor with {what} {value} already exists.")
    with refusing_duplicates(Conflict(f"Flavor with name {wanted.name} already exists.")):
        connection.execute(insert(flavors).values(columns_of(flavors, wanted)))
    return wanted


def change(connection: Connection, flavor_id: str, now_us: int, **columns: Any) -> Flavor:
    """Change a flavor. Raise NotFound."""
    query = update(flavors).where(flavors.c.id == flavor_id)
    if not connection.execute(query.values(**columns, updated_at_us=now_us)).rowcount:
        raise NotFound("Flavor", flavor_id)
    return get(connection, flavor_id)


def remove(connection: Connection, flavor_id: str) -> None:
    """Forget a flavor. Raise NotFound."""
    if not connection.execute(delete(flavors).where(flavors.c.id == flavor_id)).rowcount:
        raise NotFound("Flavor", flavor_id)


# who may use it


def projects_of(connection: Connection, flavor_id: str) -> list[str]:
    """Return the projects that may use a flavor which is not public."""
    query = select(flavor_access.c.project_id).where(flavor_access.c.flavor_id == flavor_id)
    return list(connection.scalars(query.order_by(flavor_access.c.project_id)).all())


def of_project(connection: Connection, project_id: str | None) -> set[str]:
    """Return the flavors that are not public and that a project may use."""
    query = select(flavor_access.c.flavor_id).where(flavor_access.c.project_id == project_id)
    return set(connection.scalars(query).all())


def allow(connection: Connection, flavor_id: str, project_id: str) -> None:
    """Let a project use a flavor. Raise Conflict when it may."""
    if project_id in projects_of(connection, flavor_id):
        raise Conflict(f"Flavor access already exists for flavor {flavor_id} and project {project_id} combination.")
    connection.execute(insert(flavor_access).values(flavor_id=flavor_id, project_id=project_id))


def disallow(connection: Connection, flavor_id: str, project_id: str) -> None:
    """Have a project use a flavor no more. Raise NotFound when it may not."""
    query = delete(flavor_access).where(
        flavor_access.c.flavor_id == flavor_id, flavor_access.c.project_id == project_id
    )
    if not connection.execute(query).rowcount:
        raise NotFound("Flavor access for", f"{flavor_id} / {project_id} combination")
