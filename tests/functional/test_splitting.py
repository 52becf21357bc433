"""A container grows beyond what one database shall have, and shrinks again, on real processes; no client notices."""

import dataclasses
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cluster.layout import Layout
from tests.cluster import Cluster
from tools import creation

SPLIT_ROWS = 60
NAMES = [f"{folder:02}/{number:03}" for folder in range(20) for number in range(20)]
PATIENCE_S = 90.0


@pytest.fixture(scope="module")
def splitting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster that splits containers early."""
    cluster = Cluster(tmp_path_factory.mktemp("splitting") / "data")
    made = creation.plan(creation.Wishes(port_offset=cluster.offset, has_identity=False))
    storage = dataclasses.replace(made.storage, container_split_rows=SPLIT_ROWS)
    cluster.directory.mkdir(parents=True, mode=0o700)
    creation.create(Layout(cluster.directory), dataclasses.replace(made, storage=storage))
    cluster.up()
    yield cluster
    cluster.holdfast("down", check=False)


def ranges_of(cluster: Cluster) -> tuple[float, float]:
    """Return how many splits and merges there were."""
    metrics = [cluster.metrics(device) for device in range(cluster.nodes)]
    names = ("holdfast_device_container_splits_total", "holdfast_device_container_merges_total")
    splits, merges = (sum(found.get(name, 0) for found in metrics) for name in names)
    return splits, merges


def listed(client: Any, **query: Any) -> list[str]:
    """Return a whole listing, read in small pages."""
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket="large", PaginationConfig={"PageSize": 70}, **query
    )
    found = []
    for page in pages:
        found += [item["Key"] for item in page.get("Contents", [])]
        found += [item["Prefix"] for item in page.get("CommonPrefixes", [])]
    return found


def until(cluster: Cluster, splits: float, merges: float) -> None:
    """Wait until so many were done."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        done = ranges_of(cluster)
        if done[0] >= splits and done[1] >= merges:
            return
        assert time.monotonic() < deadline, f"{done} splits and merges, not {(splits, merges)}"
        time.sleep(0.5)


def test_a_bucket_is_split_and_merged_and_nobody_notices(splitting: Cluster) -> None:
    client = splitting.s3()
    client.create_bucket(Bucket="large")
    problems: list[str] = []
    over = threading.Event()

    def watch() -> None:
        """List all the time: what is there is in order, and what was there once stays."""
        seen: set[str] = set()
        mine = splitting.s3()
        while not over.is_set():
            names = listed(mine)
            if names != sorted(set(names)):
                problems.append("out of order, or twice")
            if not seen <= set(names):
                problems.append(f"gone: {sorted(seen - set(names))[:3]}")
            seen |= set(names)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: client.put_object(Bucket="large", Key=name, Body=b"data"), NAMES))
            until(splitting, splits=1, merges=0)
            more = [f"{name}-more" for name in NAMES[::4]]
            list(pool.map(lambda name: client.put_object(Bucket="large", Key=name, Body=b"data"), more))
    finally:
        over.set()
        watcher.join()
    assert not problems
    expected = sorted([*NAMES, *more])
    assert listed(client) == expected
    assert listed(client, Delimiter="/") == [f"{folder:02}/" for folder in range(20)]
    assert listed(client, Prefix="07/") == [name for name in expected if name.startswith("07/")]
    with pytest.raises(client.exceptions.ClientError, match="BucketNotEmpty"):
        client.delete_bucket(Bucket="large")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: client.delete_object(Bucket="large", Key=name), expected[3:]))
    until(splitting, splits=1, merges=1)
    assert listed(client) == expected[:3]
    for name in expected[:3]:
        client.delete_object(Bucket="large", Key=name)
    client.delete_bucket(Bucket="large")
    client.create_bucket(Bucket="large")
    assert listed(client) == []
    client.put_object(Bucket="large", Key="again", Body=b"data")
    assert listed(client) == ["again"]
