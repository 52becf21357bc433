"""Disks and network cards that guests get and lose while they run. Called with the guest's lock held."""

import time
from collections.abc import Callable
from dataclasses import replace

from compute.agent.guest import Disk, Nic
from compute.agent.keeper import Keeper
from compute.agent.libvirt.domain import disk_element, free_target, nic_element, text_of
from compute.agent.libvirt.interface import Activity, Domain, Hypervisor
from compute.agent.libvirt.seen import Description
from compute.agent.store import Record, Store
from compute.agent.wiring.interface import USER, Wiring
from compute.stored import NotYet, Refused

LEFT_S = 4.0  # for which a call waits for a guest to let go; whoever asked asks again
LARGER_S = 8.0  # the same for one to see that a disk is larger
PAUSE_S = 0.1


class Devices:
    """Of all guests of a host."""

    def __init__(
        self,
        store: Store,
        hypervisor: Hypervisor,
        wiring: Wiring,
        keeper: Keeper,
        monotonic_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store, self._hypervisor, self._wiring, self._keeper = store, hypervisor, wiring, keeper
        self._monotonic_s, self._sleep = monotonic_s, sleep

    def attach(self, record: Record, disk: Disk) -> None:
        """Have a guest have a disk."""
        guest = record.guest
        domain = self._changeable(record)
        disks = tuple(disk if each.serial == disk.serial else each for each in guest.disks)
        if disk not in disks:
            disks = (*disks, disk)
        self._store.put(record.but(guest=replace(guest, disks=disks)))
        if not domain.activity.is_alive:
            return
        has = self._keeper.description(guest.id)
        seen = has.disk(disk.serial)
        if seen is not None and seen.export != disk.export:
            self._keeper.bring(guest.id)  # which asks it to let go
            raise NotYet("the guest has not let go of the same volume yet, as it had it before")
        if seen is not None:
            return
        try:
            target = free_target(disk, has.machine, has.targets)
            self._hypervisor.attach(guest.id, text_of(disk_element(disk, has.machine, target)))
        except Refused:
            self._store.put(record)
            raise

    def detach(self, record: Record, serial: str) -> None:
        """Have a guest let go of a disk; return when it has, or after a while."""
        guest = record.guest
        domain = self._changeable(record)
        disks = tuple(disk for disk in guest.disks if disk.serial != serial)
        self._store.put(record.but(guest=replace(guest, disks=disks)))
        if domain.activity.is_alive:
            self._until_left(guest.id, lambda has: has.disk(serial) is None)

    def resize(self, record: Record, serial: str, size: int) -> None:
        """Have a guest see that a disk is larger. Raise NotYet while its volume is not, or its connection is older."""
        guest = record.guest
        if all(disk.serial != serial for disk in guest.disks):
            raise Refused(f"guest {guest.id} has no disk {serial}")
        disks = tuple(replace(disk, size=size) if disk.serial == serial else disk for disk in guest.disks)
        self._store.put(record.but(guest=replace(guest, disks=disks)))
        until_s = self._monotonic_s() + LARGER_S
        while True:
            activity = self._keeper.domain(guest.id).activity
            seen = self._keeper.description(guest.id).disk(serial) if activity.is_alive else None
            if seen is None:
                return  # it sees it when it starts
            try:
                self._hypervisor.resize(guest.id, seen.target, size)
                self._keeper.bring(guest.id)
                return
            except NotYet:
                if self._monotonic_s() >= until_s:
                    raise
            if activity is Activity.WAITING:
                self._keeper.bring(guest.id)
            self._sleep(PAUSE_S)

    def plug(self, record: Record, nic: Nic) -> None:
        """Have a guest have a network card."""
        guest = record.guest
        domain = self._changeable(record)
        is_alive = domain.activity.is_alive
        has = self._keeper.description(guest.id) if is_alive else Description()
        if has.nic(nic.mac) is None and is_alive and self._wiring.mode == USER:
            raise Refused("in user mode a guest gets network cards only while it is off")
        nics = tuple(each for each in guest.nics if each.mac != nic.mac)
        leaving = tuple(each for each in record.leaving if each.mac != nic.mac)
        self._store.put(record.but(guest=replace(guest, nics=(*nics, nic)), leaving=leaving))
        plug = self._wiring.plug(guest.id, nic)
        if not is_alive or has.nic(nic.mac) is not None:
            return
        try:
            self._hypervisor.attach(guest.id, text_of(nic_element(nic, plug)))
        except Refused:
            self._store.put(record)
            self._wiring.unplug(guest.id, nic)
            raise

    def unplug(self, record: Record, mac: str) -> None:
        """Have a guest let go of a network card; return when it has, or after a while."""
        guest = record.guest
        domain = self._changeable(record)
        leaving = tuple(nic for nic in guest.nics if nic.mac.lower() == mac.lower())
        nics = tuple(nic for nic in guest.nics if nic not in leaving)
        if not leaving:
            self._keeper.bring(guest.id)
            return
        if domain.activity.is_alive and self._wiring.mode == USER:
            raise Refused("in user mode a guest loses network cards only while it is off")
        self._store.put(record.but(guest=replace(guest, nics=nics), leaving=(*record.leaving, *leaving)))
        if domain.activity.is_alive:
            self._until_left(guest.id, lambda has: has.nic(mac) is None)
        self._keeper.bring(guest.id)

    def _changeable(self, record: Record) -> Domain:
        """Return what a guest does. Raise Refused for one that is in a file, with all that it has."""
        domain = self._keeper.domain(record.guest.id)
        if domain.saved and not domain.activity.is_alive:
            raise Refused("the guest is suspended: what it has cannot be changed")
        return domain

    def _until_left(self, guest_id: str, has_left: Callable[[Description], bool]) -> None:
        until_s = self._monotonic_s() + LEFT_S
        self._keeper.bring(guest_id)
        while self._monotonic_s() < until_s:
            if not self._keeper.domain(guest_id).activity.is_alive or has_left(self._keeper.description(guest_id)):
                return
            self._sleep(PAUSE_S)
