"""Nodes with a network each: namespaces of Linux, joined by bridges, which can be cut apart for real.

Every node has two interfaces, as a rack has two networks: one for its peers, on bridges that tests cut and join, and
one for clients and operators, which stays. Cutting moves the nodes of one side to another bridge: what is sent across
goes nowhere, and nobody is told. It needs root, and the `ip` of iproute2.

Names and addresses come from the process id, so that several runs go side by side; what a run that was killed left
behind is removed by the next one.
"""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

_PREFIX = "hft"  # of everything we make; an interface has a name of at most 15 letters
_NAMESPACES = Path("/run/netns")
_OUR_ADDRESS = 254  # on both networks, as the last byte


def reason_to_skip() -> str:
    """Return why there can be no such network here; empty when there can."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    name = f"{_PREFIX}{os.getpid()}-try"
    try:
        _ip("netns", "add", name)
        try:
            _ip("link", "add", f"{_PREFIX}{os.getpid()}t", "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "add", f"{_PREFIX}{os.getpid()}b", "type", "bridge")
            _ip("link", "del", f"{_PREFIX}{os.getpid()}b")
        finally:
            _ip("netns", "del", name)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"network namespaces cannot be made here: {error}"
    return ""


class Network:
    """Named nodes on two networks."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._tag = f"{_PREFIX}{os.getpid()}"
        pid = os.getpid()
        self._clients = f"10.{64 + (pid >> 8) % 64}.{pid % 256}"
        self._peers = f"10.{128 + (pid >> 8) % 64}.{pid % 256}"

    def __repr__(self) -> str:
        return f"Network({self._tag}, {', '.join(self.names)})"

    def namespace(self, name: str) -> str:
        """Return the namespace of a node."""
        return f"{self._tag}-{name}"

    def host(self, name: str) -> str:
        """Return the address at which its peers reach a node."""
        return f"{self._peers}.{1 + self.names.index(name)}"

    def listen(self, name: str) -> str:
        """Return the address at which clients and operators reach a node."""
        return f"{self._clients}.{1 + self.names.index(name)}"

    def make(self) -> None:
        """Make it, whole."""
        _remove_leftovers()
        for bridge in (self._bridge(0), self._bridge(1), self._client_bridge):
            _ip("link", "add", bridge, "type", "bridge")
            _ip("link", "set", bridge, "up")
        _ip("address", "add", f"{self._clients}.{_OUR_ADDRESS}/24", "dev", self._client_bridge)
        _ip("address", "add", f"{self._peers}.{_OUR_ADDRESS}/24", "dev", self._bridge(0))
        for name in self.names:
            namespace = self.namespace(name)
            _ip("netns", "add", namespace)
            _ip("-n", namespace, "link", "set", "lo", "up")
            self._plug(name, "eth0", self._port(name), self._bridge(0), self.host(name))
            self._plug(name, "eth1", self._client_port(name), self._client_bridge, self.listen(name))

    def _plug(self, name: str, inside: str, outside: str, bridge: str, address: str) -> None:
        namespace = self.namespace(name)
        _ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", namespace)
        _ip("link", "set", outside, "master", bridge, "up")
        _ip("-n", namespace, "address", "add", f"{address}/24", "dev", inside)
        _ip("-n", namespace, "link", "set", inside, "up")

    def cut(self, side: Sequence[str]) -> None:
        """Cut the peers' network between the nodes of `side` and all others. Before it is joined, cut it once."""
        for name in side:
            _ip("link", "set", self._port(name), "master", self._bridge(1))

    def join(self) -> None:
        """Join what was cut."""
        for name in self.names:
            _ip("link", "set", self._port(name), "master", self._bridge(0))

    def remove(self) -> None:
        """Remove it; processes in its namespaces should be gone."""
        _remove(self._tag)

    def _bridge(self, side: int) -> str:
        return f"{self._tag}b{side}"

    @property
    def _client_bridge(self) -> str:
        return f"{self._tag}bc"

    def _port(self, name: str) -> str:
        return f"{self._tag}p{self.names.index(name)}"

    def _client_port(self, name: str) -> str:
        return f"{self._tag}c{self.names.index(name)}"


@contextlib.contextmanager
def network(names: Sequence[str]) -> Iterator[Network]:
    """Make a network for the block."""
    made = Network(names)
    try:
        made.make()
        yield made
    finally:
        made.remove()


def _remove_leftovers() -> None:
    """Remove what belongs to runs that are gone."""
    found = [*_found(_NAMESPACES), *_found(Path("/sys/class/net"))]
    pids = {match[1] for name in found if (match := re.match(rf"{_PREFIX}(\d+)[-bpct]", name))}
    for pid in pids:
        if not Path(f"/proc/{pid}").exists():
            _remove(f"{_PREFIX}{pid}")


def _remove(tag: str) -> None:
    for name in _found(_NAMESPACES):
        if name.startswith(f"{tag}-"):
            _ip("netns", "del", name)
    for name in _found(Path("/sys/class/net")):
        if re.fullmatch(rf"{tag}[bpct][0-9c]*", name):
            with contextlib.suppress(subprocess.CalledProcessError):  # veth pairs go with their namespace, a bit later
                _ip("link", "del", name)


def _found(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []


def _ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True, capture_output=True, text=True, timeout=20)
