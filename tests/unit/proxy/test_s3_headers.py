"""proxy.s3.headers"""

import base64
import hashlib

import pytest

from cluster.clock import ZERO
from proxy.http.message import Headers
from proxy.objects.model import ObjectInfo
from proxy.s3.errors import S3Error
from proxy.s3.headers import (
    check_supported,
    content_md5,
    copy_condition,
    description,
    object_fields,
    override,
    write_condition,
)
from storage.metadata import ObjectMetadata


def info(etag: str = "abc", **more: dict[str, str]) -> ObjectInfo:
    fields = {"headers": {}, "user": {}, "system": {}, "row": {}, **more}
    return ObjectInfo(ZERO, ObjectMetadata("a", "c", "o", 1, etag, "x/y", 1_700_000_000_000_000, **fields))


def test_what_describes_an_object_is_kept() -> None:
    about = description(
        Headers(
            [
                ("content-type", "text/plain"),
                ("content-encoding", "aws-chunked,gzip"),
                ("expires", "whenever"),
                ("x-amz-meta-color", "blue"),
                ("x-amz-meta-color", "red"),
                ("x-amz-date", "20260101T000000Z"),
                ("x-object-meta-size", "xl"),
                ("authorization", "secret"),
            ]
        )
    )
    assert about.content_type == "text/plain"
    assert about.headers == {"content-encoding": "gzip", "expires": "whenever"}
    assert about.user == {"color": "blue,red"}


def test_a_body_sent_in_chunks_is_not_stored_as_such() -> None:
    assert description(Headers([("content-encoding", "aws-chunked")])).headers == {}


@pytest.mark.parametrize(
    "name",
    [
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-customer-key",
        "x-amz-grant-read",
        "x-amz-object-lock-mode",
        "x-amz-website-redirect-location",
        "x-amz-write-offset-bytes",
    ],
)
def test_what_is_not_done_is_refused(name: str) -> None:
    with pytest.raises(S3Error, match="NotImplemented"):
        description(Headers([(name, "x")]))


def test_tags_go_with_new_objects_only() -> None:
    tagged = Headers([("x-amz-tagging", "a=b")])
    description(tagged)
    check_supported(tagged, taggable=True)
    with pytest.raises(S3Error, match="NotImplemented"):
        check_supported(tagged)


def test_md5_is_decoded_or_refused() -> None:
    digest = hashlib.md5(b"data")
    value = base64.b64encode(digest.digest()).decode()
    assert content_md5(Headers([("content-md5", value)])) == digest.hexdigest()
    assert content_md5(Headers([])) is None
    for bad in ("", "YWJj", value[:-1], "not base64!", value + "é"):
        with pytest.raises(S3Error, match="InvalidDigest"):
            content_md5(Headers([("content-md5", bad)]))


def test_what_was_kept_is_shown() -> None:
    fields = dict(object_fields(info(headers={"cache-control": "no-store"}, user={"color": "blue"})))
    assert fields == {
        "Last-Modified": "Tue, 14 Nov 2023 22:13:20 GMT",
        "ETag": '"abc"',
        "Accept-Ranges": "bytes",
        "Content-Type": "x/y",
        "Cache-Control": "no-store",
        "x-amz-meta-color": "blue",
    }


def test_an_override_replaces_and_adds() -> None:
    fields = [("Content-Type", "a/b"), ("ETag", "x")]
    query = {"response-content-type": "c/d", "response-expires": "never", "other": "y"}
    assert override(fields, query) == [("ETag", "x"), ("Content-Type", "c/d"), ("Expires", "never")]
    for bad in ("a\r\nb: c", "\x7f", "ключ"):
        with pytest.raises(S3Error, match="InvalidArgument"):
            override(fields, {"response-content-type": bad})


def code(condition: object, current: ObjectInfo | None) -> str | None:
    assert callable(condition)
    try:
        condition(current)
    except S3Error as error:
        return error.code
    return None


def test_a_write_may_demand_what_is_there() -> None:
    assert write_condition(Headers([])) is None
    new_only = write_condition(Headers([("if-none-match", "*")]))
    assert (code(new_only, None), code(new_only, info())) == (None, "PreconditionFailed")
    this = write_condition(Headers([("if-match", '"abc"')]))
    assert (code(this, info("abc")), code(this, info("def"))) == (None, "PreconditionFailed")
    assert code(this, None) == "NoSuchKey"
    anything = write_condition(Headers([("if-match", "*")]))
    assert (code(anything, info()), code(anything, None)) == (None, "NoSuchKey")


def test_a_copy_may_demand_what_its_source_is() -> None:
    unchanged = copy_condition(Headers([("x-amz-copy-source-if-none-match", "abc")]))
    assert (code(unchanged, info("abc")), code(unchanged, info("def"))) == ("PreconditionFailed", None)
    assert code(copy_condition(Headers([("if-none-match", "abc")])), info("abc")) is None
