"""What S3 answers, as targets of backups understand it. tests/functional has a real one."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber

from blockgw.backup.errors import BackupError, NoSuchObject, TargetFailed
from blockgw.backup.target import Address, Entry
from blockgw.backup.target_s3 import S3Target


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> S3Target:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    return S3Target(Address.parse("s3://box/deep"), "http://127.0.0.1:1", 2)


@pytest.fixture
def s3(target: S3Target) -> Iterator[Stubber]:
    with Stubber(target._client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


ABOUT = {"Bucket": "box", "Key": "deep/name"}


def test_a_put_that_must_not_replace_says_whether_it_did(target: S3Target, s3: Stubber) -> None:
    asked = {**ABOUT, "Body": b"data", "IfNoneMatch": "*"}
    s3.add_response("put_object", {}, asked)
    assert target.put_new("name", b"data")
    for code in ("PreconditionFailed", "ConditionalRequestConflict"):
        s3.add_client_error("put_object", code, http_status_code=412, expected_params=asked)
        assert not target.put_new("name", b"data")


@pytest.mark.parametrize("is_there", [True, False])
def test_where_conditions_are_not_known_one_looks_first(target: S3Target, s3: Stubber, is_there: bool) -> None:
    s3.add_client_error("put_object", "NotImplemented", http_status_code=501)
    if is_there:
        s3.add_response("head_object", {"ContentLength": 3}, ABOUT)
    else:
        s3.add_client_error("head_object", "404", http_status_code=404)
        s3.add_response("put_object", {}, {**ABOUT, "Body": b"data"})
    assert target.put_new("name", b"data") is not is_there


def test_what_breaks_off_is_fetched_again(target: S3Target, s3: Stubber) -> None:
    class Broken(io.BytesIO):
        def read(self, *_arguments: Any) -> bytes:
            raise ReadTimeoutError(endpoint_url="http://127.0.0.1:1")

    s3.add_response("get_object", {"Body": Broken()}, ABOUT)
    s3.add_response("get_object", {"Body": StreamingBody(io.BytesIO(b"data"), 4)}, ABOUT)
    assert target.get("name") == b"data"


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("NoSuchKey", NoSuchObject, "no object name"),
        ("NoSuchBucket", BackupError, "no bucket box"),
        ("AccessDenied", TargetFailed, "AccessDenied"),
    ],
)
def test_what_is_refused_is_told(
    target: S3Target, s3: Stubber, code: str, kind: type[BackupError], words: str
) -> None:
    s3.add_client_error("get_object", code)
    with pytest.raises(kind, match=words):
        target.get("name")


def test_a_listing_goes_on_to_its_end_and_names_have_no_prefix(target: S3Target, s3: Stubber) -> None:
    one, two = {"Key": "deep/a/1", "Size": 1}, {"Key": "deep/a/2", "Size": 2}
    asked = {"Bucket": "box", "Prefix": "deep/a/"}
    s3.add_response(
        "list_objects_v2", {"Contents": [one], "IsTruncated": True, "NextContinuationToken": "more"}, asked
    )
    s3.add_response("list_objects_v2", {"Contents": [two]}, {**asked, "ContinuationToken": "more"})
    assert list(target.list("a/")) == [Entry("a/1", 1), Entry("a/2", 2)]
    s3.add_response(
        "list_objects_v2",
        {"CommonPrefixes": [{"Prefix": "deep/a/"}]},
        {"Bucket": "box", "Prefix": "deep/", "Delimiter": "/"},
    )
    assert target.folders() == ["a"]


def test_what_cannot_be_deleted_is_said(target: S3Target, s3: Stubber) -> None:
    s3.add_response(
        "delete_objects",
        {"Errors": [{"Key": "deep/name", "Message": "it is locked"}]},
        {"Bucket": "box", "Delete": ANY},
    )
    with pytest.raises(TargetFailed, match=r"deep/name .* it is locked"):
        target.delete(["name"])
    target.delete([])


def test_places_of_different_services_are_different(target: S3Target) -> None:
    other = S3Target(Address.parse("s3://box/deep"), "http://127.0.0.1:2", 2)
    assert target.place != other.place
