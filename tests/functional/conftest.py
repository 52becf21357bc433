"""One cluster for all functional tests; each test has a bucket of its own."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster, running


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from running(tmp_path_factory.mktemp("cluster") / "data")


@pytest.fixture
def bucket(cluster: Cluster) -> str:
    name = f"test-{uuid.uuid4().hex[:12]}"
    cluster.s3().create_bucket(Bucket=name)
    return name


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a directory of small files with awkward names, some in folders."""
    root = tmp_path / "tree"
    for index in range(40):
        path = root / f"folder {index % 4}" / f"ünïcode & file+{index}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([index]) * (index * 997))
    return root
