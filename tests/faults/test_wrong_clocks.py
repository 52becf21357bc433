"""Clocks that are minutes off and jump, one node's and one proxy's, under a load that knows what it may see.

The offset comes from `sick_disk.c`, which stands before libc's clock_gettime.
"""

import shutil
import time
from collections.abc import Iterator

import pytest

from tests.cluster import Cluster
from tests.faults.load import Load
from tests.faults.sick import SickHardware, await_true, healthz, running_on

OFF_US = 300 * 1_000_000
LOAD_S = 3.0
TOLD_LIMIT_S = 15.0  # clocks are compared every five seconds

pytestmark = [
    pytest.mark.alone,  # it measures
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
]


@pytest.fixture(scope="module")
def cluster(hardware: SickHardware, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from running_on(hardware, tmp_path_factory.mktemp("cluster") / "data")


def off_s(cluster: Cluster, device_id: int) -> float:
    """Return how far a device believes its clock to be ahead of the others'."""
    answer = healthz(cluster, device_id)
    return float((answer.details.get("clock_off_s") if answer is not None else None) or 0.0)


def test_clocks_are_minutes_off_and_jump_back(cluster: Cluster, hardware: SickHardware) -> None:
    cluster.s3().create_bucket(Bucket="clocks")
    load = Load(cluster, "clocks")
    with load.running():
        with hardware.fault("clock", "--device 1", OFF_US), hardware.fault("clock", "--worker 0", -OFF_US):
            await_true("device 1 knows", lambda: 290 < off_s(cluster, 1) < 310, TOLD_LIMIT_S)
            assert abs(off_s(cluster, 2)) < 5.0
            told = cluster.holdfast("status", check=False)
            assert "clock of storage-1 is 5 min ahead of the others'" in told
            time.sleep(LOAD_S)
        with hardware.fault("clock", "--device 1", -OFF_US), hardware.fault("clock", "--worker 0", OFF_US):
            await_true("device 1 knows", lambda: -310 < off_s(cluster, 1) < -290, TOLD_LIMIT_S)
            time.sleep(LOAD_S)
        await_true("all agree again", lambda: abs(off_s(cluster, 1)) < 5.0, TOLD_LIMIT_S)
        time.sleep(LOAD_S)
    load.check_everything()
    print(load.report())
    assert not load.violations, load.report()
    assert not load.failures, load.report()
