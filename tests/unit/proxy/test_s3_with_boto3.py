"""S3's API as boto3 sees it: the application on the object service in memory, over a real socket."""

import asyncio
import base64
import datetime
import hashlib
import http.client
import io
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.client import Config
from botocore.exceptions import ClientError

from identity.users import User, new_user
from proxy.http.server import HttpServer
from proxy.s3.application import S3Application
from proxy.s3.config import S3Config
from tests.unit.proxy.memory_service import BytesBody, MemoryService

MINIMUM_PART_SIZE = 1000
SMALL_LIMIT = 100_000


class Users:
    """Two users, each with an account."""

    def __init__(self) -> None:
        self.ann, self.bob = new_user("ann"), new_user("bob")

    def by_access_key(self, access_key: str) -> User | None:
        """Return the user with this key."""
        return next((user for user in (self.ann, self.bob) if user.access_key == access_key), None)

    def by_name(self, name: str) -> User | None:
        """Return the user of this name."""
        return next((user for user in (self.ann, self.bob) if user.name == name), None)


class Running:
    """A server on a thread of its own."""

    def __init__(self, config: S3Config) -> None:
        self.users = Users()
        self.service = MemoryService(MINIMUM_PART_SIZE)
        self.loop = asyncio.new_event_loop()
        application = S3Application(self.service, self.users, config)
        self._server = HttpServer(application, on_error=application.protocol_error)
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.port = self.run(self._server.listen("127.0.0.1", 0))

    def run(self, work: Any) -> Any:
        """Run a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def close(self) -> None:
        """Stop."""
        self.run(self._server.close(1.0))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    def client(self, user: User, host: str = "127.0.0.1", **config: Any) -> Any:
        """Return a boto3 client of `user`."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://{host}:{self.port}",
            region_name="us-east-1",
            aws_access_key_id=user.access_key,
            aws_secret_access_key=user.secret_key,
            config=Config(retries={"max_attempts": 0}, **config),
        )


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    server = Running(S3Config(max_put_size=SMALL_LIMIT, host_domains=("s3.test",)))
    yield server
    server.close()


@pytest.fixture(scope="module")
def client(running: Running) -> Any:
    return running.client(running.users.ann)


@pytest.fixture(scope="module")
def other(running: Running) -> Any:
    return running.client(running.users.bob)


_names = (f"bucket-{number}" for number in range(10_000))


@pytest.fixture
def bucket(client: Any) -> str:
    name = next(_names)
    client.create_bucket(Bucket=name)
    return name


