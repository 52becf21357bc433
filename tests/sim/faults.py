"""The nemesis: breaks things while clients work, by seed, and heals them in the end."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.sim.disk import ENDLESS, Faults
from tests.sim.topology import Operator
from tests.sim.world import DeviceHost, Host, World


class Nemesis:
    """Breaks one thing at a time, for a while; sometimes the next before the last is whole.

    Every seed has a crash of a device and a partition of the network at least.
    """

    def __init__(self, world: World, changes_rings: bool) -> None:
        self._world = world
        self._chance = world.chance.stream("nemesis")
        self._operator = Operator(world, world.chance.stream("operator"))
        self._changes_rings = changes_rings
        self._damaged: DeviceHost | None = None  # whose data were lost, or damaged
        self.done: list[str] = []
        self._begun = ""  # a fault that has not been noted yet

    async def run(self, duration_s: float) -> None:
        """Break things for so long."""
        world, chance = self._world, self._chance
        end = world.loop.time() + duration_s
        if self._changes_rings:
            world.background(self._change_rings(duration_s))
        faults: list[tuple[Callable[[], Awaitable[None]], float]] = [
            (self._kill_device, 3.0),
            (self._cut_power, 2.0),
            (self._cut_power_midway, 3.0),
            (self._kill_proxy, 1.5),
            (self._isolate, 3.0),
            (self._split, 1.5),
            (self._half, 4.0),
            (self._one_way, 2.0),
            (self._slow_link, 1.0),
            (self._reset, 1.0),
            (self._stall, 1.5),
            (self._skew, 1.0),
            (self._slow_disk, 1.0),
            (self._coordination_down, 0.7),
            (self._disk_errors, 0.7),
            (self._disk_full, 0.5),
            (self._wipe, 0.4),
            (self._flip, 0.7),
        ]
        missing = [
            [self._kill_device, self._cut_power, self._cut_power_midway],
            [self._isolate, self._split, self._half, self._one_way],
        ]
        while world.loop.time() < end:
            await asyncio.sleep(chance.uniform(0.1, 1.5))
            fault = chance.choices([fault for fault, _ in faults], [weight for _, weight in faults])[0]
            missing = [kinds for kinds in missing if fault not in kinds]
            if chance.random() < 0.4:
                world.background(self._guarded(fault))
            else:
                await self._guarded(fault)
        for kinds in missing:  # each seed has a crash and a partition
            await self._guarded(chance.choice(kinds))

    async def _change_rings(self, duration_s: float) -> None:
        await asyncio.sleep(self._chance.uniform(0, duration_s / 2))
        self.done.append("ring_change")
        await self._operator.change()

    async def _guarded(self, fault: Callable[[], Awaitable[None]]) -> None:
        self._begun = fault.__name__.strip("_")
        await fault()

    def _note(self, text: str) -> None:
        if self._begun:
            self.done.append(self._begun)
            self._begun = ""
        self._world.trace.note(f"NEMESIS {text}")

    def _device(self) -> DeviceHost:
        return self._world.devices[self._chance.choice(sorted(self._world.in_ring))]

    def _host(self) -> Host:
        devices = [self._world.devices[number] for number in sorted(self._world.in_ring)]
        return self._chance.choice([*devices, *self._world.proxies])

    def _hosts(self) -> list[str]:
        return [host.name for host in self._world.hosts]

    async def _kill_device(self) -> None:
        device = self._device()
        self._note(f"kill -9: {device.name}")
        device.kill()
        await asyncio.sleep(self._chance.choice([0.05, 1.0, 4.0]))
        device.start()

    async def _cut_power(self) -> None:
        device = self._device()
        self._note(f"power lost: {device.name}")
        device.kill(power_lost=True)
        await asyncio.sleep(self._chance.choice([0.2, 1.0, 4.0]))
        device.start()

    async def _cut_power_midway(self) -> None:
        device = self._device()
        calls = self._chance.randrange(12)
        self._note(f"power will be lost: {device.name}, after {calls} calls")
        device.storage.faults.kill_after = calls
        await asyncio.sleep(1.5)
        device.storage.faults.kill_after = None
        await asyncio.sleep(self._chance.choice([0.05, 1.0, 3.0]))
        device.start()

    async def _kill_proxy(self) -> None:
        proxy = self._chance.choice(self._world.proxies)
        power_lost = self._chance.random() < 0.5
        self._note(f"{'power lost' if power_lost else 'kill -9'}: {proxy.name}")
        proxy.kill(power_lost)
        await asyncio.sleep(self._chance.choice([0.05, 1.0]))
        proxy.start()

    async def _isolate(self) -> None:
        host = self._host()
        self._note(f"isolated: {host.name}")
        for other in self._hosts():
            self._world.fabric.cut(host.name, other)
            self._world.fabric.cut(other, host.name)
        await self._for_a_while()
        self._heal_network()

    async def _split(self) -> None:
        hosts = self._hosts()
        self._chance.shuffle(hosts)
        half = hosts[: len(hosts) // 2]
        self._note(f"split off: {sorted(half)}")
        for one in half:
            for other in hosts[len(hosts) // 2 :]:
                self._world.fabric.cut(one, other)
                self._world.fabric.cut(other, one)
        await self._for_a_while()
        self._heal_network()

    async def _half(self) -> None:
        """Let a proxy reach some devices only: what it writes is on too few, for a while."""
        proxy = self._chance.choice(self._world.proxies)
        lost = [device.name for device in self._world.devices if self._chance.random() < 0.5]
        self._note(f"{proxy.name} is cut off from {lost}")
        for name in lost:
            self._world.fabric.cut(proxy.name, name)
            self._world.fabric.cut(name, proxy.name)
        await self._for_a_while()
        self._heal_network()

    async def _one_way(self) -> None:
        host = self._host()
        others = [name for name in self._hosts() if self._chance.random() < 0.6]
        deaf = self._chance.random() < 0.5
        self._note(f"{host.name} {'does not hear' if deaf else 'is not heard by'} {others}")
        for other in others:
            self._world.fabric.cut(*((other, host.name) if deaf else (host.name, other)))
        await self._for_a_while()
        self._heal_network()

    async def _slow_link(self) -> None:
        host, delay_s = self._host(), self._chance.choice([0.01, 0.1, 0.4])
        self._note(f"slow: {host.name}, {delay_s} s")
        for other in self._hosts():
            self._world.fabric.link(host.name, other).delay_s = delay_s
        await self._for_a_while()
        self._heal_network()

    async def _reset(self) -> None:
        count = self._world.fabric.reset_some(self._chance.choice([0.1, 0.5]))
        self._note(f"connections reset: {count}")

    async def _stall(self) -> None:
        host = self._host()
        process = host.process
        if process is not None:
            self._note(f"stopped: {process.name}")
            process.stop()
            await asyncio.sleep(self._chance.choice([0.3, 1.5, 5.0]))
            self._note(f"goes on: {process.name}")
            process.go_on()

    async def _skew(self) -> None:
        host = self._host()
        host.skew_us = self._chance.choice([-300, -2, 0, 1, 300]) * 1_000_000
        self._note(f"clock of {host.name} off by {host.skew_us / 1e6} s")

    async def _slow_disk(self) -> None:
        device = self._device()
        self._note(f"slow disk: {device.name}")
        device.storage.faults.slow_s = self._chance.choice([0.02, 0.3])
        await self._for_a_while()
        device.storage.faults.slow_s = 0.0

    async def _disk_errors(self) -> None:
        """Have calls fail with EIO for a while. Then the disk is well, and the daemon is started again."""
        device = self._device()
        kind = self._chance.choice(["read_error", "write_error", "sync_error"])
        self._note(f"EIO: {kind} on {device.name}")
        setattr(device.storage.faults, kind, self._chance.choice([0.05, 0.3, 1.0]))
        await self._for_a_while()
        setattr(device.storage.faults, kind, 0.0)
        device.kill()
        await asyncio.sleep(0.2)
        device.start()

    async def _disk_full(self) -> None:
        device = self._device()
        self._note(f"disk full: {device.name}")
        capacity = device.storage.capacity
        self._world.had_full_disks = True
        device.storage.capacity = device.storage.used() + self._chance.choice([0, 5000, 300_000])
        await self._for_a_while()
        device.storage.capacity = capacity

    def _may_lose_data(self, device: DeviceHost) -> bool:
        """Tell whether data of this device may be lost: once in a seed, and of one device only."""
        if self._damaged is None and not self._changes_rings:
            self._damaged = device
            return True
        return False

    async def _wipe(self) -> None:
        """Put an empty disk in place of a device's."""
        device = self._device()
        if self._may_lose_data(device):
            self._note(f"disk replaced: {device.name}")
            device.kill()
            device.replace_disk()
            await asyncio.sleep(self._chance.choice([0.2, 2.0]))
            device.start()

    async def _flip(self) -> None:
        """Turn over bits in what is stored."""
        device = self._device()
        if self._may_lose_data(device):
            self._note(f"bits turned over: {device.storage.flip(self._chance.choice([1, 5]))}")

    async def _coordination_down(self) -> None:
        self._note("coordination down")
        self._world.registry.down = True
        await self._for_a_while()
        self._world.registry.down = False
        self._note("coordination up")

    async def _for_a_while(self) -> None:
        await asyncio.sleep(self._chance.choice([0.1, 0.6, 2.0, 4.0]))

    def _heal_network(self) -> None:
        self._note("network whole")
        self._world.fabric.heal()

    async def heal(self) -> None:
        """Make everything whole; return when all of it serves."""
        world = self._world
        self._note("all is healed")
        world.registry.down = False
        world.fabric.heal()
        for host in world.hosts:
            host.storage.faults = Faults()
            host.storage.capacity = ENDLESS
            host.skew_us = 0
            if host.process is not None:
                host.process.go_on()
        for number in sorted(world.in_ring):
            world.devices[number].start()
        for proxy in world.proxies:
            proxy.start()
        await world.until(world.all_serve, 60.0, "everything is up again")
