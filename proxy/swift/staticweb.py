"""Containers as web sites: index pages, listings for people, error pages of the site's own.

Source: "Static Web middleware" in Swift's documentation. Visitors without a token get a site, those with one only
if they ask for it (X-Web-Mode), and those with a temporary URL for a prefix. What a site has is metadata of its
container: X-Container-Meta-Web-Index, -Web-Error, -Web-Listings, -Web-Listings-CSS, -Web-Listings-Label,
-Web-Directory-Type.

An object that is there is sent as ever, and costs no more: all else begins with a 404, or with a container's URL.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from proxy.http.message import Headers, Request, Response
from proxy.objects.errors import NoSuchContainer
from proxy.objects.model import ContainerInfo, ListingQuery, ObjectName
from proxy.swift import webpage
from proxy.swift.access import require_read
from proxy.swift.call import Call
from proxy.swift.errors import HTML, SwiftError, answer
from proxy.swift.limits import CONTAINER_LISTING_LIMIT
from proxy.swift.names import decode
from proxy.swift.parameters import is_true
from proxy.swift.tempurl import GENERATED

_META = "x-container-meta-web-"
_DIRECTORY = "application/directory"

Handle = Callable[[Call], Awaitable[Response]]  # answers as if there were no sites; raises no SwiftError


@dataclass(frozen=True, slots=True)
class Site:
    """What a container says of itself as a site; empty: it does not."""

    index: str = ""
    error: str = ""
    listings: str = ""
    listings_css: str = ""
    listings_label: str = ""
    directory_type: str = ""

    @property
    def is_one(self) -> bool:
        """Tell whether the container is a site at all."""
        return bool(self.index or self.listings)


def site_of(metadata: Mapping[str, Any]) -> Site:
    """Return the site that a container's metadata describe."""
    names = ("index", "error", "listings", "listings-css", "listings-label", "directory-type")
    return Site(*(str(metadata.get(_META + name, "")).strip() for name in names))


def is_visit(call: Call) -> bool:
    """Tell whether a request may be a visitor's of a site."""
    if call.request.method not in ("GET", "HEAD") or not call.name.container:
        return False
    if call.user is not None:
        return is_true(call.request.headers.get("x-web-mode"))
    return call.grant is None or call.grant.prefix is not None


async def visit(call: Call, handle: Handle) -> Response:
    """Answer a visitor."""
    return await (_visit_object if call.name.object else _visit_container)(call, handle)


async def _visit_container(call: Call, handle: Handle) -> Response:
    account, container, _object = call.name
    site = await _site(call)
    try:
        await require_read(call, account, container, listing=True)
    except SwiftError as error:
        return await _with_page(call, handle, site, error.response())
    if not site.is_one:
        return answer(404) if is_true(call.request.headers.get("x-web-mode")) else await handle(call)
    if not _path(call).endswith("/"):
        return _to_directory(call)
    if site.index:
        found = await handle(_at(call, site.index))
        if found.status < 400:
            return found
        if found.status != 404:
            return await _with_page(call, handle, site, found)
    return await _listing(call, handle, site)


async def _visit_object(call: Call, handle: Handle) -> Response:
    found = await handle(call)
    if found.status != 404 and (found.status >= 400 or not await _is_directory(call, found)):
        return found
    site = await _site(call)
    if not site.is_one:
        return found
    await _discard(found)
    is_directory = _path(call).endswith("/")
    if site.index:
        inside = await handle(_at(call, f"{call.name.object.removesuffix('/')}/{site.index}"))
        if inside.status < 400 and not is_directory:
            await _discard(inside)
            return _to_directory(call)
        if inside.status != 404:
            return inside
    if is_directory:
        return await _listing(call, handle, site)
    if await _is_listed(call, call.name.object + "/"):
        return _to_directory(call)
    return await _with_page(call, handle, site, answer(404))


async def _info(call: Call) -> ContainerInfo | None:
    try:
        return await call.service.container_info(call.name.account, call.name.container)
    except NoSuchContainer:
        return None


async def _site(call: Call) -> Site:
    info = await _info(call)
    return Site() if info is None else site_of(info.metadata)


async def _is_directory(call: Call, found: Response) -> bool:
    """Tell whether an object only stands for a directory: nothing in it, and its type says so."""
    length = len(found.body) if isinstance(found.body, bytes | bytearray | memoryview) else 0
    if found.status != 200 or (found.length or length) > 1:
        return False
    wanted = (await _site(call)).directory_type or _DIRECTORY
    return any(name == "Content-Type" and value == wanted for name, value in found.headers)


async def _discard(response: Response) -> None:
    """Let go of an answer that is not sent."""
    close = getattr(response.body, "aclose", None)
    if close is not None:
        await close()


def _path(call: Call) -> str:
    return decode(call.request.path)


def _at(call: Call, name: str) -> Call:
    """Return the same request for another object of the container."""
    return replace(call, name=ObjectName(call.name.account, call.name.container, name))


def _to_directory(call: Call) -> Response:
    """Return what sends the visitor to the same path with a slash at its end, so that relative links are right."""
    request = call.request
    scheme = "https" if request.secure else "http"
    location = f"{scheme}://{request.headers.get('host') or 'localhost'}{quote(_path(call))}/"
    return answer(301, fields=(("Location", location),))


async def _with_page(call: Call, handle: Handle, site: Site, error: Response) -> Response:
    """Return an error with the body that the site has for its status, or as it is."""
    if not site.error:
        return error
    request = call.request
    kept = [(name, request.headers.get(name)) for name in ("host", "referer", "origin") if name in request.headers]
    asked = Request("GET", request.path, "", Headers(kept), request.body, request.id, request.peer, request.secure)
    page = await handle(replace(_at(call, f"{error.status}{site.error}"), request=asked))
    if not 200 <= page.status < 300:
        return error
    await _discard(error)
    page.status = error.status
    return page


async def _is_listed(call: Call, prefix: str) -> bool:
    """Tell whether the visitor may see that there is something under `prefix`, and there is."""
    account, container, _object = call.name
    try:
        await require_read(call, account, container, listing=True)
    except SwiftError:
        return False
    query = ListingQuery(limit=1, prefix=prefix)
    return bool((await call.service.list_container(account, container, query)).items)


async def _listing(call: Call, handle: Handle, site: Site) -> Response:
    """Return a page that lists the container, or a directory of it."""
    account, container, prefix = call.name
    label = _path(call)
    if site.listings_label:
        label = f"{site.listings_label}/{prefix}"
    if not is_true(site.listings):
        body = webpage.no_listing(label, site.listings_css, prefix, site.index)
        return await _with_page(call, handle, site, Response(404, [("Content-Type", HTML)], body.encode()))
    try:
        await require_read(call, account, container, listing=True)
    except SwiftError as error:
        return await _with_page(call, handle, site, error.response())
    query = ListingQuery(limit=CONTAINER_LISTING_LIMIT, prefix=prefix, delimiter="/")
    items = (await call.service.list_container(account, container, query)).items
    if prefix and not items:
        return await _with_page(call, handle, site, answer(404))
    base, parameters = (call.grant.prefix or "", call.grant.query) if call.grant else ("", "")
    body = webpage.listing(items, label, site.listings_css, prefix, len(prefix) > len(base), parameters)
    fields = [("Content-Type", HTML), *([GENERATED] if call.grant else [])]
    return Response(200, fields, body.encode())
