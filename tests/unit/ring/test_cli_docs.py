"""docs/ring-builder.md: what it shows works, and what it promises programs is so."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from ring import cli
from ring.cli import operations

PAGE = (Path(__file__).parents[3] / "docs" / "ring-builder.md").read_text()
COMMON_KEYS = {"command", "exit_code", "warnings"}


def sections() -> Iterator[tuple[str, list[list[str]]]]:
    """Yield the text and the examples of each section."""
    for section in PAGE.split("\n## ")[1:]:
        examples = re.findall(r"^    ring-builder (.+)$", section, re.MULTILINE)
        yield section, [shlex.split(example.replace("\\", "\\\\")) for example in examples]


def prepare(directory: Path) -> None:
    """Make the files that examples take for granted."""
    for name, region in (("west", 1), ("east", 2), ("rescued", 3)):
        path = str(directory / f"{name}.builder")
        assert cli.main([path, "create", "4", "1", "1"]) == 0
        assert cli.main([path, "add", f"r{region}z1-10.{region}.0.1:6200/sda", "100"]) == 0
        assert cli.main([path, "rebalance"]) == 0
    (directory / "rescued.builder").unlink()
    scenario = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert scenario
    (directory / "scenario.json").write_text(scenario[1])


def test_every_example_works_and_has_the_keys_that_its_section_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path)
    for section, examples in sections():
        for words in examples:
            capsys.readouterr()
            exit_code = cli.main([*words, "--json"])
            said = capsys.readouterr()
            assert exit_code in (0, 1), (words, said.err)
            keys = json.loads(said.out).keys() - COMMON_KEYS
            promised = set(re.findall(r"`(\w+)`", section[section.find("JSON:") :]))
            if words[1:2] and words[1] in section.splitlines()[0]:
                assert keys <= promised, words


def test_every_command_has_its_section() -> None:
    shown = {words[1] for _section, examples in sections() for words in examples if words[1:]}
    assert shown == set(operations.ALL)
