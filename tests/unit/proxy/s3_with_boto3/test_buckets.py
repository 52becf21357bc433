"""Buckets by boto3, and who may do what with them."""

import datetime
import http.client
from typing import Any

import pytest

from tests.unit.proxy.s3_with_boto3.server import Running, fill, refused


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
