"""Guests that are turned off, held, kept in files, begun anew, by the host or by themselves; and agents that die."""

import contextlib
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from compute.agent.guest import Guest, Power
from compute.stored import BackendError
from tests.guests.agents import MiB, Site, card, is_alive, until

pytestmark = pytest.mark.long


@pytest.fixture
def guest(site: Site) -> Iterator[Guest]:
    found = site.guest()
    yield found
    site.host.remove(found.id)


def test_a_guest_is_asked_to_turn_itself_off(site: Site, guest: Guest) -> None:
    site.run(guest)
    site.host.stop(guest.id, soft_s=300)
    site.await_power(guest.id, Power.OFF)


def test_a_guest_that_does_not_listen_is_turned_off_in_time(site: Site, guest: Guest) -> None:
    console = site.run(guest)
    console.do("for each in $(ls /proc | grep '^[0-9]'); do grep -q head /proc/$each/comm && kill -STOP $each; done",
               check=False)  # fmt: skip
    assert site.host.stop(guest.id, soft_s=1.5).power is Power.RUNNING
    site.await_power(guest.id, Power.OFF)


def test_a_guest_begins_anew_once_for_each_request(site: Site, guest: Guest) -> None:
    console = site.run(guest)
    for soft_s in (0.0, 120.0):
        request, before = str(uuid.uuid4()), site.qemu_of(guest.id)
        console.look_away()
        site.host.reboot(guest.id, request, soft_s)
        console.wait_for("GUEST ready")
        after = site.qemu_of(guest.id)
        assert after not in (0, before)
        site.host.reboot(guest.id, request, soft_s)  # asked again
        assert site.qemu_of(guest.id) == after


def test_a_guest_goes_on_from_the_file_that_it_was_kept_in(site: Site, guest: Guest) -> None:
    console = site.run(guest)
    console.do("echo remembered >/run/memory")
    assert site.host.suspend(guest.id).power is Power.SUSPENDED
    assert not site.qemu_of(guest.id)
    site.end_agent()
    site.start_agent()
    site.await_power(guest.id, Power.SUSPENDED)
    assert site.host.start(guest.id).power is Power.RUNNING
    assert console.do("cat /run/memory") == "remembered"


def test_a_guest_outlives_its_agent(site: Site, guest: Guest) -> None:
    console = site.run(guest)
    process = site.qemu_of(guest.id)
    for number in (signal.SIGTERM, signal.SIGKILL):
        site.end_agent(number)
        assert is_alive(process)
        site.start_agent()
        site.await_power(guest.id, Power.RUNNING)
        assert site.qemu_of(guest.id) == process
        assert "GUEST ready" in site.host.console_log(guest.id, None)  # what it wrote before is still there
        assert console.do("echo still here") == "still here"


def test_a_guest_that_ended_while_no_agent_was_there_is_off(site: Site, guest: Guest) -> None:
    console = site.run(guest)
    console.begin("sleep 3; sync; echo ends $((2 * 2)); poweroff -f")
    site.end_agent(signal.SIGKILL)
    log = site.layout.agent(0) / "guests" / guest.id / "console.log"
    until("the guest ends", lambda: b"ends 4" in log.read_bytes())
    time.sleep(3)  # its qemu waits to be told to end: nothing says, without the agent, that the guest has
    site.start_agent()
    site.await_power(guest.id, Power.OFF)


def test_a_guest_whose_machine_ended_while_no_agent_was_there_is_started_again(site: Site, guest: Guest) -> None:
    """As when the host was off."""
    console = site.run(guest)
    process = site.qemu_of(guest.id)
    site.end_agent(signal.SIGKILL)
    os.kill(process, signal.SIGKILL)
    console_size = len(site.layout.agent(0).joinpath("guests", guest.id, "console.log").read_bytes())
    site.start_agent()
    site.await_power(guest.id, Power.RUNNING)
    assert site.qemu_of(guest.id) not in (0, process)
    console._begins = console_size
    console.wait_for("GUEST ready")


def test_a_guest_whose_machine_breaks_is_told_of_and_starts_when_it_is_asked_to(site: Site, guest: Guest) -> None:
    site.run(guest)
    os.kill(site.qemu_of(guest.id), signal.SIGKILL)
    site.await_power(guest.id, Power.CRASHED)
    site.end_agent()
    site.start_agent()
    site.await_power(guest.id, Power.CRASHED)
    site.host.start(guest.id)
    site.await_power(guest.id, Power.RUNNING)


def test_a_guest_whose_machine_hangs_keeps_nobody_from_the_others(site: Site, guest: Guest) -> None:
    other = site.guest()
    site.run(guest)
    process = site.qemu_of(guest.id)
    os.kill(process, signal.SIGSTOP)
    try:
        threads = [threading.Thread(target=lambda: hung(site, guest.id), daemon=True) for _ in range(6)]
        for thread in threads:
            thread.start()
        site.run(other)
        site.host.remove(other.id)
        assert site.host.seen().guests
    finally:
        os.kill(process, signal.SIGCONT)
    for thread in threads:
        thread.join(180)


def hung(site: Site, guest_id: str) -> None:
    with contextlib.suppress(BackendError):
        site.host.pause(guest_id)


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.05, 0.1, 0.2, 0.4])
def test_an_agent_that_is_killed_at_any_step_leaves_nothing_half_done(site: Site, after_s: float) -> None:
    guest = site.guest(nics=(card(),))
    name = site.volume(64 * MiB)
    disk = site.disk(name)

    killed_during(site, after_s, lambda: site.host.define(guest, running=True))
    site.await_power(guest.id, Power.RUNNING)
    (process,) = qemus_of(guest.id)

    killed_during(site, after_s, lambda: site.host.attach(guest.id, disk))
    assert name in site.host.attach(guest.id, disk).disks
    killed_during(site, after_s, lambda: site.host.reboot(guest.id, "once", 0))
    site.host.reboot(guest.id, "once", 0)
    until("it runs anew", lambda: qemus_of(guest.id) not in ([], [process]))
    (process,) = qemus_of(guest.id)
    site.host.reboot(guest.id, "once", 0)
    assert qemus_of(guest.id) == [process]

    killed_during(site, after_s, lambda: site.host.detach(guest.id, name))
    site.let_go(guest.id, name)  # once it has booted: it takes no part before
    killed_during(site, after_s, lambda: site.host.stop(guest.id, 0))
    assert site.host.stop(guest.id, 0).power is Power.OFF
    assert not qemus_of(guest.id)
    killed_during(site, after_s, lambda: site.host.remove(guest.id))
    site.host.remove(guest.id)
    assert site.host.find(guest.id) is None
    for volume in (name, guest.disks[0].serial):
        site.gateway.remove(volume)  # nobody has it open


def killed_during(site: Site, after_s: float, call: Callable[[], object]) -> None:
    """Kill the agent some time after a call has begun, start it again, and call again until it is done."""

    def calling() -> None:
        with contextlib.suppress(BackendError):
            call()

    thread = threading.Thread(target=calling)
    thread.start()
    time.sleep(after_s)
    site.end_agent(signal.SIGKILL)
    thread.join(120)
    site.start_agent()

    def done() -> bool:
        try:
            call()
        except BackendError:
            return False
        return True

    until("the call is done", done)


def qemus_of(guest_id: str) -> list[int]:
    """Return all processes of a guest: there may be one at most."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
                if b"qemu" in (line := file.read()).split(b"\0")[0] and f"guest={guest_id},".encode() in line:
                    found.append(int(name))
    return found
