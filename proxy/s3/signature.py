"""Signature Version 4: what a client claims, and what it should have signed. No I/O.

Source: Amazon S3 API Reference, "Authenticating Requests (AWS Signature Version 4)". The path and the
query are escaped anew, as AWS does, but for paths and queries in which nothing needs to be. What repeats
from request to request (keys, scopes, lists of signed headers, presigned queries) is remembered.
Text is Latin-1, as the server gives headers, so the bytes that are signed are those that came.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from proxy.http.message import Headers
from proxy.s3.errors import S3Error

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
MAX_EXPIRES_S = 7 * 24 * 3600
EMPTY_SHA256 = hashlib.sha256().hexdigest()

_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~-]*")
_TIMESTAMP = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_AUTHORIZATION = re.compile(  # as nearly all clients write it
    rf"{ALGORITHM} Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{{64}})"
)
_HEADER_NAMES = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+(?:;[a-z0-9!#$%&'*+.^_`|~-]+)*")
_FIELD_NAME = re.compile(r"[A-Za-z0-9!#$&'*+.^_`|~-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_US_PER_S = 1_000_000

_QUERY_FIELDS = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-Date",
    "X-Amz-SignedHeaders",
    "X-Amz-Expires",
)


class Scope(NamedTuple):
    """What a signing key is good for."""

    date: str  # YYYYMMDD
    region: str
    service: str

    def __str__(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@dataclass(frozen=True, slots=True)
class Claim:
    """Who says to have signed what, by an Authorization header or by a presigned query."""

    access_key: str
    scope: Scope
    signed_headers: str  # names, lower-case, separated by semicolons
    signature: str
    timestamp: str = ""  # presigned: X-Amz-Date
    expires_s: int = 0  # presigned
    token: bool = False  # presigned: there is a session token
    fields: tuple[tuple[str, str], ...] = ()  # presigned: what of the query stands for header fields
    canonical_query: str = ""  # presigned: without the signature


def is_presigned(query: str) -> bool:
    """Tell whether a raw query holds a signature."""
    return "X-Amz-" in query and any(f"&{field}=" in f"&{query}" for field in _QUERY_FIELDS[:3])


@lru_cache(maxsize=1024)
def parse_credential(text: str) -> tuple[str, Scope] | None:
    """Return access key and scope; the access key may contain slashes."""
    fields = text.rsplit("/", 4)
    if len(fields) != 5 or fields[4] != "aws4_request" or not all(fields):
        return None
    return fields[0], Scope(*fields[1:4])


def parse_authorization(value: str) -> Claim:
    """Return the claim of an Authorization header that begins with ALGORITHM. Raise S3Error."""
    match = _AUTHORIZATION.fullmatch(value)
    credential = parse_credential(match[1]) if match else None
    if match and credential and is_header_list(match[2]):
        return Claim(*credential, match[2], match[3])
    return _parse_authorization_fields(value)


def _parse_authorization_fields(value: str) -> Claim:
    """Read an Authorization header in any order, and tell what is wrong with it."""
    fields: dict[str, str] = {}
    for field in value[len(ALGORITHM) :].split(","):
        name, _equals, content = field.strip().partition("=")
        if name in fields:
            raise _malformed(f"the field {name} is repeated.")
        fields[name] = content
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not fields.get(name):
            raise _malformed(f"the {name} field is missing.")
    credential = parse_credential(fields["Credential"])
    if credential is None:
        message = 'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
        raise _malformed(message)
    if not is_header_list(fields["SignedHeaders"]) or not _SIGNATURE.fullmatch(fields["Signature"]):
        raise _malformed("SignedHeaders or Signature has the wrong form.")
    return Claim(*credential, fields["SignedHeaders"], fields["Signature"])


def _malformed(message: str) -> S3Error:
    return S3Error("AuthorizationHeaderMalformed", f"The authorization header is malformed; {message}")


@lru_cache(maxsize=1024)
def is_header_list(text: str) -> bool:
    """Tell whether `text` can be a list of signed headers."""
    return _HEADER_NAMES.fullmatch(text) is not None


@lru_cache(maxsize=128)
def parse_presigned(query: str) -> Claim:
    """Return the claim of a raw query for which `is_presigned`. Raise S3Error."""
    fields: dict[str, str] = {}
    moved: dict[str, str] = {}
    for pair in query.split("&"):
        raw_name, _equals, raw_value = pair.partition("=")
        name = raw_name.lower()
        if raw_name in fields or name in moved:
            raise _malformed_query(f"{raw_name} must be given once")
        if raw_name in _QUERY_FIELDS:
            fields[raw_name] = unquote_to_bytes(raw_value).decode("latin-1")
        elif name.startswith("x-amz-"):
            moved[name] = _field_value(raw_name, raw_value)
    if len(fields) != len(_QUERY_FIELDS):
        names = ", ".join(_QUERY_FIELDS)
        raise _malformed_query(f"Query-string authentication version 4 requires the {names} parameters.")
    if fields["X-Amz-Algorithm"] != ALGORITHM:
        raise _malformed_query(f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    credential = parse_credential(fields["X-Amz-Credential"])
    if credential is None:
        message = "the Credential is mal-formed; expecting <YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request."
        raise _malformed_query(f"Error parsing the X-Amz-Credential parameter; {message}")
    if timestamp_us(fields["X-Amz-Date"]) is None:
        raise _malformed_query('X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd\'T\'HHmmss\'Z\'"')
    if not is_header_list(fields["X-Amz-SignedHeaders"]):
        raise _malformed_query("X-Amz-SignedHeaders has the wrong form")
    return Claim(
        *credential,
        fields["X-Amz-SignedHeaders"],
        fields["X-Amz-Signature"],
        fields["X-Amz-Date"],
        _expires_s(fields["X-Amz-Expires"]),
        "x-amz-security-token" in moved,
        tuple(moved.items()),
        canonical_query(query, without="X-Amz-Signature"),
    )


def _field_value(name: str, raw: str) -> str:
    """Return the value of a header field that a client has moved into the query."""
    value = unquote_to_bytes(raw.replace("+", "%20")).decode("latin-1").strip(" \t")
    if not _FIELD_NAME.fullmatch(name) or _CONTROL.search(value):
        raise _malformed_query(f"{name} cannot be a header field")
    return value


def _expires_s(text: str) -> int:
    if not (text.isascii() and text.lstrip("-").isdigit() and len(text) < 20):
        raise _malformed_query("X-Amz-Expires must be a number")
    expires_s = int(text)
    if expires_s < 1:
        raise _malformed_query("X-Amz-Expires must be positive")
    if expires_s > MAX_EXPIRES_S:
        raise _malformed_query(f"X-Amz-Expires must be less than a week (in seconds) that is {MAX_EXPIRES_S}")
    return expires_s


def _malformed_query(message: str) -> S3Error:
    return S3Error("AuthorizationQueryParametersError", message)


@lru_cache(maxsize=1024)
def timestamp_us(text: str) -> int | None:
    """Return the time of e.g. "20260102T030405Z" in microseconds since 1970, None when it is none."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    try:
        return int(datetime(*map(int, match.groups()), tzinfo=UTC).timestamp()) * _US_PER_S  # type: ignore[arg-type, misc]
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def canonical_text(raw: str, safe: str = "") -> str:
    """Return percent-encoded text, escaped as signatures want it."""
    return quote(unquote_to_bytes(raw), safe=safe)


