"""Carries out, step by step, what the record of a guest says (`decisions`), and tells how the guest is.

All that is here is called with the guest's lock held, but `look`.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cluster.telemetry.log import get_logger
from compute.agent import config_drive, decisions
from compute.agent.decisions import Step
from compute.agent.guest import Guest, GuestState, Nic, Power
from compute.agent.libvirt.domain import Surroundings, domain_xml
from compute.agent.libvirt.interface import Activity, Domain, Hypervisor
from compute.agent.libvirt.seen import Description, described
from compute.agent.reach import Reach
from compute.agent.resuming import AGAIN_S, Resuming
from compute.agent.store import Record, Store, Wish
from compute.agent.watching import Watch
from compute.agent.wiring.interface import USER, Plug, Wiring
from compute.stored import BackendError, NoSuch, Refused, Unreachable

STEPS = 12  # of one guest in one go; more would be a circle
ASK_AGAIN_S = 5.0  # a guest that was asked to end, or to let go of a device
_log = get_logger("agent")


class Keeper:
    """Of all guests of a host."""

    def __init__(
        self,
        store: Store,
        hypervisor: Hypervisor,
        wiring: Wiring,
        resuming: Resuming,
        reach: Reach,
        watch: Watch,
        kind: Callable[[], str],
        clock_us: Callable[[], int],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`kind`: kvm or qemu; it may take its time to find out."""
        self._store, self._hypervisor, self._wiring, self._resuming = store, hypervisor, wiring, resuming
        self._reach, self._watch, self._kind = reach, watch, kind
        self._clock_us, self._monotonic_s = clock_us, monotonic_s
        self._asked_s: dict[str, float] = {}  # when a guest was asked last to end

    def __repr__(self) -> str:
        return f"Keeper({self._store})"

    def bring(self, guest_id: str) -> float | None:
        """Do all that can be done now. Return when to look again, in seconds; None: only if something happens.

        Raise BackendError; what was not done is done by another call.
        """
        for _step in range(STEPS):
            record = self._store.get(guest_id)
            if record is None:
                return None
            if record.removed:
                self._remove(record)
                return None
            domain = self._hypervisor.find(guest_id)
            next_step = decisions.step(record, domain, self._clock_us())
            if next_step is Step.NOTHING:
                return self._rest(record, domain)
            if next_step is Step.TRY_AGAIN:
                return self._resuming.try_again(guest_id, self.description(guest_id).disks)
            if next_step is Step.ASK_TO_END:
                return self._ask_to_end(record)
            self._do(next_step, record)
        raise Unreachable(f"guest {guest_id} does not come to rest")

    def look(self, guest_id: str) -> GuestState | None:
        """Find out how a guest is, and tell all who wait for it."""
        record = self._store.get(guest_id)
        if record is None:
            self._watch.drop(guest_id)
            return None
        domain = self._hypervisor.find(guest_id)
        has = self.description(guest_id) if domain is not None and domain.activity.is_alive else None
        return self._watch.put(self._state(record, domain, has))

    def description(self, guest_id: str) -> Description:
        """Return what a guest has that the hypervisor knows of; nothing if it went away meanwhile."""
        try:
            return described(self._hypervisor.description(guest_id))
        except NoSuch:
            return Description()

    def domain(self, guest_id: str) -> Domain:
        """Return what a guest does."""
        return self._hypervisor.find(guest_id) or Domain(Activity.UNKNOWN)

    def _state(self, record: Record, domain: Domain | None, has: Description | None) -> GuestState:
        guest = record.guest
        power = decisions.power(record, domain, self._resuming.is_settling(guest.id))
        return GuestState(
            id=guest.id,
            power=power,
            reason=record.trouble or _REASONS.get(power, ""),
            disks=tuple(disk.serial for disk in (guest.disks if has is None else has.disks)),
            nics=_macs(guest, record.leaving if has is not None else (), has),
            memory_mib=guest.memory_mib,
            vcpus=guest.vcpus,
        )

    def _do(self, step: Step, record: Record) -> None:
        guest_id = record.guest.id
        match step:
            case Step.START | Step.START_PAUSED:
                self._start(record, paused=step is Step.START_PAUSED)
            case Step.DESTROY:
                self._hypervisor.destroy(guest_id)
                _log.info("guest_turned_off", guest=guest_id)
            case Step.PAUSE:
                self._hypervisor.pause(guest_id)
            case Step.RESUME:
                self._hypervisor.resume(guest_id)
            case Step.SAVE:
                self._hypervisor.save(guest_id)
            case Step.DISCARD_SAVED:
                self._hypervisor.discard_saved(guest_id)
            case Step.NOTE_OFF:
                self._store.put(record.but(wish=Wish.OFF, off_by_us=0))
                _log.info("guest_ended_by_itself", guest=guest_id)
            case Step.NOTE_CRASHED:
                self._store.put(record.but(crashed=True))
                _log.warning("guest_crashed", guest=guest_id)
            case Step.NOTE_REBOOTED:
                self._store.put(record.but(reboot_of=0, off_by_us=0, starting=self._is_off(guest_id)))
            case Step.NOTE_STARTED:
                self._store.put(record.but(starting=False, crashed=False, trouble=""))

    def _is_off(self, guest_id: str) -> bool:
        return not self.domain(guest_id).activity.is_alive

    def _start(self, record: Record, paused: bool) -> None:
        guest = record.guest
        try:
            plugs = {nic.mac: self._wiring.plug(guest.id, nic) for nic in guest.nics}
            if not self.domain(guest.id).saved:  # which has its own description
                self._hypervisor.define(domain_xml(guest, plugs, self._surroundings(guest, plugs)))
            else:
                self._reach.command_for(guest.id)
            self._hypervisor.start(guest.id, paused)
        except Refused as error:
            self._store.put(record.but(starting=False, wish=Wish.OFF, trouble=str(error)))
            raise
        except OSError as error:
            raise Unreachable(f"the host's own disk fails: {error}") from error
        except BackendError as error:
            self._store.put(record.but(starting=True, trouble=str(error)))
            raise
        self._store.put(record.but(starting=False, crashed=False, trouble="", off_by_us=0))
        _log.info("guest_started", guest=guest.id)

    def _surroundings(self, guest: Guest, plugs: Mapping[str, Plug]) -> Surroundings:
        files = self._store.files(guest.id)
        is_user = any(plug.mode == USER for plug in plugs.values())
        metadata = self._reach.command_for(guest.id) if is_user else ()
        drive = files / "config.iso"
        has_drive = guest.config_drive or (is_user and not metadata)  # it would be told nothing otherwise
        if has_drive:
            config_drive.write(guest, drive)
        return Surroundings(
            kind=self._kind(),
            console_log=str(console_log(files)),
            config_drive=str(drive) if has_drive else "",
            metadata=metadata,
            agent_socket=self._reach.agent_socket(guest.id),
        )

    def _ask_to_end(self, record: Record) -> float:
        guest_id, now_s = record.guest.id, self._monotonic_s()
        if now_s - self._asked_s.get(guest_id, -ASK_AGAIN_S) >= ASK_AGAIN_S:
            self._asked_s[guest_id] = now_s
            self._hypervisor.shutdown(guest_id)
        left_s = (record.off_by_us - self._clock_us()) / 1e6
        return min(ASK_AGAIN_S, max(0.05, left_s))

    def _rest(self, record: Record, domain: Domain | None) -> float | None:
        """Return when to look again at a guest that is as it should be."""
        guest_id = record.guest.id
        is_alive = domain is not None and domain.activity.is_alive
        if not is_alive:
            self._asked_s.pop(guest_id, None)
            self._resuming.forget(guest_id)
            self._let_go_of(record, None)
            return None
        if self._resuming.is_settling(guest_id):
            return AGAIN_S
        if domain is not None and domain.activity is Activity.RUNNING:
            self._resuming.settled(guest_id)
        if record.off_by_us and (record.wish is Wish.OFF or record.reboot_of):
            return max(0.05, (record.off_by_us - self._clock_us()) / 1e6)
        return ASK_AGAIN_S if self._let_go_of(record, self.description(guest_id)) else None

    def _let_go_of(self, record: Record, has: Description | None) -> bool:
        """Ask a guest to let go of what it should not have any more; tell whether it still has some of it.

        `has` None: it is off.
        """
        guest_id = record.guest.id
        asked = False
        kept = {(disk.serial, disk.export) for disk in record.guest.disks}
        for disk in has.disks if has is not None else ():
            if (disk.serial, disk.export) not in kept:
                self._hypervisor.detach(guest_id, disk.xml)
                asked = True
        gone = []
        for nic in record.leaving:
            still = has.nic(nic.mac) if has is not None else None
            if still is None:
                self._wiring.unplug(guest_id, nic)
                gone.append(nic)
            elif still.xml:
                self._hypervisor.detach(guest_id, still.xml)
                asked = True
        if gone:
            self._store.put(record.but(leaving=tuple(nic for nic in record.leaving if nic not in gone)))
        return asked

    def _remove(self, record: Record) -> None:
        guest = record.guest
        self.purge(guest.id)
        for nic in (*guest.nics, *record.leaving):
            self._wiring.unplug(guest.id, nic)
        self._store.drop(guest.id)
        self._watch.drop(guest.id)
        self._asked_s.pop(guest.id, None)
        self._resuming.forget(guest.id)
        _log.info("guest_removed", guest=guest.id)

    def reopen(self, guest_id: str) -> None:
        """Have a guest's own way to its metadata be there again, which it may be using since before this process."""
        if self._wiring.mode == USER:
            self._reach.command_for(guest_id)

    def take_over(self, guest_id: str) -> None:
        """Have a guest be started that ran when the host, or its machine, ended while no agent was there to see it."""
        record = self._store.get(guest_id)
        if record is None or record.crashed or record.wish not in (Wish.RUNNING, Wish.PAUSED):
            return
        domain = self.domain(guest_id)
        if not domain.is_broken and domain.activity in (Activity.CRASHED, Activity.UNKNOWN):
            self._store.put(record.but(starting=True))

    def purge(self, guest_id: str) -> None:
        """Have the hypervisor forget a guest."""
        self._hypervisor.destroy(guest_id)
        found = self.domain(guest_id)
        if found.activity.is_alive or found.is_broken:  # once it is undefined nobody would find it
            raise Unreachable(f"guest {guest_id} does not end")
        self._hypervisor.undefine(guest_id)
        self._reach.forget(guest_id)


def console_log(files: Path) -> Path:
    """Return the file that a guest's serial line is kept in."""
    return files / "console.log"


def _macs(guest: Guest, leaving: tuple[Nic, ...], has: Description | None) -> tuple[str, ...]:
    if has is None:
        return tuple(nic.mac for nic in guest.nics)
    known = {nic.mac.lower(): nic.mac for nic in (*guest.nics, *leaving)}
    return tuple(known.get(nic.mac, nic.mac) for nic in has.nics)  # as they were told to it


_REASONS: Mapping[Power, str] = {
    Power.WAITING: "a disk does not answer; the guest goes on once it does",
    Power.CRASHED: "the machine ended by a fault",
}
