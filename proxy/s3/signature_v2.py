"""Signature Version 2, by header and by query, for clients that know nothing newer. No I/O.

Source: Amazon S3 User Guide, "Signing and authenticating REST requests", and "Query string request
authentication alternative".
"""

import base64
import hmac
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from proxy.http.message import Headers
from proxy.s3.errors import S3Error

SCHEME = "AWS "

# parameters that are part of what is signed
_SUBRESOURCES = {
    "accelerate", "acl", "analytics", "cors", "delete", "encryption", "inventory", "legal-hold",
    "lifecycle", "location", "logging", "metrics", "notification", "object-lock", "ownershipControls",
    "partNumber", "policy", "policyStatus", "publicAccessBlock", "replication", "requestPayment",
    "response-cache-control", "response-content-disposition", "response-content-encoding",
    "response-content-language", "response-content-type", "response-expires", "restore", "retention",
    "select", "select-type", "storageClass", "tagging", "torrent", "uploadId", "uploads", "versionId",
    "versioning", "versions", "website",
}


@dataclass(frozen=True, slots=True)
class ClaimV2:
    """Who says to have signed. `expires` is the query's, as sent; None when the header says it."""

    access_key: str
    signature: str
    expires: str | None


def parse_authorization(value: str) -> ClaimV2:
    """Return the claim of an Authorization header that begins with SCHEME. Raise S3Error."""
    access_key, colon, signature = value[len(SCHEME) :].strip().rpartition(":")
    if not (access_key and colon and signature):
        message = "AWS authorization header is invalid. Expected AwsAccessKeyId:signature"
        raise S3Error("InvalidArgument", message, ArgumentName="Authorization", ArgumentValue=value)
    return ClaimV2(access_key, signature, None)


def is_presigned(query: str) -> bool:
    """Tell whether a raw query holds a signature."""
    return "AWSAccessKeyId=" in query and "Signature=" in query


def parse_presigned(query: str) -> ClaimV2:
    """Return the claim of a raw query for which `is_presigned`. Raise S3Error."""
    fields: dict[str, str] = {}
    for field in query.split("&"):
        name, _equals, value = field.partition("=")
        if name in ("AWSAccessKeyId", "Signature", "Expires"):
            fields[name] = unquote_to_bytes(value).decode("latin-1")
    if len(fields) != 3:
        message = "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
        raise S3Error("AccessDenied", message)
    expires = fields["Expires"]
    if not (expires.isascii() and expires.isdigit() and len(expires) < 16):
        raise S3Error("AccessDenied", f"Invalid date (should be seconds since epoch): {expires}")
    return ClaimV2(fields["AWSAccessKeyId"], fields["Signature"], expires)


def resources(path: str, virtual_bucket: str) -> tuple[str, ...]:
    """Return what a client may have signed as the resource at a raw path.

    `virtual_bucket` is the bucket that the Host names. Some clients end a bucket's path with a slash, in
    the signature only.
    """
    if virtual_bucket:
        return (f"/{virtual_bucket}{path}",)
    return (path, path + "/") if path.count("/") == 1 and path != "/" else (path,)


def string_to_sign(method: str, resource: str, query: str, headers: Headers, date: str) -> str:
    """Return what is signed; `query` is raw, `date` is that of the request or its expiry."""
    lines = [method, headers.get("content-md5"), headers.get("content-type"), date]
    amz_names = sorted(name for name in headers if name.startswith("x-amz-"))
    lines += [f"{name}:{headers.get(name)}" for name in amz_names]
    return "\n".join([*lines, resource + _subresources(query)])


def _subresources(query: str) -> str:
    fields = [field.partition("=") for field in query.split("&")]
    wanted = sorted(field for field in fields if field[0] in _SUBRESOURCES)
    parts = [name + equals + unquote_to_bytes(value).decode("latin-1") for name, equals, value in wanted]
    return "?" + "&".join(parts) if parts else ""


def sign(secret: str, text: str) -> str:
    """Return the signature of a string to sign, in base64."""
    return base64.b64encode(hmac.digest(secret.encode(), text.encode("latin-1"), "sha1")).decode()
