"""Static large objects: PUT, GET and DELETE of manifests. Their JSON is in `manifest.py`."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from hashlib import md5

from proxy.http.message import Response
from proxy.objects.errors import NoSuchContainer, NoSuchObject, ObjectServiceError
from proxy.objects.model import NewObject, ObjectInfo, ObjectName, Segment
from proxy.swift import bulk, manifest
from proxy.swift.access import require_read
from proxy.swift.call import Call
from proxy.swift.creation import new_object, read_all, wanted_etag
from proxy.swift.errors import SwiftError, answer, error_of, status_line
from proxy.swift.headers import (
    DLO,
    MANIFEST_ETAG,
    SLO,
    etag_of,
    is_expired,
    last_modified,
    object_headers,
    written_headers,
)
from proxy.swift.heartbeat import with_heartbeats
from proxy.swift.large import is_nested
from proxy.swift.limits import HEARTBEAT_S, MAX_MANIFEST_SEGMENTS, MAX_MANIFEST_SIZE
from proxy.swift.manifest import Entry, Problem
from proxy.swift.names import check_object, path_of
from proxy.swift.parameters import NONE, best_match, is_true
from proxy.swift.report import FORMATS, Report
from proxy.swift.symlink import follow, require_target

_HEADS_AT_ONCE = 16


async def put(call: Call) -> Response:
    """Make a static large object of the segments that the body names."""
    headers = call.request.headers
    if headers.get("x-copy-from"):
        raise SwiftError(405, "Multipart Manifest PUTs cannot be COPY requests")
    check_object(call.name)
    body = await read_all(call.request.body, headers, MAX_MANIFEST_SIZE)
    entries = manifest.parse(body, call.name)
    new = replace(new_object(call), finish=None)  # Etag is the large object's, not the manifest's
    content_type = best_match(headers.get("accept"), FORMATS) or FORMATS[0]
    if not is_true(call.parameters.get("heartbeat", "")):
        report = Report("upload")
        segments = await _segments(call, entries, report)
        if report.errors:
            return Response(
                400, [("Content-Type", f"{content_type}; charset=utf-8")], report.render(content_type)
            )
        return Response(201, written_headers(await _store(call, segments, new)))
    work = partial(_put_reported, call, entries, new, content_type)
    return Response(202, [("Content-Type", content_type)], with_heartbeats(work, content_type, HEARTBEAT_S))


async def _put_reported(call: Call, entries: Sequence[Entry], new: NewObject, content_type: str) -> bytes:
    """Do the same for a client that waits for a report, and return the report."""
    report = Report("upload")
    try:
        segments = await _segments(call, entries, report)
        if report.errors:
            raise SwiftError(400)
        info = await _store(call, segments, new)
    except (SwiftError, ObjectServiceError) as error:
        told = error if isinstance(error, SwiftError) else error_of(error)
        report.fields = {"Response Status": status_line(told.status), "Response Body": told.message}
        return report.render(content_type)
    report.fields = {
        "Response Status": status_line(201),
        "Response Body": "",
        "Etag": etag_of(info),
        "Last Modified": last_modified(info.metadata.modified_us),
    }
    return report.render(content_type)


async def _store(call: Call, segments: list[Segment], new: NewObject) -> ObjectInfo:
    etag = manifest.etag_of(segments)
    wanted = wanted_etag(call.request.headers)
    if wanted and wanted != etag:
        raise SwiftError(422)
    shown_etag = md5(manifest.render(segments)).hexdigest()
    system = {**new.system, SLO: True, MANIFEST_ETAG: shown_etag}
    new = replace(new, etag=etag, system=system, row={"slo_etag": etag, MANIFEST_ETAG: shown_etag})
    return await call.service.put_manifest(
        call.name, segments, new, sum(segment.size for segment in segments)
    )


async def _segments(call: Call, entries: Sequence[Entry], report: Report) -> list[Segment]:
    """Return the segments that `entries` make; what is wrong with the objects goes into `report`."""
    account = call.name.account
    names = list(dict.fromkeys(entry.name(account) for entry in entries if entry.data is None))
    found = dict(zip(names, await _describe(call, names), strict=True))
    segments = []
    for index, entry in enumerate(entries):
        if entry.data is not None:
            segments.append(manifest.inline_segment(entry.data))
            continue
        name = entry.name(account)
        info = found[name]
        path = path_of(name.container, name.object)
        if isinstance(info, SwiftError):
            report.fail(path, info.status)
            continue
        try:
            segments.append(manifest.segment_of(entry, name, info, index == len(entries) - 1))
        except Problem as problem:
            report.errors.append((path, str(problem)))
    return segments


async def _describe(call: Call, names: Sequence[ObjectName]) -> list[ObjectInfo | SwiftError]:
    """Return what each object is, or why the user cannot have it."""
    turns = asyncio.Semaphore(_HEADS_AT_ONCE)

    async def describe(name: ObjectName) -> ObjectInfo | SwiftError:
        async with turns:
            try:
                info = await follow(replace(call, name=name, parameters=NONE), _described)
            except SwiftError as error:
                return error
            except (NoSuchObject, NoSuchContainer) as error:
                return error_of(error)
        return info

    return await asyncio.gather(*map(describe, names))


async def _described(call: Call) -> ObjectInfo:
    await require_read(call, call.name.account, call.name.container)
    info = await call.service.head_object(call.name)
    if is_expired(info, call.now_s):
        raise SwiftError(404)
    require_target(call, info)
    return info


async def get_manifest(call: Call) -> Response | None:
    """Answer GET and HEAD with multipart-manifest=get; None for a plain object, which is read as ever."""
    info, segments = await call.service.segments(call.name)
    if is_expired(info, call.now_s):
        raise SwiftError(404)
    require_target(call, info)
    if info.manifest:
        return _manifest_response(call, info, segments)
    if DLO not in info.metadata.system:
        return None
    if call.request.method == "HEAD" or not info.metadata.size:
        return Response(200, _raw_headers(info), length=info.metadata.size)
    reader = await call.service.get_object(call.name, None, raw_manifest=True)
    return Response(200, _raw_headers(reader.info), reader.pieces, reader.end - reader.start)


def _raw_headers(info: ObjectInfo) -> list[tuple[str, str]]:
    """Return the headers of a dynamic manifest's own bytes, whose md5 its etag is."""
    return [(name, info.metadata.etag if name == "Etag" else value) for name, value in object_headers(info)]


