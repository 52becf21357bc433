"""A cluster grows and shrinks under load: no request fails, no read goes back, all data are where they should be."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster
from tests.faults.load import Load
from tests.functional.seeded import check_seed, seeded

CHANGE_TIMEOUT_S = 200.0
GRAVES_BYTES = 64 << 10  # what is left of versions that were forgotten, until their segment of the log goes


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four nodes with objects of many sizes in them; the tests change it one after the other."""
    yield from seeded(tmp_path_factory.mktemp("growing") / "data")


def devices(cluster: Cluster) -> dict[int, dict[str, Any]]:
    return {device["id"]: device for device in json.loads(cluster.holdfast("device", "list", "--json"))}


def under_load(cluster: Cluster, bucket: str, *command: str) -> dict[str, Any]:
    """Run a command that changes the rings under load; return what it told."""
    cluster.s3().create_bucket(Bucket=bucket)
    load = Load(cluster, bucket)
    with load.running():
        time.sleep(1)
        told = cluster.holdfast(*command, "--yes", "--json", timeout_s=CHANGE_TIMEOUT_S)
        time.sleep(1)
    load.check_everything()
    load.check_rows()
    print(load.report())
    assert not load.violations, load.report()
    assert not load.failures, load.report()
    assert not load.retried, load.report()  # by the SDK, unseen
    report: dict[str, Any] = json.loads(told)
    assert report["done"]["dispersion"] == 0
    assert all(use["behind"] == 0 for use in json.loads(cluster.holdfast("ring", "--json"))["processes"])
    check_seed(cluster)
    return report


def await_empty(cluster: Cluster, device_id: int) -> None:
    """Return once a device has dropped what it holds no more."""
    deadline = time.monotonic() + 60
    while devices(cluster)[device_id]["live_bytes"] > GRAVES_BYTES:
        assert time.monotonic() < deadline, f"device {device_id} keeps what others hold"
        time.sleep(0.5)


def test_a_node_is_added(grown: Cluster) -> None:
    report = under_load(grown, "adding", "node", "add")
    assert report["plan"]["object-0"]["moved"] > 0
    found = devices(grown)
    assert [found[each]["role"] for each in range(5)] == ["in use"] * 5
    assert found[4]["node"] == "4"
    assert found[4]["held_ratio"] == pytest.approx(0.2, abs=0.01)
    assert found[4]["live_bytes"] > 0
    assert grown.status()["state"] == "healthy"


def test_a_device_is_drained(grown: Cluster) -> None:
    under_load(grown, "draining", "device", "drain", "1")
    assert devices(grown)[1]["role"] == "drained"
    await_empty(grown, 1)
    assert grown.status()["state"] == "healthy"


def test_a_drained_device_is_removed(grown: Cluster) -> None:
    under_load(grown, "removing", "device", "remove", "1", "--delete-data")
    assert devices(grown).keys() == {0, 2, 3, 4}
    assert "storage-1" not in grown.processes()
    assert not (grown.directory / "nodes/1").exists()


def test_what_a_dead_device_held_is_rebuilt_from_the_others(grown: Cluster) -> None:
    """As each object is read with another node away, it has three replicas again."""
    grown.holdfast("node", "kill", "2")
    under_load(grown, "dying", "device", "remove", "2")
    assert devices(grown).keys() == {0, 3, 4}
    for node in ("0", "3", "4"):
        grown.holdfast("node", "stop", node)
        check_seed(grown)
        grown.holdfast("node", "start", node)
        grown.await_connected()


def test_it_is_all_there_after_a_restart(grown: Cluster) -> None:
    grown.holdfast("down")
    grown.holdfast("up", "--detach", timeout_s=90)
    assert devices(grown).keys() == {0, 3, 4}
    check_seed(grown)
    refused = grown.holdfast("device", "drain", "0", "--yes", check=False)
    assert refused == ""
    assert Path(grown.directory / "nodes/2").exists()  # it was not said that its data should go
