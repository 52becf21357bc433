import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest
from botocore import auth

from proxy.http.message import Request
from proxy.s3.authenticate import Authenticated, authenticate
from proxy.s3.errors import S3Error
from tests.unit.proxy.s3_requests import HOST, NOW_US, REGION, USER, Users, read_all, request, signed

HEADER = auth.S3SigV4Auth
QUERY = auth.S3SigV4QueryAuth
MINUTE_US = 60_000_000
KEY = "a b/é+~'()!*$&@:;=,#?//../%"
AWKWARD = f"/bucket/{quote(KEY, safe='/~')}?x=1&prefix=a%20b%2F&marker&tilde=~"


def check(asked: Request, after_us: int = 0, **arguments: Any) -> Authenticated:
    return authenticate(
        asked, Users(), region=REGION, now_us=NOW_US + after_us, skew_s=900, **arguments
    )


def refusal(asked: Request, after_us: int = 0) -> S3Error:
    with pytest.raises(S3Error) as raised:
        check(asked, after_us)
    return raised.value


def changed(asked: Request, **headers: str) -> Request:
    fields: Mapping[str, str] = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{HOST}{asked.path}?{asked.query}"
    return request(asked.method, url, {**dict(asked.headers.items()), **fields})


@pytest.mark.parametrize("signer", [HEADER, QUERY, auth.HmacV1Auth, auth.HmacV1QueryAuth])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/", "/bucket?location", "/bucket/key", AWKWARD])
def test_what_botocore_signs_is_its_user(signer: type, method: str, path: str) -> None:
    assert check(signed(signer, method, path)).user == USER


def test_signed_headers_may_hold_spaces_and_bytes_that_are_not_ascii() -> None:
    headers = {"x-amz-meta-a": "  two  spaces\t", "x-amz-meta-b": "é ☃", "x-amz-acl": "private"}
    assert check(signed(HEADER, "PUT", "/bucket/key", headers, b"data")).user == USER


def test_nobody_signs_for_nobody() -> None:
    assert check(request("GET", HOST + "/bucket/key")).user is None


@pytest.mark.parametrize("signer", [HEADER, QUERY, auth.HmacV1Auth, auth.HmacV1QueryAuth])
def test_a_wrong_secret_does_not_match(signer: type) -> None:
    assert refusal(signed(signer, "GET", "/b/k", secret="other")).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("signer", [HEADER, QUERY, auth.HmacV1Auth, auth.HmacV1QueryAuth])
def test_a_signature_is_good_for_one_path_and_one_method(signer: type) -> None:
    asked = signed(signer, "GET", "/b/k?versionId=1")
    for other in ("PUT", "/b/other", "versionId=2"):
        altered = changed(asked)
        if other == "PUT":
            altered.method = other
        elif other.startswith("/"):
            altered.path = other
        else:
            altered.query = asked.query.replace("versionId=1", other)
        assert refusal(altered).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("signer", [HEADER, QUERY, auth.HmacV1Auth, auth.HmacV1QueryAuth])
def test_an_unknown_key_is_told_so(signer: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Users, "by_access_key", lambda self, key: None)
    error = refusal(signed(signer, "GET", "/b/k"))
    assert (error.code, error.details) == ("InvalidAccessKeyId", {"AWSAccessKeyId": USER.access_key})