def refused(call: Any, **arguments: Any) -> tuple[int, str]:
    """Return the status and the code of the error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def fill(client: Any, bucket: str, *keys: str) -> None:
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=key.encode())


# Buckets


def test_a_bucket_is_made_listed_and_removed(client: Any) -> None:
    assert client.create_bucket(Bucket="made-here")["Location"] == "/made-here"
    found = {item["Name"]: item["CreationDate"] for item in client.list_buckets()["Buckets"]}
    age = datetime.datetime.now(datetime.UTC) - found["made-here"]
    assert abs(age) < datetime.timedelta(minutes=1)
    client.delete_bucket(Bucket="made-here")
    assert "made-here" not in [item["Name"] for item in client.list_buckets()["Buckets"]]
    assert refused(client.head_bucket, Bucket="made-here") == (404, "404")
    assert refused(client.delete_bucket, Bucket="made-here") == (404, "NoSuchBucket")


def test_buckets_are_listed_in_pages(client: Any) -> None:
    for number in range(5):
        client.create_bucket(Bucket=f"paged-{number}")
    pages = client.get_paginator("list_buckets").paginate(
        Prefix="paged-", PaginationConfig={"PageSize": 2}
    )
    sizes = []
    names = []
    for page in pages:
        sizes.append(len(page["Buckets"]))
        names += [item["Name"] for item in page["Buckets"]]
        assert page["Prefix"] == "paged-"
    assert sizes == [2, 2, 1]
    assert names == [f"paged-{number}" for number in range(5)]


def test_a_bucket_may_be_made_twice_by_its_owner_only(client: Any, other: Any, bucket: str) -> None:
    client.create_bucket(Bucket=bucket)
    assert refused(other.create_bucket, Bucket=bucket) == (409, "BucketAlreadyExists")


def test_another_users_bucket_is_closed(client: Any, other: Any, bucket: str) -> None:
    fill(client, bucket, "key")
    assert refused(other.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")
    assert refused(other.get_object, Bucket=bucket, Key="key") == (403, "AccessDenied")
    assert refused(other.head_object, Bucket=bucket, Key="key") == (403, "403")
    assert refused(other.put_object, Bucket=bucket, Key="key", Body=b"x") == (403, "AccessDenied")
    assert refused(other.delete_object, Bucket=bucket, Key="key") == (403, "AccessDenied")
    assert refused(other.delete_bucket, Bucket=bucket) == (403, "AccessDenied")
    other.create_bucket(Bucket=bucket + "-of-bob")
    source = {"Bucket": bucket, "Key": "key"}
    assert refused(other.copy_object, Bucket=bucket + "-of-bob", Key="key", CopySource=source) == (
        403,
        "AccessDenied",
    )


def test_a_container_made_by_swift_is_a_bucket(client: Any, running: Running) -> None:
    account = running.users.ann.account
    running.run(running.service.create_container(account, "Made_By_Swift", {}))
    assert "Made_By_Swift" in [item["Name"] for item in client.list_buckets()["Buckets"]]
    client.put_object(Bucket="Made_By_Swift", Key="key", Body=b"data")
    assert client.get_object(Bucket="Made_By_Swift", Key="key")["Body"].read() == b"data"


def test_a_bucket_that_holds_something_stays(client: Any, bucket: str) -> None:
    fill(client, bucket, "key")
    assert refused(client.delete_bucket, Bucket=bucket) == (409, "BucketNotEmpty")


@pytest.mark.parametrize("name", ["UPPER", "foo_bar", "foo..bar", "foo-.bar", "192.168.5.123"])
def test_a_bad_bucket_name_is_refused(client: Any, name: str) -> None:
    assert refused(client.create_bucket, Bucket=name) == (400, "InvalidBucketName")


def test_location_is_checked_and_told(client: Any, bucket: str) -> None:
    assert client.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    assert client.head_bucket(Bucket=bucket)["BucketRegion"] == "us-east-1"
    configuration = {"LocationConstraint": "eu-west-1"}
    status = refused(client.create_bucket, Bucket="elsewhere", CreateBucketConfiguration=configuration)
    assert status == (400, "InvalidLocationConstraint")


def test_what_is_not_configured_is_said_as_aws_says_it(client: Any, bucket: str) -> None:
    def code(call: Any) -> str:
        return refused(call, Bucket=bucket)[1]

    assert code(client.get_bucket_lifecycle_configuration) == "NoSuchLifecycleConfiguration"
    assert code(client.get_bucket_policy) == "NoSuchBucketPolicy"
    assert code(client.get_bucket_cors) == "NoSuchCORSConfiguration"
    assert code(client.get_bucket_tagging) == "NoSuchTagSet"
    assert code(client.get_bucket_website) == "NoSuchWebsiteConfiguration"
    assert code(client.get_bucket_encryption) == "ServerSideEncryptionConfigurationNotFoundError"
    assert code(client.get_object_lock_configuration) == "ObjectLockConfigurationNotFoundError"
    assert code(client.get_bucket_replication) == "ReplicationConfigurationNotFoundError"
    assert code(client.get_public_access_block) == "NoSuchPublicAccessBlockConfiguration"
    assert code(client.get_bucket_ownership_controls) == "OwnershipControlsNotFoundError"
    assert "Status" not in client.get_bucket_versioning(Bucket=bucket)
    assert client.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    assert "LoggingEnabled" not in client.get_bucket_logging(Bucket=bucket)
    assert "Status" not in client.get_bucket_accelerate_configuration(Bucket=bucket)
    client.get_bucket_notification_configuration(Bucket=bucket)
    client.delete_bucket_tagging(Bucket=bucket)
    client.delete_bucket_lifecycle(Bucket=bucket)
    enable = {"Status": "Enabled"}
    assert refused(client.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=enable) == (
        501,
        "NotImplemented",
    )
    assert refused(client.get_bucket_policy, Bucket="no-such-bucket-here")[1] == "NoSuchBucket"


def test_an_acl_gives_all_to_the_owner(client: Any, running: Running, bucket: str) -> None:
    fill(client, bucket, "key")
    ann = running.users.ann
    for acl in (client.get_bucket_acl(Bucket=bucket), client.get_object_acl(Bucket=bucket, Key="key")):
        assert acl["Owner"] == {"ID": ann.id, "DisplayName": "ann"}
        grantee = {"ID": ann.id, "DisplayName": "ann", "Type": "CanonicalUser"}
        assert acl["Grants"] == [{"Grantee": grantee, "Permission": "FULL_CONTROL"}]
    client.put_bucket_acl(Bucket=bucket, ACL="private")
    assert refused(client.put_object_acl, Bucket=bucket, Key="key", ACL="public-read")[0] == 501
    assert refused(client.create_bucket, Bucket="open-to-all", ACL="public-read")[0] == 501


def test_the_bucket_may_be_in_the_host_name(client: Any, running: Running, bucket: str) -> None:
    fill(client, bucket, "a/ключ")
    virtual = running.client(
        running.users.ann, host="s3.test", s3={"addressing_style": "virtual"}, signature_version="s3v4"
    )
    url = virtual.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a/ключ"})
    host, _slash, target = url.removeprefix("http://").partition("/")
    assert host == f"{bucket}.s3.test:{running.port}"
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    connection.request("GET", f"/{target}", headers={"Host": host})
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, "a/ключ".encode())
    connection.close()


# Objects


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


# Copies


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


# Deleting many


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


# Listings


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


# Multipart uploads


def upload(client: Any, bucket: str, parts: list[bytes], **create: Any) -> tuple[str, list[dict[str, Any]]]:
    """Upload parts 1, 2, …; return the upload's id and what completes it."""
    upload_id = client.create_multipart_upload(Bucket=bucket, Key="key", **create)["UploadId"]
    algorithm = {"ChecksumAlgorithm": create["ChecksumAlgorithm"]} if "ChecksumAlgorithm" in create else {}
    done = []
    for number, data in enumerate(parts, 1):
        answer = client.upload_part(
            Bucket=bucket, Key="key", UploadId=upload_id, PartNumber=number, Body=data, **algorithm
        )
        shown = {name: value for name, value in answer.items() if name.startswith("Checksum")}
        done.append({"PartNumber": number, "ETag": answer["ETag"], **shown})
    return upload_id, done


