"""The rings of a running cluster change under load: no request fails, nothing is lost, and it ends by itself.

The changes are published as any program could, through coordination: whoever begins one is not needed any more.
"""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest

from cluster.clock import wall_us
from cluster.coordination.embedded import EmbeddedCoordination
from ring.lookup import Ring
from storage.rings.conductor import LEASE
from storage.rings.document import RingDocument, Stage
from storage.rings.store import RingStore
from tests.cluster import Cluster, running
from tests.faults.load import Load

CHANGE_LIMIT_S = 150.0  # a small cluster, on a machine that has other things to do
MOVING = 3  # the device that goes and comes back
FILLED = 400  # objects that are there before, besides what the load writes


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from running(tmp_path_factory.mktemp("cluster") / "data")


class Rings:
    """The rings of a running cluster, from outside."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._path = cluster.directory / "coordination.db"
        self._coordination = EmbeddedCoordination(self._path)
        self.store = RingStore(self._coordination)

    def begin(self, rings: Mapping[str, Ring], note: str) -> None:
        self.store.begin(rings, note, wall_us())

    def current(self) -> Mapping[str, Ring]:
        return self.store.rings_of(self.store.document()).current

    def conductor(self) -> str:
        """Return the process that conducts the change."""
        with closing(sqlite3.connect(self._path)) as connection:
            found = connection.execute("SELECT holder FROM lease WHERE name = ?", (LEASE,)).fetchone()
        return found[0] if found else ""

    def await_document(self, wanted: Any) -> RingDocument:
        """Return the document once `wanted` says that it is the one."""
        deadline = time.monotonic() + CHANGE_LIMIT_S
        while not wanted(document := self.store.document()):
            assert time.monotonic() < deadline, (document, self.store.uses(), self.store.progress())
            time.sleep(0.05)
        return document

    def await_dropped(self) -> None:
        """Return when no device holds what it should not."""
        deadline = time.monotonic() + CHANGE_LIMIT_S
        version = self.store.document().version
        while any(
            (device["health"].get("rings_version"), device["health"].get("partitions_misplaced")) != (version, 0)
            for node in self._cluster.status()["nodes"]
            for device in node["devices"]
        ):
            assert time.monotonic() < deadline, self._cluster.status()
            time.sleep(0.5)

    def close(self) -> None:
        self._coordination.close()


@pytest.fixture
def rings(cluster: Cluster) -> Iterator[Rings]:
    found = Rings(cluster)
    yield found
    found.close()


def without(ring: Ring, device_id: int) -> Ring:
    """Return `ring` with others of its four devices in the place of one, which stays without a partition."""
    rows = [list(row) for row in ring.replica_rows]
    for partition in range(ring.partition_count):
        primaries = [row[partition] for row in rows]
        if device_id in primaries:
            rows[primaries.index(device_id)][partition] = next(iter(set(range(4)) - {*primaries, device_id}))
    packed = [memoryview(b"".join(held.to_bytes(2, "little") for held in row)).cast("H") for row in rows]
    return Ring(ring.part_power, ring.devices, tuple(packed), ring.version + 1)


def fill(cluster: Cluster, bucket: str) -> None:
    client = cluster.s3()
    client.create_bucket(Bucket=bucket)
    for index in range(FILLED):
        client.put_object(Bucket=bucket, Key=f"k{index:04}", Body=b"%d" % index * 200)
    client.put_object(Bucket=bucket, Key="large", Body=bytes(5_000_000))


def check(cluster: Cluster, bucket: str) -> None:
    client = cluster.s3()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    names = [item["Key"] for page in pages for item in page["Contents"]]
    assert names == [*(f"k{index:04}" for index in range(FILLED)), "large"]
    for index in range(FILLED):
        assert client.get_object(Bucket=bucket, Key=f"k{index:04}")["Body"].read() == b"%d" % index * 200
    assert client.get_object(Bucket=bucket, Key="large")["Body"].read() == bytes(5_000_000)


def stored(cluster: Cluster, device_id: int) -> int:
    """Return how many objects a device holds."""
    devices = [device for node in cluster.status()["nodes"] for device in node["devices"]]
    return int(next(device["health"]["blobs"] for device in devices if device["health"]["device"] == device_id))


def test_a_device_is_emptied_and_filled_again_under_load(cluster: Cluster, rings: Rings) -> None:
    fill(cluster, "moving")
    before = rings.current()
    load = Load(cluster, "moving-load", writers=3, readers=1)
    cluster.s3().create_bucket(Bucket="moving-load")
    with load.running():
        time.sleep(1)
        for goal, note in (
            ({name: without(ring, MOVING) for name, ring in before.items()}, f"empty device {MOVING}"),
            (before, f"fill device {MOVING}"),
        ):
            rings.begin(goal, note)
            rings.await_document(lambda document: document.settled)
            rings.await_dropped()
            if goal is not before:
                assert stored(cluster, MOVING) == 0
        time.sleep(1)
    load.check_everything()
    print(load.report())
    assert not load.violations, load.report()
    assert not load.failures, load.report()
    assert not load.retried, load.report()
    assert stored(cluster, MOVING) > FILLED / 2
    check(cluster, "moving")


def test_a_change_goes_on_when_those_who_carry_it_out_are_killed(cluster: Cluster, rings: Rings) -> None:
    fill(cluster, "killing")
    before = rings.current()
    load = Load(cluster, "killing-load", writers=3, readers=1)
    cluster.s3().create_bucket(Bucket="killing-load")
    with load.running():
        rings.begin({name: without(ring, MOVING) for name, ring in before.items()}, f"empty device {MOVING}")
        rings.await_document(lambda document: document.settled)
        rings.await_dropped()
        rings.begin(before, f"fill device {MOVING}")
        rings.await_document(lambda document: document.stage is Stage.JOINING and document.enforced)
        kill(cluster, f"storage-{MOVING}")  # while it copies
        cluster.await_connected()
        kill(cluster, rings.conductor() or "storage-0")
        cluster.await_connected()
        rings.await_document(lambda document: document.stage is not Stage.JOINING)
        kill(cluster, rings.conductor() or "storage-1")
        cluster.await_connected()
        rings.await_document(lambda document: document.settled)
        kill(cluster, "storage-1")  # while it drops what moved away
        cluster.await_connected()
        rings.await_dropped()
    load.check_everything()
    print(load.report())
    assert not load.violations, load.report()
    assert not load.failures, load.report()
    check(cluster, "killing")


def kill(cluster: Cluster, process: str) -> None:
    """SIGKILL a storage daemon; the supervisor starts it again."""
    cluster.signal_storage(int(process.rpartition("-")[2]), 9)
    time.sleep(1)


def test_a_change_that_is_taken_back_leaves_all_as_it_was(cluster: Cluster, rings: Rings) -> None:
    fill(cluster, "back")
    before = rings.current()
    rings.begin({name: without(ring, MOVING) for name, ring in before.items()}, f"empty device {MOVING}")
    rings.await_document(lambda document: document.version and document.stage is Stage.JOINING)
    rings.store.cancel(wall_us())
    document = rings.await_document(lambda document: document.settled)
    rings.await_dropped()
    assert not document.target
    assert rings.current().keys() == before.keys()
    check(cluster, "back")
