"""One storage node is killed or stopped under load: clients see a pause at most, and nothing is lost."""

import os
import signal
import time

import pytest

from tests.cluster import Cluster
from tests.faults.load import Load

LOAD_S = float(os.environ.get("HOLDFAST_TEST_LOAD_S", "4"))  # before, during and after the fault, each
PAUSE_LIMIT_S = 2.0  # of any request, the SDK's own tries included; between pieces of a stream; on an idle machine

pytestmark = pytest.mark.alone  # it measures


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_node_fails_under_load_and_catches_up(cluster: Cluster, number: int) -> None:
    bucket = f"one-node-{number}"
    cluster.s3().create_bucket(Bucket=bucket)
    load = Load(cluster, bucket)
    with load.running():
        time.sleep(LOAD_S)
        quiet_s = load.slowest_s  # a busy machine is slow without any fault
        if number == signal.SIGKILL:
            cluster.holdfast("node", "kill", "1")
        else:
            cluster.signal_storage(1, number)
        time.sleep(LOAD_S)
        if number == signal.SIGKILL:
            cluster.holdfast("node", "start", "1")
        else:
            cluster.signal_storage(1, signal.SIGCONT)
        time.sleep(LOAD_S)
    load.check_everything()
    print(load.report())
    assert not load.violations, load.report()
    assert not load.failures, load.report()
    assert load.slowest_s < PAUSE_LIMIT_S + 2 * quiet_s, load.report()


def test_a_node_that_was_away_catches_up_what_it_missed(cluster: Cluster) -> None:
    """What was written without node 0 is readable with node 0 and one other alone."""
    client = cluster.s3()
    client.create_bucket(Bucket="catch-up")
    cluster.holdfast("node", "stop", "0")
    for index in range(60):
        client.put_object(Bucket="catch-up", Key=f"k{index}", Body=b"%d" % index * 1000)
    cluster.holdfast("node", "start", "0")
    deadline = time.monotonic() + 60
    while cluster.missing_replicas() and time.monotonic() < deadline:
        time.sleep(0.5)
    assert cluster.missing_replicas() == 0
    patient = cluster.s3(retries={"max_attempts": 8})
    for other in (1, 2, 3):
        cluster.await_connected()
        cluster.holdfast("node", "stop", str(other))
        found = [patient.get_object(Bucket="catch-up", Key=f"k{index}")["Body"].read() for index in range(60)]
        assert found == [b"%d" % index * 1000 for index in range(60)]
        names = [item["Key"] for item in patient.list_objects_v2(Bucket="catch-up")["Contents"]]
        assert len(names) == 60
        cluster.holdfast("node", "start", str(other))
