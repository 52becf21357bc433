"""An agent as a process of a cluster: made of its parts, and kept running.

Its port is served by threads (waitress), as libvirt's calls block; the loop of the process has the admin port, and
waits for the signal to stop. Beside it go the threads that look after guests, take libvirt's events and answer guests'
requests for their metadata. Nothing here decides anything that the compute service did not ask for.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Mapping
from typing import Any

from waitress.server import create_server

from cluster.clock import wall_us
from cluster.config import Config
from cluster.config.urls import reachable_host
from cluster.controlplane.chores import Chore, Chores
from cluster.controlplane.daemon import listening
from cluster.controlplane.service_user import service_user
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from cluster.supervision import lock
from cluster.telemetry.http import AdminServer
from cluster.telemetry.log import get_logger
from cluster.telemetry.metrics import Registry, register_process
from cluster.version import VERSION
from compute.agent import consoles, machine, presence
from compute.agent.api import BODY_LIMIT, host_application
from compute.agent.devices import Devices
from compute.agent.displays import Displays, Kind
from compute.agent.gateways import NbdGateways
from compute.agent.guest import Guest, HostState, Power
from compute.agent.host import LocalHost
from compute.agent.hosts import host_name
from compute.agent.keeper import Keeper, console_log
from compute.agent.libvirt import own, probing
from compute.agent.libvirt.hypervisor import LibvirtHypervisor
from compute.agent.libvirt.interface import Versions
from compute.agent.locks import Locks
from compute.agent.metadata.listeners import Listeners
from compute.agent.metadata.server import MetadataServer
from compute.agent.reach import NoReach, OwnSockets
from compute.agent.resuming import Resuming
from compute.agent.store import Store
from compute.agent.tending import Tending
from compute.agent.tokens_here import TokensHere
from compute.agent.virtualization import Virtualization
from compute.agent.watching import Watch
from compute.agent.wiring.choosing import wiring_of
from compute.stored import BackendError

THREADS = 32  # of the API; one that waits for changes has one of them
_LOCK_S = 1.0  # a guest that somebody is busy with is tended later
_TAKE_OVER_S = 30.0  # a guest that somebody is busy with
_TOKENS_S = 0.5  # after which what is revoked is refused
_LOOK_S = 10.0  # in which all guests are looked at, for what nobody told of
_LOGS_S = 30.0
_NETWORKS_S = 1.0
_STOP_S = 2.0
_SETTLE_S = 30.0  # for the hypervisor and the keys of tokens, before it is said that something is wrong
_LOOK_S = 0.05
_log = get_logger("agent")


class Agent:
    """One agent."""

    def __init__(self, config: Config, layout: Layout, number: int) -> None:
        """Raise OSError, ConfigError."""
        self._config, self._layout, self.number = config, layout, number
        directory = layout.agent(number)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.name = host_name(number)
        self.tokens = TokensHere(lambda: EmbeddedCoordination(layout.coordination))
        self._store = Store(directory / "guests")
        self._is_own = not config.compute.libvirt
        uri = config.compute.hypervisor_uri(number) or own.prepare(layout, number)
        self._hypervisor = LibvirtHypervisor(uri)
        self._virtualization = Virtualization(
            config.compute.virtualization, directory / "virtualization.json", probing.trial
        )
        self._wiring = wiring_of(config, layout, number, self.name)
        self._metadata = MetadataServer()
        self._listeners = Listeners(self._metadata, self._guest, self._guest_at)
        self._watch = Watch(wall_us)
        self._locks = Locks()
        self._keeper = Keeper(
            self._store,
            self._hypervisor,
            self._wiring,
            Resuming(self._hypervisor, NbdGateways(), time.monotonic),
            OwnSockets(self._listeners, layout, number) if self._is_own else NoReach(),
            self._watch,
            self._virtualization.kind,
            wall_us,
        )
        self._tending = Tending(lambda: self._store.all(), self._tend)
        self._hypervisor.watch(self._tending.poke)
        devices = Devices(self._store, self._hypervisor, self._wiring, self._keeper)
        self.displays = Displays(self._display_of)
        self.host = LocalHost(
            self._store,
            self._hypervisor,
            self._keeper,
            devices,
            self._watch,
            self._locks,
            self.displays,
            self._described,
            self._tending.poke,
            wall_us,
        )
        self._versions = Versions(0, 0)
        self._lacks = tuple(presence.lines(presence.missing(config.compute.networking)))
        self._chores = Chores()

    def start(self) -> None:
        """Take guests over from the agent before, and look after them from now on."""
        self._chores.start(Chore("tokens", _TOKENS_S, self.tokens.poll))
        self._virtualization.start()
        self._metadata.start()
        for guest_id in self._store.all():  # their ways to it outlived the agent before
            self._keeper.reopen(guest_id)
        threading.Thread(target=self._take_over, name="take over", daemon=True).start()

    def _take_over(self) -> None:
        """Begin once the hypervisor answers: nothing that guests do is known before."""
        while True:
            try:
                self._versions = self._hypervisor.versions()
                break
            except BackendError as error:
                _log.error("hypervisor_away", error=error, retry_s=_STOP_S)
                threading.Event().wait(_STOP_S)
        for guest_id in self._store.all():
            with contextlib.suppress(BackendError), self._locks.holding(guest_id, _TAKE_OVER_S):
                self._keeper.take_over(guest_id)
        self._tending.start()
        for chore in (
            Chore("look", _LOOK_S, lambda: self._tending.poke("")),
            Chore("console logs", _LOGS_S, self._cut_logs),
            Chore("networks", _NETWORKS_S, lambda: self._listeners.follow(self._wiring.namespaces())),
            *self._wiring.chores(),
        ):
            self._chores.start(chore)

    def close(self) -> None:
        """Stop what is in memory. Guests go on."""
        self._watch.close()
        self._tending.close()
        self._chores.stop(_STOP_S)
        self._metadata.close()
        self._wiring.close()

    def health(self) -> tuple[bool, Mapping[str, Any]]:
        """Tell whether it serves, and what else is to be known; never waits."""
        states = self._watch.all().values()
        waiting = sum(state.power is Power.WAITING for state in states)
        running = waiting + sum(state.power is Power.RUNNING for state in states)
        told = {
            "hypervisor": bool(self._versions.hypervisor),
            "token_keys": self.tokens.has_keys,
            "guests": len(states),
            "running": running,
            "waiting_for_disks": waiting,
            "virtualization": self._virtualization.now(),
            "networking": self._wiring.mode,
            "warnings": list(self._warnings()),
        }
        return bool(self._versions.hypervisor) and self.tokens.has_keys, told

    def register(self, registry: Registry) -> None:
        """Add what is measured."""
        registry.gauge("holdfast_guests", "Guests of this host.", lambda: float(len(self._watch.all())))
        for power in Power:
            registry.gauge(
                f"holdfast_guests_{power.value}",
                f"Guests of this host that are {power.value}.",
                lambda power=power: float(sum(state.power is power for state in self._watch.all().values())),  # type: ignore[misc]
            )
        registry.gauge(
            "holdfast_metadata_requests", "Requests of guests that were answered.", lambda: self._metadata.answered
        )

    def _tend(self, guest_id: str) -> float | None:
        with self._locks.holding(guest_id, _LOCK_S):
            try:
                return self._keeper.bring(guest_id)
            finally:
                self._keeper.look(guest_id)

    def _described(self) -> HostState:
        config = self._config.compute
        found = machine.of_this_host(config.guest_memory_mib)
        return HostState(
            name=self.name,
            hypervisor="QEMU",
            hypervisor_version=self._versions.hypervisor,
            virtualization=self._virtualization.now(),
            networking=self._wiring.mode,
            machines=("pc", "q35"),
            vcpus=found.vcpus,
            memory_mib=found.memory_mib,
            vcpus_used=0,
            memory_mib_used=0,
            guests=0,
            cpu_model=found.cpu_model,
            address=reachable_host(self._config.ports.admin_listen),
            uptime=machine.uptime(),
            warnings=self._warnings(),
        )

    def _warnings(self) -> tuple[str, ...]:
        own_form = () if self._is_own or self._wiring.mode != "user" else (_DRIVES_ONLY,)
        return (*self._lacks, *self._virtualization.warnings, *self._wiring.warnings, *own_form)

    def _guest(self, guest_id: str) -> Guest | None:
        record = self._store.get(guest_id)
        return None if record is None or record.removed else record.guest

    def _guest_at(self, network_id: str, address: str) -> Guest | None:
        for record in self._store.all().values():
            for nic in record.guest.nics:
                if not record.removed and nic.network_id == network_id and address in nic.addresses:
                    return record.guest
        return None

    def _display_of(self, kind: Kind, guest_id: str) -> int | str:
        try:
            described = self._keeper.description(guest_id)
        except BackendError:
            return 0
        return described.vnc_port if kind is Kind.SCREEN else described.serial_path

    def _cut_logs(self) -> None:
        for guest_id in self._store.all():
            consoles.cut_log(console_log(self._store.files(guest_id)))


_DRIVES_ONLY = (
    "in user mode guests of a libvirt that is not the agent's own are told what they are by config drives alone: "
    "its sandbox lets no way to 169.254.169.254 be made"
)


async def serve(config: Config, layout: Layout, number: int, stop: asyncio.Event) -> int:
    """Serve until `stop`."""
    name = f"agent-{number}"
    for each in presence.missing(config.compute.networking):
        _log.warning("missing", what=each.what, needed=each.needed, get=each.get)
    lock.acquire(layout.lock(name))  # held until the process ends
    listener = listening(config.ports.admin_listen, config.ports.agent_port(number))
    displays = listening(config.ports.admin_listen, config.ports.agent_displays_port(number))
    agent = Agent(config, layout, number)
    agent.displays.start(displays)
    agent.start()
    caller = service_user(config.cluster.key_bytes, "compute")
    server = create_server(
        host_application(agent.host, agent.tokens, caller.id),
        sockets=[listener],
        threads=THREADS,
        max_request_body_size=BODY_LIMIT,
        ident=None,
    )
    threading.Thread(target=server.run, name="api", daemon=True).start()
    registry = Registry()
    register_process(registry, VERSION)
    agent.register(registry)
    admin = AdminServer(registry, agent.health)
    await admin.start(config.ports.admin_listen, config.ports.agent_admin_port(number))
    await _settled(agent, stop)
    layout.ready(name).touch()
    _log.info("ready", agent=number, host=agent.name, port=config.ports.agent_port(number))
    await stop.wait()
    layout.ready(name).unlink(missing_ok=True)
    await admin.close()
    await agent.displays.close()
    await asyncio.to_thread(_stop, server, agent)
    return 0


async def _settled(agent: Agent, stop: asyncio.Event) -> None:
    """Return when the agent serves, or has tried for long: a new libvirt takes some seconds to look at its qemu."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + _SETTLE_S
    while not agent.health()[0] and not stop.is_set() and loop.time() < give_up_at:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _LOOK_S)


def _stop(server: Any, agent: Agent) -> None:
    agent.close()  # who waits for changes is answered
    server.task_dispatcher.shutdown(cancel_pending=True, timeout=_STOP_S)
