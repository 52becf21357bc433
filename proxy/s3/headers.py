"""Header fields of objects: from requests what is stored, to responses what was. No I/O.

Values stay Latin-1 decoded, as the server gives them, so whatever bytes a client stored come back.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

from proxy.http.conditions import Outcome, evaluate
from proxy.http.dates import http_date
from proxy.http.message import Headers
from proxy.objects.model import Condition, ObjectInfo
from proxy.s3.errors import S3Error
from proxy.s3.tags import TAGS

DEFAULT_CONTENT_TYPE = "binary/octet-stream"
MAX_USER_METADATA_SIZE = 2048  # bytes of all names and values
META = "x-amz-meta-"

# kept with an object; and how they are spelt in responses
_KEPT = {
    "cache-control": "Cache-Control",
    "content-disposition": "Content-Disposition",
    "content-encoding": "Content-Encoding",
    "content-language": "Content-Language",
    "expires": "Expires",
    "x-robots-tag": "X-Robots-Tag",  # Swift's
}
_FROM_REQUESTS = frozenset(_KEPT) - {"x-robots-tag"}

_STORAGE_CLASSES = frozenset({"STANDARD", "REDUCED_REDUNDANCY"})  # what is stored is never less than asked
_OWN_ACLS = frozenset({"private", "bucket-owner-read", "bucket-owner-full-control"})

# what asks for more than we do: never ignored
_REFUSED_PREFIXES = (
    "x-amz-server-side-encryption",
    "x-amz-copy-source-server-side-encryption",
    "x-amz-grant-",
    "x-amz-object-lock-",
    "x-amz-if-match-",
)
_REFUSED = frozenset(
    {"x-amz-website-redirect-location", "x-amz-write-offset-bytes", "x-amz-mfa"}
)

_OVERRIDES = {
    "response-content-type": "Content-Type",
    "response-content-language": "Content-Language",
    "response-expires": "Expires",
    "response-cache-control": "Cache-Control",
    "response-content-disposition": "Content-Disposition",
    "response-content-encoding": "Content-Encoding",
}

Fields = list[tuple[str, str]]


class Description(NamedTuple):
    """What a request says of the object that it makes."""

    content_type: str
    headers: dict[str, str]
    user: dict[str, str]


def description(headers: Headers) -> Description:
    """Return what `headers` say of a new object. Raise S3Error for what can't be done, or is too much."""
    kept: dict[str, str] = {}
    user: dict[str, str] = {}
    for name in headers:
        if name.startswith("x-amz-"):
            if name.startswith(META):
                user[name[len(META) :]] = headers.get(name)
            else:
                _check(name, headers)
        elif name in _FROM_REQUESTS:
            kept[name] = headers.get(name)
    if user:
        _check_size(user)
    if "content-encoding" in kept:
        encoding = _without_framing(kept.pop("content-encoding"))
        if encoding:
            kept["content-encoding"] = encoding
    return Description(headers.get("content-type") or DEFAULT_CONTENT_TYPE, kept, user)


def check_supported(headers: Headers, *, taggable: bool = False) -> None:
    """Raise S3Error when a header asks for what can't be done: tags, but of an object that comes about."""
    for name in headers:
        if name.startswith("x-amz-"):
            _check(name, headers)
    if "x-amz-tagging" in headers and not taggable:
        raise S3Error("NotImplemented", Header="x-amz-tagging")


def _check(name: str, headers: Headers) -> None:
    if name in _REFUSED or name.startswith(_REFUSED_PREFIXES):
        raise S3Error("NotImplemented", Header=name)
    if name == "x-amz-storage-class" and headers.get(name) not in _STORAGE_CLASSES:
        raise S3Error("InvalidStorageClass", StorageClassRequested=headers.get(name))
    if name == "x-amz-acl" and headers.get(name) not in _OWN_ACLS:
        raise S3Error("NotImplemented", Header=name)


def _check_size(user: Mapping[str, str]) -> None:
    size = sum(len(name) + len(value) for name, value in user.items())
    if size > MAX_USER_METADATA_SIZE:
        raise S3Error("MetadataTooLarge", Size=size, MaxSizeAllowed=MAX_USER_METADATA_SIZE)


def _without_framing(encoding: str) -> str:
    """Drop "aws-chunked": it is how the body was sent, not what was stored."""
    codings = (coding.strip() for coding in encoding.split(","))
    return ",".join(coding for coding in codings if coding.lower() != "aws-chunked")


