"""A host in memory: the agent's real parts over a hypervisor of a few lines, which can be made to fail, hang, or end.

`PowerCut` ends the agent at a call of the hypervisor, before or after it took effect, as kill -9 does; what is on disk
and what the hypervisor has go on to the next agent.
"""

import itertools
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cluster.controlplane.chores import Chore
from compute.agent.devices import Devices
from compute.agent.displays import Displays
from compute.agent.guest import Disk, Guest, HostState, Nic, Told
from compute.agent.host import LocalHost
from compute.agent.keeper import Keeper
from compute.agent.libvirt.interface import Activity, Domain, Versions
from compute.agent.libvirt.seen import described
from compute.agent.locks import Locks
from compute.agent.reach import NoReach
from compute.agent.resuming import Resuming
from compute.agent.store import Store
from compute.agent.watching import Watch
from compute.agent.wiring.interface import BRIDGE, USER, Plug
from compute.stored import BackendError, NoSuch, NotYet, Unreachable

START_US = 1_800_000_000_000_000


class PowerCut(BaseException):
    """The agent ended here."""


@dataclass
class Machine:
    """A domain."""

    xml: str  # for its next start
    live: str = ""  # as it runs
    activity: Activity = Activity.UNKNOWN
    run: int = 0
    saved: str = ""  # its description in the file that it is in
    sizes: dict[str, int] = field(default_factory=dict)  # by target
    asked_to_end: int = 0


