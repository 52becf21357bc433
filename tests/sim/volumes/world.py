"""A cluster with gateways in one process: `blockgw.gateway.Gateway`, put together as its daemon does it, on hosts."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from blockgw.catalog.store import Catalog
from blockgw.catalog.volume import Volume
from blockgw.gateway import Gateway
from storage.client import Placement, connected_placement
from storage.rings.background import BackgroundStore
from storage.rings.follower import RingFollower
from tests.sim.chance import Chance
from tests.sim.process import Process
from tests.sim.volumes.shape import VolumeShape
from tests.sim.world import DeviceHost, Host, World

_RESTART_S = 1.0  # of a supervisor, after a start that failed


class ChunkHost(DeviceHost):
    """A host with one device, which notes when what was not synced may have been lost."""

    def __init__(self, world: "VolumeWorld", device_id: int) -> None:
        super().__init__(world, device_id)
        self._world = world

    def _died(self, power_lost: bool) -> None:
        super()._died(power_lost)
        if power_lost:
            self._world.losses.append(self._world.loop.time())
            self._world.power_cuts.append((self._world.loop.time(), self.id))


class WatchedGateway(Gateway):
    """One that tells when it has opened a volume, and under which epoch."""

    def __init__(self, placement: Placement, background: BackgroundStore, holder: str) -> None:
        super().__init__(placement, background, holder)
        self.epochs: dict[str, int] = {}  # by volume, of the last time
        self.on_open: Callable[[str, int], None] = lambda _name, _epoch: None

    async def _open_volume(self, name: str, deleting: bool = False) -> Any:
        opened = await super()._open_volume(name, deleting)
        self.epochs[name] = opened.volume.epoch
        self.on_open(name, opened.volume.epoch)
        return opened


class GatewayHost(Host):
    """A host with one gateway."""

    def __init__(self, world: "VolumeWorld", number: int) -> None:
        super().__init__(world, f"g{number}")
        self.number = number
        self._on_open = world.note_open
        self.gateway: WatchedGateway | None = None
        self.placement: Placement | None = None
        self.send_away: Callable[[GatewayHost, str], None] = lambda _host, _name: None  # the clients of a volume

    def start(self) -> None:
        """Start the daemon; start it again when that fails."""
        if not self.up:
            process = self.new_process()
            process.spawn(self._run(process))

    async def _run(self, process: Process) -> None:
        world, environment = self.world, self.environment(process)
        try:
            background = BackgroundStore(lambda: world.registry.connect(process), environment.threads(1, "rings"))
            follower = RingFollower(
                world.registry.connect(process), f"gateway-{self.number}", background, environment.wall_us
            )
            placement = connected_placement(
                world.config, world.layout, follower.load(), follower.refresh, environment=environment
            )
            placement.start()
            follower.start(placement.update, placement.oldest_version_in_use)
            gateway = WatchedGateway(placement, background, process.name)
            gateway.on_open = self._on_open
            gateway.send_away = self._hang_up
            await gateway.refresh()
        except Exception as error:
            world.trace.note(f"start failed: {error!r}")
            world.later(_RESTART_S, self.restart, process)
            process.kill()
            return
        self.placement, self.gateway = placement, gateway

    def _hang_up(self, name: str, _deadline_s: float) -> Awaitable[None]:
        async def hung_up() -> None:
            self.send_away(self, name)

        return hung_up()

    def restart(self, process: Process) -> None:
        """Start what has failed, unless somebody did."""
        if self.process is process:
            self.start()

    def _died(self, power_lost: bool) -> None:
        super()._died(power_lost)
        self.gateway = self.placement = None


class VolumeWorld(World):
    """A cluster whose clients are gateways."""

    def __init__(self, chance: Chance, directory: Path, shape: VolumeShape) -> None:
        super().__init__(chance, directory, shape.cluster)
        self.losses: list[float] = []  # when a device may have lost what was not synced
        self.power_cuts: list[tuple[float, int]] = []  # when, and of which device
        self.opened: dict[tuple[str, int], float] = {}  # (volume, epoch) -> when a gateway had it open
        self.devices = [ChunkHost(self, device.id) for device in self.devices]
        self.gateways = [GatewayHost(self, number) for number in range(shape.gateway_count)]

    def __repr__(self) -> str:
        return f"VolumeWorld(seed {self.chance.seed}, {len(self.devices)} devices, {len(self.gateways)} gateways)"

    def note_open(self, name: str, epoch: int) -> None:
        """Take note that a gateway has a volume open."""
        self.opened[name, epoch] = self.loop.time()

    def volumes(self) -> list[Volume]:
        """Return what the catalog has."""
        return Catalog(self.registry.observe(), os.urandom, lambda: 0).all()

    @property
    def hosts(self) -> list[Host]:
        """All hosts."""
        return [*self.devices, *self.gateways]

    async def start(self) -> None:
        """Begin a new cluster; return when all of it serves."""
        for host in self.gateways:
            self.later(0.5, host.start)  # when there are rings
        await super().start()

    def all_serve(self) -> bool:
        """Tell whether everything that should be up is, and connected."""
        return super().all_serve() and all(
            host.placement is not None and all(peer.up for peer in host.placement.peers.values())
            for host in self.gateways
        )
