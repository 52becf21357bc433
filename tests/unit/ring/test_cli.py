"""ring.cli"""

import json
from pathlib import Path

import pytest

from ring import cli, file


@pytest.fixture
def builder(tmp_path: Path) -> str:
    """A builder with three devices, not rebalanced."""
    path = str(tmp_path / "object.builder")
    assert cli.main([path, "create", "6", "3", "1"]) == 0
    devices = [f"r1z{zone}-127.0.0.1:{6200 + zone}/d{zone}" for zone in (1, 2, 3)]
    assert cli.main([path, "add", devices[0], "100", devices[1], "100", devices[2], "100"]) == 0
    return path


def test_a_rebalance_writes_the_ring_beside_the_builder(builder: str) -> None:
    assert cli.main([builder, "rebalance", "--seed", "1"]) == 0
    ring = file.read(Path(builder).with_suffix(".ring"))
    assert {each.zone for each in ring.primaries(0)} == {1, 2, 3}


def test_a_rebalance_that_has_nothing_to_do_is_a_warning(builder: str) -> None:
    """swift-ring-builder: exit code 1."""
    cli.main([builder, "rebalance"])
    before = Path(builder).read_bytes()
    assert cli.main([builder, "rebalance"]) == 1
    assert Path(builder).read_bytes() == before


def test_list_tells_programs_what_it_tells_people(builder: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main([builder, "rebalance", "--seed", "1"])
    cli.main([builder, "set_weight", "d1", "50"])
    capsys.readouterr()
    assert cli.main([builder, "list", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [(each["id"], each["weight"], each["held"]) for each in facts["devices"]] == [
        (0, 100.0, 64),
        (1, 50.0, 64),
        (2, 100.0, 64),
    ]
    assert cli.main([builder, "list"]) == 0
    assert "r1z2-127.0.0.1:6202/d2" in capsys.readouterr().out


def test_a_removed_device_is_not_listed(builder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([builder, "remove", "r1z2-127.0.0.1:6202/d2"]) == 0
    capsys.readouterr()
    cli.main([builder, "list", "--json"])
    assert [each["id"] for each in json.loads(capsys.readouterr().out)["devices"]] == [0, 2]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["create", "6", "3", "1"], "is there already"),
        (["add", "r1z9-127.0.0.1:6209/d9"], "each device needs a weight"),
        (["add", "r1z9-127.0.0.1:6209/d9", "heavy"], "a weight is a number, not 'heavy'"),
        (["add", "d9", "1"], "is no device: write it as"),
        (["set_weight", "d9", "1"], "no device is d9"),
        (["write_ring"], "nothing is placed yet"),
    ],
)
def test_a_mistake_is_one_sentence_and_changes_no_file(
    builder: str, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """swift-ring-builder: exit code 2."""
    before = Path(builder).read_bytes()
    assert cli.main([builder, *arguments]) == 2
    assert sentence in capsys.readouterr().err
    assert Path(builder).read_bytes() == before


def test_a_missing_builder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(tmp_path / "no.builder"), "list"]) == 2
    assert "no.builder: No such file" in capsys.readouterr().err