def content_md5(headers: Headers) -> str | None:
    """Return Content-MD5 in hex, None without one. Raise S3Error when it is none."""
    if "content-md5" not in headers:
        return None
    try:
        digest = base64.b64decode(headers.get("content-md5"), validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 16:
        raise S3Error("InvalidDigest", "The Content-MD5 you specified was invalid.")
    return digest.hex()


def check_readable(headers: Headers) -> None:
    """Raise S3Error when the client wants an object decrypted by a key of its own: none is so encrypted."""
    if "x-amz-server-side-encryption-customer-algorithm" in headers:
        message = "The encryption parameters are not applicable to this object."
        raise S3Error("InvalidRequest", message)


def object_fields(info: ObjectInfo) -> Fields:
    """Return what GET and HEAD say of an object, but for its checksums."""
    metadata = info.metadata
    fields = [
        ("Last-Modified", http_date(metadata.modified_us)),
        ("ETag", f'"{metadata.etag}"'),
        ("Accept-Ranges", "bytes"),
        ("Content-Type", metadata.content_type),
    ]
    for name, value in metadata.headers.items():
        fields.append((_KEPT.get(name, name), value))
    for name, value in metadata.user.items():
        fields.append((META + name, value))
    if TAGS in metadata.system:
        fields.append(("x-amz-tagging-count", str(len(metadata.system[TAGS]))))
    return fields


def override(fields: Fields, query: Mapping[str, str]) -> Fields:
    """Return `fields` with those that the query's response-* parameters replace."""
    replaced: dict[str, str] = {}
    for parameter, name in _OVERRIDES.items():
        value = query.get(parameter)
        if value is None:
            continue
        if not value.isprintable() or not _is_latin(value):
            message = "Header value cannot be represented using ISO-8859-1."
            raise S3Error("InvalidArgument", message, ArgumentName=parameter, ArgumentValue=quote(value))
        replaced[name] = value
    if not replaced:
        return fields
    return [field for field in fields if field[0] not in replaced] + list(replaced.items())


def _is_latin(value: str) -> bool:
    return all(ord(character) < 256 for character in value)


def is_conditional(headers: Headers) -> bool:
    """Tell whether a reader sets conditions."""
    return (
        "if-none-match" in headers
        or "if-match" in headers
        or "if-modified-since" in headers
        or "if-unmodified-since" in headers
    )


def check_read(headers: Headers, info: ObjectInfo) -> bool:
    """Tell whether a reader who may have a copy needs the object; raise S3Error when a condition fails."""
    if not is_conditional(headers):
        return True
    outcome = evaluate(headers, info.metadata.etag, info.metadata.modified_us)
    if outcome is Outcome.FAILED:
        raise _failed(headers, "")
    return outcome is Outcome.PROCEED


def write_condition(headers: Headers) -> Condition | None:
    """Return what If-Match and If-None-Match demand of the object that a write would replace."""
    if "if-match" not in headers and "if-none-match" not in headers:
        return None

    def condition(current: ObjectInfo | None) -> None:
        if current is None and "if-match" in headers:
            raise S3Error("NoSuchKey")
        # dates are no conditions of writes, so no time is given
        etag = None if current is None else current.metadata.etag
        if evaluate(headers, etag, None) is not Outcome.PROCEED:
            raise _failed(headers, "")

    return condition


COPY_SOURCE = "x-amz-copy-source-"


def copy_condition(headers: Headers) -> Condition:
    """Return what the x-amz-copy-source-if-* fields demand of the source."""

    def condition(source: ObjectInfo | None) -> None:
        if source is None:
            raise S3Error("NoSuchKey")
        metadata = source.metadata
        outcome = evaluate(headers, metadata.etag, metadata.modified_us, prefix=COPY_SOURCE)
        if outcome is not Outcome.PROCEED:
            raise _failed(headers, COPY_SOURCE)

    return condition


_CONDITIONS = ("If-Match", "If-Unmodified-Since", "If-None-Match", "If-Modified-Since")


def _failed(headers: Headers, prefix: str) -> S3Error:
    """Return the error that names the first condition sent."""
    sent = (name for name in _CONDITIONS if prefix + name.lower() in headers)
    return S3Error("PreconditionFailed", Condition=prefix + next(sent, "If-Match"))