def complete(client: Any, bucket: str, upload_id: str, parts: list[dict[str, Any]], **more: Any) -> Any:
    return client.complete_multipart_upload(
        Bucket=bucket, Key="key", UploadId=upload_id, MultipartUpload={"Parts": parts}, **more
    )


PARTS = [b"a" * 1500, b"b" * 1200, b"c" * 7]


def test_an_object_is_made_of_parts(client: Any, bucket: str) -> None:
    upload_id, parts = upload(client, bucket, PARTS, ContentType="x/y", Metadata={"color": "blue"})
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)
    done = complete(client, bucket, upload_id, parts)
    digests = b"".join(hashlib.md5(part).digest() for part in PARTS)
    assert done["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'
    assert done["Location"].endswith(f"/{bucket}/key")
    got = client.get_object(Bucket=bucket, Key="key")
    assert got["Body"].read() == b"".join(PARTS)
    assert (got["ContentType"], got["Metadata"], got["ETag"]) == ("x/y", {"color": "blue"}, done["ETag"])
    assert complete(client, bucket, upload_id, parts)["ETag"] == done["ETag"]  # a client's retry
    for number, data in enumerate(PARTS, 1):
        part = client.get_object(Bucket=bucket, Key="key", PartNumber=number)
        assert (part["Body"].read(), part["PartsCount"]) == (data, 3)
        head = client.head_object(Bucket=bucket, Key="key", PartNumber=number)
        assert (head["ContentLength"], head["PartsCount"]) == (len(data), 3)
    assert refused(client.get_object, Bucket=bucket, Key="key", PartNumber=4) == (400, "InvalidPart")
    across = client.get_object(Bucket=bucket, Key="key", Range="bytes=1498-1501")
    assert across["Body"].read() == b"aabb"
    attributes = client.get_object_attributes(
        Bucket=bucket, Key="key", ObjectAttributes=["ObjectParts"], MaxParts=2
    )["ObjectParts"]
    assert (attributes["TotalPartsCount"], attributes["IsTruncated"]) == (3, True)
    assert [part["Size"] for part in attributes["Parts"]] == [1500, 1200]


def test_a_plain_object_is_its_own_only_part(client: Any, bucket: str) -> None:
    fill(client, bucket, "key")
    assert client.get_object(Bucket=bucket, Key="key", PartNumber=1)["Body"].read() == b"key"
    assert refused(client.get_object, Bucket=bucket, Key="key", PartNumber=2) == (400, "InvalidPart")


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_parts_make_up_a_full_objects_checksum(client: Any, bucket: str, algorithm: str) -> None:
    upload_id, parts = upload(
        client, bucket, PARTS, ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT"
    )
    name = f"Checksum{algorithm}"
    whole = client.put_object(
        Bucket=bucket, Key="whole", Body=b"".join(PARTS), ChecksumAlgorithm=algorithm
    )[name]
    wrong = {name: base64.b64encode(b"\0" * len(base64.b64decode(whole))).decode()}
    assert refused(complete, client=client, bucket=bucket, upload_id=upload_id, parts=parts, **wrong) == (
        400,
        "BadDigest",
    )
    done = complete(client, bucket, upload_id, parts, ChecksumType="FULL_OBJECT", **{name: whole})
    assert (done[name], done["ChecksumType"]) == (whole, "FULL_OBJECT")
    got = client.get_object(Bucket=bucket, Key="key")
    assert got[name] == whole
    assert got["Body"].read() == b"".join(PARTS)


def test_parts_make_up_a_composite_checksum(client: Any, bucket: str) -> None:
    upload_id, parts = upload(client, bucket, PARTS, ChecksumAlgorithm="SHA256")
    listed = client.list_parts(Bucket=bucket, Key="key", UploadId=upload_id)
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == ("SHA256", "COMPOSITE")
    assert [part["ChecksumSHA256"] for part in listed["Parts"]] == [p["ChecksumSHA256"] for p in parts]
    digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in PARTS)).digest()
    expected = base64.b64encode(digest).decode() + "-3"
    done = complete(client, bucket, upload_id, parts)
    assert (done["ChecksumSHA256"], done["ChecksumType"]) == (expected, "COMPOSITE")
    head = client.head_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")
    assert (head["ChecksumSHA256"], head["ChecksumType"]) == (expected, "COMPOSITE")
    assert client.list_objects_v2(Bucket=bucket)["Contents"][0]["ChecksumType"] == "COMPOSITE"
    client.get_object(Bucket=bucket, Key="key")["Body"].read()


