"""Volume types: what kinds of volumes there are, who may use them, and which one a project has without asking.

What the service itself makes of a type: `multiattach` = "<is> True" in its extra specs lets volumes be attached to
several servers; one with an encryption makes encrypted volumes; its QoS specs limit what a volume may do.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from cluster.controlplane.database import refusing_duplicates
from compute.records import columns_of, new_id, record_of
from compute.volumes.errors import Conflict, Invalid, NotFound
from compute.volumes.schema import default_types, snapshots, type_access, type_encryptions, volume_types, volumes
from compute.volumes.settings import DEFAULT_TYPE

YES = "<is> true"
CAPABILITIES: Mapping[str, str] = {  # of the one backend there is: what types can ask for
    "vendor_name": "Holdfast",
    "storage_protocol": "nbd",
    "volume_backend_name": "nbd",
}

_OPERATOR = re.compile(r"^\s*(<is>|<in>|<or>|s==|==|=)\s*")


@dataclass(frozen=True, slots=True)
class VolumeType:
    """One kind."""

    id: str
    name: str
    created_at_us: int
    description: str | None = None
    is_public: bool = True
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    qos_specs_id: str | None = None
    updated_at_us: int | None = None

    @property
    def multiattach(self) -> bool:
        """Tell whether its volumes may be attached to several servers."""
        return self.extra_specs.get("multiattach", "").strip().lower() == YES

    def unmet(self) -> list[str]:
        """Return what its volumes should be served by, and are not: extra specs of what a backend is."""
        asked = {key.removeprefix("capabilities:"): value for key, value in self.extra_specs.items()}
        return [
            f"{key} = {value}"
            for key, value in asked.items()
            if key in CAPABILITIES and _OPERATOR.sub("", value).strip() != CAPABILITIES[key]
        ]


@dataclass(frozen=True, slots=True)
class Encryption:
    """That volumes of a type are encrypted."""

    volume_type_id: str
    id: str
    provider: str
    control_location: str
    created_at_us: int
    cipher: str | None = None
    key_size: int | None = None
    updated_at_us: int | None = None


def ensure_default(connection: Connection, now_us: int) -> None:
    """Make the type that volumes have when nobody says which, unless it is there."""
    if connection.scalar(select(volume_types.c.id).limit(1)) is None:
        create(connection, VolumeType(new_id(), DEFAULT_TYPE, now_us, "Replicated by the block gateway."))


def get(connection: Connection, type_id: str) -> VolumeType:
    """Return a type. Raise NotFound."""
    row = connection.execute(select(volume_types).where(volume_types.c.id == type_id)).one_or_none()
    if row is None:
        raise NotFound("Volume type", type_id)
    return record_of(VolumeType, row)


def visible(connection: Connection, id_or_name: str, project_id: str | None, sees_all: bool) -> VolumeType:
    """Return a type by its id or name, if a project may use it. Raise NotFound."""
    query = select(volume_types).where(or_(volume_types.c.id == id_or_name, volume_types.c.name == id_or_name))
    rows = connection.execute(query).all()
    found = [record_of(VolumeType, row) for row in rows]
    found.sort(key=lambda each: each.id != id_or_name)  # an id prevails over a name
    for each in found:
        if sees_all or each.is_public or _may_use(connection, each.id, project_id):
            return each
    raise NotFound("Volume type", id_or_name)


def names(connection: Connection) -> dict[str, str]:
    """Return the names of all types by their ids."""
    query = select(volume_types.c.id, volume_types.c.name)
    return {row.id: row.name for row in connection.execute(query)}


def default(connection: Connection, project_id: str | None) -> VolumeType:
    """Return the type of a project's volumes when none is named. Raise NotFound."""
    chosen = project_default(connection, project_id) if project_id else None
    if chosen is not None:
        return get(connection, chosen)
    row = connection.execute(select(volume_types).where(volume_types.c.name == DEFAULT_TYPE)).one_or_none()
    if row is None:
        query = select(volume_types).where(volume_types.c.is_public).order_by(volume_types.c.created_at_us)
        row = connection.execute(query.limit(1)).one_or_none()
    if row is None:
        raise NotFound("Volume type", DEFAULT_TYPE)
    return record_of(VolumeType, row)


def create(connection: Connection, wanted: VolumeType) -> VolumeType:
    """Store a new type. Raise Conflict when its name is taken."""
    _require_free_name(connection, wanted)
    with refusing_duplicates(_taken(wanted.name)):
        connection.execute(insert(volume_types).values(columns_of(volume_types, wanted)))
    return wanted


def change(connection: Connection, volume_type: VolumeType, now_us: int, **columns: Any) -> VolumeType:
    """Change a type. Raise Conflict when its name is taken."""
    if "name" in columns:
        _require_free_name(connection, VolumeType(volume_type.id, columns["name"], 0))
    query = update(volume_types).where(volume_types.c.id == volume_type.id)
    connection.execute(query.values(**columns, updated_at_us=now_us))
    return get(connection, volume_type.id)


