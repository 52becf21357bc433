"""A host lost for good: what its guest had is written to elsewhere within a lease's time, and never again by it."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blockgw.lease import TTL_S
from tests.guests import tiny
from tests.guests.agents import until
from tests.guests.clouds import Cloud

pytestmark = [pytest.mark.long, pytest.mark.alone]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    made = Cloud(tmp_path_factory.mktemp("lost"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def image(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return cloud.image(tiny.disk(tmp_path_factory.mktemp("tiny")), "tiny")


class Machine:
    """The qemu of a guest, where it is now."""

    def __init__(self, cloud: Cloud, server: Any) -> None:
        self.host: str = cloud.compute.get_server(server).compute_host
        number = list(cloud.hosts).index(self.host)
        self.agent = cloud.cluster.processes()[f"agent-{number}"]
        self.process = _qemu_of(server.id)
        self._port = cloud.config.ports.nbd_port
        place = cloud.cluster.directory / f"agent-{number}" / "guests"
        self._console, self._document = place / server.id / "console.log", place / f"{server.id}.json"

    def export_of(self, volume: Any) -> str:
        """Return the URI by which it has a volume, with what lets it in."""
        disks = json.loads(self._document.read_text())["guest"]["disks"]
        (export,) = [each["export"] for each in disks if each["serial"] == volume.id]
        return f"nbd://127.0.0.1:{self._port}/{export}"

    def writes(self) -> int:
        """Return how many writes its guest has told of."""
        return self._console.read_text(errors="replace").count("GUEST wrote")

    def is_connected(self) -> bool:
        """Tell whether it has a connection to the gateway."""
        told = _run("ss", "-Htnp", "state", "established", f"dport = :{self._port}")
        return f"pid={self.process}," in told.stdout

    def is_there(self) -> bool:
        """Tell whether it has not ended."""
        return Path(f"/proc/{self.process}/cmdline").exists()


def _qemu_of(guest_id: str) -> int:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_text()
            if "qemu" in words.split("\0")[0] and f"guest={guest_id}" in words:
                return int(path.parent.name)
    raise AssertionError(f"no qemu runs for {guest_id}")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _write(uri: str) -> subprocess.CompletedProcess[str]:
    return _run("qemu-io", "-f", "raw", "-c", "write -P 7 64k 4k", "-c", "flush", uri)


@pytest.mark.timeout(1800)
def test_a_lost_hosts_volume_is_in_use_elsewhere_within_a_lease_and_it_writes_no_more(cloud: Cloud, image: Any) -> None:
    """docs/volumes.md, "Several gateways": somebody else comes in when the lease is over, within ten seconds."""
    volume = cloud.volume(size=1, name="data")
    server = cloud.server("evacuated", image_id=image.id)
    cloud.compute.create_volume_attachment(server, volume_id=volume.id)
    cloud.await_volume(volume, "in-use")
    console = cloud.console(server)
    console.wait_for("GUEST ready")
    console.do(f"until disk {volume.id}; do sleep 0.1; done; echo lost >/run/word")
    write = f"dd if=/run/word of=$(disk {volume.id}) conv=notrunc,fsync 2>/dev/null"
    console.begin(f"while {write}; do echo GUEST wrote; done")  # for as long as it can
    console.wait_for("GUEST wrote")
    old = Machine(cloud, server)
    assert _write(old.export_of(volume)).returncode == 0
    stopped = [old.process, old.agent]
    for each in stopped:
        os.kill(each, signal.SIGSTOP)
    lost_s = time.monotonic()
    try:
        cloud.compute.update_service_forced_down(cloud.agent_of(old.host), old.host, "nova-compute", True)
        cloud.compute.evacuate_server(server)
        until(
            "it runs elsewhere",
            lambda: (found := cloud.compute.get_server(server)).compute_host != old.host and found.status == "ACTIVE",
        )
        attached_s = time.monotonic() - lost_s
        console = cloud.console(server)
        console.wait_for("GUEST ready")
        console.do(f"until disk {volume.id}; do sleep 0.1; done; echo mine >/run/word; {write}")
        written_s = time.monotonic() - lost_s
        print(f"attached elsewhere {attached_s:.1f} s after the loss; written to after {written_s:.1f} s")
        read = f"dd if=$(disk {volume.id}) bs=512 count=1 iflag=direct 2>/dev/null | head -c 4"
        written = old.writes()
        # what the lost host has does not let it in, while its guest's new host writes
        assert _write(old.export_of(volume)).returncode != 0
        # its machine is back, before anybody is there who would end it
        os.kill(stopped.pop(0), signal.SIGCONT)
        until("its connections are gone", lambda: not old.is_connected())
        time.sleep(2)  # in which it would have written thousands of times
        assert old.is_there()
        assert old.writes() <= written + 2  # what was under way, and on its way to the console, as it was stopped
        assert console.do(read) == "mine"
    finally:
        for each in stopped:
            os.kill(each, signal.SIGCONT)
    until("the lost host has removed it", lambda: cloud.hosts[old.host].find(server.id) is None and not old.is_there())
    assert console.do(read) == "mine"
    assert attached_s < TTL_S
    cloud.compute.update_service_forced_down(cloud.agent_of(old.host), old.host, "nova-compute", False)
    cloud.remove(server)
    cloud.await_volume(volume, "available")
