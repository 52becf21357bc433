"""Hosts as they were seen last, and what an administrator has said of them."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Integer, String, Table, Text

from cluster.controlplane.columns import ID_LIMIT, NAME_LIMIT
from compute.instances.schema.base import metadata

# id: of the hypervisor; service_id: of its service; number: of both, in old versions of the API. state:
# `compute.agent.guest.HostState`; NULL: never seen.
hosts = Table(
    "hosts",
    metadata,
    Column("name", String(NAME_LIMIT), primary_key=True),
    Column("id", String(ID_LIMIT), nullable=False, unique=True),
    Column("service_id", String(ID_LIMIT), nullable=False, unique=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("state", JSON(none_as_null=True), nullable=True),
    Column("seen_at_us", BigInteger, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("disabled_reason", Text, nullable=True),
    Column("forced_down", Boolean, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
)
