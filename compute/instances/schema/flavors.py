"""Flavors: what servers are made of."""

from sqlalchemy import Boolean, Column, Float, ForeignKey, Integer, String, Table, Text

from cluster.controlplane.columns import ID_LIMIT, NAME_LIMIT, json, moments, own_id
from compute.instances.schema.base import metadata

# id: a client's own, perhaps. extra_specs: what the service, the scheduler and the host are told of the kind.
flavors = Table(
    "flavors",
    metadata,
    own_id(limit=NAME_LIMIT),
    Column("name", String(NAME_LIMIT), nullable=False, unique=True),
    Column("description", Text, nullable=True),
    Column("memory_mib", Integer, nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("disk_gb", Integer, nullable=False),
    Column("ephemeral_gb", Integer, nullable=False),
    Column("swap_mib", Integer, nullable=False),
    Column("rxtx_factor", Float, nullable=False),
    Column("is_public", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
    json("extra_specs"),
    *moments(),
)

# Projects that may use a flavor which is not public.
flavor_access = Table(
    "flavor_access",
    metadata,
    Column("flavor_id", String(NAME_LIMIT), ForeignKey("flavors.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", String(ID_LIMIT), primary_key=True),
)
