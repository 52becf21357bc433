"""What tables of services are made of: the names of their constraints, and columns that many of them have.

Ids are UUIDs with hyphens. Moments are integers: microseconds since 1970, UTC.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, MetaData, String

ID_LIMIT = 64  # characters
NAME_LIMIT = 255


def new_metadata() -> MetaData:
    """Return a place for the tables of a service. Constraints have names, so that migrations can change them."""
    return MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def own_id(name: str = "id", limit: int = ID_LIMIT) -> "Column[str]":
    """Return the primary key."""
    return Column(name, String(limit), primary_key=True)


def other(name: str, index: bool = False) -> "Column[str]":
    """Return the id of something that may be gone, or is known elsewhere."""
    return Column(name, String(ID_LIMIT), nullable=True, index=index)


def part_of(name: str, target: str) -> "Column[str]":
    """Return a reference that is part of the primary key; the row goes with what it belongs to."""
    return Column(name, String(ID_LIMIT), ForeignKey(target, ondelete="CASCADE"), primary_key=True)


def owned() -> "list[Column[str]]":
    """Return whose a row is."""
    return [
        Column("project_id", String(ID_LIMIT), nullable=False, index=True),
        Column("user_id", String(ID_LIMIT), nullable=False),
    ]


def moments() -> "list[Column[int]]":
    """Return when a row was made, and changed last."""
    return [Column("created_at_us", BigInteger, nullable=False), Column("updated_at_us", BigInteger, nullable=True)]


def json(name: str) -> "Column[dict[str, Any]]":
    """Return a column of a document."""
    return Column(name, JSON, nullable=False)
