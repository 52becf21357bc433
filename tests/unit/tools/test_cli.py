"""tools.cli, and that what the documents show exists."""

import errno
import os
import re
import shlex
from pathlib import Path

import pytest

from cluster.version import DATA_LAYOUT, VERSION
from tools import cli

ROOT = Path(__file__).parents[3]
DOCUMENTS = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if path.exists()]


def documented() -> list[str]:
    """Return the `holdfast` commands in code of the documents."""
    commands = []
    for document in DOCUMENTS:
        for line in document.read_text().splitlines():
            match = re.match(r"(?:    |\$ )+(?:\.venv/bin/)?(holdfast [a-z][^#`)]*)", line)
            if match:
                commands.append(match[1].strip())
    return sorted(set(commands))


@pytest.mark.parametrize("command", documented())
def test_a_documented_command_exists_with_its_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command.replace("[", " ").replace("]", " "))[1:]
    parser, _command = cli.parser_of(words[0])
    actions = [word for word in words[1:] if word.islower() and not word.startswith("--")]
    with pytest.raises(SystemExit):
        parser.parse_args([*actions[:1], "--help"])
    usage = capsys.readouterr().out
    for option in (word for word in words if word.startswith("--")):
        assert option in usage


def test_there_are_documented_commands() -> None:
    assert len(documented()) > 10


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself_and_takes_a_data_directory(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser, _command = cli.parser_of(name)
    with pytest.raises(SystemExit) as end:
        parser.parse_args(["--help"])
    assert end.value.code == 0
    usage = capsys.readouterr().out
    if "ACTION" in usage:
        action = re.findall(r"^    (\w+)", usage, re.MULTILINE)[0]
        with pytest.raises(SystemExit):
            parser.parse_args([action, "--help"])
        usage = capsys.readouterr().out
    assert "--data DIR" in usage


def test_without_a_command_it_shows_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in cli.COMMANDS)


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["launch"])
    assert end.value.code == 2
    assert "there is no command launch" in capsys.readouterr().err


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"holdfast {VERSION}\n"


@pytest.mark.parametrize(
    "command",
    ["status", "down", "env", "user list", "node stop 1", "node add", "device list", "device drain 1", "ring"],
)
def test_without_a_cluster_each_command_says_how_to_make_one(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "nothing"
    assert cli.main([*command.split(), "--data", str(directory)]) == 1
    error = capsys.readouterr().err
    assert error == f"holdfast: there is no cluster in {directory}: `holdfast up --data {directory}` makes one.\n"
    assert not directory.exists()


def test_a_damaged_configuration_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "VERSION").write_text(f"{DATA_LAYOUT}\n")
    (tmp_path / "cluster.toml").write_text("not = [toml")
    assert cli.main(["status", "--data", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"holdfast: {tmp_path}/cluster.toml: not TOML")
    assert len(error.splitlines()) == 1


def test_what_the_system_refuses_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/x")

    monkeypatch.setattr("tools.status.run", fail)
    assert cli.main(["status", "--data", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "holdfast: /data/x: No space left on device.\n"


def test_our_own_mistake_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_arguments: object) -> int:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("tools.status.run", fail)
    assert cli.main(["status", "--data", str(tmp_path)]) == cli.EXIT_BUG
    error = capsys.readouterr().err
    assert "this is a bug: ZeroDivisionError at " in error
    assert "test_cli.py" in error
    assert len(error.splitlines()) == 1
