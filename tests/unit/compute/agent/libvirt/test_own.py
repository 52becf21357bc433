"""compute/agent/libvirt/own.py: where a qemu of the agent's own has its state, and that its sockets' names fit."""

import os
import shutil
from pathlib import Path

import pytest

from cluster.layout import Layout
from compute.agent.libvirt import own

SOCKET = "lib/qemu/domain-4294967295-12345678-1234-1234-1/monitor.sock"
SOCKET_LIMIT = 107  # bytes of a unix socket's path, on Linux


def root_of(uri: str) -> Path:
    """Return the directory that libvirt is told."""
    return Path(uri.partition("root=")[2])


@pytest.mark.parametrize("long", [False, True])
def test_sockets_fit_wherever_the_data_are(tmp_path: Path, long: bool) -> None:
    layout = Layout(tmp_path / ("a-directory-with-a-name-that-leaves-little-room" if long else "d"))
    layout.directory.mkdir()
    try:
        root = root_of(own.prepare(layout, 3))
        assert len(os.fsencode(root / SOCKET)) <= SOCKET_LIMIT
        assert root.resolve() == (layout.agent(3) / "libvirt").resolve()
        assert (root / "etc" / "qemu.conf").exists()
        assert root_of(own.prepare(layout, 3)) == root  # the next agent finds the guests of this one
    finally:
        shutil.rmtree(layout.short, ignore_errors=True)


def test_a_directory_that_is_somebody_elses_is_not_used(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "a-directory-with-a-name-that-leaves-little-room")
    layout.directory.mkdir()
    layout.short.mkdir(mode=0o755)
    try:
        with pytest.raises(PermissionError):
            own.prepare(layout, 0)
    finally:
        layout.short.rmdir()
