"""Signatures of EC2 and S3 requests that a service received and asks about: what is signed, and by which key. No I/O.

A service sends what it saw of the request; the signature is made anew with the secret key and compared in constant
time. Versions 2 (HMAC-SHA256 over the sorted query) and 4 are known; older ones sign too little. The request must have
been made within 15 minutes of now, by the time that is signed. Sources: Amazon's "Signature Version 2" and "Signature
Version 4 signing process"; keystoneclient's contrib.ec2 for what services send.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote

ALLOWED_SKEW_S = 15 * 60

_V4_ALGORITHM = "AWS4-HMAC-SHA256"
_V4_TIME = "%Y%m%dT%H%M%SZ"
_V2_TIME = "%Y-%m-%dT%H:%M:%S"
_PARAMETER = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]*)")


class SignatureError(Exception):
    """The signature cannot be right: the request lacks something, is too old, or signs too little."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a service saw."""

    access: str
    signature: str = field(repr=False)
    verb: str = ""
    host: str = ""
    path: str = "/"
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body_hash: str = ""


def verifies(request: SignedRequest, secret: str, now_s: float) -> bool:
    """Tell whether `request` was signed with `secret`, not long ago. Raise SignatureError when nobody can tell."""
    if _is_v4(request):
        return _is_equal(_v4(request, secret, now_s), request.signature)
    if request.params.get("SignatureVersion") != "2":
        raise SignatureError("the signature is neither of version 2 nor of version 4")
    hosts = {request.host, request.host.partition(":")[0]}  # some clients sign the name of the host alone
    return any(_is_equal(_v2(request, host, secret, now_s), request.signature) for host in hosts)


def verifies_text(text: bytes, signature: str, secret: str, now_s: float) -> bool:
    """Tell whether `signature` is that of a string to sign, as S3 middleware sends it. Raise SignatureError."""
    if text.startswith(_V4_ALGORITHM.encode()):
        return _is_equal(_sign_v4(text, secret, now_s), signature)
    _check_s3_v2_time(text, now_s)
    return _is_equal(base64.b64encode(hmac.digest(secret.encode(), text, "sha1")).decode(), signature)


def _is_equal(made: str, given: str) -> bool:
    return hmac.compare_digest(made.encode(), given.encode())


def _is_v4(request: SignedRequest) -> bool:
    authorization = request.headers.get("Authorization", "")
    return authorization.startswith(_V4_ALGORITHM) or request.params.get("X-Amz-Algorithm") == _V4_ALGORITHM


def _v2(request: SignedRequest, host: str, secret: str, now_s: float) -> str:
    stamp = request.params.get("Timestamp", "")
    _check_time(re.sub(r"(\.\d+)?Z?$", "", stamp), _V2_TIME, now_s)
    signed = {**_without(request.params, "Signature"), "SignatureMethod": "HmacSHA256"}
    text = f"{request.verb}\n{host}\n{request.path}\n{_canonical_query(signed)}"
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), "sha256")).decode()


def _v4(request: SignedRequest, secret: str, now_s: float) -> str:
    said = dict(_PARAMETER.findall(request.headers.get("Authorization", "")))
    signed_headers = said.get("SignedHeaders") or request.params.get("X-Amz-SignedHeaders", "")
    credential = said.get("Credential") or request.params.get("X-Amz-Credential", "")
    stamp = request.headers.get("X-Amz-Date") or request.params.get("X-Amz-Date", "")
    access, _, scope = credential.partition("/")
    if access != request.access:
        raise SignatureError("the signature names another access key")
    canonical = "\n".join(
        (
            request.verb.upper(),
            request.path,
            "" if request.verb.upper() == "POST" else _canonical_query(_without(request.params, "X-Amz-Signature")),
            _canonical_headers(request.headers, signed_headers),
            signed_headers,
            request.body_hash,
        )
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return _sign_v4("\n".join((_V4_ALGORITHM, stamp, scope, digest)).encode(), secret, now_s)


def _sign_v4(text: bytes, secret: str, now_s: float) -> str:
    """Return the signature of a version 4 string to sign; it says itself when, and for which service, it is."""
    try:
        _algorithm, stamp, scope, _digest = text.decode().split("\n")
        date, region, service, terminator = scope.split("/")
    except ValueError:
        raise SignatureError("the string to sign has other parts than version 4 has") from None
    _check_time(stamp, _V4_TIME, now_s)
    if not stamp.startswith(date) or terminator != "aws4_request":
        raise SignatureError("the credential scope is of another day")
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, terminator):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text, "sha256").hex()


def _without(params: Mapping[str, str], name: str) -> dict[str, str]:
    return {each: value for each, value in params.items() if each != name}


def _canonical_query(params: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='-_~')}={quote(params[name], safe='-_~')}" for name in sorted(params))


def _canonical_headers(headers: Mapping[str, str], signed_headers: str) -> str:
    values = {name.lower().strip(): " ".join(value.split()) for name, value in headers.items()}
    names = [name for name in signed_headers.split(";") if name in values]
    return "".join(f"{name}:{values[name]}\n" for name in names)


def _check_time(stamp: str, form: str, now_s: float) -> None:
    try:
        made_s = datetime.strptime(stamp, form).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise SignatureError("the request does not say when it was made") from None
    if abs(made_s - now_s) > ALLOWED_SKEW_S:
        raise SignatureError("the request was made too long ago, or is of the future")


def _check_s3_v2_time(text: bytes, now_s: float) -> None:
    """Check the fourth line of a string to sign: a date, or when a URL expires; x-amz-date comes before it."""
    lines = text.decode(errors="replace").split("\n")
    stamps = [line.partition(":")[2] for line in lines if line.startswith("x-amz-date:")] or lines[3:4]
    stamp = stamps[0].strip() if stamps else ""
    if stamp.isascii() and stamp.isdigit():
        if int(stamp[:12]) < now_s:
            raise SignatureError("the URL has expired")
        return
    try:
        made_s = parsedate_to_datetime(stamp).timestamp()
    except (ValueError, TypeError):
        raise SignatureError("the request does not say when it was made") from None
    if abs(made_s - now_s) > ALLOWED_SKEW_S:
        raise SignatureError("the request was made too long ago, or is of the future")
