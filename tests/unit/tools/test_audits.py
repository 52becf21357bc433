"""tools.audits: what the volume service finds is told by the doctor."""

from pathlib import Path

import pytest

from cluster.layout import Layout
from compute.differences import Difference
from compute.stored import BackendError
from compute.volumes import audit
from tools.audits import differences
from tools.creation import Wishes, plan
from tools.data_directory import Cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    layout = Layout(tmp_path)
    layout.run.mkdir()
    return Cluster(layout, plan(Wishes(node_count=1)))


def test_where_no_volume_service_runs_nothing_is_compared(cluster: Cluster) -> None:
    assert list(differences(cluster, fix=True)) == []


def test_what_differs_is_told_with_what_can_be_done(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.layout.ready("volumes").touch()
    found = [Difference("volume a", "is unknown.", mend=lambda: None), Difference("volume b", "is lost.")]
    monkeypatch.setattr(audit, "examine", lambda _config, _layout, _fix: found)
    told = [each.sentence() for each in differences(cluster, fix=False)]
    assert told == ["volume a: is unknown. `holdfast doctor --fix` mends it.", "volume b: is lost."]


def test_a_gateway_that_does_not_answer_is_told(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.layout.ready("volumes").touch()

    def fail(*_arguments: object) -> None:
        raise BackendError("no answer")

    monkeypatch.setattr(audit, "examine", fail)
    assert [each.what for each in differences(cluster, fix=False)] == [
        "The database of the volume service and the volumes could not be compared"
    ]
