"""Listings of buckets by boto3."""

from typing import Any

from tests.unit.proxy.s3_with_boto3.server import Running, fill, refused


def test_version_one_pages_by_marker(client: Any, bucket: str) -> None:
    fill(client, bucket, "asdf", "boo/bar", "boo/baz/xyzzy", "cquux/thud", "cquux/bla")

    def page(marker: str, prefix: str = "") -> tuple[bool, list[str], list[str], str | None]:
        answer = client.list_objects(
            Bucket=bucket, Delimiter="/", Marker=marker, MaxKeys=1, Prefix=prefix
        )
        return (
            answer["IsTruncated"],
            [item["Key"] for item in answer.get("Contents", ())],
            [item["Prefix"] for item in answer.get("CommonPrefixes", ())],
            answer.get("NextMarker"),
        )

    assert page("") == (True, ["asdf"], [], "asdf")
    assert page("asdf") == (True, [], ["boo/"], "boo/")
    assert page("boo/") == (False, [], ["cquux/"], None)
    assert page("", "boo/") == (True, ["boo/bar"], [], "boo/bar")
    assert page("boo/bar", "boo/") == (False, [], ["boo/baz/"], None)
    plain = client.list_objects(Bucket=bucket, MaxKeys=2)
    assert plain["IsTruncated"]
    assert "NextMarker" not in plain


def test_version_two_pages_by_token(client: Any, running: Running, bucket: str) -> None:
    keys = [f"dir{number % 3}/key{number:02}" for number in range(12)] + ["top"]
    fill(client, bucket, *keys)
    pages = list(
        client.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 5})
    )
    assert [page["KeyCount"] for page in pages] == [5, 5, 3]
    assert [item["Key"] for page in pages for item in page["Contents"]] == sorted(keys)
    rolled = list(
        client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 1}
        )
    )
    prefixes = [item["Prefix"] for page in rolled for item in page.get("CommonPrefixes", ())]
    assert prefixes == ["dir0/", "dir1/", "dir2/"]
    assert rolled[-1]["Contents"][0]["Key"] == "top"
    first = client.list_objects_v2(Bucket=bucket, MaxKeys=1, StartAfter="dir2/key08", FetchOwner=True)
    assert first["Contents"][0]["Key"] == "dir2/key11"
    assert first["Contents"][0]["Owner"] == {"ID": running.users.ann.id, "DisplayName": "ann"}
    token = first["NextContinuationToken"]
    second = client.list_objects_v2(Bucket=bucket, ContinuationToken=token, StartAfter="x")
    assert second["ContinuationToken"] == token
    assert second["StartAfter"] == "x"
    assert [item["Key"] for item in second["Contents"]] == ["top"]
    assert "Owner" not in second["Contents"][0]


def test_odd_names_survive_a_listing(client: Any, bucket: str) -> None:
    keys = ["a b+c%d", "a&b<c>\"'", "line\nbreak\r", "tab\t", "ünï/cödé", "\x01", "~"]
    fill(client, bucket, *keys)
    assert [item["Key"] for item in client.list_objects_v2(Bucket=bucket)["Contents"]] == sorted(keys)
    # boto3 asks for encoding-type=url and decodes what comes; with the encoding named it leaves that to us
    raw = client.list_objects_v2(Bucket=bucket, EncodingType="url", Prefix="a ")
    assert (raw["Contents"][0]["Key"], raw["Prefix"]) == ("a%20b%2Bc%25d", "a%20")
    rolled = client.list_objects(Bucket=bucket, Delimiter="ï/")
    assert rolled["CommonPrefixes"] == [{"Prefix": "ünï/"}]
    assert rolled["Delimiter"] == "ï/"


def test_limits_of_listings_are_checked(client: Any, bucket: str) -> None:
    fill(client, bucket, "key")
    none = client.list_objects_v2(Bucket=bucket, MaxKeys=0)
    assert (none["IsTruncated"], none["KeyCount"], none["MaxKeys"]) == (False, 0, 0)
    assert client.list_objects_v2(Bucket=bucket, MaxKeys=5000)["MaxKeys"] == 1000
    assert refused(client.list_objects, Bucket=bucket, MaxKeys=-1) == (400, "InvalidArgument")
    assert refused(client.list_objects_v2, Bucket=bucket, ContinuationToken="?") == (400, "InvalidArgument")
    assert refused(client.list_objects_v2, Bucket="no-such-bucket") == (404, "NoSuchBucket")
    assert refused(client.list_objects_v2, Bucket="no-such-bucket", MaxKeys=0) == (404, "NoSuchBucket")


def test_a_listed_object_is_described_as_head_does(client: Any, running: Running, bucket: str) -> None:
    fill(client, bucket, "key")
    listed = client.list_objects(Bucket=bucket)["Contents"][0]
    head = client.head_object(Bucket=bucket, Key="key")
    assert (listed["ETag"], listed["Size"]) == (head["ETag"], head["ContentLength"])
    assert listed["LastModified"].replace(microsecond=0) == head["LastModified"], "a header has whole seconds"
    assert (listed["StorageClass"], listed["Owner"]["ID"]) == ("STANDARD", running.users.ann.id)


def test_every_object_has_one_version(client: Any, bucket: str) -> None:
    fill(client, bucket, "a", "b", "c")
    first = client.list_object_versions(Bucket=bucket, MaxKeys=2)
    assert [(item["Key"], item["VersionId"], item["IsLatest"]) for item in first["Versions"]] == [
        ("a", "null", True),
        ("b", "null", True),
    ]
    second = client.list_object_versions(
        Bucket=bucket, KeyMarker=first["NextKeyMarker"], VersionIdMarker=first["NextVersionIdMarker"]
    )
    assert [item["Key"] for item in second["Versions"]] == ["c"]
