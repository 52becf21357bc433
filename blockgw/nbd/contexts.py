"""Metadata contexts: which ones a query means, and which ones a connection has chosen. No I/O.

Source: doc/proto.md, "Metadata querying". A context's id is its place in the list of those that the
export had when the client chose.
"""

from collections.abc import Sequence
from typing import NamedTuple

BASE_ALLOCATION = "base:allocation"
DIRTY_SINCE = "holdfast:dirty-since/"  # and the name of a snapshot

# flags of base:allocation
HOLE = 1 << 0
ZERO = 1 << 1
# flag of dirty-since
DIRTY = 1 << 0


class Context(NamedTuple):
    """One of them, as it was chosen."""

    id: int
    name: str


def listed(queries: Sequence[str], offered: Sequence[str]) -> list[Context]:
    """Return the contexts that LIST shows: all without a query; below a prefix that ends in ":" or "/", or by name."""
    return [
        Context(number, name)
        for number, name in enumerate(offered)
        if not queries or any(_shows(query, name) for query in queries)
    ]


def chosen(queries: Sequence[str], offered: Sequence[str]) -> list[Context]:
    """Return the contexts that SET chooses: those that are named."""
    wanted = frozenset(queries)
    return [Context(number, name) for number, name in enumerate(offered) if name in wanted]


def _shows(query: str, name: str) -> bool:
    return name.startswith(query) if query.endswith((":", "/")) else name == query
