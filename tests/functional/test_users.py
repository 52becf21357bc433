"""Users: what is one's own stays so, and what `holdfast user` changes counts within two seconds."""

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.cluster import Cluster

NOTICED_S = 2.0


def code_of(call: Callable[..., Any], **arguments: Any) -> str:
    """Return the code of the error that a call ends in, "" for none."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


@pytest.fixture
def other(cluster: Cluster) -> Any:
    return cluster.user("add", f"user-{uuid.uuid4().hex[:8]}")


def test_another_users_bucket_is_closed(cluster: Cluster, bucket: str, other: Any) -> None:
    cluster.s3().put_object(Bucket=bucket, Key="k", Body=b"private")
    client = cluster.s3(other)
    named = {"Bucket": bucket, "Key": "k"}
    for call in (client.get_object, client.put_object, client.delete_object, client.create_multipart_upload):
        assert code_of(call, **named) == "AccessDenied"
    for call in (client.list_objects_v2, client.list_objects, client.delete_bucket, client.get_bucket_location):
        assert code_of(call, Bucket=bucket) == "AccessDenied"
    assert code_of(client.head_bucket, Bucket=bucket) == "403"
    assert code_of(client.delete_objects, Bucket=bucket, Delete={"Objects": [{"Key": "k"}]}) == "AccessDenied"
    assert code_of(client.create_bucket, Bucket=bucket) == "BucketAlreadyExists"
    own = f"own-{uuid.uuid4().hex[:8]}"
    client.create_bucket(Bucket=own)
    assert code_of(client.copy_object, Bucket=own, Key="k", CopySource=named) == "AccessDenied"
    answer = client.list_buckets()
    assert [entry["Name"] for entry in answer["Buckets"]] == [own]
    assert answer["Owner"]["ID"] == other["id"]
    assert code_of(client.get_object, Bucket=f"no-{own}", Key="k") == "NoSuchBucket"
    assert cluster.s3().get_object(**named)["Body"].read() == b"private"


def test_a_bucket_name_is_free_again_once_its_owner_deletes_it(cluster: Cluster, bucket: str, other: Any) -> None:
    client = cluster.s3(other)
    assert code_of(client.create_bucket, Bucket=bucket) == "BucketAlreadyExists"
    cluster.s3().delete_bucket(Bucket=bucket)
    client.create_bucket(Bucket=bucket)
    assert code_of(cluster.s3().create_bucket, Bucket=bucket) == "BucketAlreadyExists"


def test_new_keys_and_a_removal_count_at_once(cluster: Cluster, other: Any) -> None:
    assert code_of(cluster.s3(other).list_buckets) == ""
    renewed = cluster.user("key", other["name"], "--renew")
    _eventually(lambda: code_of(cluster.s3(other).list_buckets) == "InvalidAccessKeyId")
    assert code_of(cluster.s3(renewed).list_buckets) == ""
    cluster.user("remove", other["name"])
    _eventually(lambda: code_of(cluster.s3(renewed).list_buckets) == "InvalidAccessKeyId")


def _eventually(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, asked often enough to meet every worker."""
    deadline = time.monotonic() + NOTICED_S
    in_a_row = 0
    while in_a_row < 8:
        in_a_row = in_a_row + 1 if condition() else 0
        assert in_a_row or time.monotonic() < deadline, "not noticed in time"
