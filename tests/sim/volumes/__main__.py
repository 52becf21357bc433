"""python -m tests.sim.volumes [--seeds N] [--first N] [--seed N] [--mutant NAME] [--mutants] [--jobs N]."""

import argparse
import os
import sys

from tests.sim.__main__ import run
from tests.sim.hunting import hunt_all
from tests.sim.runner import with_fixed_hashes
from tests.sim.volumes import mutants
from tests.sim.volumes.run import simulate


def main() -> int:
    """Simulate; return 1 when a seed fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.volumes")
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="this one only, with its trace")
    parser.add_argument("--mutant", action="append", default=[], help="leave a rule out (tests.sim.volumes.mutants)")
    parser.add_argument("--mutants", action="store_true", help="is each mutant caught within the seeds given?")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at a time")
    parser.add_argument("--faults", action="store_true", help="tell what each seed has met")
    arguments = parser.parse_args()
    if arguments.mutants:
        return hunt_all(mutants.chosen(arguments.mutant), mutants.mutated, arguments.seeds, arguments.jobs)
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    if arguments.seed is not None:
        seeds = range(arguments.seed, arguments.seed + 1)
    work = mutants.mutated(arguments.mutant[0]) if arguments.mutant else simulate
    return run(iter(seeds), len(seeds), arguments.jobs, work, arguments.faults, "make sim-volumes")


if __name__ == "__main__":
    with_fixed_hashes("tests.sim.volumes", sys.argv[1:])
    sys.exit(main())
