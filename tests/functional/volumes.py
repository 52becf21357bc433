"""Volumes through the commands that people use: `holdfast volume`, and qemu's tools by NBD."""

import json
import subprocess
from typing import Any

from tests.cluster import Cluster

TIMEOUT_S = 240


def run(*command: str, check: bool = True) -> str:
    """Run a client; return all that it prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def qemu_io(cluster: Cluster, name: str, *commands: str) -> str:
    """Run commands of qemu-io on a volume; each must do what it says, patterns included."""
    options = [option for command in commands for option in ("-c", command)]
    said = run("qemu-io", "-f", "raw", *options, cluster.nbd(name))
    assert "failed" not in said, said
    return said


def volume(cluster: Cluster, *arguments: str) -> dict[str, Any]:
    """Run `holdfast volume`; return what it tells."""
    told: dict[str, Any] = json.loads(cluster.holdfast("volume", *arguments, "--json", timeout_s=TIMEOUT_S))
    return told


def refused(cluster: Cluster, *arguments: str) -> str:
    """Run `holdfast volume`, which must fail; return why it says it does."""
    done = cluster._holdfast(("volume", *arguments), 60)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr
