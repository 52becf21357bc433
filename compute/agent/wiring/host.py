"""The host's own tools: ip, nft, dnsmasq, and what the kernel tells in /sys. Only what `bridge` asks for.

Commands are lists of arguments, never a line for a shell. Raise `compute.stored.Refused` with what the tool said.
"""

import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from compute.agent.wiring.dhcp import Files
from compute.agent.wiring.links import Inside, Link, Seen
from compute.agent.wiring.names import INSIDE, Names
from compute.agent.wiring.tunnels import SeenTunnel
from compute.agent.wiring.wanted import Endpoint
from compute.stored import Refused

TOOLS = ("ip", "bridge", "nft", "dnsmasq")  # of Debian's iproute2, nftables, dnsmasq-base
_TIMEOUT_S = 30.0
_LINKS = Path("/sys/class/net")
_NAMESPACES = Path("/run/netns")
_BRIDGE_FILTER = Path("/proc/sys/net/bridge")
_SPECIAL = frozenset('"#\\')  # mean something in its files, and not as an argument
_UP = 0x1  # IFF_UP
_RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))  # where a local one asks, the second
_FAR_AWAY, _NOWHERE = ("192.0.2.1", 9), "127.0.0.1"  # the first: RFC 5737, nobody's


def lacking() -> list[str]:
    """Return, in words, what the host lacks for bridges."""
    found = []
    if os.geteuid() != 0:
        found.append("bridges need root")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        found.append(f"{', '.join(missing)} not found: apt-get install iproute2 nftables dnsmasq-base")
    return found


def bring_filter() -> bool:
    """Have bridges be able to hand packets to the ordinary hooks; tell whether they are."""
    if not _BRIDGE_FILTER.is_dir() and shutil.which("modprobe"):
        subprocess.run(["modprobe", "br_netfilter"], capture_output=True, check=False, timeout=_TIMEOUT_S)  # noqa: S607
    return _BRIDGE_FILTER.is_dir()


def links(names: Names) -> dict[str, Link]:
    """Return the devices of an agent."""
    found = {}
    for name in os.listdir(_LINKS):
        if name.startswith(names.mark):
            with suppress(OSError, ValueError):  # it went
                found[name] = _link(_LINKS / name)
    return found


def seen(names: Names) -> Seen:
    """Return what there is of an agent."""
    spaces = os.listdir(_NAMESPACES) if _NAMESPACES.is_dir() else []
    found = links(names)
    inside = {name: _inside(name) for name in spaces if name.startswith(f"{names.mark}-")}
    return Seen(found, inside, _tunnels(names, found))


def ip(arguments: Sequence[str]) -> str:
    """Run `ip`."""
    return run(("ip", *arguments))


def change_entries(lines: Sequence[str]) -> None:
    """Have tunnels know, or not know any more, where MACs are."""
    if lines:
        run(("bridge", "-batch", "-"), "\n".join((*lines, "")))


def own_address() -> str:
    """Return the address from which this host reaches others that are far away; loopback, where it reaches none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(_FAR_AWAY)  # nothing is sent
        return str(probe.getsockname()[0])
    return _NOWHERE


def resolvers() -> tuple[str, ...]:
    """Return the name servers that the host asks, of those that others can ask as well."""
    for path in _RESOLVERS:
        with suppress(OSError):
            words = [line.split() for line in path.read_text().splitlines()]
            named = [each[1] for each in words if len(each) > 1 and each[0] == "nameserver"]
            if found := tuple(each for each in named if _is_asked_from_afar(each)):
                return found
    return ()


def without_ipv6(name: str) -> None:
    """Have the host itself not speak IPv6 on a device: it is there for others."""
    with suppress(OSError):
        (Path("/proc/sys/net/ipv6/conf") / name / "disable_ipv6").write_text("1")


def load(ruleset: str) -> None:
    """Have nftables take a text, at once or not at all."""
    run(("nft", "-f", "-"), ruleset)


def loaded(names: Names) -> str:
    """Return the rules of an agent as nftables has them; empty: some are not there."""
    try:
        return "".join(run(("nft", "list", "table", family, names.mark)) for family in ("bridge", "inet"))
    except Refused:
        return ""


def takes_option(argument: str) -> bool:
    """Tell whether dnsmasq understands an option: one that it does not would end it."""
    if set(argument) & _SPECIAL:
        return False
    try:
        run(("dnsmasq", "--test", "--conf-file=/dev/null", f"--dhcp-option={argument}"))
    except Refused:
        return False
    return True


def serve_dhcp(space: str, directory: Path, files: Files) -> bool:
    """Have a dnsmasq serve in a namespace; tell whether it was begun anew, or told of changes."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    is_new = _write(directory / "config", files.config)
    parts = {"hosts": files.hosts, "options": files.options, "names": files.names}
    written = [_write(directory / name, text) for name, text in parts.items()]  # all of them
    pid = _pid_of(directory)
    if pid is not None and not is_new:
        if any(written):
            _signal(pid, signal.SIGHUP)
        return any(written)
    stop_dhcp(directory, keep_files=True)
    run(("ip", "netns", "exec", space, "dnsmasq", f"--conf-file={directory / 'config'}"))
    return True


