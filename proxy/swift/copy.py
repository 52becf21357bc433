"""Copies on the server's side: COPY with Destination, PUT with X-Copy-From."""

from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import quote

from proxy.http.message import Buffer, Response
from proxy.http.ranges import parse_range
from proxy.objects.model import NewObject, ObjectInfo, ObjectName, ObjectReader
from proxy.swift import large, numbered, symlink
from proxy.swift.access import is_reseller, require_read, require_write
from proxy.swift.call import Call
from proxy.swift.creation import NoBytes, condition_of, type_of
from proxy.swift.errors import SwiftError
from proxy.swift.headers import (
    DELETE_AT,
    DLO,
    MANIFEST_ETAG,
    OBJECT_META,
    SLO,
    SYMLINK,
    check_metadata,
    content_headers,
    last_modified,
    object_system,
    user_fields,
    user_metadata,
    written_headers,
)
from proxy.swift.interfaces import ByteRange
from proxy.swift.judgement import judge
from proxy.swift.limits import MAX_FILE_SIZE
from proxy.swift.names import check_object, parse_account, parse_location
from proxy.swift.parameters import is_true


async def put(call: Call) -> Response:
    """Copy the object that X-Copy-From names to the path; its writer is already found to be allowed."""
    headers = call.request.headers
    if call.request.body.length:
        raise SwiftError(400, "Copy requests require a zero byte body")
    account = call.name.account
    if "x-copy-from-account" in headers:
        account = parse_account(headers.get("x-copy-from-account"))
    source = ObjectName(account, *parse_location(headers.get("x-copy-from"), "X-Copy-From"))
    return await _copy(call, source, call.name)


async def copy(call: Call) -> Response:
    """Copy the object of the path to where the Destination header says."""
    headers = call.request.headers
    if not headers.get("destination"):
        raise SwiftError(412, "Destination header required")
    account = call.name.account
    if "destination-account" in headers:
        account = parse_account(headers.get("destination-account"))
    target = ObjectName(account, *parse_location(headers.get("destination"), "Destination"))
    await require_write(call, target.account, target.container)
    return await _copy(call, call.name, target)


@dataclass(slots=True)
class _Transfer:
    """What a copy takes over; `of` is called once the source is open."""

    call: Call
    target: ObjectName
    source: ObjectInfo | None = None
    new: NewObject | None = None

    def of(self, source: ObjectInfo) -> NewObject:
        """Return the new object. Raise SwiftError when there cannot be one."""
        headers = self.call.request.headers
        fresh = is_true(headers.get("x-fresh-metadata"))
        kept = source.metadata
        user = {**({} if fresh else kept.user), **user_metadata(headers, OBJECT_META)}
        check_metadata(user, OBJECT_META)
        system = object_system(headers, self.call.now_s)
        if not fresh and DELETE_AT in kept.system:
            system.setdefault(DELETE_AT, kept.system[DELETE_AT])
        retyped = headers.get("content-type") or is_true(headers.get("x-detect-content-type"))
        self.source = source
        self.new = NewObject(
            content_type=type_of(headers, self.target.object) if retyped else kept.content_type,
            headers={**({} if fresh else kept.headers), **content_headers(headers)},
            user=user,
            system=system,
            condition=condition_of(self.call),
            unbound=is_reseller(self.call.user),
        )
        return self.new


async def _copy(call: Call, source: ObjectName, target: ObjectName) -> Response:
    check_object(target)
    transfer = _Transfer(call, target)
    info = await symlink.follow(replace(call, name=source), partial(_copy_found, transfer))
    assert transfer.source is not None
    assert transfer.new is not None
    fields = [
        *written_headers(info),
        ("X-Copied-From", quote(f"{source.container}/{source.object}")),
        ("X-Copied-From-Account", quote(source.account)),
        ("X-Copied-From-Last-Modified", last_modified(transfer.source.metadata.modified_us)),
        *user_fields(transfer.new.user),
    ]
    return Response(201, fields)


async def _copy_found(transfer: _Transfer, call: Call) -> ObjectInfo:
    """Copy what `call` names. Raise Followed when it is a symbolic link, and not itself to be copied."""
    await require_read(call, call.name.account, call.name.container)
    info = None
    if call.parameters.get("multipart-manifest") == "get":
        info = await _copy_manifest(transfer, call)
    return info if info is not None else await _copy_bytes(transfer, call)


async def _copy_bytes(transfer: _Transfer, call: Call) -> ObjectInfo:
    """Copy what a reader of the source gets, or the range of it that the request names."""
    source = call.name
    head = await call.service.head_object(source)
    judge(call, head, copied=True)
    if SYMLINK in head.metadata.system:
        link = symlink.retargeted(head.metadata.system[SYMLINK], transfer.call.request.headers)
        new = symlink.linked(transfer.of(head), link, transfer.target.account)
        return await call.service.put_object(transfer.target, NoBytes(), new)
    await large.require_segments(call, head)

    def unchanged(info: ObjectInfo | None) -> None:
        if info is None or info.timestamp != head.timestamp:  # replaced since it was judged
            raise SwiftError(409)

    ranges = parse_range(call.request.headers.get("range")) if "range" in call.request.headers else None
    wanted: ByteRange | None = ranges[0] if ranges and len(ranges) == 1 else None
    part = await numbered.find(call)
    if part is not None:
        wanted = part.start, part.end - 1
    if wanted is None and head.metadata.size > MAX_FILE_SIZE:
        raise SwiftError(413)
    return await call.service.copy_object(source, transfer.target, transfer.of, unchanged, wanted)


async def _copy_manifest(transfer: _Transfer, call: Call) -> ObjectInfo | None:
    """Copy the manifest itself, so that both share the segments; None when the source is no Swift manifest."""
    source = call.name
    info, segments = await call.service.segments(source)
    metadata = info.metadata
    if SYMLINK in metadata.system or not (metadata.system.get(SLO) or DLO in metadata.system):
        return None
    judge(call, info, copied=True)
    new = transfer.of(info)
    if info.manifest:
        own = {MANIFEST_ETAG: metadata.system[MANIFEST_ETAG]} if MANIFEST_ETAG in metadata.system else {}
        row = {"slo_etag": metadata.etag, **own}
        new = replace(new, etag=metadata.etag, system={**new.system, SLO: True, **own}, row=row)
        return await call.service.put_manifest(transfer.target, segments, new, metadata.size)
    new = replace(new, system={DLO: metadata.system[DLO], **new.system})
    if not metadata.size:
        return await call.service.put_object(transfer.target, NoBytes(), new)
    reader = await call.service.get_object(source, None, raw_manifest=True)
    try:
        return await call.service.put_object(transfer.target, _Pieces(reader), new)
    finally:
        await reader.pieces.aclose()


class _Pieces:
    """An opened object as a body."""

    def __init__(self, reader: ObjectReader) -> None:
        self.length: int | None = reader.end - reader.start
        self._pieces = reader.pieces

    async def read(self) -> Buffer:
        """Return the next piece, empty at the end."""
        return await anext(self._pieces, b"")
