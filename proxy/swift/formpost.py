"""Forms of browsers: whoever has a form that a container's owner signed may upload files into it, until it expires.

Source: "Form POST middleware" in Swift's documentation. The form is sent to a container and the beginning of the
objects' names, which with its limits, its end and its redirect is what is signed, under a key of temporary URLs
(`tempurl.py`). Its fields come before the files that they are about; every file is stored as it comes, until one fails.
"""

import hmac
from collections.abc import Mapping
from dataclasses import replace
from typing import NoReturn
from urllib.parse import quote

from proxy.http.message import Body, Buffer, Headers, Request, Response
from proxy.http.multipart import BadForm, Part, boundary_of, read_parts
from proxy.objects.errors import ObjectServiceError
from proxy.objects.model import ObjectName
from proxy.swift import tempurl
from proxy.swift.access import unauthorized
from proxy.swift.call import Call
from proxy.swift.creation import DEFAULT_TYPE, new_object
from proxy.swift.errors import HTML, PLAIN, SwiftError, error_of, status_line
from proxy.swift.names import check_object, decode

_MAX_VALUE = 4096  # bytes of a field; what is more is left out, as in Swift
_DEFAULTS = {"content-type": DEFAULT_TYPE, "content-encoding": ""}  # header fields, and what an empty one means
_EXPIRY = {
    "x_delete_at": "x_delete_at not an integer: Unix timestamp required.",
    "x_delete_after": "x_delete_after not an integer: Number of seconds required.",
}

_Fields = Mapping[str, str]


def is_form(call: Call) -> bool:
    """Tell whether a request is the upload of a form."""
    return call.request.method == "POST" and boundary_of(call.request.headers.get("content-type")) is not None


async def post(call: Call) -> Response:
    """Store the form's files, and send the browser to where the form says."""
    boundary = boundary_of(call.request.headers.get("content-type"))
    assert boundary is not None
    keys = [key async for key, _grant in tempurl.keys(call)] if call.name.container else []
    fields: dict[str, str] = {}
    refused: SwiftError | None = None  # a file, by the service
    complaint, file_count = "", 0
    try:
        async for part in read_parts(call.request.body, boundary):
            told = part.parameters
            if not told.get("filename"):
                if "name" in told:
                    fields[told["name"].lower()] = await _value(part.body)
                continue
            file_count += 1
            if file_count > _number(fields, "max_file_count"):
                complaint = "max file count exceeded"
                break
            _require_signature(call, fields, keys)
            refused = await _store(call, fields, part, told["filename"])
            if refused is not None:
                break
    except BadForm as error:
        _refuse(str(error))
    if not file_count:
        complaint = "no files to process"
    status = 400 if complaint else refused.status if refused else 201
    if fields.get("redirect"):
        return _redirection(fields["redirect"], status, complaint)
    text = f"{status_line(status)}\r\nFormPost: {complaint.title()}" if complaint else status_line(status)
    if refused is not None and refused.message:
        text = refused.message
    return Response(status, [("Content-Type", PLAIN)], text.encode())


async def _value(body: Body) -> str:
    value = bytearray()
    while piece := await body.read():
        value += piece[: max(0, _MAX_VALUE - len(value))]
    try:
        return value.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        _refuse("a field is not UTF-8")


def _refuse(reason: str) -> NoReturn:
    raise SwiftError(400, f"FormPost: {reason}")


def _number(fields: _Fields, name: str) -> int:
    try:
        return int(fields.get(name) or 0)
    except ValueError:
        _refuse(f"{name} not an integer")


def _require_signature(call: Call, fields: _Fields, keys: list[bytes]) -> None:
    """Raise SwiftError unless the form is signed with one of `keys`, and may still be sent."""
    if keys and _number(fields, "expires") < call.now_s:
        raise _unauthorized(call, "Form Expired")
    signed = tempurl.signature(fields.get("signature", ""))
    limits = [fields.get(name) or "0" for name in ("max_file_size", "max_file_count", "expires")]
    text = "\n".join([decode(call.request.path), fields.get("redirect", ""), *limits]).encode()
    # every key is tried, whichever fits
    fitting = [hmac.compare_digest(hmac.digest(key, text, signed[0]), signed[1]) for key in keys] if signed else []
    if not any(fitting):
        raise _unauthorized(call, "Invalid Signature")


def _unauthorized(call: Call, reason: str) -> SwiftError:
    return SwiftError(401, f"FormPost: {reason}", unauthorized(call.name.account).fields)


async def _store(call: Call, fields: _Fields, part: Part, file_name: str) -> SwiftError | None:
    """Store one file; return why not when the service or the dialect does not take it."""
    request, name = call.request, ObjectName(*call.name[:2], call.name.object + file_name)
    maximum = _number(fields, "max_file_size")
    headers = Headers(_described(fields, part))
    asked = replace(
        call, request=Request("PUT", request.path, "", headers, part.body, request.id), name=name, user=None
    )
    try:
        check_object(name)
        if "\0" in name.object:
            raise SwiftError(412, "Invalid UTF8 or contains NULL")
        await call.service.put_object(name, _Capped(part.body, maximum), new_object(asked))
    except _TooLarge:
        _refuse("max_file_size exceeded")
    except SwiftError as error:
        return error
    except ObjectServiceError as error:
        return error_of(error)
    return None


def _described(fields: _Fields, part: Part) -> list[tuple[str, str]]:
    """Return as header fields what the form says of its files, or else the part of its own."""
    found = []
    for name in _DEFAULTS:
        value = fields[name] if name in fields else part.fields.get(name)
        if value is not None:
            if not value.isprintable():
                _refuse(f"invalid {name}")
            found.append((name, value.encode().decode("latin-1") or _DEFAULTS[name]))
    for name, complaint in _EXPIRY.items():
        if name in fields:
            try:
                found.append((name.replace("_", "-"), str(int(fields[name]))))
            except ValueError:
                _refuse(complaint)
    return found


class _TooLarge(Exception):
    """The file has more bytes than the form allows."""


class _Capped:
    """A file of a form, of which no more than `left` bytes may come."""

    length: int | None = None

    def __init__(self, body: Body, left: int) -> None:
        self._body, self._left = body, left

    async def read(self) -> Buffer:
        """Return the next piece. Raise _TooLarge."""
        piece = await self._body.read()
        self._left -= len(piece)
        if self._left < 0:
            raise _TooLarge
        return piece


def _redirection(target: str, status: int, message: str) -> Response:
    joint = "&" if "?" in target else "?"
    location = f"{_as_header(target)}{joint}status={status}&message={quote(message)}"
    body = f'<html><body><p><a href="{_as_html(location)}">Click to continue...</a></p></body></html>'
    return Response(303, [("Location", location), ("Content-Type", HTML)], body.encode())


def _as_header(text: str) -> str:
    """Return a URL as it may stand in a header: what could end the field is encoded."""
    return quote(text, safe="!#$%&'()*+,/:;=?@[]~")


def _as_html(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
