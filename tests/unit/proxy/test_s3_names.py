"""proxy.s3.names"""

import pytest

from proxy.http.errors import BadEncoding
from proxy.s3.errors import S3Error
from proxy.s3.names import check_key, is_bucket_name, locate, virtual_bucket


@pytest.mark.parametrize("name", ["abc", "a-b", "a.b.c", "1ab", "x" * 63, "foo-bar", "1.2.3.4.5"])
def test_names_that_buckets_may_have(name: str) -> None:
    assert is_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "a", "ab", "x" * 64, "Abc", "a_b", "-ab", "ab-", ".ab", "ab.", "a..b", "a.-b", "a-.b", "1.2.3.4"],
)
def test_names_that_buckets_may_not_have(name: str) -> None:
    """Amazon S3 User Guide, "Bucket naming rules"."""
    assert not is_bucket_name(name)


@pytest.mark.parametrize("key", ["a", "x" * 1024, "ö" * 512, "😀" * 256])
def test_a_key_may_have_1024_bytes(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize("key", ["x" * 1025, "ö" * 512 + "x", "😀" * 257])
def test_a_longer_key_is_refused(key: str) -> None:
    with pytest.raises(S3Error, match="KeyTooLongError"):
        check_key(key)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ("", "")),
        ("/bucket", ("bucket", "")),
        ("/bucket/", ("bucket", "")),
        ("/bucket/a/b//c", ("bucket", "a/b//c")),
        ("/bucket//", ("bucket", "/")),
        ("/bucket/a%2Fb+%3F", ("bucket", "a/b+?")),
        ("/bucket/%C3%BC", ("bucket", "ü")),
    ],
)
def test_a_path_names_a_bucket_and_a_key(path: str, expected: tuple[str, str]) -> None:
    assert locate(path, "") == expected


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("bucket.s3.example.com", "bucket"),
        ("my.bucket.S3.example.com:9000", "my.bucket"),
        ("s3.example.com:9000", ""),
        ("others3.example.com", ""),
        ("[::1]:9000", ""),
        ("", ""),
    ],
)
def test_a_host_below_the_domain_names_a_bucket(host: str, bucket: str) -> None:
    assert virtual_bucket(host, ("s3.test", "s3.example.com")) == bucket
    assert virtual_bucket(host, ()) == ""


@pytest.mark.parametrize(
    ("host", "bucket"), [("b.localhost", "b"), ("s3.localhost:9000", ""), ("b.s3.localhost", "b"), ("localhost", "")]
)
def test_a_domain_may_be_below_another(host: str, bucket: str) -> None:
    for domains in (("localhost", "s3.localhost"), ("s3.localhost", "localhost")):
        assert virtual_bucket(host, domains) == bucket


def test_all_of_the_path_is_the_key_when_the_host_names_the_bucket() -> None:
    assert locate("/a/b", "bucket") == ("bucket", "a/b")
    assert locate("/", "bucket") == ("bucket", "")


@pytest.mark.parametrize("path", ["//key", "/a%2Fb/key"])
def test_a_path_without_a_possible_bucket_is_refused(path: str) -> None:
    with pytest.raises(S3Error, match="InvalidBucketName"):
        locate(path, "")


@pytest.mark.parametrize("path", ["/bucket/%FF", "/bucket/a%00b", "/%00", "/bucket/%zz"])
def test_a_name_is_utf8_without_nul(path: str) -> None:
    with pytest.raises(BadEncoding):
        locate(path, "")
