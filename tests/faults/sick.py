"""Sick disks and wrong clocks for the processes of a cluster: sick_disk.c, compiled and told what to do.

`SickHardware.prepare(directory)` before the cluster starts; its processes inherit the library. Then rules come and go
while they run.
"""

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cluster.config import Config, load
from cluster.layout import Layout
from cluster.telemetry.probe import Health, health
from tests.cluster import Cluster

SOURCE = Path(__file__).with_name("sick_disk.c")
_CONTROL_SIZE = 4096


class SickHardware:
    """What is wrong, in which directory or process."""

    def __init__(self, library: Path, control: Path) -> None:
        self._library = library
        self._control = control
        self._rules: list[str] = []
        self._generation = 0
        self._publish()

    @classmethod
    def prepare(cls, directory: Path) -> "SickHardware":
        """Compile the library into `directory`."""
        library = directory / "libsick.so"
        command = ["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return cls(library, directory / "sick-control")

    @contextlib.contextmanager
    def inherited(self) -> Iterator[None]:
        """Have processes that are started within the block, and their children, go through the library."""
        os.environ |= {"LD_PRELOAD": str(self._library), "HOLDFAST_SICK": str(self._control)}
        try:
            yield
        finally:
            del os.environ["LD_PRELOAD"], os.environ["HOLDFAST_SICK"]

    @contextlib.contextmanager
    def fault(self, name: str, what: Path | str, number: int = 0) -> Iterator[None]:
        """Have one more fault while the block lasts."""
        rule = f"{name} {number} {what}"
        self._rules.append(rule)
        self._publish()
        try:
            yield
        finally:
            self._rules.remove(rule)
            self._publish()

    def _publish(self) -> None:
        self._generation += 1
        content = "\n".join([f"G{self._generation}", *self._rules, ""]).encode()
        assert len(content) < _CONTROL_SIZE
        flags = os.O_WRONLY | os.O_CREAT
        control = os.open(self._control, flags, 0o600)
        try:
            if os.fstat(control).st_size < _CONTROL_SIZE:
                os.truncate(control, _CONTROL_SIZE)
            first, rest = content.split(b"\n", 1)
            body = (b"\n" + rest).ljust(_CONTROL_SIZE - len(first), b"\0")
            os.pwrite(control, body, len(first))  # the number last: by then the rules are there
            os.pwrite(control, first, 0)
        finally:
            os.close(control)


def running_on(hardware: SickHardware, directory: Path) -> Iterator[Cluster]:
    """Yield a started cluster whose processes go through the library, and stop it at the end."""
    cluster = Cluster(directory)
    with hardware.inherited():
        cluster.up()
    try:
        yield cluster
    finally:
        cluster.holdfast("down", check=False)


def directory_of(cluster: Cluster, device_id: int) -> Path:
    """Return where a device stores."""
    layout, config = _layout_and_config(cluster)
    return layout.device(config.device(device_id))


def healthz(cluster: Cluster, device_id: int) -> Health | None:
    """Return what a device's daemon says of itself; quicker than `holdfast status`, which says the same."""
    _layout, config = _layout_and_config(cluster)
    return health(config.storage_admin_listen(device_id), config.ports.storage_admin_port(device_id))


def _layout_and_config(cluster: Cluster) -> tuple[Layout, Config]:
    layout = Layout(cluster.directory)
    return layout, load(layout.config)


def condition(cluster: Cluster, device_id: int) -> str:
    """Return the condition of a device's disk in the words of status; empty while nobody tells."""
    answer = healthz(cluster, device_id)
    facts = answer.details.get("health") if answer is not None else None
    return str(facts["condition"]) if facts else ""


def explanation(cluster: Cluster, device_id: int) -> str:
    """Return what `holdfast status` says about the disk of a device."""
    told = cluster.holdfast("status", check=False).splitlines()
    return next((line for line in told if line.startswith(f"The disk of device {device_id} ")), "")


def await_true(what: str, is_so: Callable[[], bool], timeout_s: float = 30.0) -> float:
    """Return how long it took until `is_so`."""
    begin = time.monotonic()
    while not is_so():
        assert time.monotonic() - begin < timeout_s, f"not so after {timeout_s:.0f} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - begin


def await_condition(cluster: Cluster, device_id: int, expected: str, timeout_s: float = 30.0) -> float:
    """Return how long it took until the disk of a device was as expected."""
    return await_true(
        f"the disk of device {device_id} is {expected}",
        lambda: condition(cluster, device_id) == expected,
        timeout_s,
    )


def await_serving(cluster: Cluster, device_id: int, timeout_s: float = 90.0) -> float:
    """Return how long it took until a device serves and votes, with a disk that is well, and every proxy reaches it."""

    def serves() -> bool:
        answer = healthz(cluster, device_id)
        if answer is None or not answer.serves or condition(cluster, device_id) != "ok":
            return False
        return bool(answer.details["membership"]["state"] == "whole")

    took_s = await_true(f"device {device_id} serves", serves, timeout_s)
    for where in _proxies(cluster):
        await_true(f"the proxy at {where} reaches all devices", lambda where=where: _out_of_reach(where) == [])  # type: ignore[misc]
    return took_s


def _proxies(cluster: Cluster) -> list[tuple[str, int]]:
    _layout, config = _layout_and_config(cluster)
    workers = range(config.worker_count())
    return [(config.proxy_admin_listen(worker), config.ports.proxy_admin_port(worker)) for worker in workers]


def _out_of_reach(proxy: tuple[str, int]) -> list[int] | None:
    """Return the devices that a proxy does not reach; None when it does not answer."""
    answer = health(*proxy)
    return answer.details.get("devices_down") if answer is not None else None


class Company:
    """Whether a second device was out of reach while one was sick: one more than the cluster is built to do without.

    That happens when the machine's own disks stall: daemons find out that they hang, as they should.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.seen: set[tuple[int, ...]] = set()  # the devices that were out of reach together
        self._proxies = _proxies(cluster)
        self._over = threading.Event()

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Look while the block lasts."""
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join(timeout=30)

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            for proxy in self._proxies:
                devices = _out_of_reach(proxy) or []
                if len(devices) > 1:
                    self.seen.add(tuple(devices))
