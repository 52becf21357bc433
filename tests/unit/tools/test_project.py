"""The project's own files: the Makefile's targets, the script that installs packages."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MAKEFILE = (ROOT / "Makefile").read_text()
SCRIPT = ROOT / "tools/install-packages"


@pytest.mark.parametrize("target", re.findall(r"^\t@echo '((?:make \w+)[^']*)'", MAKEFILE, re.MULTILINE))
def test_make_help_lists_targets_that_exist(target: str) -> None:
    name = target.split()[1]
    assert re.search(rf"^(?:[\w ]+ )?{name}(?: [\w ]+)?:", MAKEFILE, re.MULTILINE)


def test_make_up_passes_its_variables_on() -> None:
    arguments = ["up", "DATA=/srv/a b", "NODES=3", "PORT_OFFSET=100", "DETACH=1"]
    shown = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    words = " ".join(shown.split())
    assert 'holdfast up --data "/srv/a b" --nodes 3 --port-offset 100 --detach' in words


def run(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(path)} if path else None
    return subprocess.run(
        ["/bin/sh", str(SCRIPT), *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_nothing_is_installed_when_nothing_is_missing() -> None:
    result = run("python3", "python3-venv", "sh")
    assert (result.returncode, result.stdout) == (0, "")


def fake_system(directory: Path, uid: str) -> Path:
    """Return a PATH with python3 and apt-get only, for somebody with this user id."""
    for name, script in {"id": f"echo {uid}", "apt-get": f"echo $* >> {directory}/asked", "env": "shift; $*"}.items():
        (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / "python3").write_text("#!/bin/sh\nexit 0\n")
    for path in directory.iterdir():
        path.chmod(0o755)
    return directory


def test_root_installs_what_is_missing(tmp_path: Path) -> None:
    result = run("python3", "rclone", "restic", path=fake_system(tmp_path, uid="0"))
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "asked").read_text().endswith("rclone restic\n")


def test_who_may_not_install_is_told_what_to_install(tmp_path: Path) -> None:
    result = run("python3", "rclone", "restic", path=fake_system(tmp_path, uid="1000"))
    assert result.returncode == 1
    assert "apt-get install rclone restic" in result.stderr
    assert not (tmp_path / "asked").exists()


def test_an_old_python_is_refused(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    result = run(str(python))
    assert result.returncode == 1
    assert "needs Python 3.11 or newer" in result.stderr
