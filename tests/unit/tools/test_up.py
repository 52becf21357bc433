"""tools.up, tools.down, tools.nodes and the supervisor behind them, with fake daemons."""

import json
import os
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.layout import Layout
from cluster.version import DATA_LAYOUT
from tests.unit.tools.fake_daemons import Holdfast, gone, occupy
from tools import cli, up


@pytest.fixture
def holdfast(tmp_path: Path) -> Iterator[Holdfast]:
    """No cluster yet."""
    it = Holdfast(tmp_path)
    yield it
    it.end()


@pytest.fixture
def made(holdfast: Holdfast) -> Holdfast:
    """A cluster of two nodes and a proxy that does not run."""
    holdfast.make()
    return holdfast


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Holdfast]:
    """A cluster that runs; whoever stops anything in it starts it again."""
    it = Holdfast(tmp_path_factory.mktemp("running"))
    it.make()
    assert it.up().returncode == 0
    yield it
    it.end()


def test_a_first_start_makes_a_cluster_and_says_when_it_is_ready(holdfast: Holdfast) -> None:
    result = holdfast.up()
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("ready\n")
    assert f"http://127.0.0.1:{9000 + holdfast.offset}" in result.stdout
    pids = [*holdfast.pids(), holdfast.supervisor_pid()]
    assert len(pids) == 5
    assert stat.S_IMODE(os.stat(holdfast.data / "cluster.toml").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(holdfast.data / "cluster.env").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(holdfast.data).st_mode) == 0o700
    stopped = holdfast("down")
    assert (stopped.returncode, stopped.stdout) == (0, "stopped\n")
    assert gone(pids, timeout_s=0)
    assert holdfast("down").stdout == "it is not running\n"


def test_another_port_offset_is_taken_over_and_nothing_else_changes(made: Holdfast) -> None:
    before = (made.data / "cluster.toml").read_text().splitlines()
    old, made.offset = made.offset, made.offset + 7
    assert made.up().returncode == 0
    after = (made.data / "cluster.toml").read_text().splitlines()
    changes = [lines for lines in zip(before, after, strict=True) if lines[0] != lines[1]]
    assert changes == [(f"offset = {old}", f"offset = {made.offset}")]
    assert f":{9000 + made.offset}" in made("env").stdout


def test_in_the_foreground_ctrl_c_stops_it_in_order(made: Holdfast) -> None:
    process = made.up_in_front()
    pids = made.pids()
    assert made.supervisor_pid() == process.pid
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert gone(pids, timeout_s=0)
    assert made("status").returncode == 2


def test_it_starts_again_after_everything_was_killed(made: Holdfast) -> None:
    """With the ports and the keys that it had."""
    made.up()
    environment = (made.data / "cluster.env").read_text()
    pids = [made.supervisor_pid(), *made.pids()]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert gone(pids)
    assert (made.data / "run/storage-0.ready").exists()
    result = made("up", "--detach")
    assert result.returncode == 0, result.stderr
    assert (made.data / "cluster.env").read_text() == environment


def test_it_starts_again_right_after_only_the_supervisor_was_killed(made: Holdfast) -> None:
    made.up()
    pids = made.pids()
    os.kill(made.supervisor_pid(), signal.SIGKILL)
    result = made.up()
    assert result.returncode == 0, result.stderr
    assert gone(pids, timeout_s=0)


def test_it_runs_only_once(running: Holdfast) -> None:
    result = running.up()
    assert result.returncode == 1
    assert f"is running already (process {running.supervisor_pid()})" in result.stderr
    assert "down" in result.stderr


@pytest.mark.parametrize("action", ["stop", "kill"])
def test_a_node_stays_down_until_it_is_started(running: Holdfast, action: str) -> None:
    assert running("node", action, "1").stdout.startswith("node 1 is ")
    status = running("status", "--json")
    report = json.loads(status.stdout)
    assert (status.returncode, report["state"]) == (1, "degraded")
    assert [node["state"] for node in report["nodes"]] == ["up", "stopped"]
    assert "node start 1" in report["sentence"]
    assert running("node", "start", "1").stdout == "node 1 is started\n"
    assert running("status").returncode == 0


def test_a_node_that_is_not_there_is_refused(running: Holdfast) -> None:
    result = running("node", "stop", "4")
    assert result.returncode == 1
    assert result.stderr == "holdfast: there is no node 4: choose one of 0, 1.\n"


