"""Stand-ins for the daemons: packages `storage`, `proxy` and `blockgw` that are found first, and do next to nothing.

All but their daemons is the real thing. They make their ready file, answer /healthz, and take connections
on S3's, Swift's and NBD's ports. What goes wrong is decided by files in the data directory: fail-NAME: NAME cannot
start; sick-NAME: it says that it cannot serve; deaf-NAME: it does not answer at all.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from cluster.layout import Layout
from cluster.supervision import lock
from cluster.telemetry.probe import is_free
from tools.creation import Wishes, create, plan

ROOT = Path(__file__).parents[3]

_DAEMON = """
import argparse, selectors, signal, socket, sys
from cluster.config import load
from cluster.layout import Layout

parser = argparse.ArgumentParser()
parser.add_argument("--config")
parser.add_argument("--{option}", type=int, dest="number")
arguments = parser.parse_args()
config, layout = load(arguments.config), Layout.of_config(arguments.config)
name = f"{role}-{{arguments.number}}"
if (layout.directory / f"fail-{{name}}").exists():
    sys.exit("the disk is on fire")
ports = [config.ports.{role}_admin_port(arguments.number)]
if "{role}" == "proxy":
    ports += [config.ports.s3_port, config.ports.swift_port]
if "{role}" == "gateway":
    ports += [config.ports.gateway_nbd_port(arguments.number)]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
selector = selectors.DefaultSelector()
for port in ports:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    selector.register(listener, selectors.EVENT_READ)
layout.ready(name).touch()
while True:
    for key, _ in selector.select():
        connection = key.fileobj.accept()[0]
        if (layout.directory / f"deaf-{{name}}").exists():
            signal.pause()
        sick = (layout.directory / f"sick-{{name}}").exists()
        status = b"503 Service Unavailable" if sick else b"200 OK"
        body = b'{{"failure": "worn out"}}' if sick else b"{{}}"
        if connection.recv(4096):
            connection.sendall(b"HTTP/1.1 " + status + b"\\r\\n\\r\\n" + body)
        connection.close()
"""


def install(directory: Path) -> Path:
    """Make the packages in `directory` and return it: it goes on PYTHONPATH."""
    for package, role, option in (
        ("storage", "storage", "device"), ("proxy", "proxy", "worker"), ("blockgw", "gateway", "gateway")
    ):
        place = directory / package
        place.mkdir(parents=True)
        (place / "__init__.py").write_text(f"__path__.append({str(ROOT / package)!r})\n")
        (place / "daemon.py").write_text(_DAEMON.format(role=role, option=option))
    return directory


_FIRST = ("--nodes", "2", "--proxies", "1", "--without-identity", "--without-console")


class Holdfast:
    """The `holdfast` command on a data directory, with fake daemons and ports that are free."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        self.offset = free_offset()
        path = (str(install(directory / "fakes")), os.environ.get("PYTHONPATH"))
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
        self._front: subprocess.Popen[str] | None = None

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tools.cli", *arguments, "--data", str(self.data)]

    def up(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Start it behind; if there is none, make one of two nodes."""
        size = () if (self.data / "VERSION").exists() else _FIRST
        return self("up", "--detach", "--port-offset", str(self.offset), *size, *arguments)

    def up_in_front(self) -> subprocess.Popen[str]:
        """Start it in the foreground and return once it says that it is ready."""
        self._front = subprocess.Popen(
            self.command("up"),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._front.stdout is not None
        assert self._front.stdout.readline() == "ready\n"
        return self._front

    def pids(self) -> list[int]:
        """Return the process ids of the daemons."""
        return [int(path.read_text()) for path in (self.data / "run").glob("*.pid")]

    def supervisor_pid(self) -> int:
        """Return the process id of the supervisor."""
        return int((self.data / "run/supervisor.lock").read_text())

    def make(self) -> None:
        """Make a cluster of two nodes that does not run."""
        self.data.mkdir(parents=True, mode=0o700)
        wishes = Wishes(
            node_count=2, proxy_count=1, port_offset=self.offset, has_identity=False, has_console=False
        )
        create(Layout(self.data), plan(wishes))

    def end(self) -> None:
        """Leave nothing running."""
        if lock.is_held(self.data / "run/supervisor.lock"):
            os.kill(self.supervisor_pid(), signal.SIGKILL)  # its daemons go with it
        if self._front is not None:
            if self._front.poll() is None:
                self._front.send_signal(signal.SIGKILL)
            self._front.communicate(timeout=10)


def free_offset() -> int:
    """Return an offset at which the ports of a cluster are free."""
    while True:
        offset = random.randrange(1000, 30_000)
        if all(is_free("127.0.0.1", port + offset) for port in (9000, 8080, 10809, 6100, 6150, 6200, 6201, 6202, 6203)):
            return offset


def occupy(port: int) -> socket.socket:
    """Listen at `port` as another program would."""
    other = socket.socket()
    other.bind(("127.0.0.1", port))
    other.listen()
    return other


def gone(pids: list[int], timeout_s: float = 5.0) -> bool:
    """Tell whether all of `pids` end in time."""
    deadline = time.monotonic() + timeout_s
    while any(_runs(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