@pytest.mark.parametrize("signer", [HEADER, auth.HmacV1Auth])
@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_clock_twenty_minutes_off_is_too_skewed(signer: type, minutes: int) -> None:
    asked = signed(signer, "GET", "/b/k")
    assert refusal(asked, minutes * MINUTE_US).code == "RequestTimeTooSkewed"
    assert check(asked, minutes // 2 * MINUTE_US).user == USER


@pytest.mark.parametrize("signer", [QUERY, auth.HmacV1QueryAuth])
def test_a_presigned_request_is_good_until_it_expires(signer: type) -> None:
    asked = signed(signer, "GET", "/b/k", expires=3600)
    assert check(asked, 59 * MINUTE_US).user == USER
    error = refusal(asked, 61 * MINUTE_US)
    assert (error.code, error.message) == ("AccessDenied", "Request has expired")


def test_a_presigned_request_from_the_future_is_not_yet_valid() -> None:
    error = refusal(signed(QUERY, "GET", "/b/k"), -20 * MINUTE_US)
    assert (error.code, error.message) == ("AccessDenied", "Request is not yet valid")


@pytest.mark.parametrize("expires", ["0", "-1", "604801", "x", "", "9" * 5000])
def test_an_expiry_out_of_bounds_is_refused(expires: str) -> None:
    asked = signed(QUERY, "GET", "/b/k", expires=3600)
    asked.query = asked.query.replace("X-Amz-Expires=3600", f"X-Amz-Expires={expires}")
    assert refusal(asked).code == "AuthorizationQueryParametersError"


@pytest.mark.parametrize("name", ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"])
def test_a_presigned_request_needs_every_parameter_once(name: str) -> None:
    asked = signed(QUERY, "GET", "/b/k")
    fields = asked.query.split("&")
    index = next(i for i, field in enumerate(fields) if field.startswith(f"X-Amz-{name}="))
    asked.query = "&".join(fields[:index] + fields[index + 1 :])
    assert refusal(asked).code == "AuthorizationQueryParametersError"
    asked.query = "&".join([*fields, fields[index]])
    assert refusal(asked).code == "AuthorizationQueryParametersError"


@pytest.mark.parametrize(
    ("signer", "code"),
    [(HEADER, "AuthorizationHeaderMalformed"), (QUERY, "AuthorizationQueryParametersError")],
)
def test_another_region_is_told_which_one_is_right(signer: type, code: str) -> None:
    error = refusal(signed(signer, "GET", "/b/k", region="eu-west-1"))
    assert (error.code, error.details) == (code, {"Region": REGION})
    assert "expecting 'us-east-1'" in error.message


@pytest.mark.parametrize("signer", [HEADER, QUERY])
def test_an_amz_header_that_is_not_signed_is_refused(signer: type) -> None:
    error = refusal(changed(signed(signer, "PUT", "/b/k"), x_amz_acl="public-read", x_amz_meta_a="b"))
    assert error.code == "AccessDenied"
    assert error.message == "There were headers present in the request which were not signed"
    assert error.details == {"HeadersNotSigned": "x-amz-acl, x-amz-meta-a"}


def test_host_must_be_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    original = HEADER.headers_to_sign

    def without_host(self: Any, aws: Any) -> Any:
        headers = original(self, aws)
        del headers["host"]
        return headers

    monkeypatch.setattr(HEADER, "headers_to_sign", without_host)
    error = refusal(signed(HEADER, "GET", "/b/k"))
    assert (error.code, error.details) == ("AccessDenied", {"HeadersNotSigned": "host"})


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("Basic YTpi", "InvalidArgument"),
        ("AWS HAHAHA", "InvalidArgument"),
        ("AWS4-HMAC-SHA256 Credential=HAHAHA", "AuthorizationHeaderMalformed"),
        ("AWS AKIA:FWeDfwojDSdS2Ztmpfeubhd9isU=", "InvalidAccessKeyId"),
    ],
)
def test_other_authorizations_are_refused(authorization: str, code: str) -> None:
    date = "Fri, 02 Jan 2026 03:04:05 GMT"
    asked = request("GET", HOST + "/b/k", {"authorization": authorization, "date": date})
    assert refusal(asked).code == code


def test_two_signatures_are_one_too_many() -> None:
    asked = signed(QUERY, "GET", "/b/k")
    by_header = signed(HEADER, "GET", "/b/k").headers.get("authorization")
    assert refusal(changed(asked, authorization=by_header)).code == "InvalidArgument"


