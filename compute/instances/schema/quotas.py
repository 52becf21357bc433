"""Limits of projects, of users within them, and of all who have none of their own."""

from sqlalchemy import BigInteger, Column, String, Table

from cluster.controlplane.columns import ID_LIMIT, NAME_LIMIT
from compute.instances.schema.base import metadata

# user_id: empty: of the whole project.
quotas = Table(
    "quotas",
    metadata,
    Column("kind", String(8), primary_key=True),  # project, class
    Column("owner", String(NAME_LIMIT), primary_key=True),
    Column("user_id", String(ID_LIMIT), primary_key=True),
    Column("resource", String(NAME_LIMIT), primary_key=True),
    Column("limit", BigInteger, nullable=False),
)
