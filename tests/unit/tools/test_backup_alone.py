"""`holdfast-backup`, and what its commands have in common with those of `holdfast volume`."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from blockgw.backup.key import Secret
from blockgw.backup.progress import Progress
from tools import backup_alone
from tools.backup_options import PASSPHRASE, add_place_arguments
from tools.backup_places import bar, place_of, secret_of, shown
from tools.errors import OperatorError

MiB = 1 << 20


def imported(module: str) -> set[str]:
    """Return the packages that are imported along with a module."""
    code = f"import {module}, sys; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_restore_takes_nothing_of_a_cluster() -> None:
    assert not imported("tools.backup_alone") & {"storage", "proxy", "ring", "identity", "uvloop", "lmdb", "numpy"}


def test_what_only_backups_take_is_imported_for_them_alone() -> None:
    assert not imported("tools.volumes") & {"boto3", "cryptography", "httptools", "uvloop"}
    assert "boto3" not in imported("tools.volumes.backups")


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_place_arguments(parser)
    return parser.parse_args(["s3://bucket/prefix", *arguments])


def test_secrets_come_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSPHRASE, raising=False)
    assert secret_of(parsed()) is None
    (tmp_path / "key").write_bytes(bytes(32))
    assert secret_of(parsed("--key-file", str(tmp_path / "key"))) == Secret.file(bytes(32))
    with pytest.raises(OperatorError, match="cannot be read"):
        secret_of(parsed("--key-file", str(tmp_path / "none")))
    monkeypatch.setenv(PASSPHRASE, "words")
    assert secret_of(parsed("--encrypt")) == Secret.passphrase("words")
    assert secret_of(parsed()) is None


@pytest.mark.parametrize("jobs", ["0", "65"])
def test_a_number_of_jobs_that_makes_no_sense_is_refused(jobs: str) -> None:
    with pytest.raises(OperatorError, match="--jobs"):
        place_of(parsed("--jobs", jobs))


def test_the_bar_says_how_far_it_is() -> None:
    assert bar(Progress(25 * MiB, 100 * MiB, 3 * MiB), "sent") == (
        "[#######.......................]  25%  25 MiB of 100 MiB, 3 MiB sent"
    )
    assert "100%" in bar(Progress(0, 0, 0), "sent")


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (4.5 * MiB, "4.5 MiB"), (10 << 30, "10 GiB")]
)
def test_sizes_are_shown_for_people(size: float, text: str) -> None:
    assert shown(size) == text


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "nowhere"),
        ("verify", "ftp://x"),
        ("delete", "s3:/x", "y"),
        ("restore", "x", "y", "--to-file", "z"),
    ],
)
def test_a_place_that_is_none_is_said_in_a_sentence(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert backup_alone.main(arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith("holdfast-backup: ")
    assert "no place for backups" in said
    assert said.count("\n") == 1
