"""Guests of other forms: with a screen, a config drive, UEFI, a q35's ports, limits, other buses."""

import socket

import pytest

from compute.agent.guest import Guest, Power
from tests.guests.agents import Console, Site, card, until

pytestmark = pytest.mark.long
USER_DATA = b"#!/bin/sh\necho GUEST user data\n"


def test_a_guest_with_a_config_drive_and_a_screen(site: Site) -> None:
    guest = site.guest(USER_DATA, video=True, config_drive=True, name="</title> & \"more\"")
    console = site.run(guest)
    assert console.wait_for("GUEST config").endswith("/dev/vdb")
    console.wait_for("GUEST user data")
    console.do(f"grep -q {guest.id} /config/openstack/latest/meta_data.json")
    console.do("! touch /config/file 2>/dev/null")
    display = site.host.display(guest.id, "vnc")
    with socket.create_connection((display.host, display.port), timeout=30) as screen:
        assert screen.recv(12) == b"RFB 003.008\n"  # RFC 6143, 7.1.1
        screen.sendall(b"RFB 003.008\n")
        assert screen.recv(2) == b"\x01\x02"  # one way to be let in: by password
    with socket.create_connection((display.relay_host, display.relay_port), timeout=30) as relay:
        relay.sendall(f"{display.ticket}\n".encode())
        said = b""
        while len(said) < len(b"open\nRFB 003.008\n"):
            said += relay.recv(100)
        assert said == b"open\nRFB 003.008\n"
    frozen = site.host.freeze(guest.id, frozen=True)
    assert frozen is False  # it has no agent of its own
    site.host.remove(guest.id)


@pytest.mark.parametrize(
    "values",
    [
        {"machine": "q35", "firmware": "uefi", "video": True},
        {"machine": "q35", "nics": (card(1), card(2)), "config_drive": True},
        {"machine": "pc", "vcpus": 2, "extra": {"hw_qemu_guest_agent": "no"}},
    ],
)
def test_libvirt_takes_what_it_is_told(site: Site, values: dict[str, object]) -> None:
    made = site.guest()
    guest: Guest = site.guest(**values)
    try:
        assert site.host.define(guest, running=True).power is Power.RUNNING
        if values.get("firmware") != "uefi":  # for which the disk has nothing
            Console(site, guest.id).wait_for("GUEST ready")
        until("it still runs", lambda: site.power_of(guest.id) is Power.RUNNING)
    finally:
        site.host.remove(guest.id)
        site.gateway.remove(made.disks[0].serial)
    assert not list((site.layout.agent(0) / "libvirt").rglob(f"*{guest.id}*VARS*"))
