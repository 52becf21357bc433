"""QoS specs: how much volumes of the types that refer to them may do.

The gateway keeps the limits of those whose consumer is the back-end; a host is told of those for the front-end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from compute.records import columns_of, record_of
from compute.volumes import volume_types
from compute.volumes.errors import Conflict, Invalid, NotFound
from compute.volumes.schema import qos_specs
from compute.volumes.schema import volume_types as types_table
from compute.volumes.volume_types import VolumeType

FRONT_END, BACK_END, BOTH = "front-end", "back-end", "both"
CONSUMERS = (FRONT_END, BACK_END, BOTH)

# Names that operators know from Cinder and libvirt -> fields of blockgw.catalog.volume.Limits
LIMITS: Mapping[str, str] = {
    "total_iops_sec": "iops",
    "read_iops_sec": "read_iops",
    "write_iops_sec": "write_iops",
    "total_bytes_sec": "bandwidth",
    "read_bytes_sec": "read_bandwidth",
    "write_bytes_sec": "write_bandwidth",
}


@dataclass(frozen=True, slots=True)
class QosSpecs:
    """One set of limits."""

    id: str
    name: str
    consumer: str
    created_at_us: int
    specs: Mapping[str, str] = field(default_factory=dict)
    updated_at_us: int | None = None


def get(connection: Connection, qos_id: str) -> QosSpecs:
    """Return QoS specs. Raise NotFound."""
    row = connection.execute(select(qos_specs).where(qos_specs.c.id == qos_id)).one_or_none()
    if row is None:
        raise NotFound("No such qos spec", qos_id)
    return record_of(QosSpecs, row)


def create(connection: Connection, wanted: QosSpecs) -> QosSpecs:
    """Store new QoS specs. Raise Conflict when the name is taken."""
    if connection.scalar(select(qos_specs.c.id).where(qos_specs.c.name == wanted.name)) is not None:
        raise Conflict(f"QoS Specs {wanted.name} already exists.")
    connection.execute(insert(qos_specs).values(columns_of(qos_specs, wanted)))
    return wanted


def change(connection: Connection, qos_id: str, now_us: int, **columns: Any) -> QosSpecs:
    """Change QoS specs. Volumes that there are keep their limits until they are retyped."""
    query = update(qos_specs).where(qos_specs.c.id == qos_id)
    connection.execute(query.values(**columns, updated_at_us=now_us))
    return get(connection, qos_id)


def remove(connection: Connection, qos_id: str, force: bool) -> None:
    """Forget QoS specs. Raise Invalid while types refer to them, unless they are to be made to let go."""
    if types_with(connection, qos_id) and not force:
        raise Invalid(f"QoS Specs {qos_id} is still associated with entities.")
    disassociate_all(connection, qos_id)
    connection.execute(delete(qos_specs).where(qos_specs.c.id == qos_id))


def types_with(connection: Connection, qos_id: str) -> list[VolumeType]:
    """Return the types that refer to QoS specs."""
    query = select(types_table).where(types_table.c.qos_specs_id == qos_id).order_by(types_table.c.name)
    return [record_of(VolumeType, row) for row in connection.execute(query)]


def associate(connection: Connection, qos_id: str, type_id: str) -> None:
    """Have a type refer to QoS specs. Raise Invalid when it refers to others."""
    known = volume_types.get(connection, type_id)
    if known.qos_specs_id not in (None, qos_id):
        raise Invalid(f"Type {type_id} is already associated with another qos specs: {known.qos_specs_id}")
    connection.execute(update(types_table).where(types_table.c.id == type_id).values(qos_specs_id=qos_id))


def disassociate(connection: Connection, qos_id: str, type_id: str) -> None:
    """Have a type refer to QoS specs no more."""
    volume_types.get(connection, type_id)
    query = update(types_table).where(types_table.c.id == type_id, types_table.c.qos_specs_id == qos_id)
    connection.execute(query.values(qos_specs_id=None))


def disassociate_all(connection: Connection, qos_id: str) -> None:
    """Have no type refer to QoS specs any more."""
    query = update(types_table).where(types_table.c.qos_specs_id == qos_id)
    connection.execute(query.values(qos_specs_id=None))


def of_type(connection: Connection, type_id: str) -> QosSpecs | None:
    """Return what limits volumes of a type; None: nothing does."""
    qos_id = connection.scalar(select(types_table.c.qos_specs_id).where(types_table.c.id == type_id))
    return None if qos_id is None else get(connection, qos_id)


def gateway_limits(connection: Connection, type_id: str) -> dict[str, int]:
    """Return what the gateway limits volumes of a type to, as fields of its `Limits`; 0: to nothing."""
    found = of_type(connection, type_id)
    limits = dict.fromkeys(LIMITS.values(), 0)
    if found is not None and found.consumer in (BACK_END, BOTH):
        for name, value in found.specs.items():
            if name in LIMITS and value.isascii() and value.isdigit():
                limits[LIMITS[name]] = int(value)
    return limits


def host_specs(connection: Connection, type_id: str) -> dict[str, str] | None:
    """Return what a host limits volumes of a type to; None: nothing."""
    found = of_type(connection, type_id)
    return dict(found.specs) if found is not None and found.consumer in (FRONT_END, BOTH) else None
