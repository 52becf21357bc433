"""Symbolic links: empty objects that stand for another one, of any container and account.

Source: "Symlink middleware" in Swift's documentation. GET, HEAD and the source of a COPY go on to the target, as the
same user and over at most SYMLOOP_MAX links, unless they say symlink=get. A link with X-Symlink-Target-Etag is static:
its target must be there with that etag when the link is made and whenever it is followed; what a large object is
compared by is the etag of its manifest.

`judgement.judge` raises `Followed` when what was found is a link; `follow` catches it, and looks at the target.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import quote

from proxy.http.message import Headers, Response
from proxy.objects.errors import NoSuchObject, ObjectServiceError
from proxy.objects.model import NewObject, ObjectInfo, ObjectName
from proxy.swift.access import require_read
from proxy.swift.call import Call, Link
from proxy.swift.creation import NoBytes, new_object
from proxy.swift.errors import SwiftError, error_of
from proxy.swift.headers import MANIFEST_ETAG, SYMLINK, is_expired, written_headers
from proxy.swift.names import check_object, parse_account, parse_location

SYMLOOP_MAX = 2  # links on the way to what is no link
_TARGET = "x-symlink-target"
_ACCOUNT = "x-symlink-target-account"
_ETAG = "x-symlink-target-etag"
_TYPE = "application/symlink"
_FORBIDDEN_IN_ETAG = frozenset(';"\\')

_Answer = TypeVar("_Answer")


class Followed(Exception):
    """What the request found is a link, to be followed."""

    def __init__(self, link: Link) -> None:
        super().__init__(str(link.target))
        self.link = link


@dataclass(frozen=True, slots=True)
class _Target:
    """What a request says of a link's target."""

    name: ObjectName
    own_account: bool  # it was not named
    etag: str  # empty: the link is not static


def is_link(headers: Headers) -> bool:
    """Tell whether a PUT makes a link."""
    return _TARGET in headers


async def put(call: Call) -> Response:
    """Make a link of the path to where X-Symlink-Target says; its writer is already found to be allowed."""
    headers = call.request.headers
    target = _target_of(call)
    body = call.request.body
    if headers.get("x-copy-from") or body.length or (body.length is None and await body.read()):
        raise SwiftError(400, "Symlink requests require a zero byte body")
    check_object(call.name)
    new = new_object(call)
    link: dict[str, Any] = {"container": target.name.container, "object": target.name.object}
    slo: dict[str, Any] = {}
    if not target.own_account:
        link["account"] = target.name.account
    content_type = headers.get("content-type") or _TYPE
    if target.etag:
        found = (await _static_target(call, target)).metadata
        content_type = headers.get("content-type") or found.content_type
        link.update(etag=target.etag, bytes=found.size)
        slo = {name: value for name, value in found.row.items() if name == "slo_etag"}
    new = linked(replace(new, content_type=content_type, row=slo), link, call.name.account)
    return Response(201, written_headers(await call.service.put_object(call.name, NoBytes(), new)))


def retargeted(link: Mapping[str, Any], headers: Headers) -> Mapping[str, Any]:
    """Return a link as a copy of it is to be: with the target's account as the request says, if it does."""
    return {**link, "account": parse_account(headers.get(_ACCOUNT))} if _ACCOUNT in headers else link


def linked(new: NewObject, link: Mapping[str, Any], account: str) -> NewObject:
    """Return `new` as a link in `account`, with what listings say of it."""
    row = {**new.row, "symlink_path": path_of(_name_of(link, account))}
    if "etag" in link:
        row.update(symlink_etag=link["etag"], symlink_bytes=link["bytes"])
    return replace(new, system={**new.system, SYMLINK: dict(link)}, row=row)


def _target_of(call: Call) -> _Target:
    headers = call.request.headers
    value = headers.get(_TARGET)
    if value.startswith(("/", "%2F", "%2f")):
        raise SwiftError(412, "X-Symlink-Target header must be of the form <container name>/<object name>")
    location = parse_location(value, "X-Symlink-Target")
    account = parse_account(headers.get(_ACCOUNT)) if _ACCOUNT in headers else call.name.account
    name = ObjectName(account, *location)
    if name == call.name:
        raise SwiftError(400, "Symlink cannot target itself")
    etag = headers.get(_ETAG).strip()
    if len(etag) > 1 and etag.startswith('"') and etag.endswith('"'):
        etag = etag[1:-1]
    if not _FORBIDDEN_IN_ETAG.isdisjoint(etag):
        raise SwiftError(400, "Bad X-Symlink-Target-Etag format")
    return _Target(name, _ACCOUNT not in headers, etag)


