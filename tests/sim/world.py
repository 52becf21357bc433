"""A cluster in one process: devices and proxies, each a simulated process on a host of its own, and what they share.

Devices are `storage.device.StorageDevice`, proxies `proxy.objects.service.ObjectService`, put together as their daemons
do it, on simulated clocks, disks, network, threads and coordination. A supervisor starts again what was killed.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from cluster.clock import HybridClock
from cluster.config import ClusterConfig, Config, DeviceConfig, RingConfig, StorageConfig
from cluster.environment import Environment
from cluster.layout import Layout
from cluster.threads import CALLS_LIMIT, Waiters
from proxy.objects.service import ObjectService
from ring.builder import RingBuilder
from ring.device import Device
from storage.client import Placement, connected_placement
from storage.device import StorageDevice
from storage.rings.background import BackgroundStore
from storage.rings.document import ACCOUNT, CONTAINER, OBJECT
from storage.rings.follower import RingFollower
from storage.rings.store import RingStore
from tests.sim.chance import Chance, delay
from tests.sim.coordination import Registry
from tests.sim.disk import SimulatedDisk, Storage
from tests.sim.network import NOBODY, Fabric
from tests.sim.process import Process
from tests.sim.real_files import RealFiles
from tests.sim.shape import PART_POWER, REPLICAS, Shape
from tests.sim.threads import SimulatedCommitter, SimulatedWaiters
from tests.sim.trace import Trace

MiB = 1 << 20
EPOCH_US = 1_700_000_000_000_000
_RESTART_S = 1.0  # of a supervisor, after a start that failed


class Host:
    """A machine: a clock, and a disk that outlives the processes on it."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.skew_us = 0
        self.boots = 1
        self.lives = 0
        self.process: Process | None = None
        self.storage = Storage(world.chance.stream(f"disk of {name}"))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}, {self.process})"

    @property
    def up(self) -> bool:
        """Tell whether a process lives here."""
        return self.process is not None and self.process.alive

    def wall_us(self) -> int:
        """Return what the clock of this host shows."""
        return EPOCH_US + int(self.world.loop.time() * 1e6) + self.skew_us

    def new_process(self) -> Process:
        """Return the next process of this host."""
        self.lives += 1
        self.world.fabric.dark.discard(self.name)
        self.process = Process(self.name, f"{self.name}.{self.lives}")
        self.process.on_death(self._died)
        return self.process

    def environment(self, process: Process) -> Environment:
        """Return what `process` takes from the world."""
        chance = self.world.chance
        return Environment(
            self.wall_us,
            chance.entropy(process.name),
            self.world.fabric.network(process),
            partial(self._threads, chance.stream(f"threads of {process.name}")),
        )

    def _threads(
        self, chance: random.Random, count: int, name: str, calls_limit: int = CALLS_LIMIT
    ) -> Waiters:
        del name
        return SimulatedWaiters(chance, calls_limit, count, lambda: self.pace(chance, self.world.shape.sync_s / 2))

    def pace(self, chance: random.Random, typical_s: float) -> float:
        """Return how long a call in a thread takes now."""
        return delay(chance, typical_s) + self.storage.faults.slow_s * chance.random()

    def _died(self, power_lost: bool) -> None:
        if power_lost:
            self.boots += 1
            self.world.fabric.dark.add(self.name)

    def kill(self, power_lost: bool = False) -> None:
        """End the process here: kill -9, or a power cut."""
        if self.process is not None:
            self.process.kill(power_lost)


