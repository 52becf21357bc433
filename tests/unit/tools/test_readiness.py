"""Whom a start waits for: tools/readiness.py. The rest is in test_up."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cluster.layout import Layout
from tools import readiness
from tools.creation import Wishes, plan
from tools.data_directory import Cluster
from tools.errors import OperatorError
from tools.progress import Progress

PROXY = {"name": "proxy-0", "deaths": 0, "last_exit": ""}
IDENTITY = {"name": "identity", "deaths": 3, "last_exit": "exited with status 1"}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster whose proxy is ready, and whose identity service does not start."""

    def missing(_cluster: Cluster, processes: Sequence[dict[str, Any]], _progress: Progress) -> str:
        assert PROXY in processes
        return ""

    monkeypatch.setattr(readiness, "_processes", lambda _cluster: [PROXY, IDENTITY])
    monkeypatch.setattr(readiness, "_missing", missing)
    return Cluster(Layout(tmp_path), plan(Wishes(node_count=1)))


def test_data_are_served_without_the_identity_service(cluster: Cluster) -> None:
    with Progress() as progress:
        readiness.await_ready(cluster, lambda: True, progress)


def test_who_asks_for_it_is_told_that_it_does_not_start(cluster: Cluster) -> None:
    with Progress() as progress, pytest.raises(OperatorError, match="identity does not start"):
        readiness.await_ready(cluster, lambda: True, progress, with_services=True)
