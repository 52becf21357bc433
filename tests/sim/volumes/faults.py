"""The nemesis of volumes: what tests.sim.faults does to devices and networks, and what is the end of a gateway."""

import asyncio
from collections.abc import Sequence

from tests.sim.faults import CRASHES, PARTITIONS, Fault, Nemesis
from tests.sim.volumes.shape import TTL_S, Theme
from tests.sim.volumes.world import GatewayHost, VolumeWorld
from tests.sim.world import DeviceHost, Host

# every seed has one of these, too
TAKEOVERS = ("kill_gateway", "strand_gateway", "leave_behind", "freeze_gateway", "forget_gateway", "lose_all")
FAVOURED = {
    Theme.POWER: ("lose_all", "power_in_turn", "cut_power", "cut_power_midway", "blackout"),
    Theme.OWNERS: ("strand_gateway", "leave_behind", "meet_owner", "freeze_gateway", "forget_gateway"),
    Theme.PATHS: ("half", "isolate", "one_way", "slow_link", "reset"),
    Theme.ANY: (),
}
SURELY = {
    Theme.POWER: ("lose_all",),
    Theme.OWNERS: ("forget_gateway", "meet_owner"),
    Theme.PATHS: ("half", "leave_behind"),
    Theme.ANY: TAKEOVERS,
}
_MORE = 4  # times as often, what a seed favours


