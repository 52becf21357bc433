"""Objects: PUT, GET, HEAD, DELETE, and what is asked about one."""

from proxy.http.message import Response
from proxy.http.ranges import Range, parse_range
from proxy.objects.errors import RangeNotSatisfiable
from proxy.objects.model import NewObject, ObjectInfo, ObjectReader, Segment
from proxy.objects.ranges import bounds
from proxy.s3 import checksums, tags
from proxy.s3.call import Call, require_bucket
from proxy.s3.errors import S3Error
from proxy.s3.headers import (
    Fields,
    check_read,
    check_readable,
    check_supported,
    content_md5,
    description,
    is_conditional,
    object_fields,
    override,
    write_condition,
)

_OPEN_TRIES = 3  # of a part whose object is overwritten in between


def check_length(call: Call) -> None:
    """Raise S3Error when the body's length is unknown, or more than one request may bring."""
    length = call.body.length
    headers = call.headers
    if length is None or not ("content-length" in headers or "transfer-encoding" in headers):
        raise S3Error("MissingContentLength")
    if length > call.config.max_put_size:
        raise S3Error("EntityTooLarge", ProposedSize=length, MaxSizeAllowed=call.config.max_put_size)


async def put_object(call: Call) -> Response:
    """Store the body."""
    check_length(call)
    headers, body = call.headers, call.body
    about = description(headers)
    expected_md5 = content_md5(headers)

    def finish(md5: str) -> checksums.Kept:
        if expected_md5 is not None and md5 != expected_md5:
            raise S3Error("BadDigest", "The Content-MD5 you specified did not match what we received.")
        return checksums.kept(body.checksums)

    new = NewObject(
        about.content_type,
        about.headers,
        about.user,
        tags.of_headers(headers),
        condition=write_condition(headers),
        finish=finish,
    )
    info = await call.service.put_object(call.name, body, new)
    fields = [("ETag", f'"{info.metadata.etag}"')]
    kept = info.metadata.system.get("checksums")
    if kept:
        fields += checksums.fields(kept)
    return Response(200, fields)


async def get_object(call: Call) -> Response:
    """Send an object, a range of it, or a part."""
    check_version(call)
    check_readable(call.headers)
    if "partNumber" in call.query:
        return await _get_part(call)
    wanted = await _wanted(call)
    try:
        reader = await call.service.get_object(call.name, wanted)
    except RangeNotSatisfiable:
        if is_conditional(call.headers):
            info = await call.service.head_object(call.name)
            if not check_read(call.headers, info):
                return _not_modified(info)
        raise
    return await _opened(call, reader, wanted is not None, _kept_checksums(reader.info, wanted is None))


async def _opened(
    call: Call, reader: ObjectReader, partial: bool, shown: dict[str, str], more: Fields | None = None
) -> Response:
    """Answer with an opened object."""
    info = reader.info
    try:
        if not check_read(call.headers, info):
            await reader.pieces.aclose()
            return _not_modified(info)
        fields = _fields(call, info, shown)
    except S3Error:
        await reader.pieces.aclose()
        raise
    if more:
        fields += more
    if partial:
        fields.append(("Content-Range", f"bytes {reader.start}-{reader.end - 1}/{info.metadata.size}"))
    body = reader.pieces if reader.data is None else reader.data
    return Response(206 if partial else 200, fields, body, reader.end - reader.start)


async def head_object(call: Call) -> Response:
    """Describe an object, as GET would."""
    check_version(call)
    check_readable(call.headers)
    if "partNumber" in call.query:
        return await _head_part(call)
    info = await call.service.head_object(call.name)
    if not check_read(call.headers, info):
        return _not_modified(info)
    wanted = await _wanted(call)
    start, end = bounds(wanted, info.metadata.size)
    return _described(call, info, start, end, wanted is not None, _kept_checksums(info, wanted is None))


def _described(
    call: Call, info: ObjectInfo, start: int, end: int, partial: bool, shown: dict[str, str]
) -> Response:
    fields = _fields(call, info, shown)
    if partial:
        fields.append(("Content-Range", f"bytes {start}-{end - 1}/{info.metadata.size}"))
    return Response(206 if partial else 200, fields, b"", end - start)


