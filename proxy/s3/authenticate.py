"""Who sends a request: the signature in its header or its query, verified, with the errors AWS has for it.

Source: Amazon S3 API Reference, "Authenticating Requests"; the codes and messages are what S3 answers.
"""

import hmac
from dataclasses import dataclass

from identity.interfaces import Signer, Users
from proxy.http.dates import iso8601, parse_http_date
from proxy.http.message import Headers, Request
from proxy.s3 import signature as v4
from proxy.s3 import signature_v2 as v2
from proxy.s3.body import S3Body, open_body
from proxy.s3.errors import S3Error

SERVICE = "s3"
_US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Who asks, None for nobody in particular, and the body, verified as it is read."""

    user: Signer | None
    body: S3Body


@dataclass(frozen=True, slots=True)
class _Clock:
    now_us: int
    skew_us: int


def authenticate(
    request: Request, users: Users, *, region: str, now_us: int, skew_s: float, virtual_bucket: str = ""
) -> Authenticated:
    """Verify a request's signature. Raise S3Error when there is one that does not count.

    What a presigned query holds of header fields joins those of `request`.
    `virtual_bucket` is the bucket that the Host names, if any: signatures of version 2 cover it.
    """
    clock = _Clock(now_us, int(skew_s * _US_PER_S))
    authorization = request.headers.get("authorization")
    presigned_v4 = v4.is_presigned(request.query)
    presigned_v2 = v2.is_presigned(request.query)
    if bool(authorization) + presigned_v4 + presigned_v2 > 1:
        message = "Only one auth mechanism allowed"
        raise S3Error("InvalidArgument", message, ArgumentName="Authorization", ArgumentValue=authorization)
    if authorization.startswith(v4.ALGORITHM):
        return _by_header(request, authorization, users, region, clock)
    if presigned_v4:
        return _by_query(request, users, region, clock)
    if presigned_v2:
        claim_v2 = v2.parse_presigned(request.query)
    elif authorization.startswith(v2.SCHEME):
        claim_v2 = v2.parse_authorization(authorization)
    elif authorization:
        message = "Unsupported Authorization Type"
        raise S3Error("InvalidArgument", message, ArgumentName="Authorization", ArgumentValue=authorization)
    else:
        return Authenticated(None, open_body(request, request.headers.get("x-amz-content-sha256"), None))
    user = _user_v2(request, claim_v2, users, clock, virtual_bucket)
    return Authenticated(user, open_body(request, v4.UNSIGNED_PAYLOAD, None))


def _by_header(
    request: Request, authorization: str, users: Users, region: str, clock: _Clock
) -> Authenticated:
    headers = request.headers
    claim = v4.parse_authorization(authorization)
    _check_scope(claim.scope, region, "AuthorizationHeaderMalformed", "The authorization header is malformed")
    timestamp, at_us = _header_time(request)
    if claim.scope.date != timestamp[:8]:
        message = f'Invalid credential date "{claim.scope.date}". This date is not the same as X-Amz-Date.'
        raise S3Error("AuthorizationHeaderMalformed", f"The authorization header is malformed; {message}")
    user = _user(users, claim.access_key)
    _check_skew(at_us, timestamp, clock)
    if "x-amz-security-token" in headers:
        raise S3Error("InvalidToken")
    if "x-amz-content-sha256" not in headers:
        message = "Missing required header for this request: x-amz-content-sha256"
        raise S3Error("MissingSecurityHeader", message, MissingHeaderName="x-amz-content-sha256")
    payload = headers.get("x-amz-content-sha256")
    key = v4.signing_key(user.secret_key, claim.scope)
    _verify(request, claim, key, timestamp, v4.canonical_query(request.query), payload)
    chain = v4.SignatureChain(key, timestamp, claim.scope, claim.signature)
    return Authenticated(user, open_body(request, payload, chain))


def _by_query(request: Request, users: Users, region: str, clock: _Clock) -> Authenticated:
    claim = v4.parse_presigned(request.query)
    prefix = "Error parsing the X-Amz-Credential parameter"
    _check_scope(claim.scope, region, "AuthorizationQueryParametersError", prefix)
    if claim.scope.date != claim.timestamp[:8]:
        message = f'Invalid credential date "{claim.scope.date}". This date is not the same as X-Amz-Date.'
        raise S3Error("AuthorizationQueryParametersError", message)
    user = _user(users, claim.access_key)
    if claim.token or "x-amz-security-token" in request.headers:
        raise S3Error("InvalidToken")
    at_us = v4.timestamp_us(claim.timestamp)
    assert at_us is not None, "parse_presigned has looked at it"
    if at_us > clock.now_us + clock.skew_us:
        raise S3Error("AccessDenied", "Request is not yet valid", ServerTime=iso8601(clock.now_us))
    _check_expiry(at_us + claim.expires_s * _US_PER_S, claim.expires_s, clock)
    headers = _with_fields(request.headers, claim.fields)
    payload = headers.get("x-amz-content-sha256", v4.UNSIGNED_PAYLOAD)
    key = v4.signing_key(user.secret_key, claim.scope)
    _verify(request, claim, key, claim.timestamp, claim.canonical_query, payload)
    request.headers = headers
    chain = v4.SignatureChain(key, claim.timestamp, claim.scope, claim.signature)
    return Authenticated(user, open_body(request, payload, chain))


def _with_fields(headers: Headers, fields: tuple[tuple[str, str], ...]) -> Headers:
    """Return `headers` and the fields that a presigned query holds. Raise S3Error when they differ."""
    for name, value in fields:
        if headers.get(name, value) != value:
            message = f"{name} is one thing as a header field and another in the query"
            raise S3Error("AuthorizationQueryParametersError", message)
    return Headers([*headers.items(), *(field for field in fields if field[0] not in headers)]) if fields else headers


def _check_scope(scope: v4.Scope, region: str, code: str, prefix: str) -> None:
    if scope.service != SERVICE:
        raise S3Error(
            code, f'{prefix}; incorrect service "{scope.service}". This endpoint belongs to "{SERVICE}".'
        )
    if scope.region != region:
        message = f"{prefix}; the region '{scope.region}' is wrong; expecting '{region}'"
        raise S3Error(code, message, Region=region)


def _user(users: Users, access_key: str) -> Signer:
    user = users.by_access_key(access_key)
    if user is None:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access_key)
    return user


def _header_time(request: Request) -> tuple[str, int]:
    """Return when a request was signed, as signatures have it and in microseconds."""
    headers = request.headers
    text = headers.get("x-amz-date") or headers.get("date")
    at_us = v4.timestamp_us(text)
    if at_us is not None:
        return text, at_us
    at_us = parse_http_date(text)
    if at_us is None:
        raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    return iso8601(at_us)[:19].replace("-", "").replace(":", "") + "Z", at_us


def _check_skew(at_us: int, sent: str, clock: _Clock) -> None:
    if abs(clock.now_us - at_us) > clock.skew_us:
        raise S3Error(
            "RequestTimeTooSkewed",
            RequestTime=sent,
            ServerTime=iso8601(clock.now_us),
            MaxAllowedSkewMilliseconds=clock.skew_us // 1000,
        )


def _check_expiry(end_us: int, expires_s: int, clock: _Clock) -> None:
    if clock.now_us > end_us:
        details: dict[str, str | int] = {"X-Amz-Expires": expires_s} if expires_s else {}
        details |= {"Expires": iso8601(end_us), "ServerTime": iso8601(clock.now_us)}
        raise S3Error("AccessDenied", "Request has expired", **details)


def _verify(
    request: Request, claim: v4.Claim, key: bytes, timestamp: str, canonical_query: str, payload: str
) -> None:
    canonical = v4.canonical_request(
        request.method, request.path, canonical_query, request.headers, claim.signed_headers, payload
    )
    expected = v4.request_signature(key, timestamp, claim.scope, canonical)
    if not hmac.compare_digest(expected.encode(), claim.signature.encode("latin-1")):
        raise S3Error(
            "SignatureDoesNotMatch",
            AWSAccessKeyId=claim.access_key,
            SignatureProvided=claim.signature,
            CanonicalRequest=canonical.decode("latin-1"),
        )
    signed = claim.signed_headers.split(";")
    unsigned = [name for name in request.headers if name.startswith("x-amz-") and name not in signed]
    if "host" not in signed:
        unsigned.insert(0, "host")
    if unsigned:
        message = "There were headers present in the request which were not signed"
        raise S3Error("AccessDenied", message, HeadersNotSigned=", ".join(unsigned))


def _user_v2(request: Request, claim: v2.ClaimV2, users: Users, clock: _Clock, virtual_bucket: str) -> Signer:
    headers = request.headers
    user = _user(users, claim.access_key)
    if claim.expires is not None:
        date = claim.expires
        _check_expiry(int(claim.expires) * _US_PER_S, 0, clock)
    else:
        sent, at_us = _header_time(request)
        _check_skew(at_us, sent, clock)
        date = "" if "x-amz-date" in headers else headers.get("date")
    if "x-amz-security-token" in headers:
        raise S3Error("InvalidToken")
    for resource in v2.resources(request.path, virtual_bucket):
        text = v2.string_to_sign(request.method, resource, request.query, headers, date)
        expected = v2.sign(user.secret_key, text)
        if hmac.compare_digest(expected.encode(), claim.signature.encode("latin-1")):
            return user
    raise S3Error(
        "SignatureDoesNotMatch",
        AWSAccessKeyId=claim.access_key,
        SignatureProvided=claim.signature,
        StringToSign=text,
    )
