"""One simulation: a seed in, a verdict out.

The phases: a new cluster; clients and faults at the same time; faults end, everything is started again, and once more
after a power cut of everything; quiet; then the checkers look at the history and at what is on the disks.
"""

import asyncio
from functools import partial
from pathlib import Path

from tests.sim import containers, linearizable, listing, witness
from tests.sim.chance import Chance
from tests.sim.convergence import Convergence, lost_objects
from tests.sim.faults import Nemesis
from tests.sim.history import History, Operation
from tests.sim.loop import SimulatedLoop
from tests.sim.paces import hasten
from tests.sim.sealing import seal
from tests.sim.shape import shape_of
from tests.sim.simulation import Verdict, capture_logs, in_memory, report, run
from tests.sim.workload import CONTENDED, STANDARD, Workload
from tests.sim.world import EPOCH_US, World

FAULTS_S = 12.0
CLIENTS, CONTENDING = 5, 9
QUIET_S = 600.0  # in which everything must find its place


class Simulation:
    """Of one seed."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.seed = seed
        self._directory = directory
        self.verdict = Verdict(seed)
        self._world: World | None = None
        self._load: Workload | None = None

    async def play(self, loop: SimulatedLoop) -> None:
        chance = Chance(self.seed)
        seal(chance, loop.time, EPOCH_US)
        hasten()
        shape = shape_of(self.seed, chance.stream("shape"))
        world = self._world = World(chance, self._directory, shape)
        capture_logs(world.trace)
        for host in world.devices:
            host.on_start = partial(witness.look_at, world)
        mix = CONTENDED if shape.contended else STANDARD
        load = self._load = Workload(world, History(), mix, names=shape.names, cold=shape.cold)
        nemesis = Nemesis(world, load.glance)
        await world.start()
        await load.prepare()
        working = loop.create_task(load.run(CONTENDING if shape.contended else CLIENTS))
        breaking = loop.create_task(nemesis.run(FAULTS_S))
        await breaking
        self.verdict.faults = tuple(nemesis.done)
        await asyncio.sleep(1.0)
        load.done = True
        await working
        await nemesis.heal()
        await load.look()
        await self._lose_all_power(world, nemesis)
        await load.look()
        wrong = await Convergence(world).reached(QUIET_S)
        self.verdict.violations += [f"not converged: {text}" for text in wrong[:10]]
        self.verdict.violations += await load.compare(lost_objects(world.devices))

    async def _lose_all_power(self, world: World, nemesis: Nemesis) -> None:
        """Cut the power of everything at once, and start it again."""
        if world.chance.stream("end").random() < 0.6:
            world.trace.note("NEMESIS power lost everywhere")
            for host in world.hosts:
                host.kill(power_lost=True)
            await asyncio.sleep(0.5)
        await nemesis.heal()

    def judge(self, loop: SimulatedLoop) -> None:
        verdict, load, world = self.verdict, self._load, self._world
        verdict.virtual_s = loop.time()
        if load is None or world is None:
            return
        verdict.digest = world.trace.digest
        operations = load.history.operations
        verdict.operation_count = len(operations)
        verdict.done_count = sum(operation.ended < float("inf") for operation in operations)
        suspects: list[tuple[str, str]] = []
        for container, name in load.history.names():
            history = load.history.of(container, name)
            if wrong := _register(containers.objects(history) if container == load.brief else history):
                verdict.violations.append(f"{container}/{name} {wrong}")
                suspects.append((container, name))
        for container in load.containers:
            of_container = [found for found in operations if found.container == container]
            verdict.violations += listing.violations(of_container, load.etags)
        brief = [found for found in operations if found.container == load.brief]
        verdict.violations += containers.violations(brief)
        verdict.violations += world.violations[:10]
        verdict.violations += [f"damaged: {text}" for text in load.damages]
        verdict.violations += [f"unexpected: {text}" for text in load.unexpected]
        verdict.violations += [f"callback: {text}" for text in loop.errors if "never retrieved" not in text]
        if verdict.violations:
            verdict.report = self._report(world, load, suspects)

    def _report(self, world: World, load: Workload, suspects: list[tuple[str, str]]) -> str:
        lines = []
        for container, name in suspects or load.history.names():
            lines.append(f"operations on {container}/{name}:")
            lines += [operation.render() for operation in load.history.of(container, name)]
        return report(self.verdict, world.trace, lines, "make sim")


def _register(operations: list[Operation]) -> str:
    """Return what is wrong with the history of a name."""
    try:
        return "" if linearizable.is_linearizable(operations) else "is not linearizable"
    except linearizable.TooHard as error:
        return f"could not be shown to be linearizable: {error}"


def simulate(seed: int) -> Verdict:
    """Run one seed in this process, which is good for nothing else afterwards. See `tests.sim.runner`."""
    return in_memory(lambda directory: run(Simulation(seed, directory), SimulatedLoop()))
