"""What every simulation does, of objects or of volumes: it plays until an end that comes, and is judged."""

import asyncio
import gc
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cluster.telemetry import log
from tests.sim.loop import Deadlock, OutOfTime, SimulatedLoop
from tests.sim.trace import Trace


@dataclass(slots=True)
class Verdict:
    """What came of a seed."""

    seed: int
    violations: list[str] = field(default_factory=list)
    report: str = ""  # for people, when something is wrong
    digest: int = 0  # of all events
    virtual_s: float = 0.0
    cpu_s: float = 0.0
    operation_count: int = 0
    done_count: int = 0  # operations that were answered
    faults: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Tell whether nothing is wrong."""
        return not self.violations


class Simulation(Protocol):
    """Of one seed."""

    verdict: Verdict

    async def play(self, loop: SimulatedLoop) -> None:
        """Do all that is to be judged."""

    def judge(self, loop: SimulatedLoop) -> None:
        """Look at what was found, also when it came to no end."""


def run(simulation: Simulation, loop: SimulatedLoop) -> Verdict:
    """Run a simulation to its end."""
    began = time.process_time()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(simulation.play(loop))
    except (Deadlock, OutOfTime, TimeoutError) as error:
        simulation.verdict.violations.append(f"{type(error).__name__}: {error}")
    simulation.judge(loop)
    simulation.verdict.cpu_s = time.process_time() - began
    return simulation.verdict


def in_memory(work: Callable[[Path], Verdict]) -> Verdict:
    """Do `work` with a directory, in a process that is good for nothing else afterwards. See `tests.sim.runner`."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    gc.disable()  # what is garbage is freed when the process ends
    gc.freeze()  # and the product, which collects at times, need not look at its own modules
    with tempfile.TemporaryDirectory(prefix="holdfast-sim-", dir=memory) as directory:
        os.chdir(directory)  # so that paths are the same in every run
        try:
            return work(Path("cluster"))
        finally:
            os.chdir("/")


def report(verdict: Verdict, trace: Trace, findings: list[str], command: str) -> str:
    """Return what people are shown of a seed with violations: these, what was found, and the last events."""
    return "\n".join(
        [
            f"seed {verdict.seed}: {len(verdict.violations)} violations",
            *verdict.violations[:20],
            "",
            *findings,
            "",
            "last events:",
            *trace.tail(300),
            "",
            f"replay: {command} SEED={verdict.seed}",
        ]
    )


def capture_logs(trace: Trace) -> None:
    """Have the daemons' logs go into the trace."""
    log.configure("info", "logfmt")
    log._process_sink.stream = trace  # type: ignore[assignment]
