"""Volumes as disks of guests that run: attached, detached, extended, waited for while they do not answer."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from blockgw.client import Volumes
from compute.agent.guest import Guest, Power
from compute.stored import Unreachable
from tests.guests.agents import Console, GiB, MiB, Site, until

pytestmark = pytest.mark.long


@pytest.fixture
def guest(site: Site) -> Iterator[Guest]:
    found = site.guest()
    yield found
    site.host.remove(found.id)


def write_on(console: Console, serial: str, text: str) -> None:
    """Make a file system on a disk, with a file."""
    console.do(f"until disk {serial}; do sleep 0.1; done >/dev/null")
    console.do(f"mke2fs $(disk {serial}) >/dev/null && mount -t ext4 $(disk {serial}) /mnt")
    console.do(f"echo {text} >/mnt/file && sync && umount /mnt")


def read_from(console: Console, serial: str) -> str:
    """Return what the file has."""
    console.do(f"until disk {serial}; do sleep 0.1; done >/dev/null")
    console.do(f"mount -t ext4 $(disk {serial}) /mnt")
    text = console.do("cat /mnt/file")
    console.do("umount /mnt")
    return text


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_a_volume_goes_from_one_guest_to_another_while_they_run(site: Site, machine: str) -> None:
    first, second = site.guest(machine=machine), site.guest(machine=machine)
    try:
        one, other = site.run(first), site.run(second)
        name = site.volume(64 * MiB)
        disk = site.disk(name, holder="one-1")
        assert name in site.host.attach(first.id, disk).disks
        assert name in site.host.attach(first.id, disk).disks  # asked again
        write_on(one, name, "carried over")
        site.let_go(first.id, name)
        site.let_go(first.id, name)  # asked again
        one.do(f"! disk {name}")
        site.gateway.dismiss(name, "one-1")
        site.host.attach(second.id, site.disk(name, holder="other-1"))
        assert read_from(other, name) == "carried over"
        # and it is there, too, when the guest was off
        site.host.stop(second.id, 0)
        other.look_away()
        site.host.start(second.id)
        other.wait_for("GUEST ready")
        assert read_from(other, name) == "carried over"
    finally:
        site.host.remove(first.id)
        site.host.remove(second.id)


def test_disks_come_and_go_on_other_buses(site: Site, guest: Guest) -> None:
    console = site.run(guest)
    name = site.volume(64 * MiB)
    site.host.attach(guest.id, replace(site.disk(name), bus="scsi"))
    console.do("until [ -e /dev/sda ]; do sleep 0.1; done")
    console.do("dd if=/dev/zero of=/dev/sda bs=64k count=4 conv=fsync")
    site.let_go(guest.id, name)
    console.do("until [ ! -e /dev/sda ]; do sleep 0.1; done")


def test_a_guest_sees_that_a_volume_is_larger(site: Site, guest: Guest) -> None:
    console = site.run(guest)
    name = site.volume(64 * MiB)
    site.host.attach(guest.id, site.disk(name))
    write_on(console, name, "still there")
    site.gateway.resize(name, GiB)
    site.resize(guest.id, name, GiB)
    console.do(f"until [ $(blockdev --getsize64 $(disk {name})) = {GiB} ]; do sleep 0.1; done")
    assert read_from(console, name) == "still there"
    console.do(f"dd if=/dev/zero of=$(disk {name}) bs=1M seek=1000 count=1 conv=fsync")
    site.await_power(guest.id, Power.RUNNING)


def test_a_snapshot_of_a_running_guest_boots(site: Site, guest: Guest) -> None:
    console = site.run(guest)
    name = guest.disks[0].serial
    console.do(f"echo kept >/run/kept; dd if=/run/kept of=$(disk {name})1 bs=1 seek=100 conv=notrunc,fsync")
    site.gateway.snapshot(name, "moment")
    console.do(f"echo lost >/run/kept; dd if=/run/kept of=$(disk {name})1 bs=1 seek=100 conv=notrunc,fsync")
    copy = site.volume(64 * MiB) + "-copy"
    site.gateway.clone(name, "moment", copy)
    disk = replace(site.disk(copy, boot_index=0), serial=copy[:36])
    other = site.guest(disks=(disk,))
    try:
        assert "kept" in site.run(other).do(f"dd if=$(disk {disk.serial})1 bs=1 skip=100 count=4 2>/dev/null")
    finally:
        site.host.remove(other.id)


def test_a_guest_that_writes_goes_on_when_the_gateway_and_a_node_die(site: Site, guest: Guest) -> None:
    console = site.run(guest)
    name = site.volume(256 * MiB)
    site.host.attach(guest.id, site.disk(name))
    console.do(f"until disk {name}; do sleep 0.1; done")
    console.begin(
        f"mke2fs $(disk {name}) >/dev/null && mount -t ext4 $(disk {name}) /mnt && n=0;"
        " while [ $n -lt 150 ] && [ ! -e /run/failed ]; do n=$((n + 1)); yes $n | head -c 16384 >/run/part;"
        " dd if=/run/part of=/mnt/$n conv=fsync 2>/dev/null || touch /run/failed;"
        " [ $((n % 10)) = 0 ] && echo GUEST wrote $n; done; [ ! -e /run/failed ]"
    )
    console.wait_for("GUEST wrote 10")
    for victim in ("gateway-0", "storage-1", "gateway-0"):
        process = site.cluster.processes()[victim]
        os.kill(process, signal.SIGKILL)
        until(f"{victim} is there again", lambda v=victim, p=process: site.cluster.processes().get(v, p) != p)
        time.sleep(1)  # it writes on
    console.done()
    console.do(f"umount /mnt && mount -t ext4 $(disk {name}) /mnt")
    console.do("for n in $(seq 150); do yes $n | head -c 16384 | cmp - /mnt/$n || exit 1; done")
    site.await_power(guest.id, Power.RUNNING)


def test_guests_wait_for_as_long_as_the_gateway_is_away(site: Site, guest: Guest) -> None:
    console, other = site.run(guest), site.guest()
    name = guest.disks[0].serial
    gateway, supervisor = (site.cluster.processes()[each] for each in ("gateway-0", "supervisor"))
    os.kill(supervisor, signal.SIGSTOP)  # nobody starts it again meanwhile
    try:
        os.kill(gateway, signal.SIGKILL)
        console.begin(f"dd if=/dev/urandom of=$(disk {name})1 bs=100 seek=1 count=1 conv=notrunc,fsync")
        site.await_power(guest.id, Power.WAITING)
        seen = site.host.seen()
        site.host.seen(seen.tag, wait_s=3)
        assert site.power_of(guest.id) is Power.WAITING
        with pytest.raises(Unreachable):
            site.host.define(other, running=True)
        assert site.power_of(other.id) is Power.OFF
    finally:
        os.kill(supervisor, signal.SIGCONT)
    console.done()
    site.await_power(guest.id, Power.RUNNING)
    site.await_power(other.id, Power.RUNNING)  # nobody had to ask again
    site.host.remove(other.id)


def test_a_guest_whose_disk_was_given_to_others_writes_no_more(site: Site, guest: Guest) -> None:
    console = site.run(guest)
    name = site.volume(64 * MiB)
    site.host.attach(guest.id, site.disk(name, holder="mine-1"))
    console.do(f"until disk {name}; do sleep 0.1; done")
    site.gateway.dismiss(name, "mine-1")
    console.begin(f"yes | head -c 4096 | dd of=$(disk {name}) conv=fsync")
    site.await_power(guest.id, Power.WAITING)
    with Volumes(site.cluster.directory).open(name) as volume:
        assert volume.read(4096) == bytes(4096)
