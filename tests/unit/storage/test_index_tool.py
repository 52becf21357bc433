"""storage/indexes/tool.py."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from storage.indexes import schema, tool

SAMPLE = Path(__file__).with_name("samples") / "container-v1.db"


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return Path(shutil.copy(SAMPLE, tmp_path / "sample.db"))


def test_a_database_is_shown(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["show", str(sample)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["account"], shown["container"], shown["object_count"], shown["rows"]) == ("AUTH_a", "c", 1, 2)


def test_rows_are_shown_with_tombstones(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["rows", str(sample)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["name"], row["deleted"]) for row in rows] == [("gone", True), ("kept", False)]


def test_counters_that_disagree_with_the_rows_are_found(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main(["verify", str(sample)]) == 0
    assert "sound" in capsys.readouterr().out
    connection = schema.connect(sample)
    connection.execute("UPDATE info SET bytes_used = 6")
    connection.close()
    assert tool.main(["verify", str(sample)]) == 1
    assert "bytes_used is 6; the rows amount to 5" in capsys.readouterr().out


def test_other_files_are_turned_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.db"
    schema.connect(other).execute("CREATE TABLE t (x)").connection.close()
    assert tool.main(["show", str(other), str(tmp_path / "absent.db")]) == 1
    assert "no such file" in capsys.readouterr().err
    assert not (tmp_path / "absent.db").exists()


def test_daemons_do_not_load_sqlite_utils() -> None:
    """It would cost each of them 22 MB."""
    code = "import sys, storage.indexes.store; sys.exit('sqlite_utils' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
