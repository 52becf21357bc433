"""A virtual machine with a volume for its disk: what its kernel and its file system notice of what happens here."""

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.config import load
from tests.cluster import Cluster, running
from tests.guest import Guest, longest_pause_s

ROUNDS = int(os.environ.get("HOLDFAST_TEST_ROUNDS", "1"))  # of each incident
PAUSE_S = 5.0  # the longest that a guest may wait for its disk
FILE_BYTES = 16384
SETTLE_S = 2.0  # of writing, before and after each incident

pytestmark = pytest.mark.alone  # it measures

# each file has its number over and over, and is said to be there when it is synced
SCRIPT = f"""
mount -t ext4 /dev/vda /mnt && say mounted
(read line; touch /stop) < /dev/ttyS0 &
n=0
while [ ! -e /stop ]; do
    n=$((n + 1))
    yes $n | head -c {FILE_BYTES} > /tmp/file
    if dd if=/tmp/file of=/mnt/$n bs={FILE_BYTES} conv=fsync 2>/tmp/error; then
        say synced $n
    else
        say failed $n: $(cat /tmp/error)
    fi
done
umount /mnt && say unmounted
dmesg | grep -i 'i/o error' && say errors
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from running(tmp_path_factory.mktemp("guests") / "data")


@pytest.fixture(scope="module")
def guest(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """It writes and syncs one file after the other."""
    directory = tmp_path_factory.mktemp("guest")
    image = directory / "image"
    with image.open("wb") as file:
        file.truncate(256 << 20)
    run("mkfs.ext4", "-q", str(image))
    cluster.holdfast("volume", "create", "disk", "256M")
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", str(image), cluster.nbd("disk"))
    port = 10809 + cluster.offset
    guest = Guest(
        directory, SCRIPT,
        "-blockdev", json.dumps({
            "driver": "nbd", "node-name": "disk", "export": "disk", "reconnect-delay": 60,
            "server": {"type": "inet", "host": "127.0.0.1", "port": str(port)},
            "cache": {"direct": True, "no-flush": False},
        }),
        "-device", "virtio-blk-pci,drive=disk,serial=disk",
    )  # fmt: skip
    guest.wait_for("mounted")
    guest.wait_for("synced", count=10)
    yield guest
    guest.close()


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


def flush_count(cluster: Cluster) -> int:
    """Return how many flushes of the volume the gateway has answered since it was started."""
    ports = load(cluster.directory / "cluster.toml").ports
    with urllib.request.urlopen(f"http://{ports.admin_listen}:{ports.gateway_admin_port(0)}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    wanted = 'holdfast_nbd_request_seconds_count{export="disk",command="flush"} '
    return next(int(float(line.removeprefix(wanted))) for line in lines if line.startswith(wanted))


def goes_on(guest: Guest, since: float) -> None:
    """Check that the guest has written all the time since then, and writes still, with no more than a short pause."""
    until = time.monotonic() + PAUSE_S + SETTLE_S
    time.sleep(SETTLE_S)
    while time.monotonic() < until and not [when for when in guest.times_of("synced") if when > until - SETTLE_S]:
        time.sleep(0.1)
    times = [when for when in guest.times_of("synced") if when > since - SETTLE_S]
    pause_s = longest_pause_s([*times, time.monotonic()])
    print(f"{pause_s:.1f} s")
    assert pause_s <= PAUSE_S
    assert not guest.times_of("failed")


def test_each_fsync_in_a_guest_reaches_the_gateway_as_a_flush(cluster: Cluster, guest: Guest) -> None:
    flushes, synced = flush_count(cluster), len(guest.times_of("synced"))
    guest.wait_for("synced", count=synced + 30)
    assert flush_count(cluster) - flushes >= 30 - 1  # the first of them may have been on its way


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_guest_goes_on_when_the_gateway_is_started_again(cluster: Cluster, guest: Guest, number: int) -> None:
    for _ in range(ROUNDS):
        began = time.monotonic()
        gateway = cluster.processes()["gateway-0"]
        os.kill(gateway, number)
        deadline = began + PAUSE_S
        while cluster.processes().get("gateway-0", gateway) == gateway:
            assert time.monotonic() < deadline, "the gateway is not started again"
            time.sleep(0.05)
        goes_on(guest, began)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_guest_goes_on_without_one_of_the_nodes(cluster: Cluster, guest: Guest, number: int) -> None:
    for round_number in range(ROUNDS):
        began = time.monotonic()
        device = cluster.processes()[f"storage-{round_number % cluster.nodes}"]
        os.kill(device, number)
        try:
            goes_on(guest, began)
        finally:
            if number == signal.SIGSTOP:
                os.kill(device, signal.SIGCONT)
        goes_on(guest, time.monotonic())
        cluster.await_connected()


def test_a_guest_goes_on_when_everything_was_killed_and_is_started_again(cluster: Cluster, guest: Guest) -> None:
    for _ in range(ROUNDS):
        synced = len(guest.times_of("synced"))
        cluster.kill_everything()
        cluster.up()
        guest.wait_for("synced", count=synced + 10)
        assert not guest.times_of("failed")


def test_the_file_system_is_whole_in_the_end(cluster: Cluster, guest: Guest, tmp_path: Path) -> None:
    guest.tell("")
    guest.wait_for("unmounted")
    guest.ended()
    assert not guest.times_of("errors")
    image = tmp_path / "image"
    run("qemu-img", "convert", "-f", "raw", "-O", "raw", cluster.nbd("disk"), str(image))
    run("e2fsck", "-fn", str(image))
    files = tmp_path / "files"
    files.mkdir()
    run("debugfs", "-R", f"rdump / {files}", str(image))
    count = len(guest.times_of("synced"))
    assert count >= 100
    for number in range(1, count + 1):
        assert (files / str(number)).read_text() == (f"{number}\n" * FILE_BYTES)[:FILE_BYTES]
