"""ring.cli: the shell, and what operators read"""

import errno
import fcntl
import io
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ring import cli, formats
from ring.cli import operations, workspace
from ring.cli.progress import ProgressBar
from ring.formats import Format
from ring.lookup import Ring


@pytest.fixture
def builder(tmp_path: Path) -> str:
    """A builder with three devices, not rebalanced."""
    path = str(tmp_path / "object.builder")
    assert cli.main([path, "create", "6", "3", "1"]) == 0
    devices = [f"r1z{zone}-127.0.0.1:{6200 + zone}/d{zone}" for zone in (1, 2, 3)]
    assert cli.main([path, "add", devices[0], "100", devices[1], "100", devices[2], "100"]) == 0
    return path


@pytest.fixture
def placed(builder: str) -> str:
    """A builder with three devices, rebalanced."""
    assert cli.main([builder, "rebalance", "--seed", "1"]) == 0
    return builder


def files(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def ring(path: str) -> Ring:
    return formats.read_ring(path)[0]


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    cli.main([*words, "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert isinstance(facts, dict)
    return facts


def test_a_rebalance_writes_the_ring_in_both_formats_beside_the_builder(placed: str) -> None:
    stem = placed.removesuffix(".builder")
    for path, written_in in ((f"{stem}.ring.gz", Format.SWIFT), (f"{stem}.ring", Format.HOLDFAST)):
        assert formats.read_ring(path)[1] is written_in
        assert {each.zone for each in ring(path).primaries(0)} == {1, 2, 3}


def test_what_is_published_is_backed_up_under_its_time(placed: str) -> None:
    directory = Path(placed).parent
    names = [path.name.split(".", 1) for path in (directory / "backups").iterdir()]
    assert {name for _time, name in names} == {"object.builder", "object.ring", "object.ring.gz"}
    assert all(time.isdecimal() for time, _name in names)


def test_the_same_seed_places_the_same(builder: str, tmp_path: Path) -> None:
    rows = []
    for words in (["rebalance", "--seed", "here"], ["rebalance", "here"]):
        other = tmp_path / words[1].strip("-") / "object.builder"
        other.parent.mkdir()
        other.write_bytes(Path(builder).read_bytes())
        assert cli.main([str(other), *words]) == 0
        rows.append([row.tobytes() for row in ring(str(other.with_suffix(".ring"))).replica_rows])
    assert rows[0] == rows[1]


def test_a_plan_with_a_seed_is_what_the_rebalance_does(placed: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main([placed, "add", "r1z4-127.0.0.1:6204/d4", "50"])
    before = files(Path(placed).parent)
    planned = told(capsys, placed, "plan", "--seed", "5", "--bytes-used", "192GB")
    assert files(Path(placed).parent) == before
    assert planned["moved"] == told(capsys, placed, "rebalance", "--seed", "5")["moved"]
    assert planned["bytes"] == planned["moved"] * 10**9


def test_list_tells_programs_what_it_tells_people(placed: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main([placed, "set_weight", "d1", "50"])
    facts = told(capsys, placed)
    assert [(each["id"], each["weight"], each["partitions"]) for each in facts["devices"]] == [
        (0, 100.0, 64),
        (1, 50.0, 64),
        (2, 100.0, 64),
    ]
    assert cli.main([placed, "list"]) == 0
    first, *_rest = text = capsys.readouterr().out.splitlines()
    assert first.startswith("64 partitions, 3 replicas, 1 regions, 3 zones, 3 devices, balance 66.67 %")
    assert any(line.split()[:4] == ["1", "1", "2", "127.0.0.1:6202"] for line in text)


def test_a_removed_device_is_flagged_until_it_is_gone(placed: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main([placed, "add", "r1z4-127.0.0.1:6204/d4", "100"])
    assert cli.main([placed, "remove", "/d2"]) == 0
    flags = {each["id"]: each["flags"] for each in told(capsys, placed)["devices"]}
    assert flags == {0: "", 1: "DEL", 2: "", 3: ""}
    assert cli.main([placed, "rebalance"]) == 0
    assert [each["id"] for each in told(capsys, placed)["devices"]] == [0, 2, 3]


def test_the_state_of_the_ring_is_told(builder: str, capsys: pytest.CaptureFixture[str]) -> None:
    def state() -> object:
        return told(capsys, builder)["ring"]["state"]

    assert state() == "missing"
    cli.main([builder, "rebalance"])
    assert state() == "current"
    cli.main([builder, "set_info", "d0", "_moved"])
    assert state() == "obsolete"
    cli.main([builder, "write_ring"])
    assert state() == "current"
    Path(builder).with_suffix(".ring.gz").write_bytes(b"rubbish")
    assert state() == "unusable"


@pytest.mark.parametrize("written_in", list(Format))
def test_a_builder_stays_in_the_format_that_it_is_in(written_in: Format, tmp_path: Path) -> None:
    path = str(tmp_path / "object.builder")
    cli.main([path, "create", "4", "1", "1", "--format", written_in.value])
    cli.main([path, "add", "r1z1-127.0.0.1:6200/d", "1"])
    assert formats.read_builder(path)[1] is written_in


def test_a_builder_made_of_its_ring_places_as_it_did(placed: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ring(placed.replace(".builder", ".ring")).replica_rows
    Path(placed).unlink()
    assert cli.main([placed.replace(".builder", ".ring"), "write_builder", "3"]) == 0
    assert cli.main([placed, "write_ring"]) == 0
    assert ring(placed.replace(".builder", ".ring.gz")).replica_rows == rows
    assert told(capsys, placed)["min_part_hours"] == 3


@pytest.mark.parametrize(("answer", "exit_code", "weights"), [("y\n", 0, {5.0}), ("n\n", 2, {100.0}), ("", 2, {100.0})])
def test_more_than_one_device_is_changed_only_after_a_yes(
    answer: str,
    exit_code: int,
    weights: set[float],
    builder: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert cli.main([builder, "set_weight", "r1", "5"]) == exit_code
    said = capsys.readouterr().err
    assert "Change the weight of these 3 devices? (y/N)" in said
    assert "d2r1z3-127.0.0.1:6203R127.0.0.1:6203/d3" in said
    assert {each["weight"] for each in told(capsys, builder)["devices"]} == weights


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["add", "r1z9-127.0.0.1:6209/d9"], "add needs more arguments"),
        (["add", "r1z9-127.0.0.1:6209/d9", "1", "x"], "come in pairs"),
        (["add", "r1z9-127.0.0.1:6209/d9", "heavy"], "a weight is a number, not 'heavy'"),
        (["add", "r1z9-127.0.0.1:6209/d9", "nan"], "a weight is a number from 0 up"),
        (["add", "r1z9-127.0.0.1:6209/d9", "1e999"], "a weight is a number from 0 up"),
        (["add", "r1z1-127.0.0.1:6201/d1", "1"], "device 0 is 127.0.0.1:6201/d1 already"),
        (["add", "d9", "1"], "is no device: write it as"),
        (["set_weight", "d9", "1"], "no device is meant by 'd9 1'"),
        (["write_ring"], "rebalance first"),
        (["list_parts", "d0"], "rebalance first"),
        (["dispersion"], "rebalance first"),
        (["validate"], "rebalance first"),
        (["create", "30", "3", "1"], "the part power must be from"),
        (["create", "6", "3", "1", "--format", "xml"], "--format is swift or holdfast"),
        (["list", "--format", "swift"], "list takes no --format"),
        (["frobnicate"], "'frobnicate' is no command"),
        (["draw", "object.builder"], "drawn as SVG"),
        (["plan", "--bytes-used", "much"], "no number of bytes"),
        (["composite", "merge"], "show or compose"),
        (["composite", "show"], "is no composite"),
        (["analyze"], "is no "),
    ],
)
def test_a_mistake_is_one_sentence_and_changes_no_file(
    builder: str, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    before = files(Path(builder).parent)
    assert cli.main([builder, *words]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.out == ""
    assert said.err.count(".\n") == 1
    assert files(Path(builder).parent) == before


def test_a_rebalance_that_cannot_help_says_why(placed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([placed, "rebalance"]) == 1
    assert "Nothing is changed: replicas are where they should be." in capsys.readouterr().out
    cli.main([placed, "set_replicas", "4"])
    before = files(Path(placed).parent)
    assert cli.main([placed, "rebalance"]) == 2
    assert "4 replicas" in capsys.readouterr().err
    assert files(Path(placed).parent) == before


@pytest.mark.parametrize("damage", ["empty", "truncated", "foreign", "pickle"])
def test_a_builder_that_is_none_is_refused_and_left_alone(
    damage: str, placed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(placed)
    path.write_bytes(
        {
            "empty": b"",
            "truncated": path.read_bytes()[:-100],
            "foreign": b"PK\x03\x04 something else",
            "pickle": b"cos\nsystem\n(S'touch pwned'\ntR.",
        }[damage]
    )
    before = files(path.parent)
    capsys.readouterr()
    for words in ([], ["add", "r1z4-127.0.0.1:6204/d4", "1"], ["create", "6", "3", "1"]):
        assert cli.main([placed, *words]) == 2
        assert f"{placed} is not a builder that can be used" in capsys.readouterr().err
    assert files(path.parent) == before


def test_a_missing_builder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(tmp_path / "no.builder")]) == 2
    assert "no.builder: make one with create" in capsys.readouterr().err


@pytest.mark.parametrize("failing", range(6))
def test_when_a_file_cannot_be_written_none_is(
    failing: int, placed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rebalance writes three files and their backups."""
    cli.main([placed, "set_weight", "d1", "50"])
    before, calls = files(Path(placed).parent), []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(workspace.os, "fsync", full)
    assert cli.main([placed, "rebalance", "--force"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert files(Path(placed).parent) == before


def test_modes_and_links_survive(placed: str, tmp_path: Path) -> None:
    os.chmod(placed, 0o640)
    link = tmp_path / "link.builder"
    link.symlink_to(placed)
    assert cli.main([str(link), "set_overload", "5%"]) == 0
    assert link.is_symlink()
    assert os.stat(placed).st_mode & 0o777 == 0o640


def test_who_finds_the_builder_in_use_waits_and_then_says_so(
    builder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workspace, "_LOCK_WAIT_S", 0.1)
    with open(Path(builder).with_name(".object.builder.lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert cli.main([builder, "set_overload", "5%"]) == 2
        assert "another ring-builder is working on" in capsys.readouterr().err
        assert cli.main([builder, "list"]) == 0
    assert cli.main([builder, "set_overload", "5%"]) == 0


def test_a_lock_is_gone_with_its_holder_and_lets_one_in_at_a_time(tmp_path: Path) -> None:
    builder, inside, seen = tmp_path / "object.builder", [0], []

    def work() -> None:
        for _ in range(20):
            with workspace.Workspace().locked(str(builder)):
                inside[0] += 1
                seen.append(inside[0])
                time.sleep(0.0005)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 80
    assert not list(tmp_path.iterdir())


def test_a_refused_command_leaves_no_file_behind(tmp_path: Path) -> None:
    assert cli.main([str(tmp_path / "object.builder"), "create", "40", "3", "1"]) == 2
    assert not list(tmp_path.iterdir())


class Terminal(io.StringIO):
    """A terminal that remembers what was drawn on it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "is_drawn"), [(Terminal(), True), (io.StringIO(), False)])
def test_a_bar_is_drawn_on_a_terminal_only_and_after_half_a_second(stream: io.StringIO, is_drawn: bool) -> None:
    times = iter([0.0, 0.4, 0.6, 0.65, 0.8])
    bar = ProgressBar(stream, lambda: next(times))
    for done in (0.1, 0.5, 0.6, 1.0):
        bar(done)
    bar.clear()
    drawn = stream.getvalue().split("\r")
    percents = [line.split()[-2] for line in drawn if line.endswith("%")]
    assert percents == (["50", "100"] if is_drawn else [])
    assert drawn[-1] == ("\x1b[K" if is_drawn else "")


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_without_a_file_all_commands_are_explained(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert all(f"\n{name} " in said or f"\n{name}\n" in said for name in operations.ALL)


@pytest.mark.parametrize("name", operations.ALL)
def test_help_explains_a_command_and_does_nothing(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["no.builder", name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"ring-builder FILE {name}")