def test_a_checksum_type_must_suit_its_algorithm(client: Any, bucket: str) -> None:
    def create(algorithm: str, kind: str) -> Any:
        return client.create_multipart_upload(
            Bucket=bucket, Key="key", ChecksumAlgorithm=algorithm, ChecksumType=kind
        )

    assert refused(create, algorithm="SHA256", kind="FULL_OBJECT") == (400, "InvalidRequest")
    assert refused(create, algorithm="CRC64NVME", kind="COMPOSITE") == (400, "InvalidRequest")


def test_a_completion_is_checked(client: Any, bucket: str) -> None:
    upload_id, parts = upload(client, bucket, PARTS)

    def finish(parts: list[dict[str, Any]], **more: Any) -> Any:
        return complete(client, bucket, upload_id, parts, **more)

    assert refused(finish, parts=[]) == (400, "MalformedXML")
    assert refused(finish, parts=[*parts, {"PartNumber": 9, "ETag": "x"}]) == (400, "InvalidPart")
    assert refused(finish, parts=[{**parts[0], "ETag": '"ff"'}]) == (400, "InvalidPart")
    assert refused(finish, parts=[parts[1], parts[0]]) == (400, "InvalidPartOrder")
    assert refused(finish, parts=parts, MpuObjectSize=5) == (400, "InvalidRequest")
    small, small_parts = upload(client, bucket, [b"x" * 10, b"y" * 10])
    assert refused(complete, client=client, bucket=bucket, upload_id=small, parts=small_parts) == (
        400,
        "EntityTooSmall",
    )
    fill(client, bucket, "key")
    assert refused(finish, parts=parts, IfNoneMatch="*") == (412, "PreconditionFailed")
    finish(parts, MpuObjectSize=len(b"".join(PARTS)))