class MemoryHypervisor:
    """`compute.agent.libvirt.interface.Hypervisor`."""

    def __init__(self) -> None:
        self.machines: dict[str, Machine] = {}
        self.calls: list[str] = []
        self.errors: dict[str, BackendError] = {}  # by call
        self.lets_go = True  # guests take part in losing a device
        self.listens = True  # guests end when they are asked to
        self.is_connected_anew = True
        self.cut_at: int | None = None  # how many changing calls from now on; each counts before and after
        self.failing_resumes = 0
        self._runs = itertools.count(1)
        self.updates: list[str] = []

    def _changing(self, name: str) -> None:
        self.calls.append(name)
        if name in self.errors:
            raise self.errors[name]
        self._cut()

    def _cut(self) -> None:
        if self.cut_at is not None:
            if self.cut_at == 0:
                self.cut_at = None
                raise PowerCut
            self.cut_at -= 1

    def _of(self, guest_id: str) -> Machine:
        if guest_id not in self.machines:
            raise NoSuch(guest_id)
        return self.machines[guest_id]

    def versions(self) -> Versions:
        return Versions(7_002_022, 9_000_000)

    def domains(self) -> Mapping[str, Domain]:
        return {guest_id: self._domain(machine) for guest_id, machine in self.machines.items()}

    def find(self, guest_id: str) -> Domain | None:
        found = self.machines.get(guest_id)
        return None if found is None else self._domain(found)

    def _domain(self, machine: Machine) -> Domain:
        return Domain(machine.activity, machine.run, bool(machine.saved))

    def define(self, xml: str) -> None:
        self._changing("define")
        match = re.search("<uuid>(.*)</uuid>", xml)
        assert match
        self.machines.setdefault(match[1], Machine(xml)).xml = xml
        self._cut()

    def undefine(self, guest_id: str) -> None:
        self._changing("undefine")
        machine = self.machines.pop(guest_id, None)
        assert machine is None or not machine.activity.is_alive
        self._cut()

    def start(self, guest_id: str, paused: bool) -> None:
        self._changing("start")
        machine = self._of(guest_id)
        assert not machine.activity.is_alive, "it would run twice"
        machine.live, machine.saved = machine.saved or machine.xml, ""
        machine.activity = Activity.PAUSED if paused else Activity.RUNNING
        machine.run = next(self._runs)
        self._cut()

    def destroy(self, guest_id: str) -> None:
        self._changing("destroy")
        if guest_id in self.machines:
            self.end(guest_id, Activity.DESTROYED)
        self._cut()

    def end(self, guest_id: str, activity: Activity) -> None:
        """Have a guest be off."""
        machine = self.machines[guest_id]
        if machine.activity.is_alive:
            machine.activity, machine.run, machine.live = activity, 0, ""

    def shutdown(self, guest_id: str) -> None:
        self._changing("shutdown")
        self._of(guest_id).asked_to_end += 1
        if self.listens:
            self.end(guest_id, Activity.ENDED)
        self._cut()

    def pause(self, guest_id: str) -> None:
        self._changing("pause")
        self._of(guest_id).activity = Activity.PAUSED
        self._cut()

    def resume(self, guest_id: str) -> None:
        self._changing("resume")
        if self.failing_resumes:
            self.failing_resumes -= 1  # it runs, and the next request fails
            return
        self._of(guest_id).activity = Activity.RUNNING
        self._cut()

    def save(self, guest_id: str) -> None:
        self._changing("save")
        machine = self._of(guest_id)
        machine.saved = machine.live
        self.end(guest_id, Activity.DESTROYED)
        self._cut()

    def discard_saved(self, guest_id: str) -> None:
        self._changing("discard_saved")
        self._of(guest_id).saved = ""
        self._cut()

    def description(self, guest_id: str) -> str:
        machine = self._of(guest_id)
        return machine.live or machine.xml

    def attach(self, guest_id: str, xml: str) -> None:
        self._changing("attach")
        machine = self._of(guest_id)
        machine.live = machine.live.replace("</devices>", f"{xml}</devices>")
        described(machine.live)
        self._cut()

    def detach(self, guest_id: str, xml: str) -> None:
        self._changing("detach")
        machine = self._of(guest_id)
        if self.lets_go:
            marks = re.findall(r"<serial>.*?</serial>|<mac .*?>", xml)
            pattern = r"<(disk|interface) (?:(?!<disk |<interface ).)*?" + re.escape(marks[0]) + r".*?</\1>"
            machine.live = re.sub(pattern, "", machine.live, count=1)
        self._cut()

    def resize(self, guest_id: str, target: str, size: int) -> None:
        self._changing("resize")
        if not self.is_connected_anew:
            self.is_connected_anew = True
            raise NotYet("an older connection")
        self._of(guest_id).sizes[target] = size
        self._cut()

    def update(self, guest_id: str, xml: str) -> None:
        self._changing("update")
        self.updates.append(xml)

    def statistics(self, guest_id: str) -> Mapping[str, Any]:
        return {"vcpu.current": 1, "vcpu.0.time": 5, "block.count": 1, "block.0.rd.bytes": 7, "balloon.maximum": 2048}

    def freeze(self, guest_id: str) -> bool:
        return False

    def thaw(self, guest_id: str) -> bool:
        return False

    def set_password(self, guest_id: str, user: str, password: str) -> bool:
        return (user, password) == ("root", "with an agent")

    def watch(self, changed: Callable[[str], None]) -> None:
        """Nobody is told."""

    def close(self) -> None:
        """Nothing is open."""


class MemoryWiring:
    """`compute.agent.wiring.interface.Wiring`."""

    warnings: Sequence[str] = ()

    def __init__(self, mode: str = BRIDGE) -> None:
        self.mode = mode
        self.plugged: set[tuple[str, str]] = set()

    def plug(self, guest_id: str, nic: Nic) -> Plug:
        self.plugged.add((guest_id, nic.mac))
        return Plug(USER) if self.mode == USER else Plug(BRIDGE, "br0", f"tap{nic.mac[-2:]}", nic.mtu)

    def unplug(self, guest_id: str, nic: Nic) -> None:
        self.plugged.discard((guest_id, nic.mac))

    def chores(self) -> tuple[Chore, ...]:
        return ()

    def namespaces(self) -> Mapping[str, str]:
        return {}

    def close(self) -> None:
        """Nothing is open."""


