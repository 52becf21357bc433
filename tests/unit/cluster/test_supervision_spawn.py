"""cluster.supervision.spawn: what is started, and where. That it ends with its parent: test_supervision_supervisor."""

import os
from pathlib import Path

import pytest

from cluster.supervision.spawn import spawn


def outcome(directory: Path, *arguments: str, namespace: str = "") -> tuple[int, str]:
    """Start a program and wait for its end; return its exit status and what it wrote."""
    path = directory / "output"
    output = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        _pid, status = os.waitpid(spawn(arguments, output, namespace), 0)
    finally:
        os.close(output)
    return os.waitstatus_to_exitcode(status), path.read_text()


def test_a_program_writes_to_the_descriptor(tmp_path: Path) -> None:
    assert outcome(tmp_path, "/bin/echo", "here") == (0, "here\n")


def test_a_program_that_is_not_there_says_so(tmp_path: Path) -> None:
    status, output = outcome(tmp_path, "/no/such/program")
    assert status == 127
    assert output.startswith("cannot execute /no/such/program: ")


def test_a_program_whose_network_namespace_is_not_there_is_not_executed(tmp_path: Path) -> None:
    status, output = outcome(tmp_path, "/bin/echo", "here", namespace="no-such-namespace")
    assert status == 127
    assert "no-such-namespace" in output
    assert "here" not in output


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may enter a namespace")
def test_what_is_no_network_namespace_is_not_entered(tmp_path: Path) -> None:
    """setns(2): EINVAL when the descriptor is of another kind."""
    beside = tmp_path / "beside"
    beside.write_text("")
    status, output = outcome(tmp_path, "/bin/echo", "here", namespace=os.path.relpath(beside, "/run/netns"))
    assert status == 127
    assert "Invalid argument" in output
