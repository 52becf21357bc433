"""Key pairs: public keys that servers let in; of users, whatever the project."""

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text

from cluster.controlplane.columns import ID_LIMIT, NAME_LIMIT
from compute.instances.schema.base import metadata

# number: what old versions of the API show as the id.
key_pairs = Table(
    "key_pairs",
    metadata,
    Column("user_id", String(ID_LIMIT), primary_key=True),
    Column("name", String(NAME_LIMIT), primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("type", String(8), nullable=False),  # ssh, x509
    Column("fingerprint", String(NAME_LIMIT), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
)
