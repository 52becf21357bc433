"""Temporary URLs: one method on one object (or on those below a prefix) for whoever has the URL, until it expires.

Source: "Temporary URL middleware" in Swift's API documentation. The signature is an HMAC over method, expiry and path,
under a key that is metadata of the account or the container (Temp-URL-Key, Temp-URL-Key-2). A key opens what it
is set on: an account's also the segments of a large object elsewhere in the account, a container's only the container.
Parameters that are not about the URL are left out, and so is what headers say of other objects.
"""

import hmac
import time
from base64 import urlsafe_b64decode
from calendar import timegm
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import quote

from proxy.http.dates import http_date
from proxy.http.message import Response
from proxy.objects.errors import NoSuchContainer
from proxy.swift.access import unauthorized
from proxy.swift.call import Call, Grant, Handler
from proxy.swift.errors import SwiftError
from proxy.swift.headers import ACCOUNT_META, CONTAINER_META, OBJECT_META, TEMP_URL_KEYS
from proxy.swift.parameters import NONE

METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
SHOWN_META = "x-object-meta-public-"  # the metadata of an object that bearers of a URL may see

DIGESTS = {"sha1": 20, "sha256": 32, "sha512": 64}  # bytes
_DATES = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d")
_HEAD_TOO = ("HEAD", "GET", "POST", "PUT")  # who may do one of these may look
GENERATED = ("X-Backend-Content-Generator", "staticweb")  # of an answer: it is a page that we made
# what would make an object of others, which the URL does not open
_REFUSED_HEADERS = ("x-object-manifest", "x-copy-from", "x-symlink-target")


@dataclass(frozen=True, slots=True)
class _Claim:
    """What the parameters say. `prefix` None: the URL is for one object."""

    digest: str
    signature: bytes
    expires_s: int
    prefix: str | None
    ip_range: str
    filename: str
    inline: bool


def is_temporary(call: Call) -> bool:
    """Tell whether a request comes by a temporary URL, or what is left of one."""
    names = call.parameters
    return ("temp_url_sig" in names or "temp_url_expires" in names) and call.request.method != "OPTIONS"


async def answer_bearer(call: Call, handle: Handler) -> Response:
    """Let `handle` answer whoever has the URL. Raise SwiftError when it is not good for this request."""
    claim = _claim(call.parameters)
    if claim is None or not _fits(call, claim):
        raise _invalid(call)
    grant = await _granted(call, claim)
    if grant is None:
        raise _invalid(call)
    if claim.prefix is not None:
        grant = replace(grant, prefix=claim.prefix, query=_query(call, claim))
    for name in _REFUSED_HEADERS:
        if name in call.request.headers:
            raise SwiftError(400, f"Header '{name}' not allowed in this tempurl")
    response = await handle(replace(call, user=None, grant=grant, parameters=NONE))
    if not call.name.object and response.status < 300 and GENERATED not in response.headers:
        raise _invalid(call)  # a container is opened as a web site only
    response.headers = _shown(call, claim, response)
    return response


def _invalid(call: Call) -> SwiftError:
    asking = unauthorized(call.name.account)
    return SwiftError(401, "401 Unauthorized: Temp URL invalid\n", asking.fields)


def _claim(parameters: Mapping[str, str]) -> _Claim | None:
    """Return what the parameters say, None when they say nothing that could be right."""
    signed = signature(parameters.get("temp_url_sig", ""))
    expires_s = _seconds(parameters.get("temp_url_expires", ""))
    if signed is None or expires_s is None:
        return None
    return _Claim(
        *signed,
        expires_s,
        parameters.get("temp_url_prefix"),
        parameters.get("temp_url_ip_range", ""),
        parameters.get("filename", ""),
        "inline" in parameters,
    )


def signature(text: str) -> tuple[str, bytes] | None:
    """Return a signature's algorithm and bytes: in hexadecimal, or as "sha256:" and base64 of either alphabet."""
    name, colon, encoded = text.partition(":")
    try:
        if colon:
            standard = encoded.replace("+", "-").replace("/", "_").rstrip("=")
            found = urlsafe_b64decode(standard + "=" * (-len(standard) % 4))
        else:
            found = bytes.fromhex(text)
            name = next((name for name, size in DIGESTS.items() if size == len(found)), "")
    except ValueError:
        return None
    return (name, found) if name in DIGESTS and len(found) == DIGESTS[name] else None


def _seconds(text: str) -> int | None:
    """Return when a URL expires: seconds since 1970, or a date."""
    if text.isascii() and text.isdigit() and len(text) <= 11:
        return int(text)
    for form in _DATES:
        try:
            return timegm(time.strptime(text, form))
        except ValueError:
            continue
    return None