def remove(connection: Connection, volume_type: VolumeType) -> None:
    """Forget a type. Raise Invalid while it is used, or is what all have that name none."""
    if volume_type.name == DEFAULT_TYPE:
        raise Invalid(f"Volume type {volume_type.id} deletion is not allowed: it is the default volume type.")
    if is_used(connection, volume_type.id):
        raise Invalid(f"Volume Type {volume_type.id} deletion is not allowed with volumes present with the type.")
    query = select(default_types.c.project_id).where(default_types.c.volume_type_id == volume_type.id).limit(1)
    if connection.scalar(query) is not None:
        raise Invalid(f"Volume Type {volume_type.id} is the default of a project.")
    connection.execute(delete(volume_types).where(volume_types.c.id == volume_type.id))


def is_used(connection: Connection, type_id: str) -> bool:
    """Tell whether there are volumes or snapshots of a type."""
    used = select(volumes.c.id).where(volumes.c.volume_type_id == type_id).limit(1)
    kept = select(snapshots.c.id).where(snapshots.c.volume_type_id == type_id).limit(1)
    return connection.scalar(used) is not None or connection.scalar(kept) is not None


# who may use it


def _may_use(connection: Connection, type_id: str, project_id: str | None) -> bool:
    query = select(type_access.c.project_id).where(
        type_access.c.volume_type_id == type_id, type_access.c.project_id == project_id
    )
    return connection.scalar(query) is not None


def projects_of(connection: Connection, type_id: str) -> list[str]:
    """Return the projects that may use a type which is not public."""
    query = select(type_access.c.project_id).where(type_access.c.volume_type_id == type_id)
    return list(connection.scalars(query.order_by(type_access.c.project_id)).all())


def types_of(connection: Connection, project_id: str | None) -> set[str]:
    """Return the types that are not public and that a project may use."""
    query = select(type_access.c.volume_type_id).where(type_access.c.project_id == project_id)
    return set(connection.scalars(query).all())


def hidden_from(connection: Connection, project_id: str | None) -> list[str]:
    """Return the names of the types that a project may not use."""
    query = select(volume_types.c.name).where(
        volume_types.c.is_public.is_(False), volume_types.c.id.not_in(types_of(connection, project_id))
    )
    return list(connection.scalars(query).all())


def allow(connection: Connection, type_id: str, project_id: str) -> None:
    """Let a project use a type. Raise Conflict when it may."""
    if _may_use(connection, type_id, project_id):
        raise Conflict(f"Volume type access for {type_id} / {project_id} combination already exists.")
    connection.execute(insert(type_access).values(volume_type_id=type_id, project_id=project_id))


def disallow(connection: Connection, type_id: str, project_id: str) -> None:
    """Have a project use a type no more. Raise NotFound when it may not."""
    query = delete(type_access).where(type_access.c.volume_type_id == type_id, type_access.c.project_id == project_id)
    if not connection.execute(query).rowcount:
        raise NotFound("Volume type access for", f"{type_id} / {project_id} combination")


# which one a project has without asking


def project_default(connection: Connection, project_id: str) -> str | None:
    """Return the id of a project's own default type; None: it has what all have."""
    return connection.scalar(select(default_types.c.volume_type_id).where(default_types.c.project_id == project_id))


def project_defaults(connection: Connection) -> dict[str, str]:
    """Return the default types of all projects that have one of their own."""
    return {row.project_id: row.volume_type_id for row in connection.execute(select(default_types))}


def set_project_default(connection: Connection, project_id: str, type_id: str | None) -> None:
    """Set a project's own default type, or (None) give it up."""
    connection.execute(delete(default_types).where(default_types.c.project_id == project_id))
    if type_id is not None:
        connection.execute(insert(default_types).values(project_id=project_id, volume_type_id=type_id))


# encryption


def encryption(connection: Connection, type_id: str) -> Encryption | None:
    """Return how volumes of a type are encrypted; None: not at all."""
    query = select(type_encryptions).where(type_encryptions.c.volume_type_id == type_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else record_of(Encryption, row)


def set_encryption(connection: Connection, wanted: Encryption) -> Encryption:
    """Have volumes of a type be encrypted from now on, or change what is said of it. Raise Invalid while it is used."""
    if is_used(connection, wanted.volume_type_id):
        raise Invalid("Cannot create or change encryption specs. Volume type in use.")
    connection.execute(delete(type_encryptions).where(type_encryptions.c.volume_type_id == wanted.volume_type_id))
    connection.execute(insert(type_encryptions).values(columns_of(type_encryptions, wanted)))
    return wanted


def remove_encryption(connection: Connection, type_id: str) -> None:
    """Have new volumes of a type be encrypted no more. Raise Invalid while it is used."""
    if is_used(connection, type_id):
        raise Invalid("Cannot delete encryption specs. Volume type in use.")
    connection.execute(delete(type_encryptions).where(type_encryptions.c.volume_type_id == type_id))


def _require_free_name(connection: Connection, wanted: VolumeType) -> None:
    query = select(volume_types.c.id).where(volume_types.c.name == wanted.name, volume_types.c.id != wanted.id)
    if connection.scalar(query) is not None:
        raise _taken(wanted.name)


def _taken(name: str) -> Conflict:
    return Conflict(f"Volume Type {name} already exists.")
