"""Volumes while the disks under them are replaced, added and drained: nothing is lost, and clients see no error.

One volume is written all the time. Another one nobody opens: its chunks get where they belong all the same.
"""

import json
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import Cluster
from tests.faults.volume_load import BLOCK, VolumeLoad, content
from tests.nbd_disk import NbdDisk

REBUILD_TIMEOUT_S = 120.0
CHANGE_TIMEOUT_S = 200.0
PATIENCE_S = 40.0
BLOCKS = 300  # that are written, over 11 chunks
IDLE_OFFSETS = [number << 20 for number in range(0, 128, 3)]  # in 32 chunks


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four nodes with two volumes; the tests change it one after the other."""
    cluster = Cluster(tmp_path_factory.mktemp("moving") / "data")
    cluster.up()
    for name in ("busy", "idle"):
        cluster.holdfast("volume", "create", name, "128M")
    with NbdDisk(*address(cluster), "idle") as disk:
        disk.write({offset: content(offset, 1) for offset in IDLE_OFFSETS})
        disk.flush()
    yield cluster
    cluster.holdfast("down", check=False)


@pytest.fixture(scope="module")
def load(cluster: Cluster) -> VolumeLoad:
    return VolumeLoad(address(cluster), "busy", BLOCKS, seed=1)


def address(cluster: Cluster) -> tuple[str, int]:
    return "127.0.0.1", 10809 + cluster.offset


def device(cluster: Cluster, device_id: int) -> dict[str, Any]:
    """Return what `device list` tells of a device."""
    found = json.loads(cluster.holdfast("device", "list", "--json"))
    return next(each for each in found if each["id"] == device_id)


def healths(cluster: Cluster) -> list[dict[str, Any]]:
    """Return what each device tells of itself."""
    return [device["health"] for node in cluster.status()["nodes"] for device in node["devices"]]


def chunk_counts(cluster: Cluster) -> dict[int, int]:
    """Return how many replicas of chunks each device has, of those that answer."""
    return {health["device"]: health["chunks"] for health in healths(cluster) if "chunks" in health}


def check(cluster: Cluster, load: VolumeLoad) -> None:
    """Read everything that was written."""
    load.check(PATIENCE_S)
    assert not load.violations, load.violations[:5]
    with NbdDisk(*address(cluster), "idle") as disk:
        assert disk.read(IDLE_OFFSETS, BLOCK) == {offset: content(offset, 1) for offset in IDLE_OFFSETS}


def await_closed(cluster: Cluster) -> None:
    """Return once no volume is open: whoever reads next looks at all replicas anew."""
    deadline = time.monotonic() + PATIENCE_S
    while (gateway := cluster.status()["gateways"][0]["health"])["volumes_open"]:
        assert time.monotonic() < deadline, gateway
        time.sleep(0.1)


def check_without_each(cluster: Cluster, load: VolumeLoad, nodes: tuple[str, ...]) -> None:
    """Every chunk has its replicas: it is read with each node away."""
    for node in nodes:
        await_closed(cluster)
        cluster.holdfast("node", "stop", node)
        check(cluster, load)
        cluster.holdfast("node", "start", node)
        cluster.await_connected()


def replace(cluster: Cluster, node: str) -> None:
    """Stop a node, empty its disk, start it, and wait until it is whole."""
    cluster.holdfast("node", "stop", node)
    shutil.rmtree(cluster.directory / "nodes" / node)
    cluster.holdfast("node", "start", node)
    deadline = time.monotonic() + REBUILD_TIMEOUT_S
    while (found := device(cluster, int(node)))["data"] != "whole":
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


def test_disks_are_replaced_one_after_the_other_under_load(cluster: Cluster, load: VolumeLoad) -> None:
    with load.running():
        time.sleep(2)
        before = chunk_counts(cluster)
        for node in ("1", "2"):
            written = load.acknowledged
            replace(cluster, node)
            assert load.acknowledged > written + BLOCKS  # meanwhile
        time.sleep(2)
    assert load.connections == 1
    after = chunk_counts(cluster)
    assert all(after[each] >= before[each] > 0 for each in (1, 2)), (before, after)
    check(cluster, load)
    check_without_each(cluster, load, ("0", "1", "2", "3"))


def changed(cluster: Cluster, load: VolumeLoad, *command: str) -> None:
    """Change the rings under load."""
    connections = load.connections
    with load.running():
        time.sleep(1)
        written = load.acknowledged
        cluster.holdfast(*command, "--yes", "--json", timeout_s=CHANGE_TIMEOUT_S)
        assert load.acknowledged > written + BLOCKS
        time.sleep(1)
    assert load.connections == connections + 1
    check(cluster, load)


def test_a_node_is_added_and_gets_its_share(cluster: Cluster, load: VolumeLoad) -> None:
    changed(cluster, load, "node", "add")
    assert chunk_counts(cluster)[4] > 0
    await_in_place(cluster)


def await_in_place(cluster: Cluster) -> None:
    """Return once no device holds what it should not."""
    deadline = time.monotonic() + REBUILD_TIMEOUT_S
    while any(health.get("partitions_misplaced") != 0 for health in healths(cluster)):
        assert time.monotonic() < deadline, cluster.status()
        time.sleep(0.5)


def test_a_device_is_drained_to_the_last_chunk(cluster: Cluster, load: VolumeLoad) -> None:
    changed(cluster, load, "device", "drain", "1")
    await_in_place(cluster)
    assert chunk_counts(cluster)[1] == 0
    check_without_each(cluster, load, ("0", "2"))


def test_what_a_dead_device_held_is_copied_from_the_others(cluster: Cluster, load: VolumeLoad) -> None:
    cluster.holdfast("node", "kill", "3")
    changed(cluster, load, "device", "remove", "3")
    check_without_each(cluster, load, ("0", "2", "4"))
