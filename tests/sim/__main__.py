"""python -m tests.sim [--seeds N] [--first N] [--seed N] [--mutant NAME] [--jobs N]: see docs/simulator.md."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

from tests.sim.mutants import mutated
from tests.sim.run import simulate
from tests.sim.runner import verdicts, with_fixed_hashes
from tests.sim.simulation import Verdict

SHOWN = 3  # reports of failing seeds
PROGRESS = 25  # seeds from one line to the next, where no terminal shows a moving one


def main() -> int:
    """Simulate; return 1 when a seed fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim")
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="this one only, with its trace")
    parser.add_argument("--mutant", help="leave a rule out (tests.sim.mutants)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at a time")
    parser.add_argument("--faults", action="store_true", help="tell what each seed has met")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        seeds = iter([arguments.seed])
    else:
        seeds = iter(range(arguments.first, arguments.first + arguments.seeds))
    work = simulate if arguments.mutant is None else mutated(arguments.mutant)
    count = arguments.seeds if arguments.seed is None else 1
    return run(seeds, count, arguments.jobs, work, arguments.faults)


def run(
    seeds: Iterator[int],
    count: int,
    jobs: int,
    work: Callable[[int], Verdict],
    tells_faults: bool = False,
    command: str = "make sim",
) -> int:
    """Simulate `count` seeds with a line of progress; return the exit status."""
    began = time.monotonic()
    failed: list[Verdict] = []
    tally = Tally()
    for done, verdict in enumerate(verdicts(seeds, jobs, work), 1):
        tally.add(verdict)
        if tells_faults:
            print(f"seed {verdict.seed} met {' '.join(verdict.faults)}", flush=True)
        if not verdict.passed:
            failed.append(verdict)
            print(f"\rseed {verdict.seed} failed: {verdict.violations[0][:200]}          ", flush=True)
            if len(failed) <= SHOWN or count == 1:
                print(verdict.report, flush=True)
        line = f"{done}/{count} seeds, {len(failed)} failed, {time.monotonic() - began:.0f} s"
        if sys.stdout.isatty():
            print(f"\r{line}", end="", flush=True)
        elif done % PROGRESS == 0:
            print(line, flush=True)
    print(f"\r{count} seeds in {time.monotonic() - began:.1f} s: {tally}")
    if count == 1:
        print(f"events {tally.digest:016x}")
    if failed:
        print(f"{len(failed)} failed: {sorted(verdict.seed for verdict in failed)}")
        print(f"replay one with: {command} SEED={failed[0].seed}")
    return 1 if failed else 0


class Tally:
    """What all seeds together did."""

    def __init__(self) -> None:
        self.digest = 0  # of the events of the last one
        self._operations = self._answered = 0
        self._virtual_s = self._cpu_s = 0.0
        self._faults: Counter[str] = Counter()
        self._with: Counter[str] = Counter()

    def add(self, verdict: Verdict) -> None:
        """Count one."""
        self.digest = verdict.digest & 0xFFFFFFFFFFFFFFFF
        self._operations += verdict.operation_count
        self._answered += verdict.done_count
        self._virtual_s += verdict.virtual_s
        self._cpu_s += verdict.cpu_s
        self._faults.update(verdict.faults)
        self._with.update(set(verdict.faults))

    def __str__(self) -> str:
        faults = ", ".join(f"{name} {count}" for name, count in sorted(self._faults.items()))
        return (
            f"{self._operations} operations ({self._answered} answered) in {self._virtual_s / 3600:.1f} h"
            f" of simulated time, {self._cpu_s:.0f} s of CPU; faults: {faults}"
        )


if __name__ == "__main__":
    with_fixed_hashes("tests.sim", sys.argv[1:])
    sys.exit(main())
