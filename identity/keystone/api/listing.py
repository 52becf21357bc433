"""How resources are shown: one by its name, many as a collection with links."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from cluster.controlplane.answer import Answer, ok
from cluster.controlplane.paging import next_link
from identity.keystone.api.context import Context
from identity.keystone.records import Record, document_of

T = TypeVar("T", bound=Record)

Document = dict[str, Any]


def shown(context: Context, collection: str, record: Record) -> Document:
    """Return the document of a resource, with the link to itself."""
    return {**document_of(record), "links": {"self": context.url(f"{collection}/{record.id}")}}


def collection(context: Context, name: str, documents: Sequence[Mapping[str, Any]], more: bool = False) -> Answer:
    """Return documents as a collection. With `more` there is a link to the page after the last one."""
    url = f"{context.base_url}{context.request.path}"
    query = context.request.query_string
    links = {"self": f"{url}?{query}" if query else url, "previous": None, "next": None}
    body: Document = {name: list(documents), "links": links}
    if more and documents:
        links["next"] = next_link(url, list(context.query.items()), context.page, documents[-1]["id"])
        if context.page.limit is None:
            body["truncated"] = True
    return ok(body)


def page_of(
    context: Context, name: str, found: tuple[Sequence[T], bool], show: Callable[[Context, T], Document]
) -> Answer:
    """Return a page of resources, as `list_page` of a noun finds it, as a collection."""
    records, more = found
    return collection(context, name, [show(context, record) for record in records], more)


def page_within_domain(
    context: Context,
    name: str,
    list_page: Callable[..., tuple[Sequence[T], bool]],
    show: Callable[[Context, T], Document],
) -> Answer:
    """Return a page of what a query asks for. Who has a token for one domain sees what is in that domain."""
    context.enforce(f"identity:list_{name}", {"target.domain_id": context.domain_id})
    query = dict(context.query)
    if context.domain_id is not None and query.setdefault("domain_id", context.domain_id) != context.domain_id:
        return collection(context, name, [])
    return page_of(context, name, list_page(context.connection, query, context.page), show)
