"""Uploads by browser forms, signed by boto3 and sent by requests, over a real socket."""

import base64
import datetime
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from proxy.s3 import signature_v2
from proxy.s3.config import S3Config
from tests.unit.proxy.s3_with_boto3.server import SMALL_LIMIT, Running

BUCKET = "forms"


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    server = Running(S3Config(max_put_size=SMALL_LIMIT))
    client = server.client(server.users.ann)
    client.create_bucket(Bucket=BUCKET)
    yield server
    server.close()


@pytest.fixture(scope="module")
def client(running: Running) -> Any:
    return running.client(running.users.ann, signature_version="s3v4")


def send(
    client: Any,
    data: bytes = b"bar",
    key: str = "foo.txt",
    conditions: Any = (),
    bucket: str = BUCKET,
    changes: Any = None,
    file_name: str = "foo.txt",
    **fields: str,
) -> requests.Response:
    """Send a form that is signed for `fields` and `conditions`, and changed afterwards (None: left out)."""
    all_conditions = [*({name: value} for name, value in fields.items()), *conditions]
    signed = client.generate_presigned_post(bucket, key, fields, all_conditions, 60)
    sent = {**signed["fields"], **(changes or {})}
    sent = {name: value for name, value in sent.items() if value is not None}
    files = {"file": (file_name, data)}
    return requests.post(signed["url"], data=sent, files=files, allow_redirects=False, timeout=10)


def code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.text.partition("<Code>")[2].partition("</Code>")[0]


def test_a_form_stores_its_file(client: Any) -> None:
    fields = {"acl": "private", "Content-Type": "text/plain", "x-amz-meta-k": "ö", "Cache-Control": "no-store"}
    tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"
    answer = send(client, b"bar" * 1000, **fields, tagging=tags)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Location"].endswith(f"/{BUCKET}/foo.txt")
    stored = client.get_object(Bucket=BUCKET, Key="foo.txt")
    assert stored["Body"].read() == b"bar" * 1000
    assert (stored["ETag"], stored["ContentType"]) == (answer.headers["ETag"], "text/plain")
    assert (stored["CacheControl"], stored["TagCount"]) == ("no-store", 1)
    assert stored["Metadata"]["k"].encode("latin-1").decode() == "ö"


def test_the_key_may_hold_the_files_name(client: Any) -> None:
    assert send(client, key="up/${filename}", file_name="a b.txt").status_code == 204
    assert client.get_object(Bucket=BUCKET, Key="up/a b.txt")["Body"].read() == b"bar"


def test_the_answer_is_as_the_form_wishes(client: Any) -> None:
    """s3-tests: test_post_object_set_success_code, _set_invalid_success_code, _success_redirect_action."""
    created = send(client, success_action_status="201", key="a&b")
    assert created.status_code == 201
    assert "<Key>a&amp;b</Key>" in created.text
    assert send(client, success_action_status="200").status_code == 200
    assert send(client, success_action_status="404").status_code == 204
    redirected = send(client, success_action_redirect="http://page/?x=1")
    etag = redirected.headers["ETag"].strip('"')
    expected = f"http://page/?x=1&bucket={BUCKET}&key=foo.txt&etag=%22{etag}%22"
    assert (redirected.status_code, redirected.headers["Location"]) == (303, expected)
    assert send(client, success_action_redirect="javascript:x").status_code == 204


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"changes": {"policy": None}}, (403, "AccessDenied")),
        ({"changes": {"key": "other"}}, (403, "AccessDenied")),
        ({"changes": {"key": None}}, (400, "InvalidArgument")),
        ({"changes": {"x-amz-meta-k": "v"}}, (403, "AccessDenied")),
        ({"changes": {"x-amz-signature": "0" * 64}}, (403, "SignatureDoesNotMatch")),
        ({"changes": {"x-amz-signature": "é"}}, (403, "SignatureDoesNotMatch")),
        ({"changes": {"x-amz-signature": None}}, (400, "InvalidArgument")),
        ({"changes": {"x-amz-credential": "é/20260102/us-east-1/s3/aws4_request"}}, (400, "InvalidPolicyDocument")),
        ({"changes": {"x-amz-credential": "x/20260102/us-east-1/s3/aws4_request"}}, (403, "InvalidAccessKeyId")),
        ({"changes": {"x-amz-credential": "x/20260102/eu/s3/aws4_request"}}, (400, "InvalidArgument")),
        ({"changes": {"policy": "é"}}, (400, "InvalidPolicyDocument")),
        ({"conditions": [["content-length-range", 0, 2]]}, (400, "EntityTooLarge")),
        ({"conditions": [["content-length-range", 512, 1000]]}, (400, "EntityTooSmall")),
        ({"data": b"x" * (SMALL_LIMIT + 1)}, (400, "EntityTooLarge")),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, (400, "BadDigest")),
        ({"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, (400, "BadDigest")),
        ({"x-amz-meta-k": "a\nb"}, (400, "InvalidArgument")),
        ({"x-amz-meta-a: b": "v"}, (400, "InvalidArgument")),
        ({"tagging": "<x"}, (400, "MalformedXML")),
        ({"acl": "public-read"}, (501, "NotImplemented")),
        ({"key": "k" * 1025}, (400, "KeyTooLongError")),
        ({"key": "a\0b"}, (400, "InvalidArgument")),
        ({"bucket": "never"}, (404, "NoSuchBucket")),
    ],
)
def test_what_may_not_be_is_refused_and_leaves_nothing(
    client: Any, arguments: dict[str, Any], expected: tuple[int, str]
) -> None:
    client.delete_object(Bucket=BUCKET, Key="foo.txt")
    assert code(send(client, **arguments)) == expected
    assert "foo.txt" not in [row["Key"] for row in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def test_another_users_policy_is_not_for_this_bucket(running: Running) -> None:
    assert code(send(running.client(running.users.bob, signature_version="s3v4"))) == (403, "AccessDenied")


def test_old_forms_are_signed_in_version_2(running: Running, client: Any) -> None:
    user = running.users.ann
    expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1)
    described = {
        "expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "conditions": [{"bucket": BUCKET}, ["starts-with", "$key", "v2"]],
    }
    policy = base64.b64encode(json.dumps(described).encode()).decode()
    fields = {"key": "v2", "AWSAccessKeyId": user.access_key, "policy": policy}
    url = f"http://127.0.0.1:{running.port}/{BUCKET}"
    for signature, status in ((signature_v2.sign(user.secret_key, policy), 204), ("x", 403), ("", 400)):
        answer = requests.post(url, data={**fields, "signature": signature}, files={"file": b"two"}, timeout=10)
        assert answer.status_code == status
    assert client.get_object(Bucket=BUCKET, Key="v2")["Body"].read() == b"two"


def test_a_body_that_is_no_form_is_refused(running: Running) -> None:
    url = f"http://127.0.0.1:{running.port}/{BUCKET}"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert code(requests.post(url, data=b"no form", headers=headers, timeout=10)) == (400, "MalformedPOSTRequest")
