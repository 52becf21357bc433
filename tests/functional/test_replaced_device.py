"""A device's disk is replaced by an empty one, or by an older copy, under load: nobody notices, and it fills itself."""

import json
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import Cluster
from tests.faults.load import Load
from tests.functional.seeded import check_seed, seeded

REBUILD_TIMEOUT_S = 120.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four nodes with objects of many sizes in them; the tests change it one after the other."""
    yield from seeded(tmp_path_factory.mktemp("replaced") / "data")


def device(cluster: Cluster, device_id: int) -> dict[str, Any]:
    """Return what `device list` tells of a device."""
    found = json.loads(cluster.holdfast("device", "list", "--json"))
    return next(each for each in found if each["id"] == device_id)


def await_whole(cluster: Cluster, device_id: int) -> None:
    """Return once a device has all its data."""
    deadline = time.monotonic() + REBUILD_TIMEOUT_S
    while (found := device(cluster, device_id))["data"] != "whole":
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


def replaced_under_load(cluster: Cluster, bucket: str, node: str, copy: str | None = None) -> None:
    """Stop a node, replace what is on its disk, start it, and wait until it is whole, all under load."""
    directory = cluster.directory / "nodes" / node
    cluster.s3().create_bucket(Bucket=bucket)
    load = Load(cluster, bucket)
    with load.running():
        time.sleep(2)
        cluster.holdfast("node", "stop", node)
        shutil.rmtree(directory)
        if copy is not None:
            shutil.copytree(copy, directory)
        time.sleep(1)
        cluster.holdfast("node", "start", node)
        found = device(cluster, int(node))
        assert found["data"] == "rebuilding", found
        await_whole(cluster, int(node))
        time.sleep(2)
    load.check_everything()
    load.check_rows()
    print(load.report())
    assert not load.violations, load.report()
    assert not load.failures, load.report()


def check_without_each(cluster: Cluster) -> None:
    """Every object has its replicas: it is read with each node away."""
    for node in range(4):
        cluster.holdfast("node", "stop", str(node))
        check_seed(cluster)
        cluster.holdfast("node", "start", str(node))
        cluster.await_connected()


def test_a_disk_is_replaced_by_an_empty_one(cluster: Cluster) -> None:
    before = device(cluster, 2)["live_bytes"]
    replaced_under_load(cluster, "emptied", "2")
    assert device(cluster, 2)["live_bytes"] >= before
    check_without_each(cluster)
    assert cluster.status()["state"] == "healthy"


@pytest.mark.long
def test_a_disk_is_replaced_by_an_older_copy(cluster: Cluster) -> None:
    cluster.holdfast("node", "stop", "1")
    copy = cluster.directory.parent / "copy"
    shutil.copytree(cluster.directory / "nodes" / "1", copy)
    cluster.holdfast("node", "start", "1")
    cluster.await_connected()
    replaced_under_load(cluster, "copied", "1", str(copy))
    check_without_each(cluster)


@pytest.mark.long
def test_a_healthy_device_that_is_killed_is_not_rebuilt(cluster: Cluster) -> None:
    cluster.holdfast("node", "kill", "3")
    cluster.holdfast("node", "start", "3")
    assert device(cluster, 3)["data"] == "whole"
    assert "nothing to accept" in cluster.holdfast("device", "accept-loss", "3", "--yes")


@pytest.mark.long
def test_a_loss_is_accepted_by_an_operator_when_others_are_gone(cluster: Cluster) -> None:
    cluster.await_connected()
    cluster.holdfast("node", "stop", "0")
    cluster.holdfast("node", "stop", "1")
    shutil.rmtree(cluster.directory / "nodes" / "1")
    cluster.holdfast("node", "start", "1")
    deadline = time.monotonic() + 30
    while not ((device(cluster, 1)["membership"] or {}).get("waiting") or "").count("must be up"):
        assert time.monotonic() < deadline, device(cluster, 1)
        time.sleep(0.5)
    refused = cluster.holdfast("device", "accept-loss", "1", check=False)
    assert refused == ""
    assert "votes with what it has" in cluster.holdfast("device", "accept-loss", "1", "--yes")
    await_whole(cluster, 1)
    check_seed(cluster)  # with node 0 away: what was copied from the others is all there is, and enough
    cluster.holdfast("node", "start", "0")
