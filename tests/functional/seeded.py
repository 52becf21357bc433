"""A cluster with objects of many sizes in it, for tests that change its devices."""

from collections.abc import Iterator
from hashlib import md5
from pathlib import Path

from tests.cluster import Cluster, running

SEED_COUNT = 240


def seeded(directory: Path) -> Iterator[Cluster]:
    """Yield four nodes with objects of many sizes in them, and stop them at the end."""
    for cluster in running(directory):
        client = cluster.s3()
        client.create_bucket(Bucket="seed")
        for index in range(SEED_COUNT):
            client.put_object(Bucket="seed", Key=key(index), Body=body(index))
        yield cluster


def key(index: int) -> str:
    return f"folder {index % 7}/object {index:04}"


def body(index: int) -> bytes:
    size = 3 << 20 if index % 60 == 7 else index * 61
    return b"%06d" % index * (size // 6 + 1)


def check_seed(cluster: Cluster) -> None:
    """Every object is there, whole, and listed once."""
    client = cluster.s3(retries={"max_attempts": 1})
    for index in range(SEED_COUNT):
        found = client.get_object(Bucket="seed", Key=key(index))
        assert found["Body"].read() == body(index)
        assert found["ETag"] == f'"{md5(body(index)).hexdigest()}"'
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="seed", PaginationConfig={"PageSize": 100})
    names = [item["Key"] for page in pages for item in page["Contents"]]
    assert names == sorted(key(index) for index in range(SEED_COUNT))
