"""A real cluster of processes for a test: started, asked, hurt and stopped through the `holdfast` command."""

import contextlib
import dataclasses
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from cluster.config import NodeConfig, load
from cluster.errors import ConfigError
from cluster.layout import Layout
from cluster.supervision import control
from tests.network import Network
from tools import creation, data_directory
from tools.status import survey

COMMAND = [sys.executable, "-m", "tools.cli"]
ROOT = Path(__file__).parent.parent
PORTS = (
    9000, 9001, 8080, 5000, 8774, 8776, 8790, 8791, 8830, 8831, 9292, 9696, *range(6000, 6006), 6100, 6101, 6150,
    *range(6170, 6178), *range(6200, 6206), 10809, 10810
)
WORKER_STEP = 47  # no two ports are so far apart, nor a few times as far, give or take thousands


def free_port_offset() -> int:
    """Return an offset at which every port of a small cluster is free.

    Tests that run beside these (pytest-xdist) start clusters at the same time, and what is free for both is not taken
    yet: so each worker has offsets of its own.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    run = os.getppid() if worker else os.getpid()
    for offset in range(11_000 + run % 10 * 4 + int(worker[2:] or 0) * WORKER_STEP, 50_000, 1_000):
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
    """One cluster under `directory`. Its clients are given `endpoints` in turn."""

    def __init__(self, directory: Path, nodes: int = 4, with_identity: bool = False) -> None:
        self.directory = directory
        self.nodes = nodes
        self.with_identity = with_identity  # the identity service, which takes a while to start
        self.offset = free_port_offset()
        self.env: dict[str, str] = {}
        self.storage_settings: dict[str, Any] = {}  # of [storage], for a cluster that is made
        self.proxy_settings: dict[str, Any] = {}  # of [proxy]
        self.identity_settings: dict[str, Any] = {}  # of [identity]
        self.images_settings: dict[str, Any] = {}  # of [images]
        self.volumes_settings: dict[str, Any] = {}  # of [volumes]
        self.compute_settings: dict[str, Any] = {"start": "no"}  # of [compute]
        self.console_settings: dict[str, Any] = {"enabled": False}  # of [console]
        self.gateways = 1  # of volumes, likewise

    def without_compute(self) -> "Cluster":
        """Have the cluster made with the identity service alone; return it."""
        self.images_settings = self.volumes_settings = {"enabled": False}
        return self

    def holdfast(self, *arguments: str, check: bool = True, timeout_s: float = 60) -> str:
        """Run `holdfast` on this cluster; return what it printed."""
        done = self._holdfast(arguments, timeout_s)
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def _holdfast(self, arguments: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, *arguments, "--data", str(self.directory)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False)

    def up(self) -> None:
        """Start the cluster and wait until it is ready."""
        if not (self.directory / "cluster.toml").exists():
            self._create()
        waiting = ("--wait-for-services",) if self.with_identity else ()
        self.holdfast("up", "--detach", *waiting, timeout_s=90)
        lines = self.holdfast("env").splitlines()
        pairs = (line.removeprefix("export ").partition("=") for line in lines if "=" in line)
        self.env = {name: value.strip("'\"") for name, _equals, value in pairs}

    def _create(self) -> None:
        wishes = creation.Wishes(self.nodes, port_offset=self.offset, has_identity=self.with_identity)
        made = creation.plan(wishes)
        self.directory.mkdir(parents=True, mode=0o700)
        config = dataclasses.replace(
            made,
            block=dataclasses.replace(made.block, gateways=self.gateways),
            storage=dataclasses.replace(made.storage, **self.storage_settings),
            proxy=dataclasses.replace(made.proxy, **self.proxy_settings),
            identity=dataclasses.replace(made.identity, **self.identity_settings),
            images=dataclasses.replace(made.images, **self.images_settings),
            volumes=dataclasses.replace(made.volumes, **self.volumes_settings),
            compute=dataclasses.replace(made.compute, **self.compute_settings),
            console=dataclasses.replace(made.console, **self.console_settings),
        )
        creation.create(Layout(self.directory), config)

    def nbd(self, name: str) -> str:
        """Return the URI of a volume."""
        return f"nbd://127.0.0.1:{10809 + self.offset}/{name}"

    def down(self) -> None:
        """Stop the cluster; the data stay."""
        self.holdfast("down")

    def status(self) -> dict[str, Any]:
        """Return what `holdfast status --json` prints, without the start of a process: many wait by asking again."""
        layout = Layout(self.directory)
        found = survey(data_directory.Cluster(layout, load(layout.config)))
        report: dict[str, Any] = json.loads(json.dumps(found))
        return report

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

    def ask_gateway(self, do: str, **about: Any) -> dict[str, Any]:
        """Ask the block gateway as `holdfast volume` does, without the start of a process."""
        return control.ask(Layout(self.directory).gateway_socket(0), do, **about)

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

    @property
    def endpoints(self) -> tuple[str, ...]:
        """All places where S3 is served."""
        return (self.s3_endpoint,)

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

    def metrics(self, device: int) -> dict[str, float]:
        """Return the metrics of the daemon of `device` by name; none when it does not answer, or is not there yet."""
        try:
            host, port = self.admin_address(device)
            with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except (ConfigError, OSError, http.client.HTTPException):
            return {}
        pairs = (line.rpartition(" ") for line in lines if line and line[0] != "#")
        return {name: float(value) for name, _space, value in pairs}

    def admin_address(self, device: int) -> tuple[str, int]:
        """Return where the daemon of `device` serves its metrics."""
        config = load(self.directory / "cluster.toml")
        return config.storage_admin_listen(device), config.ports.storage_admin_port(device)

    def log_lines(self, *words: str) -> list[str]:
        """Return the lines of all logs in which one of `words` is."""
        return [
            f"{path.stem}: {line}"
            for path in sorted((self.directory / "log").glob("*.log*"))
            for line in path.read_text(errors="replace").splitlines()
            if any(word in line for word in words)
        ]

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


class NetworkedCluster(Cluster):
    """A cluster whose nodes talk over TCP, each in a network of its own; two of them have a proxy.

    `network` may have more nodes than the cluster begins with: `node add` takes them in order.
    """

    def __init__(self, directory: Path, network: Network, nodes: int = 4) -> None:
        super().__init__(directory, nodes)
        self.network = network
        self.offset = 0  # the ports are all free there
        self.proxies = (network.names[0], network.names[nodes - 1])

    def _create(self) -> None:
        made = creation.plan(creation.Wishes(node_count=self.nodes, has_identity=False))
        config = dataclasses.replace(
            made,
            cluster=dataclasses.replace(made.cluster, transport="tcp"),
            storage=dataclasses.replace(made.storage, **self.storage_settings),
            compute=dataclasses.replace(made.compute, **self.compute_settings),
            console=dataclasses.replace(made.console, **self.console_settings),
            devices=tuple(
                dataclasses.replace(device, host=self.network.host(device.node)) for device in made.devices
            ),
            nodes=tuple(
                NodeConfig(
                    name=name,
                    host=self.network.host(name),
                    listen=self.network.listen(name),
                    proxies=int(name in self.proxies),
                    namespace=self.network.namespace(name),
                )
                for name in self.network.names
            ),
        )
        self.directory.mkdir(parents=True, mode=0o700)
        creation.create(Layout(self.directory), config)

    @property
    def endpoints(self) -> tuple[str, ...]:
        port = load(self.directory / "cluster.toml").ports.s3_port
        return tuple(f"http://{self.network.listen(name)}:{port}" for name in self.proxies)


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


def running(directory: Path, nodes: int = 4, **proxy_settings: Any) -> Iterator[Cluster]:
    """Yield a started cluster, and stop it at the end."""
    cluster = Cluster(directory, nodes)
    cluster.proxy_settings = proxy_settings
    cluster.up()
    try:
        yield cluster
    finally:
        cluster.holdfast("down", check=False)