def canonical_path(path: str) -> str:
    """Return a raw path, escaped as signatures want it; neither dots nor slashes are normalized in S3."""
    return path if _PLAIN_PATH.fullmatch(path) else canonical_text(path, "/")


def canonical_query(query: str, without: str = "") -> str:
    """Return a raw query in order, escaped, less the parameter `without`."""
    if not query:
        return ""
    pairs = []
    for field in query.split("&"):
        name, _equals, value = field.partition("=")
        if field and name != without:
            pairs.append((_canonical_parameter(name), _canonical_parameter(value)))
    pairs.sort()
    return "&".join([f"{name}={value}" for name, value in pairs])


def _canonical_parameter(raw: str) -> str:
    if raw.isalnum() and raw.isascii():
        return raw
    return canonical_text(raw.replace("+", "%20"))


def canonical_request(
    method: str, path: str, query: str, headers: Headers, signed_headers: str, payload: str
) -> bytes:
    """Return what is hashed and signed; `path` is raw, `query` canonical, `payload` the hash or what stands for it."""
    lines = [method, canonical_path(path), query]
    for name in signed_headers.split(";"):
        value = headers.get(name)
        if "  " in value or "\t" in value or len(headers.get_all(name)) > 1:
            value = ",".join([" ".join(each.split()) for each in headers.get_all(name)])
        lines.append(f"{name}:{value}")
    return "\n".join([*lines, "", signed_headers, payload]).encode("latin-1")


@lru_cache(maxsize=1024)
def signing_key(secret: str, scope: Scope) -> bytes:
    """Return the key derived from a user's secret for one day, region and service."""
    key = f"AWS4{secret}".encode()
    for part in (scope.date, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode("latin-1"), "sha256")
    return key


def request_signature(key: bytes, timestamp: str, scope: Scope, canonical: bytes) -> str:
    """Return the signature of a canonical request, in hex."""
    digest = hashlib.sha256(canonical).hexdigest()
    return sign(key, f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}")


def sign(key: bytes, text: str) -> str:
    """Return the signature of a string to sign, in hex."""
    return hmac.digest(key, text.encode("latin-1"), "sha256").hex()


@dataclass(slots=True)
class SignatureChain:
    """The signatures of the chunks of a body: each covers the one before, the first that of the request."""

    key: bytes
    timestamp: str
    scope: Scope
    previous: str

    def next_chunk(self, sha256: str) -> str:
        """Return, and go on from, the signature of a chunk with this hash."""
        return self._next(f"{ALGORITHM}-PAYLOAD", f"{EMPTY_SHA256}\n{sha256}")

    def next_trailer(self, sha256: str) -> str:
        """Return, and go on from, the signature of trailers with this hash."""
        return self._next(f"{ALGORITHM}-TRAILER", sha256)

    def _next(self, algorithm: str, hashes: str) -> str:
        text = f"{algorithm}\n{self.timestamp}\n{self.scope}\n{self.previous}\n{hashes}"
        self.previous = sign(self.key, text)
        return self.previous
