"""Server groups: servers that shall be together, or apart."""

from sqlalchemy import Column, ForeignKey, Integer, String, Table

from cluster.controlplane.columns import ID_LIMIT, NAME_LIMIT, json, moments, own_id, owned
from compute.instances.schema.base import metadata

server_groups = Table(
    "server_groups",
    metadata,
    own_id(),
    *owned(),
    Column("name", String(NAME_LIMIT), nullable=False),
    Column("policy", String(32), nullable=False),
    json("rules"),  # max_server_per_host
    *moments(),
)

# A server is in one group at most, from its first moment on; its row here goes when the server goes.
server_group_members = Table(
    "server_group_members",
    metadata,
    Column("server_id", String(ID_LIMIT), primary_key=True),
    Column(
        "group_id", String(ID_LIMIT), ForeignKey("server_groups.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("place", Integer, nullable=False),  # in the order of joining
)
