"""What nouns work with: a transaction, how the service behaves, and what time it is. Rows that all nouns have alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from compute.network.attributes import Noun
from compute.network.schema import tags
from compute.network.settings import Settings
from compute.records import IDS_PER_QUERY, new_id

AnyRow = Row[Any]


@dataclass(frozen=True, slots=True)
class Work:
    """One transaction."""

    connection: Connection
    settings: Settings
    now_us: int

    def find(self, noun: Noun, identifier: str) -> AnyRow:
        """Return a row. Raise the noun's NotFound."""
        row = self.connection.execute(select(noun.table).where(noun.table.c.id == identifier)).one_or_none()
        if row is None:
            raise noun.missing(id=identifier)
        return row

    def add(self, noun: Noun, values: Mapping[str, Any]) -> str:
        """Add a row, and return its id."""
        identifier = new_id()
        moments = {"created_at_us": self.now_us, "updated_at_us": self.now_us}
        self.connection.execute(insert(noun.table).values(id=identifier, revision_number=1, **moments, **values))
        return identifier

    def revise(self, noun: Noun, identifier: str, values: Mapping[str, Any] | None = None) -> None:
        """Change a row, or note that something that belongs to it has changed."""
        table = noun.table
        changed = {**(values or {}), "revision_number": table.c.revision_number + 1, "updated_at_us": self.now_us}
        self.connection.execute(update(table).where(table.c.id == identifier).values(**changed))

    def remove(self, noun: Noun, identifier: str) -> None:
        """Delete a row, and the tags that it has."""
        self.connection.execute(delete(tags).where(tags.c.resource_id == identifier))
        self.connection.execute(delete(noun.table).where(noun.table.c.id == identifier))


def tags_of(connection: Connection, ids: list[str]) -> dict[str, list[str]]:
    """Return the tags of each, in order."""
    found: dict[str, list[str]] = {each: [] for each in ids}
    for start in range(0, len(ids), IDS_PER_QUERY):
        query = select(tags).where(tags.c.resource_id.in_(ids[start : start + IDS_PER_QUERY])).order_by(tags.c.tag)
        for row in connection.execute(query):
            found[row.resource_id].append(row.tag)
    return found


def standard_of(row: AnyRow) -> dict[str, Any]:
    """Return what documents of all nouns have."""
    return {
        "id": row.id,
        "project_id": row.project_id,
        "tenant_id": row.project_id,
        "description": row.description,
        "revision_number": row.revision_number,
        "created_at": moment(row.created_at_us),
        "updated_at": moment(row.updated_at_us),
    }


def moment(us: int) -> str:
    """Return a moment as Neutron tells it."""
    return datetime.fromtimestamp(us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
