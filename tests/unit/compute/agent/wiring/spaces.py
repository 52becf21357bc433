"""Namespaces that stand for hosts, in each of which an agent's wiring runs, and for their guests.

Only root can, where ip, bridge, nft, dnsmasq and busybox are: LACKING says what is not here.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compute.agent.wiring import host
from compute.agent.wiring.names import Names
from tests.unit.compute.agent.wiring.wanted import NETWORK_ID

_TOOLS = ("busybox", "nsenter", "unshare")
LACKING = host.lacking() + [f"{tool} not found" for tool in _TOOLS if shutil.which(tool) is None]

LIMIT_S = 30.0
ROOT = Path(__file__).parents[5]
# It sees its own devices in /sys, and what it mounts in /run/netns is seen by all.
_OWN_SYS = 'mount --make-private /sys; mount -t sysfs sysfs /sys && exec "$@"'


def until(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.05)


class Host:
    """A namespace that stands for a host, in which an agent's wiring runs."""

    def __init__(self, directory: Path, address: str, *allowed: str) -> None:
        """`allowed`: prefixes that its guests may reach although they are near, or private."""
        directory.mkdir()
        self.address, self.names = address, Names.of(str(directory), 0)
        self.space = f"host-{self.names.mark}"
        host.ip(("netns", "add", self.space))
        host.ip(("-n", self.space, "link", "set", "lo", "up"))
        inside = ("nsenter", f"--net=/run/netns/{self.space}", "unshare", "--mount", "--propagation", "unchanged")
        own = (sys.executable, "-m", "tests.unit.compute.agent.wiring.one_host", str(directory), address, *allowed)
        self._process = subprocess.Popen(
            [*inside, "sh", "-c", _OWN_SYS, "sh", *own], stdin=-1, stdout=-1, text=True, cwd=ROOT
        )

    def bring(self, whole: Any) -> list[str]:
        """Have the host be so; return its warnings."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(whole) + "\n")
        self._process.stdin.flush()
        return list(json.loads(self._process.stdout.readline()))

    @property
    def tunnel(self) -> str:
        """Return what leads to other hosts; empty: nothing does."""
        device = self.names.tunnel(NETWORK_ID)
        return device if device in host.ip(("-n", self.space, "-br", "link")) else ""

    def entries(self) -> set[tuple[str, str]]:
        """Return which MACs are known to be at which host."""
        lines = host.run(("bridge", "-n", self.space, "-j", "fdb", "show", "dev", self.tunnel))
        return {(each["mac"], each["dst"]) for each in json.loads(lines) if "dst" in each}

    def reaches(self, address: str) -> bool:
        """Tell whether an answer to a ping comes."""
        ping = ["ip", "netns", "exec", self.space, "busybox", "ping", "-c", "1", "-W", "1", address]
        return subprocess.run(ping, capture_output=True, check=False, timeout=LIMIT_S).returncode == 0

    def left(self) -> str:
        """Return what the agent has made, and is there; empty: nothing is."""
        found = [line for line in host.ip(("-n", self.space, "-o", "link")).splitlines() if self.names.mark in line]
        found += [line for line in host.ip(("netns",)).splitlines() if line.startswith(self.names.mark)]
        tables = host.run(("ip", "netns", "exec", self.space, "nft", "list", "tables"))
        found += [line for line in tables.splitlines() if self.names.mark in line]
        return "\n".join(line for line in found if self.names.taps.removesuffix("*") not in line)

    def close(self) -> None:
        """End its agent, which takes away all that it has made; guests' cards must be gone."""
        self._process.communicate(timeout=LIMIT_S)
        left = self.left()
        host.ip(("netns", "del", self.space))
        assert left == ""


class Guest:
    """A namespace with a card of a host."""

    def __init__(self, there: Host, about: dict[str, Any]) -> None:
        self.space, self.mac, self.address = f"guest-{there.names.mark}-{about['id'][:4]}", about["mac"], ""
        tap = there.names.tap(about["id"])
        host.ip(("netns", "add", self.space))
        end = ("peer", "name", "eth0", "address", self.mac, "mtu", "1450", "netns", self.space)
        host.ip(("-n", there.space, "link", "add", tap, "mtu", "1450", "type", "veth", *end))
        host.ip(("-n", there.space, "link", "set", tap, "master", there.names.bridge(about["network_id"]), "up"))
        for device in ("lo", "eth0"):
            host.ip(("-n", self.space, "link", "set", device, "up"))
        self.add(about["addresses"][0])

    def add(self, address: str) -> None:
        """Have one more address."""
        host.ip(("-n", self.space, "address", "add", f"{address}/24", "dev", "eth0"))

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        whole = ["ip", "netns", "exec", self.space, "busybox", *command]
        return subprocess.run(whole, capture_output=True, text=True, check=False, timeout=LIMIT_S)

    def reaches(self, address: str, *options: str) -> bool:
        """Tell whether an answer to a ping comes."""
        return self.run("ping", "-c", "1", "-W", "1", *options, address).returncode == 0

    def answers(self, count: int, address: str) -> str:
        """Ask all, so many times, who has an address; return what they say."""
        return self.run("arping", "-c", str(count), "-b", "-I", "eth0", address).stdout

    def close(self) -> None:
        host.ip(("netns", "del", self.space))
