"""Objects read: GET and HEAD, with ranges and conditions.

The bytes and the headers of an answer are of one version. The usual read opens the object once, and judges
conditions by what was opened.
"""

import secrets
from collections.abc import AsyncGenerator, Sequence

from proxy.http.message import Buffer, Response
from proxy.http.ranges import Range, parse_range, resolve
from proxy.objects.errors import RangeNotSatisfiable, SegmentChanged
from proxy.objects.model import ObjectInfo, ObjectReader
from proxy.swift import large, numbered, slo, symlink
from proxy.swift.access import require_read
from proxy.swift.byteranges import Bounds, ByteRanges
from proxy.swift.call import Call
from proxy.swift.headers import object_headers
from proxy.swift.judgement import judge, range_counts
from proxy.swift.numbered import Numbered


async def get(call: Call) -> Response:
    """Send the object's bytes, or those of what it links to."""
    return await symlink.answer(call, _get)


async def head(call: Call) -> Response:
    """Send the object's headers, or those of what it links to."""
    return await symlink.answer(call, _head)


async def _get(call: Call) -> Response:
    account, container, _object = call.name
    await require_read(call, account, container)
    if call.parameters.get("multipart-manifest") == "get":
        manifest = await slo.get_manifest(call)
        if manifest is not None:
            return manifest
    part = await numbered.find(call)
    if part is not None:
        return await _numbered(call, part)
    headers = call.request.headers
    wanted = parse_range(headers.get("range")) if "range" in headers else None
    if wanted is None:
        return await _whole(call)
    return await (_single(call, wanted[0]) if len(wanted) == 1 else _several(call, wanted))


async def _head(call: Call) -> Response:
    account, container, _object = call.name
    await require_read(call, account, container)
    if call.parameters.get("multipart-manifest") == "get":
        manifest = await slo.get_manifest(call)
        if manifest is not None:
            return manifest
    part = await numbered.find(call)
    if part is not None:
        return Response(206, [*object_headers(part.info), *part.fields()], length=part.end - part.start)
    info = await call.service.head_object(call.name)
    judge(call, info)
    return Response(200, object_headers(info), length=info.metadata.size)


async def _checked(call: Call, reader: ObjectReader) -> ObjectReader:
    """Return `reader`; close it and raise SwiftError when the request shall not have it."""
    try:
        judge(call, reader.info)
        await large.require_segments(call, reader.info)
    except BaseException:
        await reader.pieces.aclose()
        raise
    return reader


async def _whole(call: Call) -> Response:
    reader = await _checked(call, await call.service.get_object(call.name))
    return _response(reader, 200, object_headers(reader.info))


def _response(reader: ObjectReader, status: int, fields: list[tuple[str, str]]) -> Response:
    if reader.data is not None:
        return Response(status, fields, reader.data)
    return Response(status, fields, reader.pieces, reader.end - reader.start)


async def _single(call: Call, wanted: Range) -> Response:
    try:
        reader = await call.service.get_object(call.name, wanted)
    except RangeNotSatisfiable:
        info = await call.service.head_object(call.name)
        judge(call, info)
        # the last bytes of nothing are nothing, and no Content-Range could say which (as in Swift)
        last_of_nothing = wanted[0] is None and wanted[1] and not info.metadata.size
        if range_counts(call.request.headers, info) and not last_of_nothing:
            raise
        return await _whole(call)
    await _checked(call, reader)
    if not range_counts(call.request.headers, reader.info):
        await reader.pieces.aclose()
        return await _whole(call)
    fields = object_headers(reader.info)
    fields.append(("Content-Range", f"bytes {reader.start}-{reader.end - 1}/{reader.info.metadata.size}"))
    return _response(reader, 206, fields)


async def _numbered(call: Call, part: Numbered) -> Response:
    reader = await _checked(call, await call.service.get_object(call.name, (part.start, part.end - 1)))
    if reader.info.timestamp != part.info.timestamp:
        await reader.pieces.aclose()
        raise SegmentChanged("the object was replaced while its segment was looked for")
    return _response(reader, 206, [*object_headers(reader.info), *part.fields()])


async def _several(call: Call, wanted: Sequence[Range]) -> Response:
    info = await call.service.head_object(call.name)
    judge(call, info)
    size = info.metadata.size
    bounds = [found for each in wanted if (found := resolve(each, size)) is not None]
    if not range_counts(call.request.headers, info):
        return await _whole(call)
    if not bounds:
        raise RangeNotSatisfiable(size)
    if len(bounds) == 1:
        start, end = bounds[0]
        return await _single(call, (start, end - 1))
    if sum(end - start for start, end in bounds) > size:  # overlaps: the whole is less to send
        return await _whole(call)
    await large.require_segments(call, info)
    frame = ByteRanges(bounds, size, info.metadata.content_type, secrets.token_hex(16))
    fields = [("Content-Type", frame.content_type), *object_headers(info)[1:]]
    return Response(206, fields, _parts(call, info, frame), frame.length())


async def _parts(call: Call, info: ObjectInfo, frame: ByteRanges) -> AsyncGenerator[Buffer, None]:
    """Yield the parts, all of the version `info`. Raise SegmentChanged when it is replaced meanwhile."""
    for index, bounds in enumerate(frame.bounds):
        yield frame.before(index)
        async for piece in _part(call, info, bounds):
            yield piece
    yield frame.after()


async def _part(call: Call, info: ObjectInfo, bounds: Bounds) -> AsyncGenerator[Buffer, None]:
    start, end = bounds
    reader = await call.service.get_object(call.name, (start, end - 1))
    try:
        if reader.info.timestamp != info.timestamp:
            raise SegmentChanged("the object was replaced while its ranges were sent")
        async for piece in reader.pieces:
            yield piece
    finally:
        await reader.pieces.aclose()
