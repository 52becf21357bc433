"""Containers: made, listed, described, changed, deleted.

A container is a bucket too: a new one claims its name for its account in S3's global name space when
nobody has it. When another account has it, this container is seen through Swift only.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from cluster.clock import microseconds_of
from proxy.http.message import Response
from proxy.objects.errors import ContainerTaken, NoSuchContainer
from proxy.objects.model import CommonPrefix, ContainerInfo, ContainerListing, ListingQuery
from proxy.swift import acl, listing, quotas
from proxy.swift.access import OWNER_HEADERS, READ_ACL, WRITE_ACL, owns, require_container_writer, require_read
from proxy.swift.call import Call
from proxy.swift.errors import Fields, SwiftError, answer
from proxy.swift.headers import (
    CONTAINER_META,
    check_total,
    last_modified,
    metadata_changes,
    timestamp_text,
    titled,
)
from proxy.swift.limits import CONTAINER_LISTING_LIMIT
from proxy.swift.names import check_container
from proxy.swift.queries import content_type, listing_query
from storage.messages import Row


async def get(call: Call) -> Response:
    """List the container's objects."""
    account, container, _object = call.name
    await require_read(call, account, container, listing=True)
    wanted = content_type(call.request.headers, call.parameters)
    query = listing_query(call.parameters, CONTAINER_LISTING_LIMIT)
    if "path" in call.parameters:
        found = await _list_path(call, query)
    else:
        found = await call.service.list_container(account, container, query)
    if wanted == listing.JSON:
        body = listing.container_json(found.items)
    elif wanted == listing.PLAIN:
        body = listing.plain(found.items)
    else:
        body = listing.container_xml(found.items, container)
    fields = [*_headers(call, found.info), ("Content-Type", f"{wanted}; charset=utf-8")]
    if "format" not in call.parameters:
        fields.append(("Vary", "Accept"))
    return Response(200 if body else 204, fields, body)


async def _list_path(call: Call, query: ListingQuery) -> ContainerListing:
    """List what lies directly under a path, and the objects that stand for its directories.

    A directory is an object only when it is there under the very name of the common prefix: the first
    that begins with it.
    """
    account, container, _object = call.name
    items: list[Row | CommonPrefix] = []
    while True:
        found = await call.service.list_container(account, container, query)
        for item in found.items:
            if isinstance(item, CommonPrefix):
                inside = ListingQuery(limit=1, prefix=str(item))
                first = await call.service.list_container(account, container, inside)
                items += [row for row in first.items if isinstance(row, Row) and row.name == item]
            elif item.name != query.prefix:
                items.append(item)
        if not found.truncated or len(items) >= query.limit:
            return ContainerListing(found.info, items[: query.limit], found.truncated)
        last = found.items[-1]
        query = replace(query, marker=last.name if isinstance(last, Row) else str(last))


async def head(call: Call) -> Response:
    """Tell the container's totals and metadata."""
    account, container, _object = call.name
    await require_read(call, account, container, listing=True)
    wanted = content_type(call.request.headers, call.parameters)
    info = await call.service.container_info(account, container)
    return Response(204, [*_headers(call, info), ("Content-Type", f"{wanted}; charset=utf-8")])


async def put(call: Call) -> Response:
    """Make the container, or bring its metadata up to date."""
    await require_container_writer(call)
    account, container, _object = call.name
    changes = _changes(call)
    policy = call.request.headers.get("x-storage-policy")
    if policy and policy.lower() != call.config.policy.lower():
        raise SwiftError(400, f"Invalid X-Storage-Policy '{policy}'")
    if changes:
        with suppress(NoSuchContainer):
            info = await call.service.container_info(account, container)
            check_total(info.metadata, changes, CONTAINER_META)
    values = {name: value for name, value in changes.items() if value is not None}
    created = await make(call, container, values)
    removed = {name: None for name, value in changes.items() if value is None}
    if removed and not created:
        await call.service.update_container(account, container, removed)
    return answer(201 if created else 202)


async def make(call: Call, container: str, metadata: Mapping[str, str]) -> bool:
    """Make a container of the request's account, or merge its metadata; tell whether it is new."""
    check_container(container)
    account = call.name.account
    created = await call.service.create_container(account, container, metadata)
    if await call.service.bucket_owner(container) is None:
        with suppress(ContainerTaken):
            await call.service.claim_bucket(container, account)
    return created


async def post(call: Call) -> Response:
    """Change the container's metadata."""
    await require_container_writer(call)
    account, container, _object = call.name
    changes = _changes(call)
    info = await call.service.container_info(account, container)
    if changes:
        check_total(info.metadata, changes, CONTAINER_META)
        await call.service.update_container(account, container, changes)
    return answer(204)


async def delete(call: Call) -> Response:
    """Delete the container, which must be empty."""
    await require_container_writer(call)
    await remove(call, call.name.container)
    return answer(204)


async def remove(call: Call, container: str) -> None:
    """Delete a container of the request's account, and give its bucket name back."""
    account = call.name.account
    await call.service.delete_container(account, container)
    with suppress(ContainerTaken):  # another account's bucket of this name stays
        await call.service.release_bucket(container, account)


def _changes(call: Call) -> dict[str, str | None]:
    """Return what a request changes in a container's metadata, and if the account's owner asks in its access lists."""
    headers = call.request.headers
    quotas.check_container(headers)
    changes = metadata_changes(headers, CONTAINER_META)
    for name in (READ_ACL, WRITE_ACL):
        if name in headers:
            try:
                changes[name] = acl.clean(headers.get(name), writing=name == WRITE_ACL) or None
            except ValueError as error:
                raise SwiftError(400, str(error)) from None
        elif f"x-remove-{name.removeprefix('x-')}" in headers:
            changes[name] = None
    if owns(call, call.name.account):
        return changes
    return {name: value for name, value in changes.items() if name not in OWNER_HEADERS}


def _headers(call: Call, info: ContainerInfo) -> Fields:
    """Return what GET and HEAD say of a container; access lists and keys are for its owner."""
    put_us = microseconds_of(info.put_timestamp)
    owned = owns(call, info.account)
    return (
        ("X-Container-Object-Count", str(info.object_count)),
        ("X-Container-Bytes-Used", str(info.bytes_used)),
        ("X-Timestamp", timestamp_text(info.created_us)),
        ("X-Put-Timestamp", timestamp_text(put_us)),
        ("Last-Modified", last_modified(put_us)),
        ("Accept-Ranges", "bytes"),
        ("X-Storage-Policy", call.config.policy),
        *(
            (titled(name), str(value))
            for name, value in info.metadata.items()
            if name.startswith((CONTAINER_META, READ_ACL, WRITE_ACL)) and (owned or name not in OWNER_HEADERS)
        ),
    )
