"""What hosts are asked, over a hypervisor in memory: calls that are made again, agents that end at every step."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from compute.agent.guest import Power, Told
from compute.agent.interface import Host
from compute.agent.libvirt.interface import Activity
from compute.agent.libvirt.seen import described
from compute.agent.wiring.interface import USER
from compute.stored import NoSuch, NotYet, Refused, Unreachable
from tests.unit.compute.agent.memory import MemoryHost, PowerCut, disk, guest, nic, unreachable

UNKNOWN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def site(tmp_path: Path) -> MemoryHost:
    return MemoryHost(tmp_path)


def test_a_guest_is_made_and_runs_once_however_often_it_is_asked_for(site: MemoryHost) -> None:
    web = guest()
    for _ in range(3):
        state = site.host.define(web, running=True)
    assert state.power is Power.RUNNING
    assert state.disks == ("volume-1",)
    assert state.nics == (web.nics[0].mac,)
    assert site.hypervisor.calls.count("start") == 1
    assert site.host.state().vcpus_used == 1


def test_a_guest_that_is_not_to_run_is_only_noted(site: MemoryHost) -> None:
    web = guest()
    assert site.host.define(web, running=False).power is Power.OFF
    assert not site.hypervisor.calls
    assert site.host.start(web.id).power is Power.RUNNING


def test_a_running_guest_keeps_its_disks_and_cards_when_it_is_described_anew(site: MemoryHost) -> None:
    web = guest()
    site.host.define(web, running=True)
    site.host.define(replace(web, disks=(), nics=(), vcpus=2), running=False)
    record = site.store.get(web.id)
    assert record is not None
    assert record.guest == replace(web, vcpus=2)
    assert site.machine(web.id).activity is Activity.RUNNING


def test_stopping_softly_asks_first_and_turns_off_when_the_time_is_over(site: MemoryHost) -> None:
    web = guest()
    site.host.define(web, running=True)
    site.hypervisor.listens = False
    assert site.host.stop(web.id, soft_s=60).power is Power.RUNNING
    site.tend(web.id, for_s=50)
    assert site.machine(web.id).asked_to_end > 1  # asked again
    assert site.host.stop(web.id, soft_s=60).power is Power.RUNNING  # which gives it no more time
    site.tend(web.id, for_s=20)
    assert site.host.find(web.id).power is Power.OFF  # type: ignore[union-attr]


def test_a_guest_that_listens_is_off_before_its_time_is_over(site: MemoryHost) -> None:
    web = guest()
    site.host.define(web, running=True)
    site.host.stop(web.id, soft_s=60)
    site.tend(web.id, for_s=1)
    assert "destroy" not in site.hypervisor.calls
    assert site.machine(web.id).activity is Activity.ENDED


def test_each_reboot_happens_once(site: MemoryHost) -> None:
    web = guest()
    site.host.define(web, running=True)
    first = site.machine(web.id).run
    assert site.host.reboot(web.id, "a", 0).power is Power.RUNNING
    second = site.machine(web.id).run
    site.host.reboot(web.id, "a", 0)
    assert site.machine(web.id).run == second != first
    site.host.reboot(web.id, "b", 30)
    site.tend(web.id)
    assert site.machine(web.id).run not in (first, second)
    assert site.hypervisor.calls.count("destroy") == 1  # the second one was asked


def test_pausing_suspending_and_going_on(site: MemoryHost) -> None:
    web = guest()
    site.host.define(web, running=True)
    assert site.host.pause(web.id).power is Power.PAUSED
    assert site.host.suspend(web.id).power is Power.SUSPENDED
    with pytest.raises(Refused):
        site.host.attach(web.id, disk(2))
    assert site.host.start(web.id).power is Power.RUNNING
    site.host.stop(web.id, 0)
    for call in (site.host.pause, site.host.suspend):
        with pytest.raises(Refused):
            call(web.id)


def test_a_guest_that_ends_by_itself_stays_off_and_one_that_breaks_is_told_of(site: MemoryHost) -> None:
    web = guest()
    site.host.define(web, running=True)
    site.hypervisor.end(web.id, Activity.ENDED)
    site.tend(web.id)
    assert site.watch.all()[web.id].power is Power.OFF
    site.host.start(web.id)
    site.hypervisor.end(web.id, Activity.CRASHED)
    found = site.host.find(web.id)
    assert found is not None
    assert found.power is Power.RUNNING, "who is told of the crash may start the agent anew: it must know of it by then"
    site.tend(web.id)
    site.begin()
    site.tend(web.id)
    assert site.watch.all()[web.id].power is Power.CRASHED
    assert site.host.start(web.id).power is Power.RUNNING


def test_guests_are_as_they_were_wished_after_the_host_was_off(site: MemoryHost) -> None:
    ran, was_off, held = guest(), guest(), guest()
    for each in (ran, was_off, held):
        site.host.define(each, running=True)
    site.host.stop(was_off.id, 0)
    site.host.pause(held.id)
    for machine in site.hypervisor.machines.values():
        machine.activity, machine.run = Activity.UNKNOWN, 0
    site.begin()
    for each in (ran, was_off, held):
        site.tend(each.id)
    powers = {guest_id: state.power for guest_id, state in site.watch.all().items()}
    assert powers == {ran.id: Power.RUNNING, was_off.id: Power.OFF, held.id: Power.PAUSED}


def test_a_guest_whose_disk_fails_goes_on_once_the_gateway_is_back(site: MemoryHost) -> None:
    web = guest()
    site.host.define(web, running=True)
    site.machine(web.id).activity = Activity.WAITING
    site.gateways.answer = False
    site.tend(web.id, for_s=30)
    assert site.watch.all()[web.id].power is Power.WAITING
    assert "resume" not in site.hypervisor.calls  # nothing to try while it is away
    site.gateways.answer = True
    site.hypervisor.failing_resumes = 3
    states = []
    while site.watch.all()[web.id].power is not Power.RUNNING:
        site.tend(web.id, for_s=0.2)
        states.append(site.watch.all()[web.id].power)
        assert len(states) < 100
    assert site.hypervisor.calls.count("resume") == 4
    assert set(states[:-1]) == {Power.WAITING}  # it is not told to run until it stays so


def test_a_paused_guest_whose_disk_fails_is_left_paused(site: MemoryHost) -> None:
    web = guest()
    site.host.define(web, running=True)
    site.host.pause(web.id)
    site.machine(web.id).activity = Activity.WAITING
    site.tend(web.id)
    assert site.watch.all()[web.id].power is Power.PAUSED


def test_a_start_while_the_gateway_is_away_is_made_good_later(site: MemoryHost) -> None:
    web = guest()
    site.hypervisor.errors["start"] = unreachable()
    with pytest.raises(Unreachable):
        site.host.define(web, running=True)
    state = site.host.find(web.id)
    assert state is not None
    assert state.power is Power.OFF
    assert "Connection refused" in state.reason
    site.hypervisor.errors.clear()
    site.tend(web.id)
    assert site.watch.all()[web.id].power is Power.RUNNING
    assert not site.watch.all()[web.id].reason


def test_a_start_that_cannot_be_is_not_tried_for_ever(site: MemoryHost) -> None:
    web = guest()
    site.hypervisor.errors["start"] = Refused("cannot set up guest memory")
    with pytest.raises(Refused):
        site.host.define(web, running=True)
    site.tend(web.id)
    assert site.hypervisor.calls.count("start") == 1
    assert "memory" in site.watch.all()[web.id].reason


def test_disks_come_and_go(site: MemoryHost) -> None:
    web = guest()
    site.host.define(web, running=True)
    for _ in range(2):
        assert site.host.attach(web.id, disk(2)).disks == ("volume-1", "volume-2")
    assert site.hypervisor.calls.count("attach") == 1
    targets = described(site.machine(web.id).live).targets
    assert len(set(targets)) == 2
    for _ in range(2):
        assert site.host.detach(web.id, "volume-2").disks == ("volume-1",)
    site.host.reboot(web.id, "a", 0)
    assert site.host.find(web.id).disks == ("volume-1",)  # type: ignore[union-attr]


def test_a_disk_is_not_free_until_the_guest_has_let_go_of_it(site: MemoryHost) -> None:
    web = guest()
    site.host.define(web, running=True)
    site.host.attach(web.id, disk(2))
    site.hypervisor.lets_go = False
    assert "volume-2" in site.host.detach(web.id, "volume-2").disks
    asked = site.hypervisor.calls.count("detach")
    with pytest.raises(NotYet):  # the same volume, for another attachment
        site.host.attach(web.id, disk(2, export="volume-2~b"))
    site.host.detach(web.id, "volume-2")
    site.hypervisor.lets_go = True
    site.tend(web.id)  # nobody has to ask again
    assert site.hypervisor.calls.count("detach") > asked
    assert site.watch.all()[web.id].disks == ("volume-1",)


def test_an_attachment_that_cannot_be_is_forgotten(site: MemoryHost) -> None:
    web = guest()
    site.host.define(web, running=True)
    site.hypervisor.errors["attach"] = Refused("no more slots")
    with pytest.raises(Refused):
        site.host.attach(web.id, disk(2))
    site.host.reboot(web.id, "a", 0)
    assert site.host.find(web.id).disks == ("volume-1",)  # type: ignore[union-attr]


def test_a_guest_sees_that_a_disk_is_larger_once_its_connection_is_a_new_one(site: MemoryHost) -> None:
    web = guest()
    site.host.define(web, running=True)
    site.hypervisor.is_connected_anew = False
    site.host.resize(web.id, "volume-1", 2 << 30)
    assert site.machine(web.id).sizes == {"vda": 2 << 30}
    with pytest.raises(Refused):
        site.host.resize(web.id, "volume-9", 2 << 30)
    site.hypervisor.errors["resize"] = NotYet("for ever")
    with pytest.raises(NotYet):
        site.host.resize(web.id, "volume-1", 3 << 30)


def test_cards_come_and_go(site: MemoryHost) -> None:
    web = guest()
    site.host.define(web, running=True)
    for _ in range(2):
        assert site.host.plug(web.id, nic(2)).nics == (nic(1).mac, nic(2).mac)
    assert (web.id, nic(2).mac) in site.wiring.plugged
    site.hypervisor.lets_go = False
    assert nic(2).mac in site.host.unplug(web.id, nic(2).mac).nics
    assert (web.id, nic(2).mac) in site.wiring.plugged  # it is still there
    site.begin()
    site.hypervisor.lets_go = True
    site.tend(web.id)
    assert site.watch.all()[web.id].nics == (nic(1).mac,)
    assert (web.id, nic(2).mac) not in site.wiring.plugged


def test_in_user_mode_cards_stay_while_a_guest_runs(tmp_path: Path) -> None:
    site = MemoryHost(tmp_path, USER)
    web = guest()
    assert site.host.define(replace(web, config_drive=False), running=False).power is Power.OFF
    site.host.unplug(web.id, nic(1).mac)
    assert site.host.plug(web.id, nic(2)).nics == (nic(2).mac,)


def test_what_a_guest_is_told_changes_while_it_runs(site: MemoryHost) -> None:
    web = guest()
    site.host.define(web, running=True)
    site.host.tell(web.id, Told(meta_data={"name": "other"}))
    record = site.store.get(web.id)
    assert record is not None
    assert record.guest.told.meta_data == {"name": "other"}


def test_a_removed_guest_is_forgotten_everywhere(site: MemoryHost) -> None:
    web = guest()
    site.host.define(web, running=True)
    for _ in range(2):
        site.host.remove(web.id)
    assert not site.hypervisor.machines
    assert not site.wiring.plugged
    assert not site.host.seen().guests
    assert not list((site.directory / "guests").iterdir())
    with pytest.raises(NoSuch):
        site.host.start(web.id)


def test_a_screen_is_opened_by_a_password_for_a_while(site: MemoryHost) -> None:
    web = guest()
    site.host.define(web, running=True)
    machine = site.machine(web.id)
    machine.live = machine.live.replace('port="-1"', 'port="5907"')
    display = site.host.display(web.id, "vnc")
    assert (display.port, len(display.password)) == (5907, 8)
    (update,) = site.hypervisor.updates
    assert display.password in update
    assert 'passwdValidTo="2027-01-15T08:05:00"' in update
    one, two = site.host.display(web.id, "serial"), site.host.display(web.id, "serial")
    assert (one.password, len({one.ticket, two.ticket, display.ticket})) == (one.ticket, 3)
    with pytest.raises(Refused):
        site.host.display(web.id, "smell")


def test_diagnostics_are_novas(site: MemoryHost) -> None:
    web = guest()
    site.host.define(web, running=True)
    found = site.host.diagnostics(web.id)
    assert found["state"] == "running"
    assert found["memory_details"] == {"maximum": 2, "used": None}
    assert found["nic_details"][0]["mac_address"] == web.nics[0].mac  # type: ignore[index]


@pytest.mark.parametrize("call", ["start", "pause", "suspend", "console_log", "diagnostics"])
def test_who_asks_for_a_guest_that_is_not_there_is_told_so(site: MemoryHost, call: str) -> None:
    arguments = (UNKNOWN, None) if call == "console_log" else (UNKNOWN,)
    with pytest.raises(NoSuch):
        getattr(site.host, call)(*arguments)
    assert site.host.find(UNKNOWN) is None
    with pytest.raises(Refused):
        site.host.find("../../etc/passwd")


CALLS: dict[str, Callable[[Host, str], object]] = {
    "start": lambda host, web: host.start(web),
    "stop": lambda host, web: host.stop(web, 0),
    "reboot": lambda host, web: host.reboot(web, "once", 0),
    "pause": lambda host, web: host.pause(web),
    "suspend": lambda host, web: host.suspend(web),
    "remove": lambda host, web: host.remove(web),
    "attach": lambda host, web: host.attach(web, disk(2)),
    "detach": lambda host, web: host.detach(web, "volume-1"),
    "resize": lambda host, web: host.resize(web, "volume-1", 2 << 30),
    "plug": lambda host, web: host.plug(web, nic(2)),
    "unplug": lambda host, web: host.unplug(web, nic(1).mac),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("is_off", [False, True])
def test_an_agent_that_ends_at_any_step_of_a_call_makes_it_good(tmp_path: Path, name: str, is_off: bool) -> None:
    """The call is made again by whoever asked; all ends as if nothing had been."""
    if is_off and name in ("pause", "suspend"):
        return  # which are refused
    expected = None
    for step in range(-1, 40):
        site = MemoryHost(tmp_path / str(step))
        web = guest(id="11111111-2222-3333-4444-555555555555")
        site.host.define(web, running=not is_off)
        site.hypervisor.cut_at = step if step >= 0 else None
        try:
            CALLS[name](site.host, web.id)
            was_cut = False
        except PowerCut:
            was_cut = True
            site.begin()
            CALLS[name](site.host, web.id)
        site.hypervisor.cut_at = None
        if name != "remove":
            site.tend(web.id)
        outcome = outcome_of(site, web.id)
        if step < 0:
            expected = outcome
            continue
        assert outcome == expected, f"ended at step {step}"
        if not was_cut:
            return
    raise AssertionError("it never came to its end")


def outcome_of(site: MemoryHost, guest_id: str) -> object:
    """Return what is there in the end; which run it is does not matter."""
    record, machine = site.store.get(guest_id), site.hypervisor.machines.get(guest_id)
    if machine is not None and machine.activity.is_alive:
        has: object = (machine.activity, machine.live.replace(str(site.directory), ""))
    else:
        has = machine is not None and bool(machine.saved)
    return record, has, site.wiring.plugged
