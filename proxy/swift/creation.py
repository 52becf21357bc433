"""What a request says of the object that it makes: type, metadata, conditions, body."""

import mimetypes
from collections.abc import Callable, Mapping
from os.path import splitext
from typing import Any

from proxy.http.message import Body, Buffer, Headers
from proxy.objects.model import Condition, NewObject, ObjectInfo
from proxy.swift.access import is_reseller
from proxy.swift.call import Call
from proxy.swift.errors import SwiftError
from proxy.swift.headers import OBJECT_META, content_headers, is_expired, object_system, user_metadata
from proxy.swift.parameters import is_true

DEFAULT_TYPE = "application/octet-stream"

_Finish = Callable[[str], tuple[Mapping[str, Any], Mapping[str, Any]]]


def new_object(call: Call) -> NewObject:
    """Return what the headers of a PUT say. Raise SwiftError on what no object may have."""
    headers = call.request.headers
    return NewObject(
        content_type=type_of(headers, call.name.object),
        headers=content_headers(headers),
        user=user_metadata(headers, OBJECT_META),
        system=object_system(headers, call.now_s),
        condition=condition_of(call),
        finish=_etag_check(headers),
        unbound=is_reseller(call.user),
    )


def type_of(headers: Headers, name: str) -> str:
    """Return the content type of a new object: as told, or guessed from its name."""
    told = headers.get("content-type")
    if not told or is_true(headers.get("x-detect-content-type")):
        return guessed_type(name)
    if not told.isascii():
        try:
            told.encode("latin-1").decode("utf-8")
        except UnicodeDecodeError:
            raise SwiftError(400, "Invalid Content-Type") from None
    return told


def guessed_type(name: str) -> str:
    """Return the content type that the name's extension stands for."""
    return mimetypes.types_map.get(splitext(name)[1].lower(), DEFAULT_TYPE)


def condition_of(call: Call) -> Condition | None:
    """Return what must hold of the present object. Only `If-None-Match: *` is known to Swift's PUT."""
    value = call.request.headers.get("if-none-match")
    if not value:
        return None
    if "*" not in value:
        raise SwiftError(400, "If-None-Match only supports *")

    def must_be_absent(present: ObjectInfo | None) -> None:
        if present is not None and not is_expired(present, call.now_s):
            raise SwiftError(412)

    return must_be_absent


def wanted_etag(headers: Headers) -> str:
    """Return the Etag header without quotes, empty without it."""
    return headers.get("etag").strip().strip('"').lower()


def _etag_check(headers: Headers) -> _Finish | None:
    """Return what compares the data's md5 with the Etag header, None without the header."""
    wanted = wanted_etag(headers)
    if not wanted:
        return None

    def compare(md5: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        if md5 != wanted:
            raise SwiftError(422)
        return {}, {}

    return compare


def bounded(body: Body, headers: Headers, maximum: int) -> Body:
    """Return `body`, made to raise when it grows over `maximum` bytes. Raise SwiftError when it will."""
    if "content-length" not in headers and "chunked" not in headers.get("transfer-encoding").lower():
        raise SwiftError(411, "Missing Content-Length header.")
    if body.length is None:
        return _BoundedBody(body, maximum)
    if body.length > maximum:
        raise SwiftError(413, "Your request is too large.")
    return body


class _BoundedBody:
    """A body of unknown length, and how much of it may still come."""

    __slots__ = ("_body", "_left")

    length: int | None = None

    def __init__(self, body: Body, maximum: int) -> None:
        self._body, self._left = body, maximum

    async def read(self) -> Buffer:
        """Return the next piece. Raise SwiftError when there are more bytes than allowed."""
        piece = await self._body.read()
        self._left -= len(piece)
        if self._left < 0:
            raise SwiftError(413, "Your request is too large.")
        return piece


async def read_all(body: Body, headers: Headers, maximum: int) -> bytes:
    """Return the whole of a small body. Raise SwiftError when it has more than `maximum` bytes."""
    body = bounded(body, headers, maximum)
    whole = bytearray()
    while piece := await body.read():
        whole += piece
    return bytes(whole)


class NoBytes:
    """An empty body."""

    length: int | None = 0

    async def read(self) -> Buffer:
        """Return the end."""
        return b""
