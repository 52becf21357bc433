"""The service's side: starts a process for a task, and waits for what comes of it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cluster.layout import Layout
from compute.stored import Refused, Unreachable
from compute.volumes.backend import NewImage, Place, Taken, WhatToTake

ROOT = Path(__file__).parents[3]
_KEPT = ("PATH", "LANG", "TMPDIR", "SSL_CERT_FILE", "AWS_CA_BUNDLE", "PYTHONPATH")


class Runner:
    """Runs tasks, each in a process."""

    def __init__(self, layout: Layout, secrets: Mapping[str, str], seal: bytes) -> None:
        """`secrets`: variables with which the processes log in to S3 or Swift; `seal`: what backups are sealed with."""
        self._directory = os.fspath(layout.directory)
        self._secrets = dict(secrets)
        self._seal = seal.hex()

    def run(self, do: str, **about: Any) -> dict[str, Any]:
        """Return what comes of a task. Raise Unreachable, Refused."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        task = {"do": do, "directory": self._directory, "seal": self._seal, **about}
        with subprocess.Popen(
            [sys.executable, "-m", "compute.volumes.moving.child"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**kept, **self._secrets},
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(task).encode() + b"\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except OSError:
                line = b""
            finally:
                process.kill()  # when something is raised here; else it is through
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            raise Unreachable(f"the process that was to {do} has died") from None
        if "error" in answer:
            raise (Unreachable if answer.get("again") else Refused)(str(answer["error"]))
        return answer


class Archive:
    """See `backend.Archive`."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def known(self, volume: str, place: Place) -> Sequence[str]:
        """See Archive."""
        return list(self._runner.run("known", volume=volume, place=place.document())["known"])

    def take(self, what: WhatToTake, known: Sequence[str]) -> Taken:
        """See Archive."""
        found = self._runner.run("take", **asdict(what), known=list(known))
        return Taken(found["location"], int(found["object_count"]))

    def restore(self, location: Mapping[str, Any], volume: str) -> None:
        """See Archive."""
        self._runner.run("restore", location=dict(location), volume=volume)

    def delete(self, location: Mapping[str, Any]) -> None:
        """See Archive."""
        self._runner.run("delete", location=dict(location))


class Mover:
    """See `backend.Mover`."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def copy(self, source: str, target: str) -> None:
        """See Mover."""
        self._runner.run("copy", source=source, target=target)

    def send(self, source: str, wanted: NewImage, url: str, token: str) -> None:
        """Send `source`, VOLUME@SNAPSHOT, as the data of an image to `url`."""
        self._runner.run("send", source=source, format=wanted.disk_format, url=url, token=token)
