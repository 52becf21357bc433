"""Objects by boto3: made, read, tagged, copied, deleted."""

import base64
import datetime
import hashlib
import http.client
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.unit.proxy.s3_with_boto3.server import SMALL_LIMIT, Running, crc32, fill, refused


def test_an_object_comes_back_as_it_was_put(client: Any, bucket: str) -> None:
    data = bytes(range(256)) * 300
    put = client.put_object(
        Bucket=bucket,
        Key="ключ & <key>.txt",
        Body=data,
        ContentType="text/plain; charset=x",
        CacheControl="max-age=60",
        ContentDisposition='attachment; filename="a.txt"',
        ContentEncoding="gzip",
        ContentLanguage="de",
        Metadata={"Color": "blue", "empty": ""},
    )
    assert put["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    assert put["ChecksumCRC32"] == crc32(data)
    assert put["ChecksumType"] == "FULL_OBJECT"
    got = client.get_object(Bucket=bucket, Key="ключ & <key>.txt")
    assert got["Body"].read() == data
    head = client.head_object(Bucket=bucket, Key="ключ & <key>.txt")
    for answer in (got, head):
        assert answer["ContentLength"] == len(data)
        assert answer["ContentType"] == "text/plain; charset=x"
        assert answer["CacheControl"] == "max-age=60"
        assert answer["ContentDisposition"] == 'attachment; filename="a.txt"'
        assert answer["ContentEncoding"] == "gzip"
        assert answer["ContentLanguage"] == "de"
        assert answer["Metadata"] == {"color": "blue", "empty": ""}
        assert answer["ETag"] == put["ETag"]
        assert answer["AcceptRanges"] == "bytes"
    assert got["ChecksumCRC32"] == crc32(data)  # boto3 asks for it, and checks
    assert "ChecksumCRC32" not in head


def test_an_object_without_a_type_is_binary(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="key")
    head = client.head_object(Bucket=bucket, Key="key")
    assert (head["ContentType"], head["ContentLength"]) == ("binary/octet-stream", 0)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_are_kept_and_shown(client: Any, bucket: str, algorithm: str) -> None:
    put = client.put_object(Bucket=bucket, Key="key", Body=b"data", ChecksumAlgorithm=algorithm)
    name = f"Checksum{algorithm}"
    assert put[name]
    assert client.head_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")[name] == put[name]
    listed = client.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == ([algorithm], "FULL_OBJECT")
    attributes = client.get_object_attributes(
        Bucket=bucket, Key="key", ObjectAttributes=["Checksum", "ETag", "ObjectSize", "StorageClass"]
    )
    assert attributes["Checksum"][name] == put[name]
    assert attributes["ETag"] == hashlib.md5(b"data").hexdigest()
    assert (attributes["ObjectSize"], attributes["StorageClass"]) == (4, "STANDARD")


def test_a_wrong_md5_leaves_nothing(client: Any, bucket: str) -> None:
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    assert refused(client.put_object, Bucket=bucket, Key="key", Body=b"data", ContentMD5=wrong) == (
        400,
        "BadDigest",
    )
    assert refused(client.put_object, Bucket=bucket, Key="key", Body=b"data", ContentMD5="YWJj") == (
        400,
        "InvalidDigest",
    )
    assert refused(client.get_object, Bucket=bucket, Key="key") == (404, "NoSuchKey")


def test_a_range_of_an_object_is_read(client: Any, bucket: str) -> None:
    fill(client, bucket, "0123456789")

    def read(wanted: str) -> tuple[int, bytes, str | None]:
        got = client.get_object(Bucket=bucket, Key="0123456789", Range=wanted)
        status = got["ResponseMetadata"]["HTTPStatusCode"]
        return status, got["Body"].read(), got.get("ContentRange")

    assert read("bytes=4-7") == (206, b"4567", "bytes 4-7/10")
    assert read("bytes=4-") == (206, b"456789", "bytes 4-9/10")
    assert read("bytes=-3") == (206, b"789", "bytes 7-9/10")
    assert read("bytes=8-100") == (206, b"89", "bytes 8-9/10")
    assert read("bytes=0-1,3-4") == (200, b"0123456789", None)
    assert read("lines=1-2") == (200, b"0123456789", None)
    assert refused(client.get_object, Bucket=bucket, Key="0123456789", Range="bytes=10-20") == (
        416,
        "InvalidRange",
    )
    head = client.head_object(Bucket=bucket, Key="0123456789", Range="bytes=2-3")
    assert (head["ContentLength"], head["ContentRange"]) == (2, "bytes 2-3/10")
    assert refused(client.head_object, Bucket=bucket, Key="0123456789", Range="bytes=10-")[0] == 416
    client.put_object(Bucket=bucket, Key="empty")
    assert refused(client.get_object, Bucket=bucket, Key="empty", Range="bytes=0-")[1] == "InvalidRange"


def test_readers_conditions_are_kept(client: Any, bucket: str) -> None:
    fill(client, bucket, "key")
    etag = client.head_object(Bucket=bucket, Key="key")["ETag"]
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    after = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    for call in (client.get_object, client.head_object):
        call(Bucket=bucket, Key="key", IfMatch=etag)
        call(Bucket=bucket, Key="key", IfNoneMatch='"other"')
        call(Bucket=bucket, Key="key", IfModifiedSince=before)
        call(Bucket=bucket, Key="key", IfUnmodifiedSince=after)
        assert refused(call, Bucket=bucket, Key="key", IfMatch='"other"')[0] == 412
        assert refused(call, Bucket=bucket, Key="key", IfNoneMatch=etag)[0] == 304
        assert refused(call, Bucket=bucket, Key="key", IfModifiedSince=after)[0] == 304
        assert refused(call, Bucket=bucket, Key="key", IfUnmodifiedSince=before)[0] == 412
    unsatisfiable = {"Bucket": bucket, "Key": "key", "Range": "bytes=100-"}
    assert refused(client.get_object, IfNoneMatch=etag, **unsatisfiable)[0] == 304
    assert refused(client.get_object, IfMatch=etag, **unsatisfiable)[0] == 416


def test_writers_conditions_are_kept(client: Any, bucket: str) -> None:
    def put(**condition: str) -> Any:
        return client.put_object(Bucket=bucket, Key="key", Body=b"data", **condition)

    assert refused(put, IfMatch='"any"') == (404, "NoSuchKey")
    etag = put(IfNoneMatch="*")["ETag"]
    assert refused(put, IfNoneMatch="*") == (412, "PreconditionFailed")
    assert refused(put, IfMatch='"other"') == (412, "PreconditionFailed")
    put(IfMatch=etag)
    put(IfMatch="*")
    assert refused(client.delete_object, Bucket=bucket, Key="key", IfMatch='"other"')[0] == 412
    client.delete_object(Bucket=bucket, Key="key", IfMatch=etag)


def test_a_reader_may_override_headers(client: Any, bucket: str) -> None:
    fill(client, bucket, "key")
    got = client.get_object(
        Bucket=bucket,
        Key="key",
        ResponseContentType="foo/bar",
        ResponseCacheControl="no-cache",
        ResponseContentDisposition="bla",
        ResponseContentEncoding="aaa",
        ResponseContentLanguage="esperanto",
    )
    assert got["ContentType"] == "foo/bar"
    assert got["CacheControl"] == "no-cache"
    assert got["ContentDisposition"] == "bla"
    assert got["ContentEncoding"] == "aaa"
    assert got["ContentLanguage"] == "esperanto"
    split = {"Bucket": bucket, "Key": "key", "ResponseContentType": "a\r\nx-injected: b"}
    assert refused(client.get_object, **split) == (400, "InvalidArgument")


def test_metadata_and_keys_have_limits(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Metadata={"a": "x" * 2047})
    assert refused(client.put_object, Bucket=bucket, Key="k", Metadata={"a": "x" * 2048}) == (
        400,
        "MetadataTooLarge",
    )
    client.put_object(Bucket=bucket, Key="ö" * 512)
    assert refused(client.put_object, Bucket=bucket, Key="ö" * 512 + "a") == (400, "KeyTooLongError")
    too_much = b"x" * (SMALL_LIMIT + 1)
    assert refused(client.put_object, Bucket=bucket, Key="k", Body=too_much) == (400, "EntityTooLarge")


def test_what_is_not_done_is_refused(client: Any, bucket: str) -> None:
    for arguments in (
        {"ServerSideEncryption": "AES256"},
        {"WebsiteRedirectLocation": "/x"},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": datetime.datetime(2040, 1, 1)},
        {"GrantRead": "id=x"},
    ):
        assert refused(client.put_object, Bucket=bucket, Key="key", **arguments) == (501, "NotImplemented")
    assert refused(client.put_object, Bucket=bucket, Key="key", StorageClass="GLACIER") == (
        400,
        "InvalidStorageClass",
    )
    client.put_object(Bucket=bucket, Key="key", StorageClass="STANDARD", ACL="private")
    assert client.get_object_tagging(Bucket=bucket, Key="key")["TagSet"] == []


def _tag_set(**tags: str) -> dict[str, Any]:
    return {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}


def test_objects_are_tagged(client: Any, bucket: str) -> None:
    """s3-tests: test_put_obj_with_tags, test_get_obj_head_tagging, test_put_modify_tags, test_put_delete_tags."""

    def tags(key: str = "key") -> dict[str, str]:
        found = client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
        return {tag["Key"]: tag["Value"] for tag in found}

    client.put_object(Bucket=bucket, Key="key", Body=b"x", Tagging="foo=bar&bar", Metadata={"m": "v"})
    assert tags() == {"foo": "bar", "bar": ""}
    head = client.head_object(Bucket=bucket, Key="key")
    assert (head["TagCount"], head["ETag"]) == (2, client.get_object(Bucket=bucket, Key="key")["ETag"])
    client.put_object_tagging(Bucket=bucket, Key="key", Tagging=_tag_set(a="1"))
    after = client.get_object(Bucket=bucket, Key="key")
    assert (tags(), after["TagCount"], after["Body"].read()) == ({"a": "1"}, 1, b"x")
    assert (after["LastModified"], after["Metadata"]) == (head["LastModified"], {"m": "v"})
    source = f"{bucket}/key"
    client.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    client.copy_object(Bucket=bucket, Key="other", CopySource=source, TaggingDirective="REPLACE", Tagging="b=2")
    client.copy_object(Bucket=bucket, Key="summed", CopySource=source, ChecksumAlgorithm="SHA256")
    assert (tags("copy"), tags("other"), tags("summed")) == ({"a": "1"}, {"b": "2"}, {"a": "1"})
    client.copy_object(
        Bucket=bucket, Key="copy", CopySource=f"{bucket}/copy", MetadataDirective="REPLACE", TaggingDirective="REPLACE"
    )
    assert tags("copy") == {}
    client.delete_object_tagging(Bucket=bucket, Key="key")
    assert tags() == {}
    assert "TagCount" not in client.head_object(Bucket=bucket, Key="key")
    client.put_object_tagging(Bucket=bucket, Key="key", Tagging=_tag_set(a="1"))
    client.put_object(Bucket=bucket, Key="key", Body=b"y")
    assert tags() == {}
    many = _tag_set(**{f"k{number}": "v" for number in range(11)})
    assert refused(client.put_object_tagging, Bucket=bucket, Key="key", Tagging=many) == (400, "InvalidTag")
    for call in (client.get_object_tagging, client.delete_object_tagging):
        assert refused(call, Bucket=bucket, Key="never") == (404, "NoSuchKey")


def test_uploads_in_parts_are_tagged(client: Any, bucket: str) -> None:
    begun = client.create_multipart_upload(Bucket=bucket, Key="key", Tagging="a=1", ChecksumAlgorithm="CRC32")
    upload = {"Bucket": bucket, "Key": "key", "UploadId": begun["UploadId"]}
    part = client.upload_part(**upload, PartNumber=1, Body=b"x", ChecksumAlgorithm="CRC32")
    named = {"PartNumber": 1, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]}
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": [named]})
    assert client.get_object_tagging(Bucket=bucket, Key="key")["TagSet"] == _tag_set(a="1")["TagSet"]
    assert client.head_object(Bucket=bucket, Key="key")["TagCount"] == 1