class DeviceHost(Host):
    """A host with one device."""

    def __init__(self, world: "World", device_id: int) -> None:
        super().__init__(world, f"d{device_id}")
        self.id = device_id
        self.device: StorageDevice | None = None
        self.ready = False
        stream = world.chance.stream(f"files of {self.name}")
        directory = world.layout.device(world.config.device(device_id))
        self._files = [
            RealFiles(directory / "indexes", world.graveyard, stream),
            RealFiles(directory / "blobs" / "index", world.graveyard, stream),
        ]
        self.storage.kill = lambda: self.kill(power_lost=True)
        self.on_start: Callable[[DeviceHost], None] = lambda _host: None  # called when a daemon has started

    def start(self) -> None:
        """Start the daemon; start it again when that fails."""
        if not self.up:
            process = self.new_process()
            process.spawn(self._run(process))

    async def _run(self, process: Process) -> None:
        world = self.world
        chance = world.chance.stream(f"commits of {process.name}")
        try:
            self.device = StorageDevice(
                world.config,
                world.layout,
                self.id,
                lambda: world.registry.connect(process),
                environment=self.environment(process),
                disk=SimulatedDisk(self.storage, process),
                boot_id=f"{self.name}-{self.boots}",
                committer=partial(SimulatedCommitter, pace=lambda: self.pace(chance, world.shape.sync_s)),
            )
            await self.device.start()
            self.ready = True
            self.on_start(self)
        except Exception as error:
            world.trace.note(f"start failed: {error!r}")
            world.later(_RESTART_S, self.restart, process)
            process.kill()

    def restart(self, process: Process) -> None:
        """Start what has failed, unless somebody did."""
        if self.process is process:
            self.start()

    def _died(self, power_lost: bool) -> None:
        super()._died(power_lost)
        self.ready, self.device = False, None
        self.storage.faults.kill_after = None
        for files in self._files:
            files.process_died(power_lost)
        if power_lost:
            self.storage.lose_power()

    def replace_disk(self) -> None:
        """Put an empty disk in place of what is here. The process must be dead."""
        assert not self.up
        self.storage.wipe()
        for files in self._files:
            files.wipe()


class ProxyHost(Host):
    """A host with one proxy."""

    def __init__(self, world: "World", number: int) -> None:
        super().__init__(world, f"p{number}")
        self.number = number
        self.service: ObjectService | None = None
        self.placement: Placement | None = None

    def start(self) -> None:
        """Start the daemon; start it again when that fails."""
        if not self.up:
            process = self.new_process()
            process.spawn(self._run(process))

    async def _run(self, process: Process) -> None:
        world = self.world
        environment = self.environment(process)
        try:
            background = BackgroundStore(
                lambda: world.registry.connect(process), environment.threads(1, "rings")
            )
            follower = RingFollower(
                world.registry.connect(process), f"proxy-{self.number}", background, environment.wall_us
            )
            placement = connected_placement(
                world.config, world.layout, follower.load(), follower.refresh, environment=environment
            )
            placement.start()
            follower.start(placement.update, placement.oldest_version_in_use)
        except Exception as error:
            world.trace.note(f"start failed: {error!r}")
            world.later(_RESTART_S, self.restart, process)
            process.kill()
            return
        node = int.from_bytes(environment.entropy(4), "big")
        clock = HybridClock(node, environment.wall_us)
        self.placement, self.service = placement, ObjectService(placement, clock)

    def goes_by(self, version: int) -> bool:
        """Tell whether it works by this version of the rings, or a newer one."""
        return self.placement is not None and self.placement.rings.version >= version

    def restart(self, process: Process) -> None:
        """Start what has failed, unless somebody did."""
        if self.process is process:
            self.start()

    def _died(self, power_lost: bool) -> None:
        super()._died(power_lost)
        self.service = self.placement = None


