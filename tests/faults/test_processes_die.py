"""Proxies and the supervisor are killed: what they left undone is done, and everything starts again."""

import os
import signal
import time

import pytest
from botocore.exceptions import ClientError

from cluster.config import load
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from storage.client import connected_placement
from storage.rings.document import CONTAINER, OBJECT
from storage.rings.store import RingStore
from tests.cluster import Cluster
from tests.faults.load import ROW_PATIENCE_S, Load

PROXY_DEATHS = 4
DEATH_LIMIT_S = 60.0  # in which processes without a supervisor must be gone: they are told at once
RETURN_LIMIT_S = 60.0  # in which the supervisor has started a process again


def _key_beside(cluster: Cluster, account: str, bucket: str) -> tuple[str, tuple[int, int]]:
    """Return a key, and two devices without which it has a quorum and its bucket has none."""
    layout = Layout(cluster.directory)
    coordination = EmbeddedCoordination(layout.coordination)
    store = RingStore(coordination)
    placement = connected_placement(load(layout.config), layout, store.rings_of(store.document()))
    coordination.close()

    def devices(ring: str, *name: str) -> set[int]:
        return {device for device, _peer in placement.replicas(ring, placement.names.key(*name)).members}

    of_bucket = devices(CONTAINER, account, bucket)
    for index in range(1000):
        of_key = devices(OBJECT, account, bucket, f"k{index}")
        if of_key != of_bucket:
            (only_bucket,) = of_bucket - of_key
            return f"k{index}", (only_bucket, min(of_key & of_bucket))
    raise AssertionError("every key lies where its bucket does")


def test_a_row_that_was_left_undone_is_added(cluster: Cluster) -> None:
    """The object finds its quorum, its bucket does not: as if the proxy had died between the two."""
    once = cluster.s3(retries={"max_attempts": 1, "mode": "standard"}, max_pool_connections=1)
    once.create_bucket(Bucket="undone")
    once.put_object(Bucket="undone", Key="warm", Body=b"the worker knows the bucket now")
    key, devices = _key_beside(cluster, "AUTH_admin", "undone")
    for device in devices:
        cluster.holdfast("node", "kill", str(device))
    with pytest.raises(ClientError) as refused:
        once.put_object(Bucket="undone", Key=key, Body=b"body")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    for device in devices:
        cluster.holdfast("node", "start", str(device))
    cluster.await_connected()
    assert once.get_object(Bucket="undone", Key=key)["Body"].read() == b"body"
    listed: list[str] = []
    deadline = time.monotonic() + ROW_PATIENCE_S
    while key not in listed and time.monotonic() < deadline:
        time.sleep(0.5)
        listed = [item["Key"] for item in once.list_objects_v2(Bucket="undone")["Contents"]]
    assert listed == sorted([key, "warm"])


def _await_return(cluster: Cluster, name: str, dead: int) -> None:
    """Return when the supervisor has started a process again: another one may die then."""
    ready = cluster.directory / "run" / f"{name}.ready"
    deadline = time.monotonic() + RETURN_LIMIT_S
    while cluster.processes().get(name, dead) == dead or not ready.exists():
        assert time.monotonic() < deadline, f"{name} does not come back"
        time.sleep(0.02)


def test_clients_go_on_while_proxies_die(cluster: Cluster) -> None:
    cluster.s3().create_bucket(Bucket="proxies-die")
    writing = Load(cluster, "proxies-die")
    with writing.running():
        for death in range(PROXY_DEATHS):
            time.sleep(1)
            workers = sorted(name for name in cluster.processes() if name.startswith("proxy-"))
            name = workers[death % len(workers)]
            pid = cluster.processes()[name]
            os.kill(pid, signal.SIGKILL)
            _await_return(cluster, name, pid)
    print(writing.report())
    writing.check_everything()
    assert not writing.violations, writing.report()
    assert not writing.failures, writing.report()
    writing.check_rows()
    assert not writing.violations, writing.report()


def test_without_their_supervisor_all_processes_end_and_up_starts_them_again(cluster: Cluster) -> None:
    client = cluster.s3(retries={"max_attempts": 8})
    client.create_bucket(Bucket="orphans")
    client.put_object(Bucket="orphans", Key="k", Body=b"kept")
    os.kill(cluster.processes()["supervisor"], signal.SIGKILL)
    deadline = time.monotonic() + DEATH_LIMIT_S
    while cluster.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not cluster.processes()
    cluster.up()
    assert client.get_object(Bucket="orphans", Key="k")["Body"].read() == b"kept"


def test_data_survive_down_and_up(cluster: Cluster) -> None:
    client = cluster.s3()
    client.create_bucket(Bucket="restart")
    bodies = {f"k{index}": os.urandom(200_000 * index) for index in range(8)}  # in packs, and in files
    for key, body in bodies.items():
        client.put_object(Bucket="restart", Key=key, Body=body)
    cluster.down()
    assert not cluster.processes()
    cluster.up()
    listed = [item["Key"] for item in client.list_objects_v2(Bucket="restart")["Contents"]]
    assert listed == list(bodies)
    assert {key: client.get_object(Bucket="restart", Key=key)["Body"].read() for key in bodies} == bodies
