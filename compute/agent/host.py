"""This host, as `interface.Host` is asked: notes what is wanted, and has it carried out."""

import datetime
import math
import secrets
import string
from collections.abc import Callable
from dataclasses import replace

from compute.agent import consoles, diagnostics, limits
from compute.agent.devices import Devices
from compute.agent.displays import Displays, Kind
from compute.agent.guest import Disk, Guest, GuestState, HostState, Nic, Power, Told
from compute.agent.interface import Display, Seen
from compute.agent.keeper import Keeper, console_log
from compute.agent.libvirt.domain import screen_xml
from compute.agent.libvirt.interface import Hypervisor
from compute.agent.locks import Locks
from compute.agent.store import Record, Store, Wish
from compute.agent.watching import Watch
from compute.stored import NoSuch, Refused

SEEN_S = 60.0  # the longest that anybody waits for a change
_LOCK_S = 20.0
_SCREEN_S = 300.0  # for which a screen's password lets in; who is in stays
_PASSWORD_LETTERS = string.ascii_letters + string.digits
_PASSWORD_SIZE = 8  # all that VNC knows
_HERE = "127.0.0.1"  # where the agent is asked is known to who asks: `client`


class LocalHost:
    """`interface.Host`."""

    def __init__(
        self,
        store: Store,
        hypervisor: Hypervisor,
        keeper: Keeper,
        devices: Devices,
        watch: Watch,
        locks: Locks,
        displays: Displays,
        described: Callable[[], HostState],
        poke: Callable[[str], None],
        clock_us: Callable[[], int],
    ) -> None:
        """`described`: the host without what of it guests have. `poke`: has a guest looked after."""
        self._store, self._hypervisor, self._keeper, self._devices = store, hypervisor, keeper, devices
        self._watch, self._locks, self._displays = watch, locks, displays
        self._described, self._poke, self._clock_us = described, poke, clock_us

    def state(self) -> HostState:
        guests = [record.guest for record in self._store.all().values() if not record.removed]
        return replace(
            self._described(),
            guests=len(guests),
            vcpus_used=sum(guest.vcpus for guest in guests),
            memory_mib_used=sum(guest.memory_mib for guest in guests),
        )

    def seen(self, tag: str = "", wait_s: float = 0.0) -> Seen:
        return self._watch.seen(tag, min(wait_s, SEEN_S) if tag else 0.0)

    def find(self, guest_id: str) -> GuestState | None:
        limits.check_id(guest_id)
        return self._keeper.look(guest_id)

    def define(self, guest: Guest, running: bool) -> GuestState:
        limits.check(guest)
        with self._locks.holding(guest.id, _LOCK_S):
            known = self._store.get(guest.id)
            if known is not None and known.removed:
                self._keeper.bring(guest.id)  # it ends first
                known = None
            self._store.put(self._defined(known, guest, running))
            return self._brought(guest.id)

    def _defined(self, known: Record | None, guest: Guest, running: bool) -> Record:
        record = known or Record(guest=guest)
        domain = self._keeper.domain(guest.id)
        if domain.activity.is_alive:
            guest = replace(guest, disks=record.guest.disks, nics=record.guest.nics)
        record = record.but(guest=guest)
        if not running or (domain.activity.is_alive and record.wish is Wish.RUNNING):
            return record
        return record.but(wish=Wish.RUNNING, starting=not domain.activity.is_alive, off_by_us=0, trouble="")

    def start(self, guest_id: str) -> GuestState:
        return self._wished(guest_id, Wish.RUNNING, starts=True)

    def pause(self, guest_id: str) -> GuestState:
        with self._locks.holding(guest_id, _LOCK_S):
            if not self._keeper.domain(self._record(guest_id).guest.id).activity.is_alive:
                raise Refused("the guest is off: it cannot be paused")
            return self._wished(guest_id, Wish.PAUSED)

    def suspend(self, guest_id: str) -> GuestState:
        with self._locks.holding(guest_id, _LOCK_S):
            domain = self._keeper.domain(self._record(guest_id).guest.id)
            if not domain.activity.is_alive and not domain.saved:
                raise Refused("the guest is off: it cannot be suspended")
            return self._wished(guest_id, Wish.SUSPENDED)

    def _wished(self, guest_id: str, wish: Wish, starts: bool = False) -> GuestState:
        with self._locks.holding(guest_id, _LOCK_S):
            record = self._record(guest_id)
            domain = self._keeper.domain(guest_id)
            starting = record.starting or (starts and (domain.is_broken or not domain.activity.is_alive))
            # a reboot under way goes on only towards what is wished now
            self._store.put(record.but(wish=wish, starting=starting, reboot_of=0, off_by_us=0, trouble=""))
            return self._brought(guest_id)

    def stop(self, guest_id: str, soft_s: float) -> GuestState:
        with self._locks.holding(guest_id, _LOCK_S):
            record = self._record(guest_id)
            by_us = self._until_us(soft_s)
            if record.wish is Wish.OFF and record.off_by_us:  # it was asked already: no later than then
                by_us = min(by_us, record.off_by_us)
            self._store.put(record.but(wish=Wish.OFF, starting=False, reboot_of=0, off_by_us=by_us, trouble=""))
            return self._brought(guest_id)

    def reboot(self, guest_id: str, request_id: str, soft_s: float) -> GuestState:
        with self._locks.holding(guest_id, _LOCK_S):
            record = self._record(guest_id)
            if record.reboot_id != request_id:
                domain = self._keeper.domain(guest_id)
                is_alive = domain.activity.is_alive or domain.is_broken
                self._store.put(
                    record.but(
                        wish=Wish.RUNNING,
                        reboot_id=request_id,
                        reboot_of=domain.run if is_alive else 0,
                        starting=not is_alive,
                        off_by_us=self._until_us(soft_s) if is_alive else 0,
                        trouble="",
                    )
                )
            return self._brought(guest_id)

    def _until_us(self, soft_s: float) -> int:
        return self._clock_us() + int(max(0.0, soft_s) * 1e6)

    def remove(self, guest_id: str) -> None:
        limits.check_id(guest_id)
        with self._locks.holding(guest_id, _LOCK_S):
            record = self._store.get(guest_id)
            if record is None:
                self._keeper.purge(guest_id)
                return
            self._store.put(record.but(removed=True))
            self._keeper.bring(guest_id)

    def attach(self, guest_id: str, disk: Disk) -> GuestState:
        limits.check_disk(disk)
        return self._changed(guest_id, lambda record: self._devices.attach(record, disk))

    def detach(self, guest_id: str, serial: str) -> GuestState:
        return self._changed(guest_id, lambda record: self._devices.detach(record, serial))

    def resize(self, guest_id: str, serial: str, size: int) -> GuestState:
        return self._changed(guest_id, lambda record: self._devices.resize(record, serial, size))

    def plug(self, guest_id: str, nic: Nic) -> GuestState:
        limits.check_nic(nic)
        return self._changed(guest_id, lambda record: self._devices.plug(record, nic))

    def unplug(self, guest_id: str, mac: str) -> GuestState:
        return self._changed(guest_id, lambda record: self._devices.unplug(record, mac))

    def _changed(self, guest_id: str, change: Callable[[Record], None]) -> GuestState:
        with self._locks.holding(guest_id, _LOCK_S):
            try:
                change(self._record(guest_id))
            finally:
                self._poke(guest_id)
            return self._looked(guest_id)

    def tell(self, guest_id: str, told: Told) -> None:
        with self._locks.holding(guest_id, _LOCK_S):
            record = self._record(guest_id)
            guest = replace(record.guest, told=told)
            limits.check(guest)
            self._store.put(record.but(guest=guest))

    def console_log(self, guest_id: str, lines: int | None) -> str:
        self._record(guest_id)
        return consoles.read_log(console_log(self._store.files(guest_id)), lines)

    def display(self, guest_id: str, kind: str) -> Display:
        with self._locks.holding(guest_id, _LOCK_S):
            self._record(guest_id)
            if not self._keeper.domain(guest_id).activity.is_alive:
                raise Refused("the guest is off")
            if kind == Kind.LINE:
                return self._serial(guest_id)
            if kind == Kind.SCREEN:
                return self._screen(guest_id)
        raise Refused(f"a display {kind[:64]!r} is not known: vnc, serial")

    def _serial(self, guest_id: str) -> Display:
        ticket, port = self._displays.admit(Kind.LINE, guest_id), self._displays.port
        return Display(Kind.LINE, _HERE, port, ticket, _HERE, port, ticket)

    def _screen(self, guest_id: str) -> Display:
        port = self._keeper.description(guest_id).vnc_port
        if not port:
            raise Refused("the guest has no screen")
        password = "".join(secrets.choice(_PASSWORD_LETTERS) for _letter in range(_PASSWORD_SIZE))
        until = datetime.datetime.fromtimestamp(self._clock_us() / 1e6 + _SCREEN_S, datetime.UTC)
        self._hypervisor.update(guest_id, screen_xml(port, password, until.strftime("%Y-%m-%dT%H:%M:%S")))
        ticket = self._displays.admit(Kind.SCREEN, guest_id)
        return Display(Kind.SCREEN, _HERE, port, password, _HERE, self._displays.port, ticket)

    def diagnostics(self, guest_id: str) -> dict[str, object]:
        record = self._record(guest_id)
        state = self._looked(guest_id)
        is_alive = state.power in (Power.RUNNING, Power.PAUSED, Power.WAITING)
        statistics = self._hypervisor.statistics(guest_id) if is_alive else {}
        uptime_s = math.ceil((self._clock_us() - state.since_us) / 1e6) if is_alive else None
        return diagnostics.of(record.guest, state.power, statistics, uptime_s)

    def freeze(self, guest_id: str, frozen: bool) -> bool:
        with self._locks.holding(guest_id, _LOCK_S):
            self._record(guest_id)
            if self._looked(guest_id).power is not Power.RUNNING:
                return False
            return self._hypervisor.freeze(guest_id) if frozen else self._hypervisor.thaw(guest_id)

    def set_password(self, guest_id: str, user: str, password: str) -> bool:
        with self._locks.holding(guest_id, _LOCK_S):
            self._record(guest_id)
            if self._looked(guest_id).power is not Power.RUNNING:
                return False
            return self._hypervisor.set_password(guest_id, user, password)

    def _record(self, guest_id: str) -> Record:
        limits.check_id(guest_id)
        record = self._store.get(guest_id)
        if record is None or record.removed:
            raise NoSuch(f"this host has no guest {guest_id}")
        return record

    def _brought(self, guest_id: str) -> GuestState:
        """Have done what can be done now, and the rest be looked after."""
        try:
            self._keeper.bring(guest_id)
        finally:
            self._poke(guest_id)
        return self._looked(guest_id)

    def _looked(self, guest_id: str) -> GuestState:
        state = self._keeper.look(guest_id)
        if state is None:
            raise NoSuch(f"this host has no guest {guest_id}")
        return state
