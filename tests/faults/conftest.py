"""A cluster for each module of fault tests: they leave it as a fault leaves it."""

from collections.abc import Iterator

import pytest

from tests.cluster import Cluster, running


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from running(tmp_path_factory.mktemp("cluster") / "data")
