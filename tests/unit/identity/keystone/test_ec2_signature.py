"""Signatures of EC2 and S3: identity/keystone/ec2_signature.py, against keystoneclient's signer."""

import base64
import dataclasses
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import pytest
from keystoneclient.contrib.ec2.utils import Ec2Signer

from identity.keystone.ec2_signature import SignatureError, SignedRequest, verifies, verifies_text

SECRET = "e7a7a2240136494986991a6598d9fb9f"
NOW_S = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC).timestamp()


def v2(secret: str = SECRET, **changes: str) -> SignedRequest:
    params = {"Action": "Test", "SignatureVersion": "2", "Timestamp": "2026-02-03T04:05:06Z", "AWSAccessKeyId": "a b"}
    params |= changes
    said: dict[str, Any] = {"host": "127.0.0.1:8773", "verb": "GET", "path": "/services/Cloud/", "params": params}
    signature = Ec2Signer(secret).generate({**said, "params": dict(said["params"])})
    return SignedRequest(access="a b", signature=signature, **said)


def v4(verb: str = "GET", in_query: bool = False, secret: str = SECRET) -> SignedRequest:
    date = "20260203T040506Z"
    scope = f"AKID/{date[:8]}/us-east-1/s3/aws4_request"
    names = "host;x-amz-date"
    headers = {"Host": "example.org", "X-Amz-Date": date}
    params = {"list-type": "2", "prefix": "a/b c"}
    if in_query:
        params |= {"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": scope, "X-Amz-SignedHeaders": names}
    else:
        headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={scope},SignedHeaders={names},Signature=x"
    said: dict[str, Any] = {
        "host": "example.org",
        "verb": verb,
        "path": "/bucket",
        "params": params,
        "headers": headers,
        "body_hash": hashlib.sha256(b"").hexdigest(),
    }
    return SignedRequest(access="AKID", signature=Ec2Signer(secret).generate({**said}), **said)


REQUESTS = {"version 2": v2(), "version 4": v4(), "version 4, POST": v4(verb="POST"), "in the query": v4(in_query=True)}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_what_keystoneclient_signs_is_verified(request_: SignedRequest) -> None:
    assert verifies(request_, SECRET, NOW_S)
    assert not verifies(request_, SECRET + "0", NOW_S)
    assert not verifies(dataclasses.replace(request_, path="/other"), SECRET, NOW_S)
    assert not verifies(dataclasses.replace(request_, verb="DELETE"), SECRET, NOW_S)
    assert not verifies(dataclasses.replace(request_, signature=""), SECRET, NOW_S)
    assert not verifies(dataclasses.replace(request_, signature="é"), SECRET, NOW_S)


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_fifteen_minutes_are_allowed_for(request_: SignedRequest) -> None:
    assert verifies(request_, SECRET, NOW_S + 900)
    assert verifies(request_, SECRET, NOW_S - 900)
    for now_s in (NOW_S + 901, NOW_S - 901):
        with pytest.raises(SignatureError, match="too long ago"):
            verifies(request_, SECRET, now_s)


def test_the_host_may_be_signed_without_its_port() -> None:
    said = dict(v2().params)
    short = SignedRequest("a b", "", "GET", "127.0.0.1", "/services/Cloud/", said)
    seen = {"host": short.host, "verb": "GET", "path": short.path, "params": dict(said)}
    signature = Ec2Signer(SECRET).generate(seen)
    assert verifies(dataclasses.replace(short, host="127.0.0.1:8773", signature=signature), SECRET, NOW_S)


@pytest.mark.parametrize("version", ["0", "1", "", "5"])
def test_other_versions_are_refused(version: str) -> None:
    with pytest.raises(SignatureError, match="neither"):
        verifies(dataclasses.replace(v2(), params={**v2().params, "SignatureVersion": version}), SECRET, NOW_S)


def test_a_request_must_say_when_it_was_made() -> None:
    for stamp in ("", "yesterday"):
        with pytest.raises(SignatureError, match="does not say when"):
            verifies(v2(Timestamp=stamp), SECRET, NOW_S)
        with pytest.raises(SignatureError, match="does not say when"):
            verifies(
                dataclasses.replace(v4(), headers={**v4().headers, "X-Amz-Date": stamp}), SECRET, NOW_S
            )


def test_a_signature_is_for_the_day_and_the_key_that_it_names() -> None:
    headers = v4().headers
    other_day = {**headers, "Authorization": headers["Authorization"].replace("20260203", "20260204")}
    with pytest.raises(SignatureError, match="another day"):
        verifies(dataclasses.replace(v4(), headers=other_day), SECRET, NOW_S)
    with pytest.raises(SignatureError, match="another access key"):
        verifies(dataclasses.replace(v4(), access="AKIE"), SECRET, NOW_S)


def s3_v2(text: str, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), "sha1")).decode()


@pytest.mark.parametrize(
    "text",
    [
        "GET\n\n\nTue, 03 Feb 2026 04:05:06 GMT\n/bucket/key",
        "GET\n\n\n\nx-amz-date:Tue, 03 Feb 2026 04:05:06 GMT\n/bucket/key",
        f"GET\n\n\n{int(NOW_S) + 3600}\n/bucket/key",
    ],
)
def test_a_string_to_sign_of_version_2(text: str) -> None:
    assert verifies_text(text.encode(), s3_v2(text), SECRET, NOW_S)
    assert not verifies_text(text.encode(), s3_v2(text, "other"), SECRET, NOW_S)
    with pytest.raises(SignatureError):
        verifies_text(text.encode(), s3_v2(text), SECRET, NOW_S + 4000)


@pytest.mark.parametrize("text", ["", "GET", "GET\n\n\n\n/bucket", "GET\n\n\nsoon\n/bucket", "AWS4-HMAC-SHA256\nx"])
def test_a_string_to_sign_must_say_when_it_was_made(text: str) -> None:
    with pytest.raises(SignatureError):
        verifies_text(text.encode(), s3_v2(text), SECRET, NOW_S)


def test_a_string_to_sign_of_version_4() -> None:
    text = "\n".join(("AWS4-HMAC-SHA256", "20260203T040506Z", "20260203/r/s3/aws4_request", "0" * 64))
    key = f"AWS4{SECRET}".encode()
    for part in ("20260203", "r", "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    assert verifies_text(text.encode(), signature, SECRET, NOW_S)
    assert not verifies_text(text.encode(), "0" * 64, SECRET, NOW_S)
    with pytest.raises(SignatureError):
        verifies_text(text.encode(), signature, SECRET, NOW_S + 901)


def test_the_signature_is_not_shown() -> None:
    assert v2().signature not in repr(v2())
