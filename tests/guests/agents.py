"""A cluster with an agent that runs guests, as tests want it: asked by its client, and through guests' consoles."""

import base64
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from cluster.clock import wall_us
from cluster.config import Config, load
from cluster.controlplane.service_user import service_user
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from compute.agent.client import HostClient
from compute.agent.guest import Disk, Guest, GuestState, Nic, Power, Told
from compute.agent.hosts import agent_urls, host_name
from compute.asking import ServiceLogin
from compute.gateway import Gateway
from compute.stored import NotYet, Unreachable
from identity.keystone.tokens.fernet import encode
from identity.keystone.tokens.keys import KeyRepository
from identity.keystone.tokens.token import Method, Person, Scope, ScopeKind, Token
from tests.cluster import ROOT, Cluster
from tests.guests import tiny

GiB, MiB = 1 << 30, 1 << 20
WAIT_S = 180.0  # for what takes a guest ten seconds, on a machine that has much else to do
GOLDEN = ("tiny", "golden")  # volume and snapshot that guests' disks begin as


def until(what: str, found: Callable[[], Any], timeout_s: float = WAIT_S) -> Any:
    """Return what `found` returns, once that is something."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = found()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.1)


class Site:
    """A cluster, and an agent on it."""

    def __init__(self, directory: Path, networking: str = "user") -> None:
        self.cluster = Cluster(directory, nodes=4)
        self.cluster.compute_settings = {"start": "no", "virtualization": "qemu", "networking": networking}
        self.cluster.up()
        self.layout = Layout(directory)
        self.config: Config = load(self.layout.config)
        self.gateway = Gateway(self.layout)
        self.url = agent_urls(self.config)[host_name(0)]
        self.host = HostClient(host_name(0), self.url, self.login_of("compute"))
        self._agent: subprocess.Popen[bytes] | None = None
        self._volumes: set[str] = set()

    def __repr__(self) -> str:
        return f"Site({self.cluster.directory})"

    def login_of(self, name: str) -> ServiceLogin:
        """Return a service user's tokens, made as the identity service would: it need not run for this."""
        coordination = EmbeddedCoordination(self.layout.coordination)
        try:
            key = KeyRepository(coordination).ensure().primary
        finally:
            coordination.close()
        user = service_user(self.config.cluster.key_bytes, name)
        now_us = wall_us()
        person = Person(user.id, user.name, "default", "Default")
        scope = Scope(ScopeKind.PROJECT, "5" * 32, "service", "default", "Default")
        token = Token(person, (Method.PASSWORD,), scope, (), now_us, now_us + 3600 * 1_000_000, ("a" * 22,))
        return MadeLogin(encode(token, key))

    def start_agent(self) -> None:
        """Start the agent, and wait until it answers."""
        log = self.layout.log("agent-0").open("ab")
        command = [sys.executable, "-m", "compute.agent.daemon", "--config", str(self.layout.config), "--agent", "0"]
        self._agent = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        log.close()
        port = self.config.ports.agent_admin_port(0)

        def serves() -> bool:
            with contextlib.suppress(OSError):
                return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).status == 200)
            return False

        until("the agent serves", serves)

    def end_agent(self, number: int = signal.SIGTERM) -> None:
        """Send the agent a signal that ends it."""
        if self._agent is not None:
            self._agent.send_signal(number)
            self._agent.wait(60)
            self._agent = None

    def make_golden(self, directory: Path) -> None:
        """Make the volume that guests' disks begin as."""
        image = tiny.disk(directory)
        name, snapshot = GOLDEN
        self.gateway.create(name, image.stat().st_size, encrypted=False)
        done = subprocess.run(
            ["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", str(image), self.cluster.nbd(name)],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        self.gateway.snapshot(name, snapshot)

    def volume(self, size: int = 0) -> str:
        """Make a volume, and return its name; without a size a clone that boots."""
        name = str(uuid.uuid4())
        if size:
            self.gateway.create(name, size, encrypted=False)
        else:
            self.gateway.clone(*GOLDEN, name)
        return name

    def disk(self, name: str, boot_index: int | None = None, holder: str = "") -> Disk:
        """Return a volume as a guest has it."""
        found = self.gateway.find(name)
        assert found is not None
        export = f"{name}~{holder}" if holder else name
        port = self.config.ports.nbd_port
        return Disk(serial=name, host="127.0.0.1", port=port, export=export, size=found.size, boot_index=boot_index)

    def guest(self, user_data: bytes = b"", **values: Any) -> Guest:
        """Return a guest with a disk of its own that boots."""
        guest_id = str(uuid.uuid4())
        guest = Guest(
            id=guest_id,
            name=f"guest {guest_id[:4]}",
            project_id="p" * 32,
            vcpus=1,
            memory_mib=192,
            disks=(self.disk(self.volume(), boot_index=0),),
            video=False,
            told=told(guest_id, user_data),
        )
        return replace(guest, **values)

    def run(self, guest: Guest) -> "Console":
        """Have a guest run; return its console when it is ready."""
        self.host.define(guest, running=True)
        console = Console(self, guest.id)
        console.wait_for("GUEST ready")
        return console

    def power_of(self, guest_id: str) -> Power | None:
        """Return what a guest does."""
        found = self.host.find(guest_id)
        return None if found is None else found.power

    def await_power(self, guest_id: str, power: Power) -> None:
        """Return when a guest does this."""
        until(f"{guest_id} is {power}", lambda: self.power_of(guest_id) is power)

    def let_go(self, guest_id: str, serial: str) -> None:
        """Have a guest let go of a disk."""
        until("the disk has left", lambda: serial not in self.host.detach(guest_id, serial).disks)

    def resize(self, guest_id: str, serial: str, size: int) -> GuestState:
        """Have a guest see that a disk is larger."""

        def done() -> GuestState | None:
            with contextlib.suppress(NotYet, Unreachable):
                return self.host.resize(guest_id, serial, size)
            return None

        found: GuestState = until("the guest sees the size", done)
        return found

    def qemu_of(self, guest_id: str) -> int:
        """Return the process of a guest; 0: there is none."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if b"qemu" in words[0] and any(f"guest={guest_id}".encode() in word for word in words):
                    return int(path.parent.name)
        return 0

    def close(self) -> None:
        """Remove all guests, and stop everything."""
        if self._agent is None:
            with contextlib.suppress(AssertionError):
                self.start_agent()
        for state in self.host.seen().guests:
            with contextlib.suppress(Unreachable):
                self.host.remove(state.id)
        self.end_agent()
        self.cluster.holdfast("down", check=False)


class MadeLogin(ServiceLogin):
    """A login that has its token."""

    def __init__(self, text: str) -> None:
        self._made = text

    def token(self) -> str:
        return self._made

    def forget(self) -> None:
        """There is no other."""


class Console:
    """The console of a guest: what it said, and a shell."""

    def __init__(self, site: Site, guest_id: str) -> None:
        self._site, self.guest_id = site, guest_id
        self._begins = 0  # of what is new, in all that was said

    def text(self) -> str:
        """Return what the guest said since it was looked away from."""
        return self._site.host.console_log(self.guest_id, None)[self._begins :]

    def look_away(self) -> None:
        """Take for new only what comes from now on."""
        self._begins = len(self._site.host.console_log(self.guest_id, None))

    def wait_for(self, words: str, timeout_s: float = WAIT_S) -> str:
        """Return the line with these words, once it is whole."""

        def line() -> str:
            return next((line for line in self.text().splitlines(keepends=True) if words in line and "\n" in line), "")

        try:
            found: str = until(words, line, timeout_s)
        except AssertionError:
            raise AssertionError(f"{words!r} was not said: {self.text()[-2000:]}") from None
        return found.strip()

    def do(self, command: str, check: bool = True, timeout_s: float = WAIT_S) -> str:
        """Run a command in the guest; return what it printed."""
        self.begin(command)
        return self.done(check, timeout_s)

    def begin(self, command: str) -> None:
        """Have the guest begin with a command."""
        self.look_away()
        # in the shell's own words the marks have quotes, so that its echo is not taken for an answer
        line = f"echo BE''GAN; {command}; echo END''ED $?\n"
        display = self._site.host.display(self.guest_id, "serial")
        with socket.create_connection((display.host, display.port), timeout=30) as connection:
            connection.sendall(f"{display.password}\n".encode() + line.encode())
            connection.settimeout(WAIT_S)
            said = b""
            while b"BEGAN\r\n" not in said:  # what was sent has arrived
                data = connection.recv(4096)
                assert data, f"the serial line ended: {said[-500:]!r}"
                said += data

    def done(self, check: bool = True, timeout_s: float = WAIT_S) -> str:
        """Wait for the command that was begun; return what it printed."""
        ended = self.wait_for("ENDED ", timeout_s)
        text = self.text()
        said = re.split(r"BEGAN\r?\n", text, maxsplit=1)[-1].split("ENDED ")[0]
        assert not check or ended.endswith("ENDED 0"), f"{ended}: {said}"
        return said.strip()


def told(guest_id: str, user_data: bytes = b"") -> Told:
    """Return what a guest is told of itself."""
    name = f"host-{guest_id[:4]}"
    return Told(
        meta_data={"uuid": guest_id, "name": name, "hostname": name, "public_keys": {"mine": "ssh-ed25519 AAAA me"}},
        network_data={"links": [], "networks": [], "services": []},
        user_data=base64.b64encode(user_data).decode(),
        ec2={"instance-type": "tiny", "ami-id": "ami-00000001"},
    )


def running(
    directory: Path, networking: str = "user", before: Callable[[Site], None] = lambda _site: None
) -> Iterator[Site]:
    """Yield a site whose agent serves, and end all of it afterwards. `before`: done before the agent starts."""
    site = Site(directory / "data", networking)
    try:
        before(site)
        site.start_agent()
        site.make_golden(directory / "tiny")
        yield site
    finally:
        site.close()


def is_alive(process: int) -> bool:
    """Tell whether a process runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def card(number: int = 1, network_id: str = "", addresses: tuple[str, ...] = ()) -> Nic:
    """Return a network card."""
    mac = f"52:54:00:00:00:{number:02x}"
    return Nic(mac=mac, port_id=str(uuid.uuid4()), network_id=network_id or str(uuid.uuid4()), addresses=addresses)
