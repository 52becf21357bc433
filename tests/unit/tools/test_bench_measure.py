"""tools.bench.measure and .command: order, buckets, and what is said when it cannot be measured."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cluster.layout import Layout
from tools import cli
from tools.bench import measure, wrk
from tools.bench.client import System
from tools.bench.measure import Measurement
from tools.bench.steps import Operation, Step, plan
from tools.creation import Wishes, create
from tools.creation import plan as plan_cluster
from tools.errors import OperatorError
from tools.progress import Progress

SYSTEMS = [System(name, f"http://{name}:80", "key", "secret") for name in ("own", "peer")]


class FakeClient(measure.Client):
    """Remembers what it is asked for; `events` are shared by all."""

    events: list[tuple[str, ...]] = []  # noqa: RUF012
    stored: dict[str, set[str]] = {}  # noqa: RUF012  by bucket

    def create_bucket(self, bucket: str) -> None:
        self.events.append(("create", bucket))

    def put(self, bucket: str, keys: Sequence[str], body: bytes) -> None:
        self.stored.setdefault(bucket, set()).update(keys)

    def remove_bucket(self, bucket: str) -> None:
        self.events.append(("remove", bucket))


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[wrk.Load]]:
    """Put nobody under load; return what would have been sent."""
    loads: list[wrk.Load] = []

    def run(endpoint: str, host: str, load: wrk.Load) -> wrk.Sample:
        loads.append(load)
        FakeClient.events.append(("run", host, load.method))
        return wrk.Sample(100.0, 1.0, 2.0, 0)

    monkeypatch.setattr(measure, "Client", FakeClient)
    monkeypatch.setattr(wrk, "run", run)
    FakeClient.events.clear()
    FakeClient.stored.clear()
    return loads


def run(steps: Sequence[Step], rounds: int) -> dict[tuple[Step, str], list[wrk.Sample]]:
    return Measurement(SYSTEMS, steps, seconds=1, progress=Progress()).run(rounds)


def test_systems_take_turns_and_each_round_begins_with_another() -> None:
    steps = plan((Operation.PUT, Operation.LIST), (16 << 20,), (1,))
    samples = run(steps, rounds=2)
    order = [event[1:] for event in FakeClient.events if event[0] == "run"]
    first = [("own:80", "PUT"), ("peer:80", "PUT"), ("own:80", "GET"), ("peer:80", "GET")]
    assert order == [*first, first[1], first[0], first[3], first[2]]
    assert {key: len(found) for key, found in samples.items()} == {
        (step, system.name): 2 for step in steps for system in SYSTEMS
    }


def test_what_is_got_and_deleted_was_stored_before(fake: list[wrk.Load]) -> None:
    run(plan((Operation.GET, Operation.DELETE), (4096,), (4,)), rounds=1)
    stored = {f"/{bucket}/{key}" for bucket, keys in FakeClient.stored.items() for key in keys}
    for load in fake:
        assert {target.partition("?")[0] for target in load.targets} <= stored
        assert load.once is (load.method == "DELETE")
        assert load.body is None


def test_buckets_are_its_own_and_are_removed_also_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> wrk.Sample:
        raise OperatorError("wrk did not end")

    monkeypatch.setattr(wrk, "run", fail)
    with pytest.raises(OperatorError, match="wrk did not end"):
        run(plan((Operation.LIST,), (), (1,)), rounds=1)
    created = [event[1] for event in FakeClient.events if event[0] == "create"]
    removed = [event[1] for event in FakeClient.events if event[0] == "remove"]
    assert len(set(created)) == 4
    assert sorted(created) == sorted(removed)
    assert all(bucket.startswith("bench-") for bucket in created)


def test_a_cluster_that_does_not_run_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create(Layout(tmp_path), plan_cluster(Wishes()))
    assert cli.main(["bench", "--data", str(tmp_path)]) == 1
    assert "the cluster is not running: `holdfast up" in capsys.readouterr().err


def test_peers_with_the_same_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    peer = ["--peer", "x=http://h,a,b"]
    assert cli.main(["bench", "--data", str(tmp_path), *peer, *peer]) == 1
    assert "names of their own" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [("--sizes", "1,x"), ("--connections", "0"), ("--operations", "post"), ("--peer", "x"), ("--rounds", "-1")],
)
def test_options_without_meaning_are_refused(option: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["bench", *option])
    assert end.value.code == 2
    assert option[0] in capsys.readouterr().err