class World:
    """Everything. Run inside a SimulatedLoop, in a directory of its own."""

    def __init__(self, chance: Chance, directory: Path, shape: Shape) -> None:
        device_count, spare_count, proxy_count = shape.device_count, shape.spare_count, shape.proxy_count
        self.shape = shape
        self.loop = asyncio.get_running_loop()
        self.chance = chance
        self.trace = Trace(self.loop.time)
        self.layout = Layout(directory)
        self.graveyard = directory / "graveyard"
        entropy = chance.entropy("cluster")
        self.config = Config(
            cluster=ClusterConfig(
                key=entropy(32).hex(), hash_prefix=entropy(8).hex(), hash_suffix=entropy(8).hex()
            ),
            storage=StorageConfig(
                segment_bytes=MiB // 4,
                replication_interval_s=5.0,
                rebalance_bytes_per_s=0,
                upload_ttl_s=60.0,
                reclaim_age_s=shape.reclaim_age_s,
                handoff_after_s=shape.handoff_after_s,
                orphan_grace_s=60.0,
                container_split_rows=shape.split_rows,
            ),
            ring=RingConfig(part_power=PART_POWER, replicas=REPLICAS),
            devices=tuple(
                DeviceConfig(id=number, node=f"n{number}", zone=number + 1, directory=f"d{number}")
                for number in range(device_count + spare_count)
            ),
        )
        self.registry = Registry(chance.stream("coordination"))
        self.fabric = Fabric(chance.stream("network"), shape.delay_s, shape.unevenness)
        self.builder = ring_builder(range(device_count))
        self.ring = self.builder.to_ring()
        self.devices = [DeviceHost(self, number) for number in range(device_count + spare_count)]
        self.had_full_disks = False
        self.in_ring = set(range(device_count))
        self.proxies = [ProxyHost(self, number) for number in range(proxy_count)]
        for proxy, skew_us in zip(self.proxies, shape.proxy_skews_us, strict=False):
            proxy.skew_us = skew_us
        self.spoilt: DeviceHost | None = None  # whose data were lost, or damaged: one device in a seed
        self.violations: list[str] = []  # that were seen while it ran
        self._tasks: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return f"World(seed {self.chance.seed}, {len(self.devices)} devices, {len(self.proxies)} proxies)"

    @property
    def hosts(self) -> list[Host]:
        """All hosts."""
        return [*self.devices, *self.proxies]

    def rings(self) -> RingStore:
        """Return the store of rings, as an operator's command sees it."""
        return RingStore(self.registry.connect(None))

    async def start(self) -> None:
        """Begin a new cluster; return when all of it serves."""
        self.rings().create(dict.fromkeys((ACCOUNT, CONTAINER, OBJECT), self.ring))
        for number in sorted(self.in_ring):
            self.devices[number].start()
        for proxy in self.proxies:
            proxy.start()
        await self.until(self.all_serve, 30.0, "start")

    def all_serve(self) -> bool:
        """Tell whether everything that should be up is, and connected."""
        devices = all(self.devices[number].ready for number in self.in_ring)
        return devices and all(
            proxy.placement is not None and all(peer.up for peer in proxy.placement.peers.values())
            for proxy in self.proxies
        )

    async def until(self, condition: Callable[[], bool], limit_s: float, what: str) -> None:
        """Wait until something is so. Raise TimeoutError."""
        deadline = self.loop.time() + limit_s
        while not condition():
            if self.loop.time() > deadline:
                raise TimeoutError(f"{what}: not in {limit_s} s")
            await asyncio.sleep(0.02)

    def later(self, delay_s: float, callback: Callable[..., object], *arguments: Any) -> None:
        """Call back, as nobody's process."""
        self.loop.call_later(delay_s, callback, *arguments, context=NOBODY)

    def background(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run something of the world's own."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def ring_builder(device_ids: "range | list[int]") -> RingBuilder:
    """Return a builder with devices of equal weight, each a zone of its own."""
    builder = RingBuilder.create(PART_POWER, REPLICAS, 0)
    for number in device_ids:
        builder = builder.add(ring_device(number))
    return builder.rebalance(seed=1, now_s=0)[0]


def ring_device(number: int) -> Device:
    """Return a device as rings name it."""
    return Device(number, 1, number + 1, "127.0.0.1", 6000 + number, f"d{number}")
