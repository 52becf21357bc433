"""One simulation of volumes: a seed in, a verdict out.

The phases: a new cluster and volumes; clients, operators and faults at the same time; faults end, everything is started
again, and mostly once more after a power cut of everything; all is read and written through one gateway while a device
is away; the gateway is killed then, the device is back, and all is read through another one; when replicas have become
equal the checker looks at all that was found.
"""

import asyncio
from pathlib import Path

from blockgw.extents import CHUNK
from tests.sim.chance import Chance
from tests.sim.loop import SimulatedLoop
from tests.sim.sealing import seal
from tests.sim.simulation import Verdict, capture_logs, in_memory, report, run
from tests.sim.volumes import disk_semantics
from tests.sim.volumes.faults import VolumeNemesis
from tests.sim.volumes.history import BLOCK
from tests.sim.volumes.replicas import differences
from tests.sim.volumes.shape import TTL_S, hasten, shape_of
from tests.sim.volumes.workload import BLOCKS, RUN, Workload
from tests.sim.volumes.world import VolumeWorld
from tests.sim.world import EPOCH_US

FAULTS_S = 22.0
EQUAL_S = 60.0  # in which replicas must become equal
TIME_LIMIT_S = 1500.0  # of a seed, by its own clock


class Simulation:
    """Of one seed."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.seed = seed
        self._directory = directory
        self.verdict = Verdict(seed)
        self._world: VolumeWorld | None = None
        self._load: Workload | None = None

    async def play(self, loop: SimulatedLoop) -> None:
        chance = Chance(self.seed)
        seal(chance, loop.time, EPOCH_US)
        shape = shape_of(chance.stream("shape"))
        hasten(shape)
        world = self._world = VolumeWorld(chance, self._directory, shape)
        capture_logs(world.trace)
        await world.start()
        load = self._load = Workload(world, shape)
        nemesis = VolumeNemesis(world, shape.theme)
        await load.begin()
        await nemesis.run(FAULTS_S)
        self.verdict.faults = (*nemesis.done, *("opening" for _ in world.opened))
        await asyncio.sleep(1.0)
        await nemesis.heal()
        await load.end()
        if chance.stream("end").random() < 0.6:
            world.trace.note("NEMESIS power lost everywhere")
            for host in world.hosts:
                host.kill(power_lost=True)
            await asyncio.sleep(0.5)
            await nemesis.heal()
        await self._look(world, load, nemesis)

    async def _look(self, world: VolumeWorld, load: Workload, nemesis: VolumeNemesis) -> None:
        """Use everything through one gateway without one of the devices, then through another one with all of them."""
        chance = world.chance.stream("looks")
        first, second = chance.sample(world.gateways, 2)
        chance.choice(world.devices).kill()
        self.verdict.violations += await load.look(first, writes=True)
        first.kill()
        await asyncio.sleep(TTL_S)
        await nemesis.heal()
        self.verdict.violations += await load.look(second)
        blocks = (*(block * BLOCK for block in range(BLOCKS)), *(CHUNK - block * BLOCK for block in range(1, RUN + 1)))
        deadline = world.loop.time() + EQUAL_S
        while (wrong := differences(world, blocks)) and world.loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        self.verdict.violations += [f"replicas: {text}" for text in wrong[:5]]

    def judge(self, loop: SimulatedLoop) -> None:
        verdict, load, world = self.verdict, self._load, self._world
        verdict.virtual_s = loop.time()
        if load is None or world is None:
            return
        verdict.digest = world.trace.digest
        disks = [guest.disk for guest in load.guests]
        verdict.operation_count = sum(disk.operation_count for disk in disks)
        verdict.done_count = sum(disk.done_count for disk in disks)
        found = disk_semantics.violations(disks, world.losses, world.opened, world.power_cuts)
        verdict.violations += map(str, found[:20])
        verdict.violations += [f"unexpected: {text}" for text in load.unexpected]
        verdict.violations += [f"callback: {text}" for text in loop.errors if "never retrieved" not in text]
        if verdict.violations:
            verdict.report = self._report(world, load, found)

    def _report(self, world: VolumeWorld, load: Workload, found: list[disk_semantics.Violation]) -> str:
        lines = []
        concerned = dict.fromkeys((wrong.volume, wrong.offset) for wrong in found)
        for volume, offset in list(concerned)[:3]:
            disk = next(guest.disk for guest in load.guests if guest.disk.name == volume)
            lines += [f"{volume} block {offset:#x}:", *disk.render(offset), ""]
        opened = ", ".join(f"{name} {epoch} at {at:.3f}" for (name, epoch), at in world.opened.items())
        lines += [f"opened: {opened}", f"power lost at: {', '.join(f'{at:.3f}' for at in world.losses)}"]
        return report(self.verdict, world.trace, lines, "make sim-volumes")


def simulate(seed: int) -> Verdict:
    """Run one seed in this process, which is good for nothing else afterwards. See `tests.sim.runner`."""
    return in_memory(lambda directory: run(Simulation(seed, directory), SimulatedLoop(TIME_LIMIT_S)))