async def _static_target(call: Call, target: _Target) -> ObjectInfo:
    """Return what a new static link stands for. Raise SwiftError unless it is there, with the link's etag.

    A target that is a static link is followed; one that is not stands for itself.
    """
    asked = replace(call, name=target.name, link=Link(target.name, target.etag), parameters={})

    async def look(call: Call) -> ObjectInfo:
        await require_read(call, call.name.account, call.name.container)
        info = await call.service.head_object(call.name)
        if is_expired(info, call.now_s):
            raise NoSuchObject
        if "etag" in info.metadata.system.get(SYMLINK, {}):
            require_target(call, info)
        _require_etag(call, info)
        return info

    try:
        return await follow(asked, look)
    except SwiftError as error:
        if error.status != 404:
            raise
        raise SwiftError(409, "X-Symlink-Target does not exist", error.fields) from None


def require_target(call: Call, info: ObjectInfo) -> None:
    """Raise Followed when the object is a link that the request is to go on from.

    Raise SwiftError when it is not what the link says by which the request came here.
    """
    link = info.metadata.system.get(SYMLINK)
    if link is None:
        if call.link is not None:
            _require_etag(call, info)
        return
    if call.parameters.get("symlink") == "get":
        return
    if call.link is not None and call.link.etag not in ("", link.get("etag") or info.metadata.etag):
        raise SwiftError(409, "X-Symlink-Target-Etag headers do not match")
    raise Followed(Link(_name_of(link, info.metadata.account), link.get("etag", "")))


def _name_of(link: Mapping[str, Any], account: str) -> ObjectName:
    """Return what a link in `account` stands for."""
    return ObjectName(link.get("account") or account, link["container"], link["object"])


def _require_etag(call: Call, info: ObjectInfo) -> None:
    wanted = call.link.etag if call.link is not None else ""
    etag = info.metadata.system.get(MANIFEST_ETAG, info.metadata.etag)
    if wanted and wanted != etag:
        raise SwiftError(409, f"Object Etag {etag!r} does not match X-Symlink-Target-Etag header {wanted!r}")


async def answer(call: Call, handle: Callable[[Call], Awaitable[Response]]) -> Response:
    """Answer a request that reads an object; of a link's target the answer says where it is."""
    reached: list[Link] = []

    async def noted(call: Call) -> Response:
        if call.link is not None:
            reached.append(call.link)
        return await handle(call)

    response = await follow(call, noted)
    if reached:
        response.headers.append(_location_field(reached[-1]))
    return response


async def follow(call: Call, look: Callable[[Call], Awaitable[_Answer]]) -> _Answer:
    """Return what `look` finds behind the links, if there are any; errors say how far it came."""
    count = 0
    while True:
        try:
            return await look(call)
        except Followed as followed:
            if count == SYMLOOP_MAX:
                raise SwiftError(
                    409, f"Too many levels of symbolic links, maximum allowed is {SYMLOOP_MAX}"
                ) from None
            count += 1
            call = replace(call, name=followed.link.target, link=followed.link)
        except (SwiftError, ObjectServiceError) as error:
            if call.link is None:
                raise
            told = error if isinstance(error, SwiftError) else error_of(error)
            raise SwiftError(told.status, told.message, (*told.fields, _location_field(call.link))) from None


def _location_field(link: Link) -> tuple[str, str]:
    return "Content-Location", path_of(link.target)


def path_of(name: ObjectName) -> str:
    """Return the path of a target, as Content-Location and Location have it."""
    return "/v1/" + "/".join(map(quote, name))


def refuse_changed(info: ObjectInfo) -> None:
    """Raise SwiftError when a POST has changed a link: its target it has not."""
    link = info.metadata.system.get(SYMLINK)
    if link is None:
        return
    fields: tuple[tuple[str, str], ...] = (("Location", path_of(_name_of(link, info.metadata.account))),)
    if "etag" in link:
        fields += (("X-Symlink-Target-Etag", link["etag"]),)
    message = "The requested POST was applied to a symlink. POST directly to the target to apply requested metadata."
    raise SwiftError(307, message, fields)


def refuse_target(headers: Headers) -> None:
    """Raise SwiftError when a POST wants to make a link."""
    if is_link(headers):
        raise SwiftError(400, "A PUT request is required to set a symlink target")