def _manifest_response(call: Call, info: ObjectInfo, segments: Sequence[Segment]) -> Response:
    """Return the manifest as JSON. Parts of an S3 upload are no objects: nothing is shown of them."""
    shown = segments if info.metadata.system.get(SLO) else ()
    if call.parameters.get("format") == "raw":
        body, content_type = manifest.render_raw(shown), info.metadata.content_type
    else:
        body, content_type = manifest.render(shown), "application/json; charset=utf-8"
    replaced = {"Content-Type": content_type, "Etag": md5(body).hexdigest()}
    fields = [(name, replaced.get(name, value)) for name, value in object_headers(info)]
    return Response(200, fields, body)


async def delete(call: Call) -> Response:
    """Delete the manifest and every segment that it and the manifests in it name."""
    with suppress(NoSuchObject):
        info, _segments_of_it = await call.service.segments(call.name)
        if info.manifest and not info.metadata.system.get(SLO):  # S3's: the service deletes its parts
            await call.service.delete_object(call.name)
            return answer(204)
    return bulk.reported_deletion(call, partial(_names_to_delete, call))


async def _names_to_delete(call: Call) -> list[str]:
    """Return the paths of all segments, and of the manifests after them. Raise SwiftError."""
    paths: list[str] = []
    manifests = [call.name]
    for name in manifests:  # grows as nested manifests are found
        for segment in await _segments_to_delete(call, name):
            target = ObjectName(*segment[:3])
            if is_nested(segment) and not manifest.is_linked(segment) and target not in manifests:
                manifests.append(target)
            else:
                paths.append(manifest.path_of(segment))
        if len(paths) + len(manifests) > MAX_MANIFEST_SEGMENTS * 10:
            raise SwiftError(400, "Too many segments to delete")
    paths += [f"/{name.container}/{name.object}" for name in reversed(manifests)]
    return list(dict.fromkeys(paths))


async def _segments_to_delete(call: Call, name: ObjectName) -> list[Segment]:
    """Return the segments of a manifest that are objects. What is gone has none, and is reported so later."""
    try:
        info, segments = await call.service.segments(name)
    except (NoSuchObject, NoSuchContainer):
        return []
    if not info.manifest:
        if name == call.name:
            raise SwiftError(400, "Not an SLO manifest")
        return []
    return [segment for segment in segments if segment.data is None]
