"""Listings of which there are few rows: the query, a page by limit and marker, the link to the next."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from compute.instances.api.forms import number
from compute.instances.api.requests import Request, at_least
from compute.instances.errors import Invalid

T = TypeVar("T")

STRICT_SINCE = 75  # unknown names in a query are refused
PAGING = frozenset(("limit", "marker"))


def check_query(context: Request, known: Collection[str], strict_since: int = STRICT_SINCE) -> None:
    """Raise Invalid when the query has names that are not known, in versions that refuse them."""
    unknown = sorted(set(context.query) - set(known))
    if unknown and at_least(context, strict_since):
        raise Invalid(f"Additional properties are not allowed ('{unknown[0]}' was unexpected)")


def page(context: Request, rows: Sequence[T], identify: Callable[[T], str]) -> list[T]:
    """Return what the query's limit and marker leave of rows. Raise Invalid when the marker is none of them."""
    limit, marker = limit_of(context), context.query.get("marker")
    if marker:
        places = [index for index, row in enumerate(rows) if identify(row) == marker]
        if not places:
            raise Invalid(f"marker [{marker}] not found")
        rows = rows[places[-1] + 1 :]
    return list(rows[:limit])


def limit_of(context: Request) -> int:
    """Return how many rows a page has. Raise Invalid."""
    most = context.parts.settings.page_limit
    text = context.query.get("limit")
    return most if text is None else min(number(text, "limit", 0), most)


def next_links(context: Request, name: str, shown: Sequence[T], identify: Callable[[T], str]) -> dict[str, Any]:
    """Return `{NAME_links: …}` behind a full page, which is not the last, perhaps; else nothing."""
    if not shown or len(shown) < limit_of(context):
        return {}
    kept = [(key, value) for key, values in context.query_lists.items() for value in values if key not in ("marker",)]
    query = urlencode([*kept, ("marker", identify(shown[-1]))])
    return {f"{name}_links": [{"rel": "next", "href": f"{context.base_url}{context.request.path}?{query}"}]}
