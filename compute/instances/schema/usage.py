"""What servers were there, and how long: also those that are gone."""

from sqlalchemy import BigInteger, Column, Integer, String, Table

from cluster.controlplane.columns import NAME_LIMIT, own_id, owned
from compute.instances.schema.base import metadata

# ended_at_us: NULL: the server is there. A server that was resized has a row for each time.
server_usages = Table(
    "server_usages",
    metadata,
    own_id(),
    Column("server_id", String(64), nullable=False, index=True),
    *owned(),
    Column("name", String(NAME_LIMIT), nullable=False),
    Column("flavor", String(NAME_LIMIT), nullable=False),  # its name
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("disk_gb", Integer, nullable=False),
    Column("began_at_us", BigInteger, nullable=False),
    Column("ended_at_us", BigInteger, nullable=True, index=True),
)