@pytest.mark.parametrize("date", ["", "Bad Date", "20260230T000000Z"])
def test_a_request_without_a_valid_date_is_denied(date: str) -> None:
    asked = changed(signed(auth.HmacV1Auth, "GET", "/b/k"), date=date)
    assert refusal(asked).code == "AccessDenied"
    assert refusal(changed(signed(HEADER, "GET", "/b/k"), x_amz_date=date)).code == "AccessDenied"


def test_a_day_that_differs_from_the_date_is_malformed() -> None:
    asked = signed(HEADER, "GET", "/b/k")
    authorization = asked.headers.get("authorization").replace("/20260102/", "/20260101/")
    assert refusal(changed(asked, authorization=authorization)).code == "AuthorizationHeaderMalformed"


def test_a_session_token_is_invalid() -> None:
    assert refusal(changed(signed(HEADER, "GET", "/b/k"), x_amz_security_token="t")).code == "InvalidToken"


def test_the_payload_hash_must_be_given_and_be_right() -> None:
    asked = signed(HEADER, "PUT", "/b/k", data=b"payload")
    assert read_all(check(asked).body) == [b"payload"]
    forged = changed(asked)
    forged.body = request("PUT", HOST, pieces=[b"forgery"]).body
    with pytest.raises(S3Error) as raised:
        read_all(check(forged).body)
    assert raised.value.code == "XAmzContentSHA256Mismatch"
    bare = {name: value for name, value in asked.headers.items() if name != "x-amz-content-sha256"}
    assert refusal(request("PUT", HOST + "/b/k", bare)).code == "MissingSecurityHeader"


@pytest.mark.parametrize("path", ["/bucket", "/bucket/"])
def test_version_2_may_end_the_path_of_a_bucket_with_a_slash(path: str) -> None:
    """botocore signs /bucket/ and asks for /bucket."""
    asked = signed(auth.HmacV1Auth, "GET", path)
    asked.path = "/bucket"
    assert check(asked).user == USER


def test_version_2_covers_the_bucket_that_the_host_names() -> None:
    asked = signed(auth.HmacV1Auth, "GET", "/bucket/key?acl")
    asked.path = "/key"
    assert check(asked, virtual_bucket="bucket").user == USER
    assert refusal(asked).code == "SignatureDoesNotMatch"


def test_fields_that_a_presigned_query_holds_are_header_fields() -> None:
    asked = signed(QUERY, "PUT", "/b/k?x-amz-meta-colour=deep%20bl%C3%BCe&X-Amz-Acl=private&x-id=PutObject")
    assert check(asked).user == USER
    assert asked.headers.get("x-amz-meta-colour") == "deep blüe".encode().decode("latin-1")
    assert asked.headers.get("x-amz-acl") == "private"
    assert "x-id" not in asked.headers


def test_a_presigned_query_may_hold_the_hash_of_the_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    payload_hash = hashlib.sha256(b"payload").hexdigest()
    monkeypatch.setattr(QUERY, "payload", lambda self, aws: payload_hash)

    def read(data: bytes) -> list[bytes]:
        asked = signed(QUERY, "PUT", f"/b/k?X-Amz-Content-Sha256={payload_hash}")
        asked.body = request("PUT", HOST, pieces=[data]).body
        return read_all(check(asked).body)

    assert read(b"payload") == [b"payload"]
    with pytest.raises(S3Error) as raised:
        read(b"forgery")
    assert raised.value.code == "XAmzContentSHA256Mismatch"


@pytest.mark.parametrize("parameter", ["x-amz-meta-a=b%0D%0Ac", "x-amz-meta-a%20=b", "x-amz-acl=a&X-Amz-Acl=b"])
def test_what_cannot_be_a_header_field_has_no_place_in_a_presigned_query(parameter: str) -> None:
    assert refusal(signed(QUERY, "PUT", f"/b/k?{parameter}")).code == "AuthorizationQueryParametersError"


def test_a_field_that_differs_between_query_and_header_is_refused() -> None:
    asked = signed(QUERY, "PUT", "/b/k?x-amz-acl=private", {"x-amz-acl": "public-read"})
    assert refusal(asked).code == "AuthorizationQueryParametersError"
