"""`holdfast ring`, `device` and `node add`, with fake daemons. What daemons do for a change is done here, at once."""

import contextlib
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.config import load
from cluster.coordination.embedded import EmbeddedCoordination
from storage.rings.document import RingDocument, Stage
from storage.rings.store import RingStore
from tests.unit.tools.fake_daemons import Holdfast
from tools import cli

RING_BUILDER = [sys.executable, "-m", "ring.cli"]


class Rings:
    """The rings of a cluster, and somebody who moves changes on."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "coordination.db"
        self._ends = threading.Event()
        self.pause = threading.Event()  # set: changes stay where they are

    def conduct(self) -> None:
        coordination = EmbeddedCoordination(self._path)
        store = RingStore(coordination)
        while not self._ends.wait(0.02):
            at, document = store.read() or (0, None)
            if document is None or document.settled or self.pause.is_set():
                continue
            now_us = time.time_ns() // 1000
            store.advance(at, document.advance(now_us) if document.enforced else document.enforce(now_us))
        coordination.close()

    def end(self) -> None:
        self._ends.set()

    @contextlib.contextmanager
    def store(self) -> Iterator[RingStore]:
        coordination = EmbeddedCoordination(self._path)
        yield RingStore(coordination)
        coordination.close()

    def document(self) -> RingDocument:
        with self.store() as store:
            return store.document()

    def holders(self) -> set[int]:
        """Return the devices that hold anything."""
        with self.store() as store:
            rings = [store.ring(digest) for digest in store.document().current.values()]
        return {device_id for ring in rings for row in ring.replica_rows for device_id in row}


class Quick(Holdfast):
    """Runs commands in this process: to start one and to import numpy takes longer than most of them."""

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        if arguments[0] == "up":
            return super().__call__(*arguments)
        command = [*arguments, "--data", str(self.data)]
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            code = cli.main(command)
        return subprocess.CompletedProcess(command, code, output.getvalue(), errors.getvalue())


def started(directory: Path) -> Iterator[Holdfast]:
    it = Quick(directory)
    it.make()
    assert it.up().returncode == 0
    yield it
    it.end()


@pytest.fixture
def holdfast(tmp_path: Path) -> Iterator[Holdfast]:
    yield from started(tmp_path)


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Holdfast]:
    """A cluster for tests of what changes nothing."""
    yield from started(tmp_path_factory.mktemp("unchanged"))


@pytest.fixture
def rings(holdfast: Holdfast) -> Iterator[Rings]:
    it = Rings(holdfast.data)
    thread = threading.Thread(target=it.conduct)
    thread.start()
    yield it
    it.end()
    thread.join()


def devices(holdfast: Holdfast) -> dict[int, dict[str, Any]]:
    listed = holdfast("device", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    return {device["id"]: device for device in json.loads(listed.stdout)}


def refusal(result: subprocess.CompletedProcess[str]) -> str:
    """Return the one sentence of a command that did nothing."""
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("holdfast: ")
    return line


def test_a_cluster_grows_and_shrinks_again(holdfast: Holdfast, rings: Rings) -> None:
    result = holdfast("node", "add", "--yes")
    assert result.returncode == 0, result.stderr
    assert "replicas move" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("Done (add node 2). ")
    assert rings.holders() == {0, 1, 2}
    found = devices(holdfast)
    assert {device_id: each["role"] for device_id, each in found.items()} == dict.fromkeys(range(3), "in use")
    new = {name: found[2][name] for name in ("node", "zone", "weight", "serves")}
    assert new == {"node": "2", "zone": 3, "weight": 1.0, "serves": True}
    assert os.stat(holdfast.data / "cluster.toml").st_mode & 0o777 == 0o600

    result = holdfast("device", "drain", "0", "--yes", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["note"] == "drain device 0"
    assert report["done"]["moved"] > 0
    assert rings.holders() == {1, 2}
    assert devices(holdfast)[0]["role"] == "drained"
    assert load(holdfast.data / "cluster.toml").device(0).weight == 0
    status = json.loads(holdfast("status", "--json").stdout)
    assert status["nodes"][0]["devices"][0]["ring"]["role"] == "drained"
    assert "Device 0 holds nothing" in status["sentence"]
    assert holdfast("device", "drain", "0", "--yes").stdout == "Device 0 is drained already.\n"

    result = holdfast("device", "remove", "0", "--yes", "--delete-data")
    assert result.returncode == 0, result.stderr
    assert devices(holdfast).keys() == {1, 2}
    assert not (holdfast.data / "nodes/0").exists()
    assert len(holdfast.pids()) == 4
    assert json.loads(holdfast("status", "--json").stdout)["state"] == "healthy"

    assert holdfast("down").returncode == 0
    assert holdfast.up().returncode == 0
    assert devices(holdfast).keys() == {1, 2}
    result = holdfast("device", "add", "1", "--yes")
    assert result.returncode == 0, result.stderr
    assert devices(holdfast)[3]["node"] == "1"  # an id is never given twice


def test_a_removed_device_leaves_its_id_behind_for_ever(holdfast: Holdfast, rings: Rings) -> None:
    for device_id in (2, 3):
        assert holdfast("node", "add", "--yes", "--name", "n").returncode == 0
        assert device_id in devices(holdfast)
        assert holdfast("device", "remove", str(device_id), "--yes").returncode == 0
    assert rings.holders() == {0, 1}


def test_a_dry_run_shows_and_does_nothing(unchanged: Holdfast) -> None:
    before = (unchanged.data / "cluster.toml").read_text()
    result = unchanged("node", "add", "--dry-run", "--devices", "2", "--weight", "3")
    assert result.returncode == 0, result.stderr
    assert "replicas move" in result.stdout
    assert result.stdout.endswith("Nothing was changed.\n")
    report = json.loads(unchanged("device", "set-weight", "1", "0.5", "--dry-run", "--json").stdout)
    assert (report["note"], report["done"]) == ("weigh device 1 0.5", None)
    assert (unchanged.data / "cluster.toml").read_text() == before
    assert Rings(unchanged.data).document().version == 1
    assert len(unchanged.pids()) == 4


def test_without_a_terminal_nothing_begins_unasked(unchanged: Holdfast) -> None:
    assert "--yes" in refusal(unchanged("node", "add"))
    assert Rings(unchanged.data).document().version == 1
    assert len(unchanged.pids()) == 4


@pytest.mark.parametrize(("answer", "version"), [("\n", 1), ("y\n", 7)])
def test_on_a_terminal_it_asks(holdfast: Holdfast, rings: Rings, answer: str, version: int) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        holdfast.command("node", "add"), env=holdfast.environment, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, answer.encode())
    process.communicate(timeout=60)
    os.close(ours)
    assert rings.document().version == version


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("device drain 7", "there is no device 7: choose from 0, 1"),
        ("device remove 0", "2 replicas need as many devices with weight, and 1 would be left"),
        ("device drain 0 1", "2 replicas need as many devices with weight, and 0 would be left"),
        ("device set-weight 9 2", "there is no device 9"),
        ("device add x", "there is no node x"),
        ("node add --name 1", "there is a node 1 already"),
        ("ring cancel", "no change of rings is under way"),
        ("ring apply {data}/nothing.builder", "No such file"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(unchanged: Holdfast, command: str, why: str) -> None:
    words = command.replace("{data}", str(unchanged.data)).split()
    consent = [] if words[1] == "cancel" else ["--yes"]
    assert why in refusal(unchanged(*words, *consent))


def test_a_change_under_way_is_shown_and_can_be_cancelled(holdfast: Holdfast, rings: Rings) -> None:
    rings.pause.set()
    adding = subprocess.Popen(
        holdfast.command("node", "add", "--yes"),
        env=holdfast.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    deadline = time.monotonic() + 30
    while rings.document().stage is Stage.STABLE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    shown = holdfast("ring")
    assert "Under way: add node 2" in shown.stdout
    report = json.loads(holdfast("ring", "--json").stdout)
    assert (report["version"], report["change"]["note"], report["change"]["done_ratio"]) == (2, "add node 2", 0.0)
    assert "a change is under way (add node 2)" in refusal(holdfast("device", "set-weight", "0", "2", "--yes"))
    assert "The rings are being changed (add node 2)" in holdfast("status").stdout
    assert devices(holdfast)[2]["role"] == "joining"

    cancelled = holdfast("ring", "cancel")
    assert cancelled.returncode == 0, cancelled.stderr
    rings.pause.clear()
    assert "Device 2 is in no ring now" in cancelled.stdout
    _output, error = adding.communicate(timeout=30)
    assert (adding.returncode, "the change was cancelled" in error) == (1, True)
    assert devices(holdfast)[2]["role"] == "unused"

    assert holdfast("device", "set-weight", "2", "2", "--yes").returncode == 0
    assert devices(holdfast)[2]["weight"] == 2.0
    assert 2 in rings.holders()


def test_ctrl_c_leaves_the_change_going(holdfast: Holdfast, rings: Rings) -> None:
    rings.pause.set()
    adding = subprocess.Popen(
        holdfast.command("node", "add", "--yes"),
        env=holdfast.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )
    while rings.document().stage is Stage.STABLE:
        time.sleep(0.05)
    adding.send_signal(signal.SIGINT)
    _output, error = adding.communicate(timeout=30)
    assert adding.returncode == cli.EXIT_INTERRUPTED
    assert "the change goes on by itself: `holdfast ring --watch" in error
    rings.pause.clear()
    watched = holdfast("ring", "--watch")
    assert watched.returncode == 0
    assert "nothing is under way" in watched.stdout
    assert 2 in rings.holders()
    assert holdfast("ring", "rebalance", "--yes").stdout == "Nothing to move.\n"


def test_a_device_that_does_not_start_is_not_added(holdfast: Holdfast, rings: Rings) -> None:
    before = (holdfast.data / "cluster.toml").read_text()
    (holdfast.data / "fail-storage-2").touch()
    assert "storage-2 does not start" in refusal(holdfast("node", "add", "--yes"))
    assert (holdfast.data / "cluster.toml").read_text() == before
    assert devices(holdfast).keys() == {0, 1}
    assert rings.document().version == 1


def test_a_change_that_would_not_end_is_refused(holdfast: Holdfast, rings: Rings) -> None:
    assert holdfast("node", "add", "--yes").returncode == 0
    assert holdfast("node", "kill", "2").returncode == 0
    assert "device 2 is down" in refusal(holdfast("device", "set-weight", "0", "0.5", "--yes"))
    assert holdfast("node", "start", "2").returncode == 0


def test_nobody_waits_for_processes_that_are_no_more(holdfast: Holdfast, rings: Rings) -> None:
    with rings.store() as store:
        for process in ("proxy-0", "storage-0", "storage-7"):
            store.report_use(process, 1, 1)
    assert holdfast("node", "add", "--yes").returncode == 0
    with rings.store() as store:
        assert store.uses().keys() == {"proxy-0", "storage-0"}


def test_a_cluster_that_does_not_run_is_not_changed(holdfast: Holdfast, rings: Rings) -> None:
    assert holdfast("down").returncode == 0
    for command in ("node add", "device drain 0", "ring rebalance"):
        assert "the cluster is not running" in refusal(holdfast(*command.split(), "--yes"))
    assert holdfast("ring").returncode == 0
    assert {each["serves"] for each in devices(holdfast).values()} == {False}


def test_rings_go_out_and_come_back(holdfast: Holdfast, rings: Rings, tmp_path: Path) -> None:
    assert holdfast("node", "add", "--yes").returncode == 0
    out = tmp_path / "out"
    assert holdfast("ring", "export", str(out)).returncode == 0
    assert "is there already" in refusal(holdfast("ring", "export", str(out)))
    builder = str(out / "object-0.builder")
    for command in (["set_weight", "d0", "0.5"], ["rebalance"]):
        subprocess.run([*RING_BUILDER, builder, *command], check=True, capture_output=True)
    result = holdfast("ring", "apply", builder, "--yes")
    assert result.returncode == 0, result.stderr
    assert "Done (apply object-0.builder to object-0)" in result.stdout
    assert "nothing would change" in refusal(holdfast("ring", "apply", builder, "--yes"))
    assert "is not a builder" in refusal(holdfast("ring", "apply", str(out / "object-0.ring"), "--yes"))
    unnamed = shutil.copy(builder, tmp_path / "x.builder")
    assert "say with --ring" in refusal(holdfast("ring", "apply", str(unnamed), "--yes"))
    assert holdfast("ring", "draw", str(tmp_path / "ring.svg")).returncode == 0
    assert (tmp_path / "ring.svg").read_text().startswith("<svg")