async def _wanted(call: Call) -> Range | None:
    """Return the one range that is asked for; as AWS does, all of the object for several or a bad one."""
    headers = call.headers
    if "range" not in headers:
        return None
    ranges = parse_range(headers.get("range"))
    if ranges is None or len(ranges) != 1:
        return None
    if "if-range" in headers and not await _is_unchanged(call):
        return None
    return ranges[0]


async def _is_unchanged(call: Call) -> bool:
    """Tell whether If-Range names the object as it is, by its etag or its date (RFC 9110 §13.1.5)."""
    info = await call.service.head_object(call.name)
    value = call.headers.get("if-range")
    shown = dict(object_fields(info))
    return value.strip('"') == info.metadata.etag or value == shown["Last-Modified"]


def _kept_checksums(info: ObjectInfo, whole: bool) -> dict[str, str]:
    """Return the checksums that cover what is sent."""
    return info.metadata.system.get("checksums", {}) if whole else {}


def _fields(call: Call, info: ObjectInfo, shown: dict[str, str]) -> Fields:
    fields = object_fields(info)
    if call.query:
        fields = override(fields, call.query)
    if shown and call.headers.get("x-amz-checksum-mode").upper() == "ENABLED":
        fields += checksums.fields(shown)
    return fields


def _not_modified(info: ObjectInfo) -> Response:
    kept = ("Last-Modified", "ETag", "Cache-Control", "Expires")
    return Response(304, [field for field in object_fields(info) if field[0] in kept])


# Parts of what was uploaded in parts


def _part_of(call: Call, info: ObjectInfo, segments: list[Segment]) -> tuple[int, int, dict[str, str]]:
    """Return the bytes [start, end) of the part that is asked for, and its checksums."""
    wanted = call.number("partNumber", 1, 1)
    start = 0
    for index, segment in enumerate(segments):
        if wanted == (segment.number or index + 1):
            shown = dict(segment.row or {}) if info.manifest else _kept_checksums(info, True)
            return start, start + segment.size, shown
        start += segment.size
    raise S3Error("InvalidPart", "The requested part number is not one of the object's.", PartNumber=wanted)


def _check_no_range(call: Call) -> None:
    if "range" in call.headers:
        raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")


async def _get_part(call: Call) -> Response:
    _check_no_range(call)
    for _try in range(_OPEN_TRIES):
        info, segments = await call.service.segments(call.name)
        start, end, shown = _part_of(call, info, segments)
        partial = end > start
        reader = await call.service.get_object(call.name, (start, end - 1) if partial else None)
        if reader.info.timestamp == info.timestamp:
            return await _opened(call, reader, partial and info.manifest, shown, _parts_count(info, segments))
        await reader.pieces.aclose()
    raise S3Error("SlowDown", "The object is being overwritten all the time.")


async def _head_part(call: Call) -> Response:
    _check_no_range(call)
    info, segments = await call.service.segments(call.name)
    start, end, shown = _part_of(call, info, segments)
    if not check_read(call.headers, info):
        return _not_modified(info)
    response = _described(call, info, start, end, end > start and info.manifest, shown)
    response.headers += _parts_count(info, segments)
    return response


def _parts_count(info: ObjectInfo, segments: list[Segment]) -> Fields:
    return [("x-amz-mp-parts-count", str(len(segments)))] if info.manifest else []


# Versions: there are none, so every object is the null version


def check_version(call: Call) -> None:
    """Raise S3Error when another version than the only one is asked for."""
    if call.query and call.query.get("versionId", "null") != "null":
        raise no_such_version(call.query["versionId"])


def no_such_version(version_id: str) -> S3Error:
    """Return the error for a version id; it is never one of ours."""
    if not version_id:
        return S3Error("InvalidArgument", "Version id cannot be the empty string", ArgumentName="versionId")
    return S3Error("NoSuchVersion", VersionId=version_id)


async def delete_object(call: Call) -> Response:
    """Delete an object; that there was none is no error."""
    check_version(call)
    check_supported(call.headers)
    if not await call.service.delete_object(call.name, write_condition(call.headers)):
        await require_bucket(call)
    return Response(204)