class VolumeNemesis(Nemesis):
    """Breaks one thing at a time, for a while; often the next before the last is whole."""

    def __init__(self, world: VolumeWorld, theme: Theme) -> None:
        super().__init__(world)
        self._favoured = FAVOURED[theme]
        self._surely = [CRASHES, PARTITIONS, TAKEOVERS] + 2 * [self._favoured or TAKEOVERS] + 2 * [SURELY[theme]]
        self._gateways: Sequence[GatewayHost] = world.gateways
        self._losses = world.losses
        self._opened = world.opened

    async def run(self, duration_s: float) -> None:
        """Break things for so long; return when nothing is under way any more."""
        self._end = self._world.loop.time() + duration_s
        await self._break(self._surely, 0.05 * duration_s, 1.5)

    def _faults(self) -> dict[str, tuple[Fault, float]]:
        """Return what can go wrong, and how often it does."""
        return {
            name: (fault, weight * _MORE if name in self._favoured else weight)
            for name, (fault, weight) in self._known().items()
        }

    def _known(self) -> dict[str, tuple[Fault, float]]:
        return {
            "kill_device": (self._kill_device, 3.0),
            "cut_power": (self._cut_power, 2.0),
            "cut_power_midway": (self._cut_power_midway, 2.0),
            "blackout": (self._blackout, 0.7),
            "kill_gateway": (self._kill_gateway, 2.5),
            "strand_gateway": (self._strand_gateway, 1.5),
            "leave_behind": (self._leave_behind, 1.5),
            "meet_owner": (self._meet_owner, 1.0),
            "power_in_turn": (self._power_in_turn, 1.5),
            "freeze_gateway": (self._freeze_gateway, 1.5),
            "forget_gateway": (self._forget_gateway, 1.5),
            "lose_all": (self._lose_all, 0.7),
            "isolate": (self._isolate, 2.5),
            "split": (self._split, 1.0),
            "half": (self._half, 4.0),
            "one_way": (self._one_way, 2.0),
            "slow_link": (self._slow_link, 2.0),
            "reset": (self._reset, 1.5),
            "stall": (self._stall, 1.5),
            "slow_disk": (self._slow_disk, 1.5),
            "coordination_down": (self._coordination_down, 0.7),
            "disk_errors": (self._disk_errors, 0.5),
            "disk_full": (self._disk_full, 0.3),
        }

    def _gateway(self) -> GatewayHost:
        return self._chance.choice(self._gateways)

    def _host(self) -> Host:
        return self._chance.choice([*self._world.devices, *self._gateways])

    async def _kill_gateway(self) -> None:
        host = self._gateway()
        power_lost = self._chance.random() < 0.5
        self._note(f"{'power lost' if power_lost else 'kill -9'}: {host.name}")
        host.kill(power_lost)
        await asyncio.sleep(self._chance.choice([0.05, 1.0, 4.0]))
        host.start()

    async def _freeze_gateway(self) -> None:
        """Stop a gateway for longer than its lease: what is on its way to it, and in it, waits."""
        host = self._gateway()
        process = host.process
        if process is not None:
            self._note(f"stopped for long: {process.name}")
            process.stop()
            await asyncio.sleep(TTL_S + self._chance.uniform(0.0, 3.0))
            self._note(f"goes on: {process.name}")
            process.go_on()

    async def _strand_gateway(self) -> None:
        """Kill a gateway; what it has sent to some devices arrives when somebody else may have its volumes."""
        host = self._gateway()
        late = [device.name for device in self._world.devices if self._chance.random() < 0.6]
        self._note(f"what {host.name} sends to {late} is late")
        for name in late:
            self._world.fabric.cut(host.name, name)
        await asyncio.sleep(self._chance.choice([0.01, 0.1, 0.3]))
        self._note(f"kill -9: {host.name}")
        host.kill()
        await asyncio.sleep(TTL_S + self._chance.uniform(0.0, 2.0))
        self._heal_network()
        host.start()

    async def _leave_behind(self) -> None:
        """Lose a gateway when one device alone has its last writes.

        That one is away when the next gateway comes, which dies soon; then it is there, and another one is away.
        """
        host, first, second = self._owner() or self._gateway(), *self._chance.sample(self._world.devices, 2)
        self._note(f"{host.name} reaches {first.name} alone, and is lost")
        for device in self._world.devices:
            if device is not first:
                self._world.fabric.cut(host.name, device.name)
        await asyncio.sleep(self._chance.choice([0.05, 0.2, 0.5]))
        host.kill(power_lost=True)
        self._world.fabric.heal()
        self._cut_off(first)
        host.start()
        owner = await self._next_owner()
        await asyncio.sleep(self._chance.choice([0.02, 0.1, 0.5]))
        if owner is not None:
            self._note(f"kill -9: {owner.name}")
            owner.kill()
            owner.start()
        self._heal_network()
        self._cut_off(second)
        await self._next_owner()
        await asyncio.sleep(1.0)
        self._heal_network()

    def _cut_off(self, host: Host) -> None:
        self._note(f"isolated: {host.name}")
        for other in self._hosts():
            self._world.fabric.cut(host.name, other)
            self._world.fabric.cut(other, host.name)

    async def _next_owner(self) -> GatewayHost | None:
        """Wait until a gateway has opened a volume, and return it; not for ever."""
        before = len(self._opened)
        deadline = self._world.loop.time() + 2 * TTL_S
        while len(self._opened) == before and self._world.loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return self._owner()

    def _owner(self) -> GatewayHost | None:
        """Return the gateway that has opened a volume last, if it lives."""
        for name, epoch in list(self._opened)[-1:]:
            for host in self._gateways:
                if host.gateway is not None and host.gateway.epochs.get(name) == epoch:
                    return host
        return None

    async def _meet_owner(self) -> None:
        """Have coordination not answer a gateway; kill all devices as soon as another one has opened a volume."""
        host = self._gateway()
        self._note(f"coordination does not answer {host.name}")
        self._world.registry.blind.add(host.name)
        await asyncio.sleep(TTL_S - 0.5)
        await self._next_owner()
        self._note("kill -9: all devices")
        for device in self._world.devices:
            device.kill()
            device.start()
        await asyncio.sleep(self._chance.uniform(0.5, 2.0))
        self._world.registry.blind.discard(host.name)

    async def _power_in_turn(self) -> None:
        """Cut the power of each device, when the one before is back."""
        for device in self._world.devices:
            self._note(f"power lost: {device.name}")
            device.kill(power_lost=True)
            device.start()
            await asyncio.sleep(self._chance.uniform(0.1, 0.8))

    async def _forget_gateway(self) -> None:
        """Keep a gateway from renewing its leases, while it reaches all devices."""
        host = self._owner() or self._gateway()
        self._note(f"coordination does not answer {host.name}")
        self._world.registry.blind.add(host.name)
        await asyncio.sleep(TTL_S + self._chance.uniform(-1.0, 3.0))
        self._world.registry.blind.discard(host.name)
        self._note(f"coordination answers {host.name}")

    async def _lose_all(self) -> None:
        """Kill everything at once, or cut the power of everything."""
        power_lost = self._chance.random() < 0.6
        hosts = self._world.hosts
        self._note(f"{'power lost' if power_lost else 'kill -9'}: everything")
        for host in hosts:
            host.kill(power_lost)
        await asyncio.sleep(self._chance.choice([0.1, 1.0]))
        for device in self._world.devices:
            device.start()
        for gateway in self._gateways:
            gateway.start()

    async def _half(self) -> None:
        """Let a gateway reach some devices only, and perhaps lose it just then: what it has sent is on too few."""
        host = self._gateway()
        lost = [device.name for device in self._world.devices if self._chance.random() < 0.5]
        self._note(f"{host.name} is cut off from {lost}")
        for name in lost:
            self._world.fabric.cut(host.name, name)
            if self._chance.random() < 0.5:
                self._world.fabric.cut(name, host.name)
        await self._for_a_while()
        if self._chance.random() < 0.3:
            await self._kill_gateway_of(host)
        self._heal_network()

    async def _kill_gateway_of(self, host: GatewayHost) -> None:
        self._note(f"kill -9: {host.name}")
        host.kill()
        await asyncio.sleep(0.05)
        host.start()

    async def _disk_errors(self) -> None:
        await super()._disk_errors()
        self._losses.append(self._world.loop.time())  # after a sync that failed, what it was for may be gone

    async def heal(self) -> None:
        """Make everything whole; return when all of it serves."""
        for host in self._gateways:
            if host.process is not None:
                host.process.go_on()
            host.start()
        await super().heal()

    def _device(self) -> DeviceHost:
        return self._chance.choice(self._world.devices)
