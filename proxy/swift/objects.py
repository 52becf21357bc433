"""Objects written: PUT, POST, DELETE. Reading is in `reading.py`, copies in `copy.py`."""

from cluster.clock import wall_us
from proxy.http.message import Response
from proxy.objects.errors import NoSuchObject
from proxy.swift import copy, slo, symlink
from proxy.swift.access import require_write
from proxy.swift.call import Call
from proxy.swift.creation import bounded, new_object
from proxy.swift.errors import SwiftError, answer
from proxy.swift.headers import (
    DELETE_AT,
    DLO,
    OBJECT_META,
    content_headers,
    object_system,
    user_metadata,
    written_headers,
)
from proxy.swift.limits import MAX_FILE_SIZE
from proxy.swift.names import check_object
from storage.metadata import ObjectMetadata


async def put(call: Call) -> Response:
    """Store the body; or copy, or make a static large object, when the request says so."""
    account, container, _object = call.name
    await require_write(call, account, container)
    headers = call.request.headers
    if symlink.is_link(headers):
        return await symlink.put(call)
    if call.parameters.get("multipart-manifest") == "put":
        return await slo.put(call)
    if headers.get("x-copy-from"):
        return await copy.put(call)
    if "x-static-large-object" in headers:
        raise SwiftError(400, "X-Static-Large-Object is a reserved header. Use multipart-manifest=put.")
    body = bounded(call.request.body, headers, MAX_FILE_SIZE)
    check_object(call.name)
    info = await call.service.put_object(call.name, body, new_object(call))
    return Response(201, written_headers(info))


async def post(call: Call) -> Response:
    """Replace the object's metadata; data, and what makes it a static large object, stay."""
    account, container, _object = call.name
    await require_write(call, account, container)
    headers = call.request.headers
    symlink.refuse_target(headers)
    user = user_metadata(headers, OBJECT_META)
    kept_headers = dict(content_headers(headers))
    system = object_system(headers, call.now_s)
    modified_us = wall_us()

    def change(old: ObjectMetadata) -> ObjectMetadata:
        if old.system.get(DELETE_AT, call.now_s + 1) <= call.now_s:
            raise NoSuchObject
        kept = {name: value for name, value in old.system.items() if name not in (DELETE_AT, DLO)}
        return old._replace(
            content_type=headers.get("content-type") or old.content_type,
            modified_us=modified_us,
            headers=kept_headers,
            user=user,
            system={**kept, **system},
        )

    symlink.refuse_changed(await call.service.update_object(call.name, change))
    return answer(202)


async def delete(call: Call) -> Response:
    """Delete the object; with multipart-manifest=delete its segments too."""
    account, container, _object = call.name
    await require_write(call, account, container)
    if call.parameters.get("multipart-manifest") == "delete":
        return await slo.delete(call)
    if not await call.service.delete_object(call.name):
        raise SwiftError(404)
    return answer(204)
