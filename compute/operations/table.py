"""The table of operations. Each service that has some takes it into its own database: `operations.to_metadata(…)`."""

from sqlalchemy import JSON, BigInteger, Column, Integer, MetaData, String, Table, UniqueConstraint

_ID, _NAME, _KIND = 64, 255, 32  # characters

operations = Table(
    "operations",
    MetaData(),
    Column("id", String(_ID), primary_key=True),
    Column("kind", String(_KIND), nullable=False),
    Column("subject", String(_NAME), nullable=False),
    Column("project_id", String(_ID), nullable=False),
    Column("request_id", String(_NAME), nullable=False),
    Column("step", String(_NAME), nullable=False),
    Column("details", JSON, nullable=False),
    Column("owner", String(_NAME), nullable=True),  # the process that does it; NULL: nobody yet
    Column("claimed_until_us", BigInteger, nullable=False),
    Column("not_before_us", BigInteger, nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    UniqueConstraint("subject"),
)
