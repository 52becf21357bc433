"""Requests that browsers make for pages of another origin.

Source: the Fetch standard, "CORS protocol". What a container allows is its metadata:
X-Container-Meta-Access-Control-Allow-Origin (origins separated by blanks, or *), -Max-Age,
-Expose-Headers. Pages of other origins learn nothing but the status.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from proxy.http.message import Response
from proxy.objects.errors import NoSuchContainer
from proxy.swift.call import Call
from proxy.swift.errors import answer

_PREFIX = "x-container-meta-access-control-"
_EXPOSED = (
    "cache-control",
    "content-language",
    "content-type",
    "etag",
    "expires",
    "last-modified",
    "pragma",
    "x-openstack-request-id",
    "x-timestamp",
    "x-trans-id",
)


async def answer_to_origin(
    call: Call, methods: str, handle: Callable[[Call], Awaitable[Response]]
) -> Response:
    """Answer a request that has an Origin header: `handle` does what it asks for."""
    metadata = await _metadata(call)
    origin = call.request.headers.get("origin")
    allowed = _allowed_origin(metadata, origin)
    if call.request.method == "OPTIONS":
        return _preflight(call, metadata, allowed, methods)
    response = await handle(call)
    if allowed:
        response.headers += _origin_fields(allowed)
        names = [name.lower() for name, _value in response.headers]
        exposed = {*_EXPOSED, *(name for name in names if "-meta-" in name)}
        exposed.update(str(metadata.get(_PREFIX + "expose-headers", "")).lower().split())
        response.headers.append(("Access-Control-Expose-Headers", ", ".join(sorted(exposed))))
    return response


async def _metadata(call: Call) -> Mapping[str, Any]:
    if not call.name.container:
        return {}
    try:
        info = await call.service.container_info(call.name.account, call.name.container)
    except NoSuchContainer:
        return {}
    return info.metadata


def _allowed_origin(metadata: Mapping[str, Any], origin: str) -> str:
    """Return what Access-Control-Allow-Origin says to `origin`, empty when it is not allowed."""
    origins = str(metadata.get(_PREFIX + "allow-origin", "")).split()
    if "*" in origins:
        return "*"
    return origin if origin in origins else ""


def _origin_fields(allowed: str) -> list[tuple[str, str]]:
    fields = [("Access-Control-Allow-Origin", allowed)]
    if allowed != "*":
        fields.append(("Vary", "Origin"))
    return fields


def _preflight(call: Call, metadata: Mapping[str, Any], allowed: str, methods: str) -> Response:
    """Tell whether a page may send the request that it announces."""
    headers = call.request.headers
    if not call.name.container:
        return answer(200, fields=(("Allow", methods),))
    if not allowed or headers.get("access-control-request-method") not in methods.split(", "):
        return answer(401, fields=(("Allow", methods),))
    fields = [*_origin_fields(allowed), ("Allow", methods), ("Access-Control-Allow-Methods", methods)]
    if _PREFIX + "max-age" in metadata:
        fields.append(("Access-Control-Max-Age", str(metadata[_PREFIX + "max-age"])))
    wanted = headers.get("access-control-request-headers")
    if wanted:
        fields += [("Access-Control-Allow-Headers", wanted), ("Vary", "Access-Control-Request-Headers")]
    return answer(200, fields=tuple(fields))
