"""Aggregates: hosts that have something in common, such as a zone."""

from sqlalchemy import Column, ForeignKey, Integer, String, Table

from cluster.controlplane.columns import ID_LIMIT, NAME_LIMIT, json, moments
from compute.instances.schema.base import metadata

# number: the id that the API has. metadata: availability_zone, what flavors ask for.
aggregates = Table(
    "aggregates",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("id", String(ID_LIMIT), nullable=False, unique=True),
    Column("name", String(NAME_LIMIT), nullable=False, unique=True),
    json("metadata"),
    *moments(),
)

aggregate_hosts = Table(
    "aggregate_hosts",
    metadata,
    Column("aggregate", Integer, ForeignKey("aggregates.number", ondelete="CASCADE"), primary_key=True),
    Column("host", String(NAME_LIMIT), primary_key=True),
)
