"""Pages of a listing, by limit and marker, and the links between them.

Rows come in the order of their ids, and the marker is the id of the last row that the client has: a page is found
without counting, and rows that come or go meanwhile move no others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Connection, Row, Select

from cluster.controlplane.errors import Malformed

ROWS_LIMIT = 10_000  # of one page, whatever the client asks for


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows a client asks for."""

    limit: int | None = None  # rows at most; None: as many as we give
    marker: str | None = None  # id of the row before the first one

    @classmethod
    def of_query(cls, query: Mapping[str, str]) -> "Page":
        """Return what the query asks for. Raise Malformed."""
        text = query.get("limit")
        if text is None:
            return cls(marker=query.get("marker"))
        if not (text.isascii() and text.isdigit()):
            raise Malformed(f"Invalid input for field 'limit': {text!r} is not a number from 0 on.")
        return cls(int(text[:9]), query.get("marker"))

    @property
    def rows(self) -> int:
        """Return how many rows the page may have."""
        return ROWS_LIMIT if not self.limit else min(self.limit, ROWS_LIMIT)


@dataclass(frozen=True, slots=True)
class Listing:
    """The rows of a page."""

    rows: Sequence[Row[Any]]
    more: bool  # there are rows after these


def fetch(connection: Connection, query: "Select[Any]", key: "ColumnElement[str]", page: Page) -> Listing:
    """Return the rows of `page`; `key` is the column that rows are ordered by, and that markers are of."""
    query = query.order_by(key).limit(page.rows + 1)
    if page.marker is not None:
        query = query.where(key > page.marker)
    rows = connection.execute(query).all()
    return Listing(rows[: page.rows], len(rows) > page.rows)


def next_link(url: str, query: Sequence[tuple[str, str]], page: Page, last_id: str) -> str:
    """Return where the page after the one at `url` with `query` is."""
    kept = [(name, value) for name, value in query if name not in ("marker", "limit")]
    limit = [("limit", str(page.limit))] if page.limit else []
    return f"{url}?{urlencode([*kept, *limit, ('marker', last_id)])}"
