"""A real cluster of processes for a test: started, asked, hurt and stopped through the `holdfast` command."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

COMMAND = [sys.executable, "-m", "tools.cli"]
ROOT = Path(__file__).parent.parent
PORTS = (9000, 8080, *range(6000, 6006), 6100, 6101, *range(6200, 6206))


def free_port_offset() -> int:
    """Return an offset at which every port of a small cluster is free."""
    for offset in range(11_000 + os.getpid() % 500 * 20, 50_000, 1_000):
        if all(_is_free(port + offset) for port in PORTS):
            return offset
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Cluster:
    """One cluster under `directory`."""

    def __init__(self, directory: Path, nodes: int = 4) -> None:
        self.directory = directory
        self.nodes = nodes
        self.offset = free_port_offset()
        self.env: dict[str, str] = {}

    def holdfast(self, *arguments: str, check: bool = True, timeout_s: float = 60) -> str:
        """Run `holdfast` on this cluster; return what it printed."""
        command = [*COMMAND, *arguments, "--data", str(self.directory)]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def up(self) -> None:
        """Start the cluster and wait until it is ready."""
        self.holdfast(
            "up", "--detach", "--nodes", str(self.nodes), "--port-offset", str(self.offset), timeout_s=90
        )
        lines = self.holdfast("env").splitlines()
        pairs = (line.removeprefix("export ").partition("=") for line in lines if "=" in line)
        self.env = {name: value.strip("'\"") for name, _equals, value in pairs}

    def down(self) -> None:
        """Stop the cluster; the data stay."""
        self.holdfast("down")

    def status(self) -> dict[str, Any]:
        """Return `holdfast status --json`."""
        parsed: dict[str, Any] = json.loads(self.holdfast("status", "--json", check=False))
        return parsed

    def processes(self) -> dict[str, int]:
        """Return the process ids by name of what runs, the supervisor first."""
        run = self.directory / "run"
        found = {}
        for path in (run / "supervisor.lock", *run.glob("*.pid")):
            with contextlib.suppress(FileNotFoundError, IndexError):  # it ends, or starts, just now
                pid = int(path.read_text().split()[0])
                if _is_running(pid):
                    found[path.stem] = pid
        return found

    def kill_everything(self) -> None:
        """SIGKILL all processes, as a power cut would end them."""
        pids = list(self.processes().values())
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while any(_is_running(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.01)

    def signal_storage(self, device: int, number: int) -> None:
        """Send a signal to the daemon of `device`."""
        _signal(self.processes()[f"storage-{device}"], number)

    def await_connected(self, timeout_s: float = 10.0) -> None:
        """Return when every proxy has a connection to every storage node."""
        deadline = time.monotonic() + timeout_s
        while any(proxy["health"].get("devices_down", True) for proxy in self.status()["proxies"]):
            assert time.monotonic() < deadline, "a proxy does not reach a node"
            time.sleep(0.1)

    def missing_replicas(self) -> int:
        """Return how many versions and databases the storage nodes last found to be missing on themselves.

        A node that does not answer, or has not compared itself with all others yet, counts as missing one.
        """
        missing = 0
        for node in self.status()["nodes"]:
            for device in node["devices"]:
                for what in ("replicas_lacking", "databases_lacking"):
                    lacking = device["health"].get(what)
                    missing += 1 if lacking is None else lacking
        return missing

    @property
    def s3_endpoint(self) -> str:
        """Where S3 is served."""
        return self.env["AWS_ENDPOINT_URL"]

    def environment(self) -> dict[str, str]:
        """Return what a client's process gets: this cluster's variables and nothing of the user's."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        path = f"{Path(sys.executable).parent}:{kept.get('PATH', '/usr/bin:/bin')}"
        home = self.directory.parent / "home"
        home.mkdir(exist_ok=True)
        return {**kept, **self.env, "PATH": path, "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true"}

    def run(self, *command: str, cwd: Path | None = None, check: bool = True, timeout_s: float = 240,
            environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a client against this cluster."""
        done = subprocess.run(
            command, cwd=cwd, env={**self.environment(), **(environment or {})}, capture_output=True,
            text=True, timeout=timeout_s, check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done

    def user(self, *arguments: str) -> Any:
        """Run `holdfast user`; return what it tells."""
        return json.loads(self.holdfast("user", *arguments, "--json"))

    def s3(self, user: Mapping[str, Any] | None = None, endpoint: str | None = None, **config: Any) -> Any:
        """Return a boto3 client of `user`, or of the cluster's administrator."""
        access_key, secret_key = self.env["AWS_ACCESS_KEY_ID"], self.env["AWS_SECRET_ACCESS_KEY"]
        return boto3.client(
            "s3",
            endpoint_url=endpoint or self.s3_endpoint,
            aws_access_key_id=user["access_key"] if user else access_key,
            aws_secret_access_key=user["secret_key"] if user else secret_key,
            region_name=self.env["AWS_DEFAULT_REGION"],
            config=Config(**{"s3": {"addressing_style": "path"}, **config}),
        )


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # gone already


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def running(directory: Path, nodes: int = 4) -> Iterator[Cluster]:
    """Yield a started cluster, and stop it at the end."""
    cluster = Cluster(directory, nodes)
    cluster.up()
    try:
        yield cluster
    finally:
        cluster.holdfast("down", check=False)