def test_a_node_that_does_not_start_is_told_with_its_last_words(running: Holdfast) -> None:
    running("node", "stop", "1")
    (running.data / "fail-storage-1").touch()
    result = running("node", "start", "1")
    (running.data / "fail-storage-1").unlink()
    assert result.returncode == 1
    assert "storage-1 does not start (exited with status 1): the disk is on fire" in result.stderr
    assert running("node", "start", "1").returncode == 0


def test_a_node_of_a_cluster_that_does_not_run_is_refused(made: Holdfast) -> None:
    result = made("node", "stop", "1")
    assert result.returncode == 1
    assert "the cluster is not running" in result.stderr


def test_a_daemon_that_does_not_start_stops_the_start_and_is_told_with_its_last_words(made: Holdfast) -> None:
    (made.data / "fail-storage-1").touch()
    result = made.up()
    assert result.returncode == 1
    assert "storage-1 does not start (exited with status 1): the disk is on fire" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert made("status").returncode == 2


def test_in_the_foreground_a_failed_start_ends_with_a_failure(made: Holdfast) -> None:
    (made.data / "fail-proxy-0").touch()
    result = made("up")
    assert result.returncode == 1
    assert "holdfast: proxy-0 does not start" in result.stderr


def test_a_port_in_use_is_named_and_no_cluster_is_made(holdfast: Holdfast) -> None:
    with occupy(9000 + holdfast.offset):
        result = holdfast.up()
    assert result.returncode == 1
    assert f"port {9000 + holdfast.offset}, for S3, is in use by another program" in result.stderr
    assert "--port-offset" in result.stderr
    assert not (holdfast.data / "VERSION").exists()


@pytest.mark.parametrize("command", ["up", "status", "down", "env"])
def test_data_of_another_version_are_refused(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "VERSION").write_text("99\n")
    assert cli.main([command, "--data", str(tmp_path)]) == 1
    assert f"has data layout 99 and this release knows {DATA_LAYOUT}" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["VERSION"]


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.tex").touch()
    assert cli.main(["up", "--data", str(tmp_path)]) == 1
    assert "holds something else" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_too_little_disk_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(up, "LEAST_FREE_BYTES", 1 << 60)
    assert cli.main(["up", "--data", str(tmp_path / "data")]) == 1
    assert "GiB free and needs at least 1" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("options", "advice"),
    [(("--nodes", "7"), "holdfast node add --data"), (("--proxies", "3"), "workers under [proxy]")],
)
def test_a_cluster_that_is_there_does_not_change_its_size_at_a_start(
    made: Holdfast, options: tuple[str, str], advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["up", "--data", str(made.data), *options]) == 1
    assert advice in capsys.readouterr().err


def test_a_path_too_long_for_sockets_works_as_well(holdfast: Holdfast) -> None:
    holdfast.data = holdfast.data.parent / ("long" * 30) / "data"
    holdfast.make()
    assert holdfast.up().returncode == 0
    assert holdfast("status").returncode == 0
    shutil.rmtree(Layout(holdfast.data).sockets)  # outside of what the test run cleans up


def test_a_daemon_that_is_halted_is_unreachable(running: Holdfast) -> None:
    pid = int((running.data / "run/storage-1.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    result = running("status", "--json")
    os.kill(pid, signal.SIGCONT)
    assert result.returncode == 1
    assert json.loads(result.stdout)["nodes"][1]["state"] == "unreachable"


def test_a_proxy_without_a_quorum_means_down(running: Holdfast) -> None:
    (running.data / "sick-proxy-0").touch()
    result = running("status", "--json")
    (running.data / "sick-proxy-0").unlink()
    assert result.returncode == 2
    assert "no proxy reaches a quorum" in json.loads(result.stdout)["sentence"]


def test_status_tells_what_programs_need(running: Holdfast) -> None:
    report = json.loads(running("status", "--json").stdout)
    assert report["state"] == "healthy"
    device = report["nodes"][0]["devices"][0]
    assert device["pid"] in running.pids()
    assert device["rss_bytes"] > 1_000_000
    assert device["capacity"]["total_bytes"] > device["capacity"]["free_bytes"] > 0
    assert report["supervisor"]["pid"] == running.supervisor_pid()
    assert report["proxies"][0]["name"] == "proxy-0"
    assert "healthy" in running("status").stdout


def test_the_supervisor_is_small(running: Holdfast) -> None:
    """A host may run on little: no more than 25 MB."""
    report = json.loads(running("status", "--json").stdout)
    assert report["supervisor"]["rss_bytes"] < 25_000_000
