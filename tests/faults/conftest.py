"""A cluster for each module of fault tests: they leave it as a fault leaves it."""

from collections.abc import Iterator

import pytest

from tests.cluster import Cluster, NetworkedCluster, running
from tests.faults.sick import SickHardware
from tests.network import network, reason_to_skip

NODES = ("0", "1", "2", "3", "4", "5")  # of the network; the cluster begins with the first four


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from running(tmp_path_factory.mktemp("cluster") / "data")


@pytest.fixture(scope="module")
def networked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkedCluster]:
    """A cluster of four nodes with a network each, with room for two more. Proxies are on nodes 0 and 3."""
    if reason := reason_to_skip():
        pytest.skip(reason)
    with network(NODES) as nodes:
        made = NetworkedCluster(tmp_path_factory.mktemp("cluster") / "data", nodes)
        try:
            made.up()
            yield made
        finally:
            nodes.join()
            made.holdfast("down", check=False)


@pytest.fixture(scope="module")
def hardware(tmp_path_factory: pytest.TempPathFactory) -> SickHardware:
    return SickHardware.prepare(tmp_path_factory.mktemp("sick"))
