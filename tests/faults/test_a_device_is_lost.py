"""A device comes back empty under load: it does not vote before it is whole, and then it may be relied on.

docs/membership.md. Clients read what was acknowledged: while it is made whole, and after that with another node down.
"""

import os
import shutil
import time
from typing import Any

from cluster.config import load as load_config
from tests.cluster import Cluster
from tests.faults.load import Load
from tests.faults.replicas import await_right

LONG = os.environ.get("HOLDFAST_TEST_LONG", "") not in ("", "0")
OBJECTS = 3000 if LONG else 200
LOST, OTHER = 1, 2
WHOLE_LIMIT_S = 300.0


def _health(cluster: Cluster) -> dict[str, Any]:
    """Return what the lost device says of itself; nothing while it does not answer."""
    devices = [device for node in cluster.status()["nodes"] for device in node["devices"]]
    return dict(next(device["health"] for device in devices if device["id"] == LOST))


def _await_whole(cluster: Cluster) -> None:
    deadline = time.monotonic() + WHOLE_LIMIT_S
    while _health(cluster).get("rebuilding", True):
        assert time.monotonic() < deadline, _health(cluster)
        time.sleep(0.5)


def test_a_lost_device_is_made_whole_under_load_and_then_counts(cluster: Cluster) -> None:
    client = cluster.s3(retries={"max_attempts": 8})
    client.create_bucket(Bucket="filled")
    bodies = {f"k{index:05}": b"%d" % index * 900 for index in range(OBJECTS)}
    for key, body in bodies.items():
        client.put_object(Bucket="filled", Key=key, Body=body)
    client.create_bucket(Bucket="lost")
    load = Load(cluster, "lost", writers=4, readers=2)
    with load.running():
        time.sleep(2)
        cluster.holdfast("node", "kill", str(LOST))
        directory = cluster.directory / load_config(cluster.directory / "cluster.toml").device(LOST).directory
        shutil.rmtree(directory)
        directory.mkdir(mode=0o700)
        cluster.holdfast("node", "start", str(LOST))
        assert _health(cluster)["rebuilding"]
        _await_whole(cluster)
        cluster.await_connected(30)
        cluster.holdfast("node", "kill", str(OTHER))
        time.sleep(2)
        found = {key: client.get_object(Bucket="filled", Key=key)["Body"].read() for key in bodies}
        cluster.holdfast("node", "start", str(OTHER))
        time.sleep(1)
    load.check_everything()
    load.check_rows()
    print(load.report())
    assert found == bodies
    assert not load.violations, load.report()
    assert not load.failures, load.report()
    await_right(cluster)