def test_buckets_are_tagged(client: Any, other: Any, bucket: str) -> None:
    """s3-tests: test_set_bucket_tagging."""
    assert refused(client.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")
    client.put_bucket_tagging(Bucket=bucket, Tagging=_tag_set(Hello="World", team="a/b"))
    assert client.get_bucket_tagging(Bucket=bucket)["TagSet"] == _tag_set(Hello="World", team="a/b")["TagSet"]
    assert refused(other.get_bucket_tagging, Bucket=bucket) == (403, "AccessDenied")
    assert refused(other.put_bucket_tagging, Bucket=bucket, Tagging=_tag_set(a="b")) == (403, "AccessDenied")
    client.delete_bucket_tagging(Bucket=bucket)
    assert refused(client.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")
    assert refused(client.put_bucket_tagging, Bucket="never", Tagging=_tag_set(a="b")) == (404, "NoSuchBucket")


def test_pages_of_other_origins_are_told_what_they_may(running: Running, client: Any, other: Any, bucket: str) -> None:
    """s3-tests: test_set_cors, test_cors_origin_response, test_cors_header_option, test_cors_presigned_put_object."""

    def asked(method: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", running.port)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}

    def preflight(method: str, origin: str = "http://a", **headers: str) -> tuple[int, str | None]:
        fields = {"Origin": origin, "Access-Control-Request-Method": method, **headers}
        status, told = asked("OPTIONS", f"/{bucket}/key", fields)
        return status, told.get("access-control-allow-origin")

    assert preflight("GET") == (403, None)
    rule = {"AllowedOrigins": ["http://*"], "AllowedMethods": ["GET", "PUT"], "AllowedHeaders": ["content-type"],
            "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 60}  # fmt: skip
    configuration = {"CORSRules": [rule]}
    assert refused(other.put_bucket_cors, Bucket=bucket, CORSConfiguration=configuration) == (403, "AccessDenied")
    client.put_bucket_cors(Bucket=bucket, CORSConfiguration=configuration)
    assert client.get_bucket_cors(Bucket=bucket)["CORSRules"] == [rule]
    assert preflight("PUT", **{"Access-Control-Request-Headers": "Content-Type"}) == (200, "http://a")
    assert preflight("PUT", **{"Access-Control-Request-Headers": "X-Amz-Acl"}) == (403, None)
    assert preflight("DELETE") == (403, None)
    assert preflight("GET", "https://a") == (403, None)
    assert asked("OPTIONS", f"/{bucket}", {"Origin": "http://a"})[0] == 400
    assert asked("OPTIONS", "/never", {"Origin": "http://a", "Access-Control-Request-Method": "GET"})[0] == 403
    client.put_object(Bucket=bucket, Key="key", Body=b"x")
    url = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "key"}).partition(str(running.port))[2]
    status, told = asked("GET", url, {"Origin": "http://a"})
    shown = (told["access-control-allow-origin"], told["access-control-expose-headers"], told["vary"][:6])
    assert (status, *shown) == (200, "http://a", "ETag", "Origin")
    # so that a page can read what is wrong
    for path, expected in ((f"/{bucket}/key", 403), (f"/{bucket}/%ff", 400)):
        status, told = asked("GET", path, {"Origin": "http://a"})
        assert status == expected
        assert ("access-control-allow-origin" in told) == (status == 403)
    assert "access-control-allow-origin" not in asked("GET", url, {"Origin": "https://a"})[1]
    assert "access-control-allow-origin" not in asked("GET", url, {})[1]
    client.delete_bucket_cors(Bucket=bucket)
    assert refused(client.get_bucket_cors, Bucket=bucket) == (404, "NoSuchCORSConfiguration")
    assert "access-control-allow-origin" not in asked("GET", url, {"Origin": "http://a"})[1]


def test_deleting_what_is_not_there_is_fine(client: Any, bucket: str) -> None:
    client.delete_object(Bucket=bucket, Key="never")
    assert refused(client.delete_object, Bucket="no-such-bucket", Key="never") == (404, "NoSuchBucket")


def test_only_the_null_version_is_known(client: Any, bucket: str) -> None:
    fill(client, bucket, "key")
    assert client.get_object(Bucket=bucket, Key="key", VersionId="null")["Body"].read() == b"key"
    assert refused(client.get_object, Bucket=bucket, Key="key", VersionId="x1") == (404, "NoSuchVersion")


def test_an_error_says_which_request_it_answers(client: Any, bucket: str) -> None:
    with pytest.raises(ClientError) as caught:
        client.get_object(Bucket=bucket, Key="a&b")
    response = caught.value.response
    headers = response["ResponseMetadata"]["HTTPHeaders"]
    assert response["ResponseMetadata"]["RequestId"] == headers["x-amz-request-id"]
    assert response["ResponseMetadata"]["HostId"] == headers["x-amz-id-2"]
    assert response["Error"]["Key"] == "a&b"
    assert headers["content-type"] == "application/xml"


def test_a_copy_keeps_metadata_or_replaces_it(client: Any, bucket: str) -> None:
    client.put_object(
        Bucket=bucket, Key="a+b c?", Body=b"data", ContentType="text/x", Metadata={"color": "blue"}
    )
    source = {"Bucket": bucket, "Key": "a+b c?"}
    copied = client.copy_object(Bucket=bucket, Key="kept", CopySource=source)["CopyObjectResult"]
    assert copied["ETag"] == f'"{hashlib.md5(b"data").hexdigest()}"'
    assert copied["ChecksumCRC32"] == crc32(b"data")
    kept = client.get_object(Bucket=bucket, Key="kept")
    assert (kept["Body"].read(), kept["ContentType"], kept["Metadata"]) == (
        b"data",
        "text/x",
        {"color": "blue"},
    )
    client.copy_object(
        Bucket=bucket,
        Key="replaced",
        CopySource={**source, "VersionId": "null"},
        MetadataDirective="REPLACE",
        Metadata={"size": "xl"},
        ContentType="text/y",
    )
    replaced = client.head_object(Bucket=bucket, Key="replaced")
    assert (replaced["ContentType"], replaced["Metadata"]) == ("text/y", {"size": "xl"})


def test_a_copy_onto_itself_must_change_something(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="key", Body=b"data", Metadata={"color": "blue"})
    source = f"{bucket}/key"
    assert refused(client.copy_object, Bucket=bucket, Key="key", CopySource=source) == (
        400,
        "InvalidRequest",
    )
    client.copy_object(
        Bucket=bucket, Key="key", CopySource=source, MetadataDirective="REPLACE", Metadata={"color": "red"}
    )
    got = client.get_object(Bucket=bucket, Key="key")
    assert (got["Body"].read(), got["Metadata"]) == (b"data", {"color": "red"})


def test_a_copy_may_get_a_checksum_of_its_own(client: Any, bucket: str) -> None:
    fill(client, bucket, "key")
    copied = client.copy_object(
        Bucket=bucket, Key="copy", CopySource=f"{bucket}/key", ChecksumAlgorithm="SHA256"
    )["CopyObjectResult"]
    assert copied["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(b"key").digest()).decode()
    assert client.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"key"


def test_a_copys_conditions_and_source_are_checked(client: Any, bucket: str) -> None:
    fill(client, bucket, "key")

    def copy(source: str = f"{bucket}/key", **conditions: Any) -> Any:
        return client.copy_object(Bucket=bucket, Key="copy", CopySource=source, **conditions)

    etag = client.head_object(Bucket=bucket, Key="key")["ETag"]
    assert refused(copy, CopySourceIfMatch='"other"') == (412, "PreconditionFailed")
    assert refused(copy, CopySourceIfNoneMatch=etag) == (412, "PreconditionFailed")
    assert refused(copy, source=f"{bucket}/none") == (404, "NoSuchKey")
    assert refused(copy, source="no-such-bucket/key") == (404, "NoSuchBucket")
    assert refused(copy, source=f"{bucket}/key?versionId=abc") == (404, "NoSuchVersion")
    copy(CopySourceIfMatch=etag, IfNoneMatch="*")
    assert refused(copy, IfNoneMatch="*") == (412, "PreconditionFailed")
    elsewhere = {"Bucket": "no-such-bucket", "Key": "copy", "CopySource": f"{bucket}/key"}
    assert refused(client.copy_object, **elsewhere) == (404, "NoSuchBucket")


def test_many_objects_are_deleted_at_once(client: Any, bucket: str) -> None:
    keys = ["plain", "a&b", "<tag>", "'quoted\"", "line\nbreak", " space ", "ключ"]
    fill(client, bucket, *keys)
    objects = [{"Key": key} for key in [*keys, "never"]]
    answer = client.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert [item["Key"] for item in answer["Deleted"]] == [*keys, "never"]
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)
    assert "Deleted" not in client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})


def test_each_key_to_delete_has_its_own_outcome(client: Any, bucket: str) -> None:
    fill(client, bucket, "good", "kept")
    objects = [
        {"Key": "good", "VersionId": "null"},
        {"Key": "kept", "ETag": "other"},
        {"Key": "x" * 1025},
        {"Key": "y", "VersionId": "z"},
    ]
    answer = client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
    codes = [(item["Key"][:4], item["Code"]) for item in answer["Errors"]]
    assert codes == [("kept", "PreconditionFailed"), ("xxxx", "KeyTooLongError"), ("y", "NoSuchVersion")]
    assert [item["Key"] for item in client.list_objects(Bucket=bucket)["Contents"]] == ["kept"]


def test_at_most_a_thousand_are_deleted(client: Any, bucket: str) -> None:
    objects = [{"Key": str(number)} for number in range(1001)]
    client.delete_objects(Bucket=bucket, Delete={"Objects": objects[:1000]})
    assert refused(client.delete_objects, Bucket=bucket, Delete={"Objects": objects}) == (
        400,
        "MalformedXML",
    )