def test_an_upload_can_be_looked_at_and_dropped(client: Any, running: Running, bucket: str) -> None:
    upload_id, parts = upload(client, bucket, PARTS)
    names = {"Bucket": bucket, "Key": "key", "UploadId": upload_id}
    first = client.list_parts(MaxParts=2, **names)
    assert [(part["PartNumber"], part["Size"]) for part in first["Parts"]] == [(1, 1500), (2, 1200)]
    assert (first["IsTruncated"], first["NextPartNumberMarker"]) == (True, 2)
    assert first["Initiator"]["ID"] == first["Owner"]["ID"] == running.users.ann.id
    second = client.list_parts(PartNumberMarker=2, **names)
    assert [part["ETag"] for part in second["Parts"]] == [parts[2]["ETag"]]
    client.abort_multipart_upload(**names)
    assert refused(client.list_parts, **names) == (404, "NoSuchUpload")
    assert refused(client.abort_multipart_upload, **names) == (404, "NoSuchUpload")
    assert refused(client.upload_part, PartNumber=1, Body=b"x", **names) == (404, "NoSuchUpload")
    assert refused(complete, client=client, bucket=bucket, upload_id=upload_id, parts=parts) == (
        404,
        "NoSuchUpload",
    )


def test_part_numbers_have_limits(client: Any, bucket: str) -> None:
    upload_id, _parts = upload(client, bucket, [])
    for number in (0, 10_001):
        arguments = {"Bucket": bucket, "Key": "key", "UploadId": upload_id, "PartNumber": number}
        assert refused(client.upload_part, Body=b"x", **arguments) == (400, "InvalidArgument")


def test_uploads_under_way_are_listed(client: Any, bucket: str) -> None:
    keys = ["a", "a", "dir/b", "dir/c", "e f"]
    ids = [client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"] for key in keys]
    pages = client.get_paginator("list_multipart_uploads").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": 2}
    )
    found = [(item["Key"], item["UploadId"]) for page in pages for item in page["Uploads"]]
    assert found == list(zip(keys, ids, strict=True))
    rolled = client.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [item["Key"] for item in rolled["Uploads"]] == ["a", "a", "e f"]
    assert rolled["CommonPrefixes"] == [{"Prefix": "dir/"}]


def test_a_part_may_be_copied(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="source", Body=b"0123456789" * 200)
    upload_id, _parts = upload(client, bucket, [], ChecksumAlgorithm="CRC32C", ChecksumType="FULL_OBJECT")
    names = {"Bucket": bucket, "Key": "key", "UploadId": upload_id, "CopySource": f"{bucket}/source"}
    first = client.upload_part_copy(PartNumber=1, **names)["CopyPartResult"]
    second = client.upload_part_copy(PartNumber=2, CopySourceRange="bytes=3-5", **names)["CopyPartResult"]
    for wanted in ("0-2", "bytes=0", "bytes=hello-world", "bytes=2-0", "bytes=0-2,3-5"):
        call = {"PartNumber": 3, "CopySourceRange": wanted, **names}
        assert refused(client.upload_part_copy, **call) == (400, "InvalidArgument")
    beyond = {"PartNumber": 3, "CopySourceRange": "bytes=0-2000", **names}
    assert refused(client.upload_part_copy, **beyond)[1] == "InvalidRange"
    missing = {**names, "PartNumber": 3, "CopySource": f"{bucket}/none"}
    assert refused(client.upload_part_copy, **missing) == (404, "NoSuchKey")
    parts = [
        {"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32C": part["ChecksumCRC32C"]}
        for number, part in ((1, first), (2, second))
    ]
    complete(client, bucket, upload_id, parts)
    got = client.get_object(Bucket=bucket, Key="key")
    assert got["Body"].read() == b"0123456789" * 200 + b"345"
    assert got["ChecksumCRC32C"]


def test_boto3s_own_transfers_work(client: Any, bucket: str) -> None:
    transfer = boto3.s3.transfer.TransferConfig(multipart_threshold=2000, multipart_chunksize=1500)
    data = bytes(range(256)) * 40
    client.upload_fileobj(io.BytesIO(data), bucket, "key", Config=transfer)
    into = io.BytesIO()
    client.download_fileobj(bucket, "key", into, Config=transfer)
    assert into.getvalue() == data


def test_a_body_in_memory_is_read_in_pieces() -> None:
    async def read() -> list[bytes]:
        body = BytesBody(b"abcde", piece_size=2)
        return [bytes(await body.read()) for _piece in range(4)]

    assert asyncio.run(read()) == [b"ab", b"cd", b"e", b""]
