"""Operations on many objects in one request: bulk delete, and the upload of a tar archive."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from urllib.parse import quote, unquote_to_bytes

from proxy.http.errors import BadBody, BodyTruncated
from proxy.http.message import Response
from proxy.objects.errors import ObjectServiceError
from proxy.objects.model import NewObject, ObjectName
from proxy.swift import containers, tar
from proxy.swift.access import denied, may_make_containers, require_container_writer, require_write
from proxy.swift.call import Call
from proxy.swift.creation import guessed_type, new_object, read_all
from proxy.swift.errors import SwiftError, error_of, status_line
from proxy.swift.headers import OBJECT_META, check_metadata
from proxy.swift.heartbeat import with_heartbeats
from proxy.swift.limits import (
    HEARTBEAT_S,
    MAX_CONTAINER_NAME_LENGTH,
    MAX_CONTAINERS_PER_EXTRACTION,
    MAX_DELETES_PER_REQUEST,
    MAX_FAILED_DELETES,
    MAX_FAILED_EXTRACTIONS,
    MAX_FILE_SIZE,
    MAX_OBJECT_NAME_LENGTH,
)
from proxy.swift.names import check_object, is_utf8
from proxy.swift.parameters import best_match
from proxy.swift.report import FORMATS, Report

_MAX_LINE = 3 * (MAX_CONTAINER_NAME_LENGTH + MAX_OBJECT_NAME_LENGTH + 2)  # every byte may come as %XX
_DELETES_AT_ONCE = 16


async def delete(call: Call) -> Response:
    """Delete the objects, and after them the containers, that the body names, one a line."""
    _require_user(call)
    headers = call.request.headers
    content_type = headers.get("content-type")
    if content_type and not content_type.startswith("text/plain"):
        raise SwiftError(406)
    body = await read_all(call.request.body, headers, MAX_DELETES_PER_REQUEST * _MAX_LINE)
    lines = [line.strip() for line in body.split(b"\n") if line.strip()]
    if len(lines) > MAX_DELETES_PER_REQUEST:
        raise SwiftError(413, f"Maximum Bulk Deletes: {MAX_DELETES_PER_REQUEST} per request")
    if any(len(line) > _MAX_LINE for line in lines):
        raise SwiftError(400, "Invalid File Name")

    async def paths() -> list[str]:
        return [unquote_to_bytes(line).decode("utf-8", "surrogateescape") for line in lines]

    return reported_deletion(call, paths)


def _require_user(call: Call) -> None:
    """Raise SwiftError when nobody asks: nobody may write anywhere, so the body need not be read to find out."""
    if call.user is None:
        raise denied(call.user, call.name.account)


_Paths = Callable[[], Awaitable[Sequence[str]]]


def reported_deletion(call: Call, paths: _Paths) -> Response:
    """Return an answer that deletes what `paths` finds while it is sent, and ends with a report."""
    content_type = best_match(call.request.headers.get("accept"), FORMATS)
    if content_type is None:
        raise SwiftError(406)
    work = partial(_delete_all, call, paths, content_type)
    return Response(200, [("Content-Type", content_type)], with_heartbeats(work, content_type, HEARTBEAT_S))


async def _delete_all(call: Call, paths: _Paths, content_type: str) -> bytes:
    report = Report("delete", {"Number Deleted": 0, "Number Not Found": 0, "Response Body": ""})
    status = 200
    try:
        names = [path.lstrip("/") for path in await paths()]
        for group in (
            [name for name in names if "/" in name.rstrip("/")],
            [name for name in names if "/" not in name.rstrip("/")],
        ):
            status = max(status, await _delete_group(call, group, report))
        deleted, missing = report.fields["Number Deleted"], report.fields["Number Not Found"]
        if not (deleted or missing or report.errors):
            raise SwiftError(400, "Invalid bulk delete.")
    except (SwiftError, ObjectServiceError) as error:
        told = error if isinstance(error, SwiftError) else error_of(error)
        status, report.fields["Response Body"] = told.status, told.message
    report.fields["Response Status"] = status_line(status)
    return report.render(content_type)


async def _delete_group(call: Call, names: Sequence[str], report: Report) -> int:
    """Delete `names`, some at a time; return the status that the whole has now."""
    counts = {204: "Number Deleted", 404: "Number Not Found"}
    worst = 200
    for start in range(0, len(names), _DELETES_AT_ONCE):
        some = names[start : start + _DELETES_AT_ONCE]
        for name, status in zip(
            some, await asyncio.gather(*map(partial(_delete_one, call), some)), strict=True
        ):
            if status in counts:
                report.fields[counts[status]] = int(report.fields[counts[status]]) + 1
            else:
                report.fail(quote(name, errors="surrogateescape"), status)
                worst = max(worst, 502 if status >= 500 else 400)
        if len(report.errors) >= MAX_FAILED_DELETES:
            raise SwiftError(400, "Max delete failures exceeded")
    return worst


async def _delete_one(call: Call, path: str) -> int:
    """Delete one object or container; return the status that a request of its own would have had."""
    account = call.name.account
    container, _slash, object_ = path.partition("/")
    if not _is_name(path):
        return 412
    try:
        if not object_:
            await require_container_writer(call)
            await containers.remove(call, container)
            return 204
        await require_write(call, account, container)
        return 204 if await call.service.delete_object(ObjectName(account, container, object_)) else 404
    except SwiftError as error:
        return error.status
    except ObjectServiceError as error:
        return error_of(error).status


def _is_name(path: str) -> bool:
    return is_utf8(path) and "\0" not in path


async def extract(call: Call) -> Response:
    """Store every file of a tar archive as an object; containers are made as they are needed."""
    _require_user(call)
    compression = tar.COMPRESSIONS.get(call.parameters["extract-archive"].lower().strip("."))
    if compression is None:
        raise SwiftError(400, "Unsupported archive format")
    content_type = best_match(call.request.headers.get("accept"), FORMATS)
    if content_type is None:
        raise SwiftError(406)
    headers = call.request.headers
    if "content-length" not in headers and "chunked" not in headers.get("transfer-encoding").lower():
        raise SwiftError(411)
    report = Report("extract", {"Number Files Created": 0, "Response Body": ""})
    status = 201
    try:
        status = await _Extraction(call, report).run(tar.Stream(call.request.body, compression))
    except (BodyTruncated, BadBody):
        raise
    except tar.BadArchive as error:
        status, report.fields["Response Body"] = 400, f"Invalid Tar File: {error}"
    except SwiftError as error:
        status, report.fields["Response Body"] = error.status, error.message
    report.fields["Response Status"] = status_line(status)
    lead = b'<?xml version="1.0" encoding="UTF-8"?>\n' if content_type.endswith("/xml") else b""
    return Response(200, [("Content-Type", content_type)], lead + report.render(content_type))


class _Extraction:
    """One archive on its way into containers."""

    def __init__(self, call: Call, report: Report) -> None:
        self._call = call
        self._report = report
        self._made: set[str] = set()  # containers that are there
        self._failed_on_our_side = False
        _account, container, object_ = call.name
        self._base = "/".join(part for part in (container, object_.rstrip("/")) if part)
        self._template = new_object(call)

    async def run(self, stream: tar.Stream) -> int:
        """Store the archive's files; return the status of the whole."""
        async for member in tar.files(stream):
            path = member.name.removeprefix("./").lstrip("/")
            if self._base:
                path = f"{self._base}/{path}"
            if "/" in path.rstrip("/"):  # a file at the base belongs to no container
                await self._store(path, member)
            if len(self._report.errors) >= MAX_FAILED_EXTRACTIONS:
                break
        if self._report.errors:
            return 502 if self._failed_on_our_side else 400
        if not self._report.fields["Number Files Created"]:
            raise SwiftError(400, "Invalid Tar File: No Valid Files")
        return 201

    async def _store(self, path: str, member: tar.Member) -> None:
        status = await self._status_of(path, member)
        if status == 201:
            self._report.fields["Number Files Created"] = int(self._report.fields["Number Files Created"]) + 1
        else:
            self._failed_on_our_side |= status >= 500
            self._report.fail(quote(path, errors="surrogateescape"), status)

    async def _status_of(self, path: str, member: tar.Member) -> int:
        """Store one file; return the status that a request of its own would have had."""
        container, _slash, object_ = path.partition("/")
        if not _is_name(path):
            return 412
        if member.size > MAX_FILE_SIZE:
            return 413
        try:
            await self._make(container)
            await require_write(self._call, self._call.name.account, container)
            name = ObjectName(self._call.name.account, container, object_)
            check_object(name)
            await self._call.service.put_object(name, member, _described(self._template, object_, member))
        except SwiftError as error:
            return error.status
        except ObjectServiceError as error:
            return error_of(error).status
        return 201

    async def _make(self, container: str) -> None:
        if container in self._made or not await may_make_containers(self._call):
            return
        if len(self._made) >= MAX_CONTAINERS_PER_EXTRACTION:
            raise SwiftError(400, f"More than {MAX_CONTAINERS_PER_EXTRACTION} containers to create from tar.")
        await containers.make(self._call, container, {})
        self._made.add(container)


_PAX_TYPE = ("SCHILY.xattr.user.mime_type", "LIBARCHIVE.xattr.user.mime_type")
_PAX_META = ("SCHILY.xattr.user.meta.", "LIBARCHIVE.xattr.user.meta.")
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _described(template: NewObject, name: str, member: tar.Member) -> NewObject:
    """Return what the request and the archive's extended attributes say of one file.

    Raise SwiftError on an attribute that could not have come in a header: it will leave in one.
    """
    user, content_type = dict(template.user), guessed_type(name)
    for key, value in member.attributes.items():
        prefix = next((prefix for prefix in _PAX_META if key.startswith(prefix)), "")
        if not prefix and key not in _PAX_TYPE:
            continue
        if _CONTROL.search(value) or (prefix and not _FIELD_NAME.fullmatch(key, len(prefix))):
            raise SwiftError(400)
        as_header = value.encode("utf-8", "surrogateescape").decode("latin-1").strip()
        if prefix:
            user[key.removeprefix(prefix).lower()] = as_header
        else:
            content_type = as_header
    check_metadata(user, OBJECT_META)
    return replace(template, user=user, content_type=content_type, finish=None)
