"""The nemesis: breaks things while clients work, by seed, and heals them in the end."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from storage.rings.document import RingDocument, Stage
from tests.sim import shape
from tests.sim.damage import Damage
from tests.sim.disk import ENDLESS, Faults
from tests.sim.topology import Operator
from tests.sim.turning import Turning
from tests.sim.world import DeviceHost, Host, World

Fault = Callable[[], Awaitable[None]]
CRASHES = ("kill_device", "cut_power", "cut_power_midway", "blackout")  # every seed has one of these
PARTITIONS = ("isolate", "split", "half", "one_way")  # and of these
FEWEST = 8  # faults in a seed, however long each takes


class Nemesis:
    """Breaks one thing at a time, for a while; often the next before the last is whole.

    Every seed has a crash of a device and a partition of the network at least, and what it is about (tests.sim.shape).
    """

    def __init__(self, world: World, on_moved: Callable[[int], None] = lambda _version: None) -> None:
        """`on_moved` is told the version of the rings in which everybody begins to go by the new ones alone."""
        self._world = world
        self._on_moved = on_moved
        self._seed = world.chance.seed
        self._chance = world.chance.stream("nemesis")
        self._operator = Operator(world, world.chance.stream("operator"))
        self._turning = Turning(world, self._chance, self._note, self._begin, self._hold_cut)
        self._stages = self._turning.stages
        self._damage = Damage(world, self._chance, self._note)
        self._under_way: set[asyncio.Task[None]] = set()
        self._end = 0.0  # when nothing new begins any more
        self._held: set[tuple[str, str]] = set()  # links that stay cut
        self.done: list[str] = []

    async def run(self, duration_s: float) -> None:
        """Break things for so long; return when nothing is under way any more."""
        self._end = self._world.loop.time() + duration_s
        if shape.changes_rings(self._seed):
            self._begin(self._change_rings())
            self._begin(self._stages.follow(self._is_over, self._trouble_change))
        await self._break(self._wanted(), 0.1 * duration_s, 0.85, FEWEST)

    async def _break(
        self, wanted: Sequence[tuple[str, ...]], earliest_s: float, longest_pause_s: float, fewest: int = 0
    ) -> None:
        """Break things until the end, of what is wanted one each, not before `earliest_s` have passed."""
        world, chance, faults = self._world, self._chance, self._faults()
        begin = world.loop.time()
        latest_s = 0.9 * (self._end - begin)
        due = sorted((begin + chance.uniform(earliest_s, latest_s), chance.choice(kinds)) for kinds in wanted)
        while not self._is_over() or len(self.done) < fewest:
            await asyncio.sleep(chance.uniform(0.1, longest_pause_s))
            name = chance.choices(list(faults), [weight for _, weight in faults.values()])[0]
            if due and due[0][0] <= world.loop.time():
                name = due.pop(0)[1]
            if chance.random() < 0.5:
                self._begin(self._guarded(faults[name][0]))
            else:
                await self._guarded(faults[name][0])
        for _, name in due:
            await self._guarded(faults[name][0])
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _wanted(self) -> list[tuple[str, ...]]:
        """Return what this seed must have, one of each."""
        wanted: list[tuple[str, ...]] = [CRASHES, PARTITIONS]
        if shape.rots(self._seed):
            wanted += [("rot",), ("rot",), ("flip", "rot")]
        elif shape.loses_data(self._seed):
            wanted += [("lose_witness", "lose_witness", "wipe")]
        return wanted

    def _faults(self) -> dict[str, tuple[Fault, float]]:
        """Return what can go wrong, and how often it does."""
        contended = self._world.shape.contended
        return {
            "kill_device": (self._kill_device, 3.0),
            "cut_power": (self._cut_power, 2.0),
            "cut_power_midway": (self._cut_power_midway, 3.0),
            "blackout": (self._blackout, 0.5),
            "kill_proxy": (self._kill_proxy, 1.5),
            "isolate": (self._isolate, 3.0),
            "split": (self._split, 1.5),
            "half": (self._half, 8.0 if contended else 4.0),
            "one_way": (self._one_way, 2.0),
            "slow_link": (self._slow_link, 3.0 if contended else 1.0),
            "reset": (self._reset, 1.0),
            "stall": (self._stall, 1.5),
            "skew": (self._skew, 1.0),
            "slow_disk": (self._slow_disk, 1.0),
            "coordination_down": (self._coordination_down, 0.7),
            "disk_errors": (self._disk_errors, 0.7),
            "disk_full": (self._disk_full, 0.5),
            "rot": (self._damage.rot, 0.0),
            "flip": (self._damage.flip, 0.0),
            "wipe": (self._damage.wipe, 0.0),
            "lose_witness": (self._damage.lose_witness, 0.0),
        }

    def _is_over(self) -> bool:
        return self._world.loop.time() >= self._end

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside what comes next."""
        task = self._world.background(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _change_rings(self) -> None:
        """Change the rings, and again when that is over."""
        await asyncio.sleep(self._chance.uniform(0, 2))
        while not self._is_over():
            if await self._operator.change():
                self.done.append("ring_change")
            while not self._is_over() and not self._stages.document().settled:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
            await asyncio.sleep(self._chance.choice([0.0, 0.5, 2.0]))

    def _trouble_change(self, document: RingDocument) -> None:
        """Make trouble as a change of the rings gets to its next stage."""
        if document.stage is Stage.STABLE and not document.enforced:
            self._on_moved(document.version)
        faults: dict[Fault, float] = {
            self._half: 2.0,
            self._blind: 2.0,
            self._isolate: 1.0,
            self._stall: 1.0,
            self._slow_link: 1.0,
            self._kill_device: 1.0,
            self._cut_power: 0.5,
        }
        likely = 0.6
        if document.stage is Stage.JOINING and not document.enforced:
            faults |= {self._blind: 4.0, self._turning.leave_behind: 8.0, self._turning.leave_alone: 8.0}
            likely = 0.9
        elif document.stage is Stage.SERVING and document.enforced:
            faults |= {self._turning.keep_apart: 12.0, self._turning.burden: 30.0}
            likely = 0.9
        if self._chance.random() < likely:
            fault = self._chance.choices(list(faults), list(faults.values()))[0]
            self._begin(self._guarded(fault))

    async def _guarded(self, fault: Fault) -> None:
        self.done.append(fault.__name__.strip("_"))
        await fault()

    def _note(self, text: str) -> None:
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
        await asyncio.sleep(self._chance.choice([0.05, 1.0, 3.0]))
        device.start()

    async def _cut_power(self) -> None:
        device = self._device()
        self._note(f"power lost: {device.name}")
        device.kill(power_lost=True)
        await asyncio.sleep(self._chance.choice([0.2, 1.0, 3.0]))
        device.start()

    async def _cut_power_midway(self) -> None:
        device = self._device()
        calls = self._chance.randrange(12)
        self._note(f"power will be lost: {device.name}, after {calls} calls")
        await self._let_writes_wait([device])
        device.storage.faults.kill_after = calls
        await asyncio.sleep(1.5)
        device.storage.faults.kill_after, device.storage.faults.slow_s = None, 0.0
        await asyncio.sleep(self._chance.choice([0.05, 1.0, 3.0]))
        device.start()

    async def _let_writes_wait(self, devices: Sequence[DeviceHost]) -> None:
        """Half of the time: let disks be slow for a moment, so that many writes are in a batch when the power goes."""
        if self._chance.random() < 0.5:
            for device in devices:
                device.storage.faults.slow_s = 0.6
            await asyncio.sleep(0.4)

    async def _blackout(self) -> None:
        """Cut the power of all devices at once, each in the midst of what it does."""
        devices = [self._world.devices[number] for number in sorted(self._world.in_ring)]
        self._note("blackout")
        await self._let_writes_wait(devices)
        for device in devices:
            device.storage.faults.kill_after = self._chance.randrange(6)
        await asyncio.sleep(1.0)
        for device in devices:
            device.storage.faults.kill_after, device.storage.faults.slow_s = None, 0.0
            device.kill(power_lost=True)
        await asyncio.sleep(self._chance.choice([0.1, 1.0]))
        for device in devices:
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

    def _hold_cut(self, links: set[tuple[str, str]]) -> None:
        """Keep just these links cut, whatever else is healed."""
        self._held = links
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
            await asyncio.sleep(self._chance.choice([0.3, 1.5, 4.0]))
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

    async def _blind(self) -> None:
        """Let a host not hear of what is published, while it reaches everybody else: it goes on as it did."""
        host = self._chance.choice([*self._world.proxies, self._host()])
        self._note(f"blind: {host.name}")
        self._world.registry.blind.add(host.name)
        await asyncio.sleep(self._chance.choice([2.0, 6.0, 10.0]))
        self._world.registry.blind.discard(host.name)

    async def _coordination_down(self) -> None:
        self._note("coordination down")
        self._world.registry.down = True
        await self._for_a_while()
        self._world.registry.down = False
        self._note("coordination up")

    async def _for_a_while(self) -> None:
        await asyncio.sleep(self._chance.choice([0.1, 0.6, 1.5, 3.0]))

    def _heal_network(self) -> None:
        self._note("network whole")
        self._world.fabric.heal()
        for link in sorted(self._held):
            self._world.fabric.cut(*link)

    async def heal(self) -> None:
        """Make everything whole; return when all of it serves."""
        world = self._world
        self._note("all is healed")
        world.registry.down = False
        world.registry.blind.clear()
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