class MemoryGateways:
    """`compute.agent.gateways.Gateways`."""

    def __init__(self) -> None:
        self.answer = True

    def answers(self, host: str, port: int) -> bool:
        return self.answer


class MemoryHost:
    """A host, of which the agent can be ended and begun anew."""

    def __init__(self, directory: Path, mode: str = BRIDGE) -> None:
        self.directory = directory
        self.hypervisor, self.wiring, self.gateways = MemoryHypervisor(), MemoryWiring(mode), MemoryGateways()
        self.now_us = START_US
        self.poked: list[str] = []
        self.displays = Displays(lambda _kind, _guest_id: 0)
        self.begin()

    def begin(self) -> None:
        """Begin an agent, with what is on disk."""
        self.store = Store(self.directory / "guests")
        self.watch, self.locks = Watch(lambda: self.now_us), Locks()
        self.keeper = Keeper(
            self.store,
            self.hypervisor,
            self.wiring,
            Resuming(self.hypervisor, self.gateways, lambda: self.now_us / 1e6),
            NoReach(),
            self.watch,
            lambda: "qemu",
            lambda: self.now_us,
            lambda: self.now_us / 1e6,
        )
        devices = Devices(
            self.store, self.hypervisor, self.wiring, self.keeper, lambda: self.now_us / 1e6, self.pass_s
        )
        self.host = LocalHost(
            self.store,
            self.hypervisor,
            self.keeper,
            devices,
            self.watch,
            self.locks,
            self.displays,
            lambda: HOST,
            self.poked.append,
            lambda: self.now_us,
        )
        for guest_id in self.store.all():
            self.keeper.take_over(guest_id)

    def pass_s(self, seconds: float) -> None:
        """Have time go by."""
        self.now_us += int(seconds * 1e6)

    def tend(self, guest_id: str, for_s: float = 30.0) -> None:
        """Look after a guest for as long as there is something to do, or that time is over."""
        until_us = self.now_us + int(for_s * 1e6)
        while self.now_us < until_us:
            again_s = self.keeper.bring(guest_id)
            self.keeper.look(guest_id)
            if again_s is None:
                return
            self.pass_s(again_s)

    def machine(self, guest_id: str) -> Machine:
        """Return a domain."""
        return self.hypervisor.machines[guest_id]


HOST = HostState(
    name="here", hypervisor="QEMU", hypervisor_version=7_002_022, virtualization="qemu", networking="bridge",
    machines=("pc", "q35"), vcpus=4, memory_mib=8192, vcpus_used=0, memory_mib_used=0, guests=0,
)  # fmt: skip


def disk(number: int = 1, **values: Any) -> Disk:
    """Return a disk."""
    found = Disk(serial=f"volume-{number}", host="127.0.0.1", port=10809, export=f"volume-{number}~a", size=1 << 30)
    return replace(found, **values)


def nic(number: int = 1, **values: Any) -> Nic:
    """Return a network card."""
    found = Nic(mac=f"fa:16:3e:00:00:{number:02x}", port_id=f"port-{number}", network_id="network-1",
                addresses=(f"10.0.0.{number}",))  # fmt: skip
    return replace(found, **values)


def guest(**values: Any) -> Guest:
    """Return a guest."""
    found = Guest(
        id=str(uuid.uuid4()), name="web", project_id="p" * 32, vcpus=1, memory_mib=256,
        disks=(disk(boot_index=0),), nics=(nic(),), told=TOLD,
    )  # fmt: skip
    return replace(found, **values)


TOLD = Told(
    meta_data={"hostname": "web", "public_keys": {"mine": "ssh-ed25519 AAAA"}, "availability_zone": "nova"},
    network_data={"links": []},
    vendor_data={"cloud": "ours"},
    user_data="IyEvYmluL3NoCg==",
    ec2={"ami-id": "ami-1", "security-groups": ["default", "web"]},
)


def unreachable() -> Unreachable:
    """Return what a gateway that is away brings about."""
    return Unreachable("Failed to connect to '127.0.0.1:10809': Connection refused")
