"""Operations that list: the query, the caller's projects, a page, links."""

import ast
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Row, Table, and_, exists

from cluster.controlplane.answer import Answer, ok
from compute.volumes import listing
from compute.volumes.api.requests import Request, at_least, sees_all
from compute.volumes.errors import Invalid
from compute.volumes.listing import Listed

Show = Callable[[Request, Sequence["Row[Any]"]], list[dict[str, Any]]]  # rows as documents
Special = Callable[[str], "ColumnElement[bool]"]  # a filter that is no column

_PAGING = frozenset(("limit", "marker", "offset", "sort", "sort_key", "sort_dir", "with_count", "all_tenants"))
_PROJECTS = frozenset(("project_id", "tenant_id"))
LIKE_SINCE, STRICT_SINCE, COUNT_SINCE, MOMENTS_SINCE = 34, 31, 45, 60


def answer_of(
    context: Request,
    listed: Listed,
    name: str,
    show: Show,
    special: Mapping[str, Special] | None = None,
    project_column: str = "project_id",
) -> Answer:
    """Return a page of what the projects have that the caller sees."""
    seen = _of_projects(context, listed, project_column)
    return page_of(context, listed, name, show, seen, special, _PROJECTS)


def page_of(
    context: Request,
    listed: Listed,
    name: str,
    show: Show,
    seen: "Sequence[ColumnElement[bool]]",
    special: Mapping[str, Special] | None = None,
    ignored: Collection[str] = (),
) -> Answer:
    """Return a page of what the query asks for (but for `ignored`), of the rows that fulfil `seen`."""
    special, chosen = special or {}, list[ColumnElement[bool]]()
    filters: dict[str, str] = {}
    for key, text in context.query.items():
        if key in special:
            chosen.append(special[key](text))
        elif _is_known(context, listed, key):
            filters[key] = text
        elif key not in _PAGING and key not in ignored and at_least(context, STRICT_SINCE):
            raise Invalid(f"Invalid input received: Invalid filters {key} are found in query options.")
    wish = listing.wish_of(context.query, filters)
    page = listing.fetch(context.connection, listed, wish, seen, chosen, context.parts.settings.page_limit)
    document: dict[str, Any] = {name: show(context, page.rows)}
    if page.more and page.rows:
        document[f"{name}_links"] = [{"rel": "next", "href": _next(context, page.rows[-1].id)}]
    if at_least(context, COUNT_SINCE) and listing.truth(context.query.get("with_count", "false"), "with_count"):
        document["count"] = listing.count(context.connection, listed, wish, [*seen, *chosen])
    return ok(document)


def with_words(table: Table, owner: "ColumnElement[str]") -> Special:
    """Return the filter of those that have all words of a dictionary, as in `metadata={'a': 'b'}`."""
    own = next(iter(table.primary_key.columns))

    def condition(text: str) -> "ColumnElement[bool]":
        wanted = dictionary(text)
        return and_(
            owner.is_not(None),
            *(
                exists().where(own == owner, table.c.key == key, table.c.value == value)
                for key, value in wanted.items()
            ),
        )

    return condition


def dictionary(text: str) -> dict[str, str]:
    """Return the dictionary that a filter is. Raise Invalid."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(each, str) for pair in found.items() for each in pair):
        raise Invalid(f"Invalid input received: {text} is no dictionary of texts.")
    return found


def _of_projects(context: Request, listed: Listed, column: str) -> "list[ColumnElement[bool]]":
    """Return which projects' rows are shown: the caller's, or those that an administrator asks for."""
    project = listed.table.c[column]
    if not sees_all(context):
        return [project == context.project_id]
    wanted = context.query.get("project_id") or context.query.get("tenant_id")
    if listing.truth(context.query.get("all_tenants", "false") or "false", "all_tenants"):
        return [project == wanted] if wanted else []
    return [project == (wanted or context.project_id)]


def _is_known(context: Request, listed: Listed, key: str) -> bool:
    if key.endswith("~"):
        return at_least(context, LIKE_SINCE) and key[:-1] in listed.like
    if key in listed.moments and not at_least(context, MOMENTS_SINCE):
        return False
    return key in listed.filters


def _next(context: Request, last_id: str) -> str:
    kept = [(name, value) for name, value in context.query.items() if name not in ("marker", "offset")]
    return f"{context.base_url}{context.request.path}?{urlencode([*kept, ('marker', last_id)])}"
