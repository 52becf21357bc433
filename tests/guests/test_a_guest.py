"""The first things that a guest does: it boots from its volume, learns what it is told, keeps what it has synced."""

import urllib.error
import urllib.request
from dataclasses import replace

import pytest

from compute.agent.client import HostClient
from compute.agent.guest import Guest, Power
from compute.stored import NoSuch, Refused
from tests.guests.agents import Console, Site, card

USER_DATA = b"""#!/bin/sh
echo GUEST user data
echo GUEST name $(fetch /latest/meta-data/hostname)
echo GUEST key $(fetch /latest/meta-data/public-keys/0/openssh-key)
fetch /openstack/latest/meta_data.json >/run/meta_data.json
echo GUEST openstack $(grep -o '"uuid": "[^"]*"' /run/meta_data.json)
echo GUEST ec2 $(fetch /2009-04-04/meta-data/instance-id)
fetch /openstack/latest/nonsense || echo GUEST nothing else
"""


@pytest.fixture(scope="module")
def guest(site: Site) -> Guest:
    return site.guest(USER_DATA, nics=(card(),))


@pytest.fixture(scope="module")
def console(site: Site, guest: Guest) -> Console:
    return site.run(guest)


def test_a_guest_boots_from_its_volume_and_learns_what_it_is_told(guest: Guest, console: Console) -> None:
    name = guest.told.meta_data["hostname"]
    console.wait_for("GUEST nothing else")
    assert "product OpenStack Compute" in console.wait_for("GUEST kernel")
    assert console.wait_for("GUEST address").endswith("169.254.0.15/16")
    console.wait_for("GUEST user data")
    assert console.wait_for("GUEST name").endswith(name)
    assert console.wait_for("GUEST key").endswith("ssh-ed25519 AAAA me")
    assert guest.id in console.wait_for("GUEST openstack")
    assert console.wait_for("GUEST ec2").endswith(guest.id)


def test_what_a_guest_has_synced_is_there_after_it_was_turned_off(site: Site, guest: Guest, console: Console) -> None:
    serial = guest.disks[0].serial
    # behind the file system: the disk has room there that nothing uses
    console.do(f"echo kept >/run/kept; dd if=/run/kept of=$(disk {serial})1 bs=1 seek=100 conv=notrunc,fsync")
    assert site.host.stop(guest.id, 0).power is Power.OFF
    assert not site.qemu_of(guest.id)
    assert site.host.stop(guest.id, 0).power is Power.OFF  # asked again
    console.look_away()
    assert site.host.start(guest.id).power is Power.RUNNING
    console.wait_for("GUEST ready")
    assert console.do(f"dd if=$(disk {serial})1 bs=1 skip=100 count=4 2>/dev/null").endswith("kept")


def test_the_host_tells_of_its_guests_and_of_changes(site: Site, guest: Guest, console: Console) -> None:
    seen = site.host.seen()
    (state,) = (each for each in seen.guests if each.id == guest.id)
    assert state.power is Power.RUNNING
    assert state.disks == (guest.disks[0].serial,)
    assert state.nics == (guest.nics[0].mac,)
    assert site.host.seen(seen.tag, wait_s=0.2) == seen  # nothing has changed
    site.host.pause(guest.id)
    changed = site.host.seen(seen.tag, wait_s=30)
    assert changed.tag != seen.tag
    assert site.power_of(guest.id) is Power.PAUSED
    assert site.host.start(guest.id).power is Power.RUNNING
    told = site.host.state()
    assert told.guests >= 1
    assert told.memory_mib_used >= guest.memory_mib
    assert told.virtualization == "qemu"
    used = site.host.diagnostics(guest.id)
    assert used["state"] == "running"
    assert used["num_disks"] == 1


def test_who_is_not_the_compute_service_is_not_let_in(site: Site, guest: Guest) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(f"{site.url}/v1/host")
    assert refusal.value.code == 401
    other = HostClient("other", site.url, site.login_of("volumes"))
    with pytest.raises(Refused):
        other.state()
    with pytest.raises(NoSuch):
        site.host.start("00000000-0000-0000-0000-000000000000")
    with pytest.raises(Refused):
        site.host.define(replace(guest, vcpus=0), running=True)


def test_a_guest_that_is_removed_leaves_nothing(site: Site, guest: Guest, console: Console) -> None:
    site.host.remove(guest.id)
    assert not site.qemu_of(guest.id)
    assert site.host.find(guest.id) is None
    assert not list(site.layout.agent(0).rglob(f"*{guest.id}*json"))
    assert not list(site.layout.sockets.glob(f"*{guest.id[:8]}*.sock"))
    site.host.remove(guest.id)  # asked again
    volume = guest.disks[0].serial
    site.gateway.remove(volume)  # nobody has it open