def _fits(call: Call, claim: _Claim) -> bool:
    """Tell whether the request is one that the URL may be for, whoever has signed it."""
    return (
        call.request.method in METHODS
        and call.request.path.startswith("/v1/")
        and (bool(call.name.object.strip("/")) or _is_listing(call, claim))
        and claim.expires_s >= call.now_s
        and (claim.prefix is None or call.name.object.startswith(claim.prefix))
        and (not claim.ip_range or _is_within(call.request.peer, claim.ip_range))
    )


def _is_listing(call: Call, claim: _Claim) -> bool:
    """Tell whether the request is for the container itself, which a URL for all of its objects opens as well."""
    return claim.prefix == "" and bool(call.name.container) and call.request.method in ("GET", "HEAD")


def _query(call: Call, claim: _Claim) -> str:
    """Return the parameters of the URL, as those of links to other objects of its prefix."""
    parts = [
        f"temp_url_prefix={quote(claim.prefix or '')}",
        f"temp_url_expires={quote(call.parameters['temp_url_expires'])}",
        f"temp_url_sig={quote(call.parameters['temp_url_sig'])}",
    ]
    if claim.ip_range:
        parts.append(f"temp_url_ip_range={quote(claim.ip_range)}")
    return "&".join([*parts, "inline"] if claim.inline else parts)


def _is_within(peer: str, ip_range: str) -> bool:
    try:
        address = ip_address(peer)
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return address in ip_network(ip_range)
    except ValueError:
        return False


async def _granted(call: Call, claim: _Claim) -> Grant | None:
    """Return what the key opens with which the URL is signed, None when it is with none."""
    texts = list(_signed_texts(call, claim))
    async for key, grant in keys(call):
        for text in texts:
            if hmac.compare_digest(hmac.digest(key, text, claim.digest), claim.signature):
                return grant
    return None


def _signed_texts(call: Call, claim: _Claim) -> Iterator[bytes]:
    """Yield what may have been signed."""
    account, container, object_ = call.name
    path = f"/v1/{account}/{container}/{object_}"
    if claim.prefix is not None:
        path = f"prefix:/v1/{account}/{container}/{claim.prefix}"
    lead = f"ip={claim.ip_range}\n" if claim.ip_range else ""
    method = call.request.method
    for signed in _HEAD_TOO if method == "HEAD" else (method,):
        yield f"{lead}{signed}\n{claim.expires_s}\n{path}".encode()


async def keys(call: Call) -> AsyncIterator[tuple[bytes, Grant]]:
    """Yield the keys of the account and of the container, and what each opens."""
    account, container, _object = call.name
    info = await call.service.account_info(account)
    for name in TEMP_URL_KEYS:
        if key := info.metadata.get(ACCOUNT_META + name):
            yield str(key).encode("latin-1"), Grant(account, "")
    try:
        metadata = (await call.service.container_info(account, container)).metadata
    except NoSuchContainer:
        return
    for name in TEMP_URL_KEYS:
        if key := metadata.get(CONTAINER_META + name):
            yield str(key).encode("latin-1"), Grant(account, container)


def _shown(call: Call, claim: _Claim, response: Response) -> list[tuple[str, str]]:
    """Return the header fields that the bearer gets, with those that make a browser keep the file for a while."""
    fields = [
        field
        for field in response.headers
        if not field[0].lower().startswith(OBJECT_META) or field[0].lower().startswith(SHOWN_META)
    ]
    if GENERATED in fields:
        claim = replace(claim, inline=True)
        fields.remove(GENERATED)
    if call.request.method not in ("GET", "HEAD") or not 200 <= response.status < 300:
        return fields
    own = next((value for name, value in fields if name.lower() == "content-disposition"), "")
    fields = [field for field in fields if field[0].lower() not in ("content-disposition", "expires")]
    return [
        *fields,
        ("Content-Disposition", _disposition(call, claim, own)),
        ("Expires", http_date(claim.expires_s * 1_000_000)),
    ]


def _disposition(call: Call, claim: _Claim, own: str) -> str:
    """Return Content-Disposition: as the URL says, else as the object does, else to save it under its name."""
    kind, filename = "inline" if claim.inline else "attachment", claim.filename
    if not filename:
        if claim.inline:
            return kind
        if own:
            return own
        filename = call.name.object.rstrip("/").rpartition("/")[2]
    return f"{kind}; filename=\"{quote(filename, safe=' /')}\"; filename*=UTF-8''{quote(filename)}"
