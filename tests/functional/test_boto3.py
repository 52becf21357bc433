"""boto3 with its default settings, checksums included."""

import io
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tests.cluster import Cluster

SIZES = [0, 1, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 9_000_001]


@pytest.mark.parametrize("size", SIZES)
def test_what_is_put_is_got(cluster: Cluster, bucket: str, size: int) -> None:
    client, data = cluster.s3(), os.urandom(size)
    client.put_object(Bucket=bucket, Key="k", Body=data, Metadata={"colour": "blue"}, ContentType="text/x")
    reply = client.get_object(Bucket=bucket, Key="k")
    assert reply["Body"].read() == data
    assert (reply["Metadata"], reply["ContentType"]) == ({"colour": "blue"}, "text/x")
    if size > 10:
        part = client.get_object(Bucket=bucket, Key="k", Range=f"bytes=5-{size - 3}")["Body"].read()
        assert part == data[5 : size - 2]
        assert client.get_object(Bucket=bucket, Key="k", Range="bytes=-7")["Body"].read() == data[-7:]


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_each_checksum_is_kept_and_given_back(cluster: Cluster, bucket: str, algorithm: str) -> None:
    client, data = cluster.s3(), os.urandom(2_000_000)
    put = client.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(data), ChecksumAlgorithm=algorithm)
    reply = client.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert reply["Body"].read() == data
    assert reply[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]


def test_a_managed_upload_in_parts(cluster: Cluster, bucket: str) -> None:
    client, data = cluster.s3(), os.urandom(23 << 20)
    config = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    client.upload_fileobj(io.BytesIO(data), bucket, "k", Config=config)
    assert client.head_object(Bucket=bucket, Key="k")["ContentLength"] == len(data)
    back = io.BytesIO()
    client.download_fileobj(bucket, "k", back, Config=config)
    assert back.getvalue() == data
    across = client.get_object(Bucket=bucket, Key="k", Range=f"bytes={(5 << 20) - 3}-{(10 << 20) + 3}")
    assert across["Body"].read() == data[(5 << 20) - 3 : (10 << 20) + 4]
    client.delete_object(Bucket=bucket, Key="k")
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)


def test_an_overwrite_is_seen_at_once_and_a_delete_too(cluster: Cluster, bucket: str) -> None:
    clients = [cluster.s3() for _ in range(4)]
    for index in range(60):
        clients[index % 4].put_object(Bucket=bucket, Key="k", Body=b"%d" % index)
        assert clients[(index + 1) % 4].get_object(Bucket=bucket, Key="k")["Body"].read() == b"%d" % index
        listed = clients[(index + 2) % 4].list_objects_v2(Bucket=bucket)["Contents"]
        assert listed[0]["Size"] == len(str(index))
    clients[0].delete_object(Bucket=bucket, Key="k")
    assert clients[1].list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    with pytest.raises(ClientError) as gone:
        clients[2].get_object(Bucket=bucket, Key="k")
    assert gone.value.response["Error"]["Code"] == "NoSuchKey"


def test_only_one_of_many_creators_wins(cluster: Cluster, bucket: str) -> None:
    clients = [cluster.s3() for _ in range(8)]

    def create(index: int) -> str:
        try:
            clients[index].put_object(Bucket=bucket, Key="lock", Body=b"%d" % index, IfNoneMatch="*")
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "won"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(create, range(8)))
    assert outcomes.count("won") == 1
    assert set(outcomes) <= {"won", "PreconditionFailed", "ConditionalRequestConflict"}
    winner = outcomes.index("won")
    assert clients[0].get_object(Bucket=bucket, Key="lock")["Body"].read() == b"%d" % winner


def test_listing_pages_and_delimiters(cluster: Cluster, bucket: str) -> None:
    client = cluster.s3()
    keys = sorted(f"{folder}/{index:03d}" for folder in "abc" for index in range(40))
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 7})
    assert [item["Key"] for page in pages for item in page["Contents"]] == keys
    rolled = client.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [prefix["Prefix"] for prefix in rolled["CommonPrefixes"]] == ["a/", "b/", "c/"]
    removed = client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert len(removed["Deleted"]) == len(keys)
    client.delete_bucket(Bucket=bucket)
    with pytest.raises(ClientError):
        client.head_bucket(Bucket=bucket)