def stop_dhcp(directory: Path, keep_files: bool = False) -> None:
    """Have no dnsmasq serve with the files of a directory."""
    pid = _pid_of(directory)
    if pid is not None:
        _signal(pid, signal.SIGKILL)  # it has nothing to lose
        until_s = time.monotonic() + _TIMEOUT_S
        while _pid_of(directory) == pid and time.monotonic() < until_s:  # its port must be free
            time.sleep(0.01)
    if not keep_files:
        shutil.rmtree(directory, ignore_errors=True)


def run(command: Sequence[str], text: str = "") -> str:
    """Return what a command says. Raise Refused."""
    try:
        done = subprocess.run(  # noqa: S603 no shell, and all that comes from outside is checked before
            list(command), input=text, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"{' '.join(command)}: {error}") from error
    if done.returncode:
        raise Refused(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _is_asked_from_afar(address: str) -> bool:
    try:
        return not ipaddress.IPv4Address(address).is_loopback
    except ValueError:
        return False


def _link(path: Path) -> Link:
    flags = int((path / "flags").read_text(), 16)
    master = path / "master"
    return Link(int((path / "mtu").read_text()), bool(flags & _UP), master.readlink().name if master.exists() else "")


def _inside(space: str) -> Inside | None:
    try:
        found = json.loads(ip(("-j", "-n", space, "address", "show", "dev", INSIDE)))
        routes = json.loads(ip(("-j", "-n", space, "-4", "route", "show", "default")) or "[]")
    except (Refused, ValueError):
        return None
    if not found:
        return None
    link = found[0]
    addresses = frozenset(
        f"{each['local']}/{each['prefixlen']}" for each in link.get("addr_info", ()) if each.get("scope") != "link"
    )
    way_out = next((each["gateway"] for each in routes if "gateway" in each), "")
    return Inside(link["address"], link["mtu"], "UP" in link["flags"], addresses, way_out)


def _tunnels(names: Names, found: Iterable[str]) -> dict[str, SeenTunnel]:
    own = {name for name in found if name.startswith(names.tunnels.removesuffix("*"))}
    if not own:
        return {}
    entries = json.loads(run(("bridge", "-j", "fdb", "show")) or "[]")
    return {
        link["ifname"]: _tunnel(link, [each for each in entries if each.get("ifname") == link["ifname"]])
        for link in json.loads(ip(("-j", "-d", "link", "show", "type", "vxlan")) or "[]")
        if link["ifname"] in own
    }


def _tunnel(link: dict[str, Any], entries: Iterable[dict[str, Any]]) -> SeenTunnel:
    about = link["linkinfo"]["info_data"]
    own = Endpoint(about.get("local") or about.get("local6", ""), about["port"])
    known = ((each["mac"], Endpoint(each["dst"], each.get("port", own.port))) for each in entries if "dst" in each)
    return SeenTunnel(about["id"], own, frozenset(known))


def _write(path: Path, text: str) -> bool:
    """Have a file be so; tell whether it was otherwise."""
    with suppress(OSError):
        if path.read_text() == text:
            return False
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o644)
    new.replace(path)
    return True


def _pid_of(directory: Path) -> int | None:
    """Return the process that serves with the files of a directory; None: there is none."""
    try:
        pid = int((directory / "pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if f"--conf-file={directory / 'config'}".encode() in command else None


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
